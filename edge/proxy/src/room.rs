//! The waiting room on a request's way: finds whether one stands before it, lets the visitor in or says how long he waits.
//! Who comes in decides `decide/room`; what a page looks like `room/page.rs`.

mod desk;
mod live;
mod page;
mod ticket;
mod turn;
mod words;

pub(crate) use desk::rooms;
pub(crate) use live::Live;
pub use live::Rooms;
pub(crate) use ticket::cookie_name;

use crate::answer::{self, Manner};
use crate::asked::Asked;
use crate::prepare::Prepared;
use crate::sticky::OwnKey;
use crate::stop::Stop;
use crate::thread::View;
use crate::visit::Visit;
use live::Shown;
use page::Text;
use serde_json::json;
use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;
use tentpole_http1 as http1;
use tentpole_message::{Fields, Name, RequestHead};
use tentpole_model::{Method, Refused, Room as Settings, SiteId};
use tentpole_room::{Kind, Paths, Phase, Ticket, Verdict, Waiting};
use tentpole_runtime::clock;
use words::Words;

/// The field by which a room's page, or an application, asks how the visitor stands and nothing else.
const POLL: &[u8] = b"tentpole-room";
/// The field in which a page shows its ticket, for a browser that keeps no cookie.
const TICKET: &[u8] = b"tentpole-ticket";
/// What the page itself sends in the first one.
const BY_PAGE: &[u8] = b"page";
/// How long a browser keeps the ticket of one who waits, in seconds.
const WAITING_KEPT_S: u64 = 24 * 3_600;
/// The connection of one who waits stays open until he asks again if that is within this time, in milliseconds.
const CONNECTED_MS: u64 = 59_000;
/// When whoever met an edge that ends asks again, in milliseconds.
const NEXT_EDGE_MS: u64 = 2_000;

/// A room, ready to stand before requests.
#[derive(Debug)]
pub(crate) struct PreparedRoom {
    pub(crate) settings: Settings,
    pub(crate) live: Arc<Live>,
    cookie: String,
    paths: Paths,
}

impl PreparedRoom {
    pub(crate) fn new(settings: &Settings, rooms: &Arc<Rooms>, own_key: &OwnKey) -> Self {
        Self {
            live: rooms.live(&settings.name, own_key),
            cookie: cookie_name(&settings.name),
            paths: Paths::new(settings.paths.iter().map(String::as_str)),
            settings: settings.clone(),
        }
    }
}

impl Prepared {
    /// The room that stands before this path of a site: the first one.
    pub(crate) fn room_before(&self, site: SiteId, path: &[u8]) -> Option<u16> {
        let stands = |room: &PreparedRoom| room.settings.site == site && room.paths.has(path);
        self.rooms.iter().position(stands).and_then(|at| u16::try_from(at).ok())
    }
}

/// An answer of the room's own, all but what it says of the connection.
pub struct Said {
    status: u16,
    refused: Option<Refused>,
    lines: Vec<u8>,
    body: String,
    /// He asks again after so long, in milliseconds.
    refresh_ms: Option<u64>,
}

impl Said {
    /// Whether his connection is not to stay open until he asks again: a long line would take all that there may be.
    pub(crate) fn rests(&self) -> bool {
        self.refresh_ms.is_some_and(|refresh_ms| refresh_ms > CONNECTED_MS)
    }

    /// Why the request ended here, if it was refused.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// Writes it; returns its status.
    pub(crate) fn write(&self, out: &mut Vec<u8>, manner: Manner) -> u16 {
        http1::write_status_line(out, self.status, b"");
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(&clock::date_value());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.lines);
        // Writing into a Vec cannot fail.
        let _ = write!(out, "Content-Length: {}\r\n", self.body.len());
        answer::connection(out, manner);
        out.extend_from_slice(b"\r\n");
        if !manner.head_only {
            out.extend_from_slice(self.body.as_bytes());
        }
        self.status
    }
}

/// How a visitor wants to be told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A browser goes to a page.
    Page,
    /// A script or an application.
    Json,
    /// The same, and it only asks how it stands.
    Poll,
    /// A part of a page.
    Part,
}

impl Visit<'_> {
    /// Lets the visitor through the room before his request, or answers in its place.
    pub(crate) fn pass_room(&mut self, view: &View, at: u16, asked: Asked) -> Result<(), Stop> {
        let room = &view.prepared.rooms[usize::from(at)];
        if self.who().is_staff(&view.prepared) {
            return Ok(());
        }
        let settings = &room.settings;
        let pool = usize::from(settings.pool.0);
        let healthy = u32::try_from(view.rosters[pool].open().count()).unwrap_or(u32::MAX);
        let request = &self.scratch.request;
        let cookies = request.fields.all(Name::Cookie);
        let form = form(request);
        let words = {
            let accepted = request.fields.get(Name::AcceptLanguage);
            words::choose(settings.language.as_deref(), &self.scratch.target, accepted)
        };
        // What belongs to a page takes no place of its own: neither in the line nor inside.
        let has_ticket = ticket::shown(&room.live.key, &room.cookie, cookies.clone());
        let in_page = || {
            let mut by_page = request.fields.find(POLL).filter(|line| *line == BY_PAGE);
            by_page.next().and_then(|_| request.fields.find(TICKET).next())
        };
        let in_page = if has_ticket.is_none() { in_page() } else { None };
        let shown = in_page.and_then(|value| ticket::shown_in_field(&room.live.key, value));
        let shown = shown.map_or(Shown::Cookie(has_ticket), Shown::Page);
        if form == Form::Part && has_ticket.is_none() && room.live.is_quiet(settings, healthy) {
            return Ok(());
        }
        let is_inside = has_ticket.is_some_and(|ticket| ticket.kind == Kind::Inside);
        if self.is_ending() && !is_inside {
            // The edge that comes next goes on with the line: no number is given here any more.
            return Err(wait_for_next(form, words));
        }
        if form == Form::Part && !is_inside {
            return Err(said(form, Reply::refusal(settings, words.waiting, "waiting", words), None));
        }
        let Some(verdict) = room.live.ask(settings, healthy, shown) else {
            return Err(wait_for_next(form, words));
        };
        match verdict {
            Verdict::Inside(ticket) => {
                let cookie = ticket.map(|ticket| cookie(room, &ticket, asked.https));
                if form == Form::Poll {
                    let cookie = cookie.as_deref();
                    return Err(said(form, Reply::inside(settings), cookie));
                }
                if let Some(cookie) = cookie {
                    self.scratch.ticket = cookie.into_bytes();
                }
                Ok(())
            }
            Verdict::Waits(waiting) => {
                let cookie = cookie(room, &waiting.ticket, asked.https);
                let keeps_cookies = !matches!(shown, Shown::Page(_));
                let value = ticket::value(&room.live.key, &waiting.ticket);
                let reply = Reply::waits(settings, words, waiting, &value, keeps_cookies);
                Err(said(form, reply, Some(&cookie)))
            }
            Verdict::Over => Err(said(form, Reply::refusal(settings, words.over, "over", words), None)),
            Verdict::Full => Err(said(form, Reply::refusal(settings, words.full, "full", words), None)),
            Verdict::TooFast => Err(Stop::Refused(Refused::TicketBusy)),
        }
    }

    /// Gives the visitor his ticket with a response that is not stored, or not as it is sent.
    pub(crate) fn write_ticket(&mut self) {
        let ticket = std::mem::take(&mut self.scratch.ticket);
        if ticket.is_empty() {
            return;
        }
        let fields = &mut self.scratch.response.fields;
        let room = fields.len() + 2 <= Fields::COUNT_MAX;
        if room && !fields.has(Name::CdnCacheControl) && !fields.has(Name::SurrogateControl) {
            fields.push(b"Set-Cookie", &ticket);
            fields.push(b"Cache-Control", b"private, no-store");
        }
    }

    /// Gives it to him with an answer of our own, which no cache keeps: who was let in and cannot be served now has his seat when he
    /// comes again.
    pub(crate) fn give_ticket(&mut self) {
        let ticket = std::mem::take(&mut self.scratch.ticket);
        let out = &mut self.scratch.out;
        let behind_status = out.windows(2).position(|end| end == b"\r\n").map(|end| end + 2);
        if let (false, Some(at)) = (ticket.is_empty(), behind_status) {
            let line = [b"Set-Cookie: ".as_slice(), &ticket, b"\r\n"].concat();
            out.splice(at..at, line);
        }
    }

    /// The lines of a stored response's head that are for this visitor alone: those he has, and his ticket. `stored` is the
    /// head as it is stored.
    pub(crate) fn own_lines<'b>(&mut self, own: &'b [u8], stored: &[u8]) -> Cow<'b, [u8]> {
        if self.scratch.ticket.is_empty() {
            return Cow::Borrowed(own);
        }
        let ticket = std::mem::take(&mut self.scratch.ticket);
        let mut lines = own.to_vec();
        let speaks_to_caches = stored.split(|&byte| byte == b'\n').any(|line| {
            let is = |name: &[u8]| line.get(..name.len()).is_some_and(|l| l.eq_ignore_ascii_case(name));
            is(b"cdn-cache-control:") || is(b"surrogate-control:")
        });
        if !speaks_to_caches {
            lines.extend_from_slice(b"Set-Cookie: ");
            lines.extend_from_slice(&ticket);
            lines.extend_from_slice(b"\r\nCache-Control: private, no-store\r\n");
        }
        Cow::Owned(lines)
    }
}

/// What is told.
struct Reply {
    status: u16,
    refused: Option<Refused>,
    refresh_ms: Option<u64>,
    json: serde_json::Value,
    page: String,
}

impl Reply {
    fn waits(
        settings: &Settings,
        words: &'static Words,
        waiting: Waiting,
        ticket: &str,
        keeps_cookies: bool,
    ) -> Self {
        let (template, title) = (settings.template.as_deref(), settings.title.as_deref());
        let text = Text::of(words, &waiting);
        let text = if keeps_cookies { text } else { text.without_cookie(words) };
        let text = text.titled(words, title, template.is_some());
        let refresh_ms = Some(waiting.refresh_ms);
        let state = match waiting.phase {
            Phase::Early => "early",
            Phase::Closed => "closed",
            _ => "waiting",
        };
        let json = json!({
            "room": settings.name,
            "state": state,
            "place": (waiting.place > 0).then_some(waiting.place),
            "waiting": waiting.waiting,
            "estimate_seconds": waiting.estimate_s,
            "refresh_seconds": waiting.refresh_ms as f64 / 1_000.0,
            "opens": settings.opens_unix_s,
            "cookies": keeps_cookies,
            "ticket": ticket,
            "text": told(&text),
        });
        let page = page::page(template, words, &text, refresh_ms, ticket);
        Self { status: 503, refused: Some(Refused::WaitingRoom), refresh_ms, json, page }
    }

    fn refusal(
        settings: &Settings,
        message: &'static str,
        state: &'static str,
        words: &'static Words,
    ) -> Self {
        let refresh_ms = (state != "over").then_some(60_000);
        let (template, title) = (settings.template.as_deref(), settings.title.as_deref());
        let text = Text::plain(words, message).titled(words, title, template.is_some());
        let json = json!({
            "room": settings.name,
            "state": state,
            "place": null,
            "waiting": null,
            "estimate_seconds": null,
            "refresh_seconds": 60,
            "opens": settings.opens_unix_s,
            "text": told(&text),
        });
        let page = page::page(template, words, &text, refresh_ms, "");
        Self { status: 503, refused: Some(Refused::WaitingRoom), refresh_ms, json, page }
    }

    fn inside(settings: &Settings) -> Self {
        let json = json!({ "room": settings.name, "state": "inside", "refresh_seconds": 0 });
        Self { status: 200, refused: None, refresh_ms: None, json, page: String::new() }
    }
}

fn told(text: &Text<'_>) -> serde_json::Value {
    json!({
        "title": text.title,
        "message": text.message,
        "place": text.place,
        "estimate": text.estimate,
        "waiting": text.waiting,
        "keep": text.keep,
    })
}

/// Puts it in the form that the visitor wants. Whatever a cache between us and him believes in, one of these lines keeps it
/// from storing this: 503 has no lifetime of its own, `no-store` and `private` forbid it (RFC 9111 section 5.2.2), `Vary: *`
/// matches no second request (section 4.1), and `X-Accel-Expires: 0` is nginx's own.
fn said(form: Form, reply: Reply, cookie: Option<&str>) -> Stop {
    let mut lines = b"Cache-Control: no-store, private, max-age=0\r\nCDN-Cache-Control: no-store\r\n\
                      Surrogate-Control: no-store\r\nExpires: 0\r\nPragma: no-cache\r\nX-Accel-Expires: 0\r\n\
                      Vary: *\r\nX-Robots-Tag: noindex\r\nX-Content-Type-Options: nosniff\r\n"
        .to_vec();
    let mut field = |name: &str, value: &str| {
        // Writing into a Vec cannot fail.
        let _ = write!(lines, "{name}: {value}\r\n");
    };
    if let Some(cookie) = cookie {
        field("Set-Cookie", cookie);
    }
    if let Some(refresh_ms) = reply.refresh_ms {
        field("Retry-After", &refresh_ms.div_ceil(1_000).to_string());
    }
    let state = reply.json["state"].as_str().unwrap_or_default();
    field("Tentpole-Room", state);
    field("Cache-Status", "tentpole; detail=waiting_room");
    let body = match form {
        Form::Page => {
            field("Content-Type", "text/html; charset=utf-8");
            reply.page
        }
        Form::Json | Form::Poll => {
            field("Content-Type", "application/json");
            reply.json.to_string()
        }
        Form::Part => {
            field("Content-Type", "text/plain; charset=utf-8");
            "503: this page is behind a waiting room.\n".to_owned()
        }
    };
    // A browser's script that asks how it stands gets an answer to that, which is no error.
    let status = if form == Form::Poll { 200 } else { reply.status };
    Stop::Room(Box::new(Said { status, refused: reply.refused, lines, body, refresh_ms: reply.refresh_ms }))
}

/// At an edge that ends.
fn wait_for_next(form: Form, words: &'static Words) -> Stop {
    let text = Text::plain(words, words.waiting);
    let json = json!({
        "room": null, "state": "waiting", "place": null, "waiting": null, "estimate_seconds": null,
        "refresh_seconds": 2, "opens": null,
        "text": told(&text),
    });
    let refresh_ms = Some(NEXT_EDGE_MS);
    let page = page::page(None, words, &text, refresh_ms, "");
    let reply = Reply { status: 503, refused: Some(Refused::WaitingRoom), refresh_ms, json, page };
    said(form, reply, None)
}

fn cookie(room: &PreparedRoom, ticket: &Ticket, is_https: bool) -> String {
    let kept_s = match ticket.kind {
        Kind::Inside => room.settings.session.as_secs() + 60,
        Kind::Early | Kind::Waiting => WAITING_KEPT_S.max(
            room.settings.opens_unix_s.map_or(0, |opens| opens.saturating_sub(u64::from(ticket.issued_s)))
                + 3_600,
        ),
    };
    let secure = if is_https { "; Secure" } else { "" };
    let value = ticket::value(&room.live.key, ticket);
    format!("{}={value}; Path=/; Max-Age={kept_s}; HttpOnly; SameSite=Lax{secure}", room.cookie)
}

fn form(request: &RequestHead) -> Form {
    let fields = &request.fields;
    if fields.find(POLL).next().is_some() {
        return Form::Poll;
    }
    let is_part = fields.find(b"sec-fetch-dest").next().is_some_and(|of| {
        !matches!(of, b"document" | b"iframe" | b"frame" | b"empty" | b"object" | b"embed" | b"fencedframe")
    });
    if is_part && matches!(request.method, Method::Get | Method::Head) {
        return Form::Part;
    }
    let wants = |what: &[u8]| {
        fields.find(b"accept").any(|line| line.windows(what.len()).any(|at| at.eq_ignore_ascii_case(what)))
    };
    let by_script = fields.find(b"x-requested-with").next().is_some();
    if !wants(b"text/html") && (by_script || wants(b"application/json")) { Form::Json } else { Form::Page }
}
