//! The site's pages: one row of [`PAGES`] for each kind of behaviour, then what each answers. Every page exists as
//! `/name/N` for any N.

use std::time::Duration;

use tentpole_runtime::clock;

use super::gzip;
use super::people::{ANONYMOUS, ANYONE, Account, People};
use crate::origin::{Response, Seen, Step};

/// One kind of page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The first part of its path.
    pub name: &'static str,
    /// What it does, for people who read `/`.
    pub does: &'static str,
    /// Does it differ from visitor to visitor?
    pub personal: bool,
}

const fn page(name: &'static str, personal: bool, does: &'static str) -> Page {
    Page { name, does, personal }
}

/// Every kind of page.
pub const PAGES: &[Page] = &[
    page("plain", false, "no caching headers, the same for everyone"),
    page("public", false, "public, max-age=60"),
    page("short", false, "public, max-age=1, with an ETag and stale-while-revalidate"),
    page("search", false, "public, max-age=60; depends on the query"),
    page("missing", false, "404, max-age=30"),
    page("redirect", false, "301 to a public page, max-age=60"),
    page("slow", false, "public, max-age=60, a slow chunked body"),
    page("etag", false, "max-age=60 with an ETag"),
    page("encoding", false, "max-age=60, Vary: Accept-Encoding, gzip for who takes it"),
    page("language", false, "max-age=60, Vary: Accept-Language, de, fr or en"),
    page("greeting", true, "names who is logged in, without any header that says so"),
    page("private", true, "private, max-age=60"),
    page("no-store", true, "no-store"),
    page(
        "php",
        true,
        "what PHP's sessions send: Expires in 1981, no-store, no-cache, must-revalidate, Pragma",
    ),
    page("vary-cookie", true, "public, max-age=60, Vary: Cookie"),
    page("revalidate", true, "no-cache with an ETag of each visitor's own"),
    page(
        "basket",
        true,
        "max-age=60 beside a Set-Cookie: a fault of the application that a cache must survive",
    ),
    page("form", true, "a form whose token may be used once; Set-Cookie, no caching headers"),
    page("chunked", true, "personal, chunked, no caching headers"),
    page("until-close", true, "personal, ended by closing, no caching headers"),
    page("slow-greeting", true, "personal, slow, no caching headers"),
    page("my-redirect", true, "302 to a place of one's own, no caching headers"),
    page("account", true, "302 to the login for who is not logged in, no caching headers"),
    page("token", true, "a token that may be used once, without a cookie and without caching headers"),
    page(
        "turning",
        true,
        "in turns of 15 s the same for everyone, for who is logged in, and with a token for each; no caching headers",
    ),
    page("api-mine", true, "needs Authorization; max-age=60 without public"),
    page("api-public", false, "needs Authorization; public, max-age=60, the same for everyone"),
];

const MINUTE: (&str, &str) = ("Cache-Control", "max-age=60");
const PUBLIC_MINUTE: (&str, &str) = ("Cache-Control", "public, max-age=60");
const SLOW: Duration = Duration::from_millis(5);
/// How long a page that turns stays as it is, in microseconds.
const TURN_US: u64 = 15_000_000;

/// What the site answers.
pub(super) fn answer(people: &People, seen: &Seen) -> Response {
    let path = seen.path();
    let name = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    match (seen.method.as_str(), path) {
        (_, "/") => return made_for(ANYONE, Response::ok(index())),
        (_, "/health") => return made_for(ANYONE, Response::ok("ok\n").header("Cache-Control", "no-store")),
        ("POST", "/login") => return log_in(people, seen),
        (_, "/login") => return made_for(ANYONE, Response::ok("POST user=NAME\n")),
        _ => {}
    }
    let visit = Visit { people, seen, who: people.by_cookie(seen).or_else(|| people.by_authorization(seen)) };
    match PAGES.iter().find(|page| page.name == name) {
        None => made_for(ANYONE, Response::status(404).body("no such page\n")),
        Some(_) if seen.method == "POST" => visit.personal(Response::status(200)),
        Some(page) if page.personal => visit.personal_page(name),
        Some(_) => visit.common_page(name),
    }
}

fn index() -> String {
    let line = |page: &Page| format!("/{}/N  {}\n", page.name, page.does);
    format!("POST /login with user=NAME gives a session.\n{}", PAGES.iter().map(line).collect::<String>())
}

fn log_in(people: &People, seen: &Seen) -> Response {
    let body = seen.text();
    let name = body.split('&').find_map(|pair| pair.strip_prefix("user=")).unwrap_or_default();
    let Some(account) = people.log_in(name) else {
        return made_for(ANYONE, Response::status(422).body("user= must be letters, digits or _\n"));
    };
    let cookie = format!("session={}; Path=/; HttpOnly; SameSite=Lax", account.session);
    let body = serde_json::to_string(&account).unwrap_or_default();
    made_for(&account.name, Response::ok(body).header("Set-Cookie", cookie))
}

fn made_for(name: &str, response: Response) -> Response {
    response.header("X-For", name)
}

/// One request to a page.
struct Visit<'a> {
    people: &'a People,
    seen: &'a Seen,
    who: Option<Account>,
}

impl Visit<'_> {
    fn common_page(&self, name: &str) -> Response {
        let with = |(name, value): (&str, &str)| Response::status(200).header(name, value);
        let number = self.seen.path().rsplit('/').next().unwrap_or_default();
        match name {
            "public" | "search" => self.common(with(PUBLIC_MINUTE)),
            "short" => {
                let control = "public, max-age=1, stale-while-revalidate=5";
                self.tagged("\"common\"", with(("Cache-Control", control)))
            }
            "etag" => self.tagged("\"common\"", with(MINUTE)),
            "missing" => self.common(Response::status(404).header("Cache-Control", "max-age=30")),
            "redirect" => {
                let moved = Response::status(301).header("Location", format!("/public/{number}"));
                self.common(moved.header(MINUTE.0, MINUTE.1))
            }
            "slow" => {
                let (first, second) = (Step::send(self.text(ANYONE)), Step::send("the end\n"));
                made_for(ANYONE, with(PUBLIC_MINUTE).chunked([first, Step::Pause(SLOW), second]))
            }
            "encoding" => self.encoded(with(MINUTE).header("Vary", "Accept-Encoding")),
            "language" => {
                let asked = self.seen.header("accept-language").unwrap_or_default();
                let language =
                    ["de", "fr"].into_iter().find(|known| asked.starts_with(known)).unwrap_or("en");
                let response = with(MINUTE).header("Vary", "Accept-Language");
                self.common(response.header("Content-Language", language))
            }
            "api-public" => match self.people.by_authorization(self.seen) {
                Some(_) => self.common(with(PUBLIC_MINUTE)),
                None => unauthorized(),
            },
            _ => self.common(Response::status(200)),
        }
    }

    fn personal_page(&self, name: &str) -> Response {
        let with = |(name, value): (&str, &str)| Response::status(200).header(name, value);
        match name {
            "private" => self.personal(with(("Cache-Control", "private, max-age=60"))),
            "no-store" => self.personal(with(("Cache-Control", "no-store"))),
            "php" => {
                let old = with(("Expires", "Thu, 19 Nov 1981 08:52:00 GMT"));
                let control = old.header("Cache-Control", "no-store, no-cache, must-revalidate");
                self.personal(control.header("Pragma", "no-cache"))
            }
            "vary-cookie" => self.personal(with(PUBLIC_MINUTE).header("Vary", "Cookie")),
            "revalidate" => {
                let tag =
                    self.who.as_ref().map_or("\"anonymous\"".to_owned(), |who| format!("\"{}\"", who.marker));
                let response = self.personal(with(("Cache-Control", "no-cache")));
                self.unless_known(&tag, response)
            }
            "basket" => self.basket(),
            "form" => {
                let token = format!("once-{}", self.people.random());
                let form = format!("{}<input name=token value={token}>\n", self.text(self.owner()));
                let cookie = format!("token={token}; Path=/; SameSite=Strict");
                made_for(self.owner(), Response::ok(form).header("Set-Cookie", cookie))
            }
            "token" => self.token(),
            "turning" => match clock::now().as_micros() / TURN_US % 3 {
                0 => self.common(Response::status(200)),
                1 => self.personal(Response::status(200)),
                _ => self.token(),
            },
            "chunked" => {
                let text = self.text(self.owner());
                let (first, second) = text.split_at(text.len() / 2);
                let steps = [Step::send(first), Step::send(second)];
                made_for(self.owner(), Response::status(200).chunked(steps))
            }
            "until-close" => {
                let steps = [Step::send(self.text(self.owner()))];
                made_for(self.owner(), Response::status(200).until_close(steps))
            }
            "slow-greeting" => {
                let steps = [
                    Step::Pause(SLOW),
                    Step::send(self.text(self.owner())),
                    Step::Pause(SLOW),
                    Step::send("end\n"),
                ];
                made_for(self.owner(), Response::status(200).chunked(steps))
            }
            "my-redirect" => {
                let place = self.who.as_ref().map_or("guest", |who| who.marker.as_str());
                self.personal(Response::redirect(&format!("/greeting/{place}")))
            }
            "account" if self.who.is_none() => self.personal(Response::redirect("/login")),
            "api-mine" => match self.people.by_authorization(self.seen) {
                None => unauthorized(),
                Some(who) => {
                    let visit = Visit { who: Some(who), ..*self };
                    visit.personal(with(MINUTE))
                }
            },
            _ => self.personal(Response::status(200)),
        }
    }

    /// A token for each answer, and nothing that says so.
    fn token(&self) -> Response {
        let text = format!("{}token once-{}\n", self.text(self.owner()), self.people.random());
        made_for(self.owner(), Response::ok(text))
    }

    /// Sets a cookie under a lifetime. A guest's basket has a token that nobody else may get.
    fn basket(&self) -> Response {
        let owned = self.who.as_ref().map(|who| who.marker.clone());
        let owned = owned.unwrap_or_else(|| format!("once-{}", self.people.random()));
        let body = format!("{}basket of {owned}\n", self.text(self.owner()));
        let response = Response::ok(body).header(MINUTE.0, MINUTE.1);
        made_for(self.owner(), response.header("Set-Cookie", format!("basket={owned}; Path=/")))
    }

    fn encoded(&self, response: Response) -> Response {
        let takes = self.seen.header("accept-encoding").is_some_and(|value| value.contains("gzip"));
        let text = self.text(ANYONE);
        made_for(
            ANYONE,
            if takes {
                response.header("Content-Encoding", "gzip").body(gzip::stored(text.as_bytes()))
            } else {
                response.body(text)
            },
        )
    }

    fn tagged(&self, tag: &str, response: Response) -> Response {
        let response = self.common(response);
        self.unless_known(tag, response)
    }

    /// 304 for who has it (RFC 9110 section 13.1.2).
    fn unless_known(&self, tag: &str, response: Response) -> Response {
        let known = self.seen.header("if-none-match").is_some_and(|known| known.contains(tag));
        let response = response.header("ETag", tag);
        if known { response.with_status(304) } else { response }
    }

    fn common(&self, response: Response) -> Response {
        made_for(ANYONE, response.header("Cache-Tag", "pages").body(self.text(ANYONE)))
    }

    fn personal(&self, response: Response) -> Response {
        made_for(self.owner(), response.body(self.text(self.owner())))
    }

    fn owner(&self) -> &str {
        self.who.as_ref().map_or(ANONYMOUS, |who| &who.name)
    }

    fn text(&self, owner: &str) -> String {
        let page = format!("page {} for {owner}\n", self.seen.target);
        match &self.who {
            Some(who) if owner == who.name => format!("{page}hello {}, you are {}\n", who.name, who.marker),
            _ => page,
        }
    }
}

fn unauthorized() -> Response {
    let response =
        Response::status(401).header("WWW-Authenticate", "Bearer").body("Authorization is needed\n");
    made_for(ANONYMOUS, response)
}
