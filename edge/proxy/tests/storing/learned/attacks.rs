//! Applications and visitors that try to have one visitor's page given to another.

use super::crowd::{Crowd, Switch, page, with};

fn session(visitor: u8) -> String {
    format!("Cookie: session=s{visitor}\r\n")
}

/// Attack 1: logged-in pages look alike for a while, then greet by name.
#[test]
fn logged_in_pages_that_look_alike_for_a_while() {
    let later = Switch::default();
    let crowd = Crowd::before({
        let later = later.clone();
        move |seen| match seen.cookie("session") {
            Some(session) if later.get() == 1 => page(format!("hello for-{session}")),
            _ => page("welcome"),
        }
    });
    // Half are logged in, and nobody can tell from the answers.
    let half = |visitor: u8| if visitor.is_multiple_of(2) { session(visitor) } else { String::new() };
    crowd.rounds(60, "/home", half);
    crowd.until_hit("/home");
    later.set(1);
    for round in 0..300u32 {
        let visitor = 1 + (round % 9) as u8;
        let got = crowd.ask(visitor, "/home", &half(visitor));
        if visitor.is_multiple_of(2) {
            assert_eq!(got.body, format!("hello for-s{visitor}"), "the logged-in one gets his page");
        }
    }
    assert!(crowd.hits() > 50, "anonymous visitors are still served: {}", crowd.hits());
}

/// Attack 2: an anonymous page becomes personal later: by a cookie, by the address, by a field.
#[test]
fn an_anonymous_page_that_becomes_personal_later() {
    let later = Switch::default();
    let crowd = Crowd::before({
        let later = later.clone();
        move |seen| match later.get() {
            0 => page("welcome"),
            1 => page(format!("hello for-{}", seen.cookie("session").unwrap_or("shop.example"))),
            2 => page(format!("hello for-{}", seen.field("X-Forwarded-For").unwrap_or("shop.example"))),
            _ => page(format!("hello for-{}", seen.field("Referer").unwrap_or("shop.example"))),
        }
    });
    crowd.until_hit("/home");
    for attack in 1..=3 {
        later.set(attack);
        for round in 0..300u32 {
            let visitor = 1 + (round % 9) as u8;
            let fields = match visitor {
                1 | 2 => session(visitor),
                _ => format!("Referer: r{visitor}\r\n"),
            };
            crowd.ask(visitor, "/home", &fields);
        }
    }
    assert!(crowd.hits() > 30, "{}", crowd.hits());
}

/// Attack 3: a token in the body: another one each fetch, from the first day or later; one a visitor; one a minute.
#[test]
fn a_token_in_the_body() {
    let later = Switch::default();
    let crowd = Crowd::before({
        let later = later.clone();
        move |seen| match seen.path() {
            "/form" => page(format!("<input value=once-{}>", seen.number)),
            "/later" if later.get() > 0 => page(format!("<input value=once-{}>", seen.number)),
            "/visitor" => page(format!("for-{}", seen.field("X-Forwarded-For").unwrap_or("shop.example"))),
            "/minute" => page(format!("token of minute {}", later.get())),
            _ => page("no form yet"),
        }
    });
    for path in ["/form", "/visitor"] {
        assert_eq!(crowd.rounds(80, path, |_| String::new()), 0, "{path}");
    }
    crowd.until_hit("/later");
    crowd.until_hit("/minute");
    later.set(1);
    crowd.rounds(300, "/later", |_| String::new());
    let unserved = crowd.eventually(|_| crowd.rounds(60, "/later", |_| String::new()) == 0);
    assert!(unserved, "it is not served any more");
    // For all the same, in its minute: shared, and the new one soon.
    crowd.until_hit_says("/minute", "token of minute 1");
}

/// Attack 3b: the token is in a header field.
#[test]
fn a_token_in_a_field_of_the_head() {
    let later = Switch::default();
    let crowd = Crowd::before({
        let later = later.clone();
        move |seen| match later.get() {
            0 => page("page"),
            _ => with(&format!("X-CSRF: once-{}\r\nX-Request-Id: {}\r\n", seen.number, seen.number), "page"),
        }
    });
    crowd.until_hit("/");
    later.set(1);
    for _ in 0..20 {
        crowd.purge();
        crowd.rounds(15, "/", |_| String::new());
    }
}

/// Attack 4: pages by address, from the first day, and found after it was shared.
#[test]
fn pages_by_address() {
    let later = Switch::default();
    let crowd = Crowd::before({
        let later = later.clone();
        move |seen| {
            let from = seen.field("X-Forwarded-For").unwrap_or("nowhere").to_owned();
            match seen.path() {
                // The office gets another page than the world, and comes late.
                "/geo/1" if from == "127.1.0.30" => page("for-127.1.0.30"),
                "/mine/1" => {
                    page(if from == "nowhere" { "who are you?".to_owned() } else { format!("for-{from}") })
                }
                "/same/1" if later.get() > 0 => page(format!("for-{from}").replace("for-nowhere", "who")),
                _ => page("world"),
            }
        }
    });
    assert_eq!(crowd.rounds(80, "/mine/1", |_| String::new()), 0);
    crowd.until_hit("/geo/1");
    crowd.until_hit("/same/1");
    // One of 50 of those who come from there goes to see.
    let withdrawn = (0..2_000u32).any(|round| {
        crowd.ask([1, 30, 3, 30][round as usize % 4], "/geo/1", "");
        crowd.row("shop.example/geo/*")["state"] == "withdrawn"
    });
    assert!(withdrawn, "{:#}", crowd.advice());
    later.set(1);
    crowd.rounds(300, "/same/1", |_| String::new());
}

/// Attack 5: pages by device and language, each said only by the request.
#[test]
fn pages_by_device_and_language() {
    let crowd = Crowd::before(|seen| {
        let agent = seen.field("User-Agent").unwrap_or("");
        let language =
            seen.field("Accept-Language").unwrap_or("en").split(['-', ',']).next().unwrap().to_owned();
        match seen.path() {
            "/device" => page(if agent.contains("Mobile") { "small" } else { "large" }),
            _ => page(format!("in {language}")),
        }
    });
    for path in ["/device", "/language"] {
        crowd.until_hit(path);
        let mut hits = 0;
        for round in 0..400u32 {
            let visitor = 1 + (round % 9) as u8;
            let got = crowd.ask(visitor, path, "");
            hits += u32::from(got.hit);
            let wanted = match (path, visitor % 3) {
                ("/device", 1) => "small",
                ("/device", _) => "large",
                (_, 0) => "in de",
                (_, 1) => "in fr",
                _ => "in en",
            };
            assert_eq!(got.body, wanted, "{path} for visitor {visitor}: {}", got.head);
        }
        assert!(hits > 100, "{path}: {hits}");
    }
}

/// Attack 6: who asks stands in a field that nobody has heard of.
#[test]
fn a_login_by_a_field_that_is_not_known() {
    let crowd = Crowd::before(|seen| match seen.field("X-Api-Key") {
        Some(key) => page(format!("for-{key}")),
        None => page("the public part"),
    });
    let half = |visitor: u8| {
        if visitor.is_multiple_of(2) { format!("X-Api-Key: k{visitor}\r\n") } else { String::new() }
    };
    let served = crowd.eventually(|round| {
        let visitor = 1 + (round % 9) as u8;
        let got = crowd.ask(visitor, "/data", &half(visitor));
        if visitor.is_multiple_of(2) {
            assert_eq!(got.body, format!("for-k{visitor}"));
        }
        round >= 400 && crowd.hits() > 50
    });
    assert!(served, "{}: {:#}", crowd.hits(), crowd.advice());
}

/// Attack 7: WordPress: not a word about caching, no Vary, and editors known by a cookie.
#[test]
fn wordpress_and_its_editor() {
    let crowd = Crowd::before(|seen| match seen.head.split("wordpress_logged_in_").nth(1) {
        Some(rest) => {
            page(format!("admin bar for-{}", rest.split('=').nth(1).unwrap().split('\r').next().unwrap()))
        }
        None => {
            with("Content-Type: text/html; charset=UTF-8\r\nLink: <http://shop.example/wp-json/>\r\n", "post")
        }
    });
    let editor = "Cookie: wordpress_test_cookie=WP; wordpress_logged_in_abc=editor1\r\n";
    for path in ["/", "/hello-world/"] {
        for _ in 0..10 {
            assert_eq!(crowd.ask(7, path, editor).body, "admin bar for-editor1");
        }
        crowd.until_hit(path);
        for round in 0..100 {
            match round % 4 {
                0 => assert_eq!(crowd.ask(7, path, editor).body, "admin bar for-editor1"),
                // He is the first to ask after everything was thrown away.
                2 => {
                    crowd.purge();
                    assert_eq!(crowd.ask(7, path, editor).body, "admin bar for-editor1");
                }
                _ => assert_eq!(crowd.ask(1 + round % 4, path, "").body, "post"),
            }
        }
    }
    assert!(crowd.hits() > 40, "{}", crowd.hits());
}

/// Attack 8: a cookie and a token on each anonymous page, from the first day, or on the page of a visitor now and then.
#[test]
fn a_csrf_cookie_on_each_page() {
    let later = Switch::default();
    let crowd = Crowd::before({
        let later = later.clone();
        move |seen| {
            let token = seen.number;
            let form =
                || with(&format!("Set-Cookie: csrf=once-{token}; Path=/\r\n"), format!("once-{token}x"));
            match seen.path() {
                "/shop" => form(),
                "/later" if later.get() > 0 => form(),
                _ => page("page"),
            }
        }
    });
    assert_eq!(crowd.rounds(80, "/shop", |_| String::new()), 0);
    crowd.until_hit("/later");
    later.set(1);
    crowd.rounds(200, "/later", |_| String::new());
    let advice = crowd.advice();
    let proposals = advice["proposals"].as_array().unwrap();
    let csrf = proposals.iter().find(|one| one["kind"] == "stop_setting_cookie" && one["name"] == "csrf");
    assert!(csrf.is_some_and(|csrf| csrf["origin_share"].as_f64().unwrap() > 0.0), "{advice:#}");
    crowd.until_hit("/else");
}

/// Attack 8b: a ticket shop. Who comes without the cookie is given one, and its token stands in the form; who has it finds
/// his own token there, and nothing is set any more.
#[test]
fn a_ticket_shop_with_a_form_on_each_page() {
    let crowd = Crowd::before(|seen| match (seen.path(), seen.cookie("csrftoken")) {
        ("/about", _) => page("about us"),
        (_, Some(token)) => page(format!("<input name=csrf value=for-{token}>")),
        (_, None) => {
            let token = format!("t{}", seen.number);
            with(
                &format!("Set-Cookie: csrftoken=once-{token}; Path=/\r\n"),
                format!("value=once-{token}-form"),
            )
        }
    });
    let returning = |visitor: u8| match visitor % 3 {
        0 => String::new(),
        1 => format!("Cookie: csrftoken=k{visitor}\r\n"),
        _ => format!("Cookie: _ga=GA1.2.{visitor}\r\n"),
    };
    for path in ["/", "/concert/1"] {
        assert_eq!(crowd.rounds(120, path, returning), 0, "{path}");
    }
    // What has no form is shared all the same, with those too whose only cookie is one of statistics.
    crowd.until_hit("/about");
    assert!(crowd.rounds(90, "/about", returning) > 45, "{:#}", crowd.advice());
}

/// Attack 8c: an application redirects to the host that a request names, in whatever field.
#[test]
fn a_redirect_to_a_foreign_host() {
    let named = ["X-Forwarded-Host", "Forwarded", "Origin", "X-Host", "Referer", "X-Original-URL"];
    let crowd = Crowd::before(move |seen| {
        let evil = named.iter().filter_map(|name| seen.field(name)).find(|value| value.contains("evil"));
        let host = match evil {
            Some(evil) => format!("for-{}", evil.trim_start_matches("host=").trim_start_matches("http://")),
            None if seen.path() == "/elsewhere" => "other.example".to_owned(),
            None => seen.field("Host").unwrap().to_owned(),
        };
        format!("HTTP/1.1 301 Moved\r\nLocation: https://{host}/a/\r\nContent-Length: 0\r\n\r\n")
    });
    for name in named {
        let value = if name == "Forwarded" { "host=evil.example" } else { "http://evil.example" };
        for round in 0..120u32 {
            crowd.ask(100 + (round % 20) as u8, "/a", &format!("{name}: {value}\r\n"));
        }
        let got = crowd.ask(1, "/a", "");
        assert!(got.head.contains("Location: https://shop.example/a/"), "{name}: {}", got.head);
    }
    crowd.until_hit("/b");
    // Not even where it leads the same way for everybody.
    assert_eq!(crowd.rounds(120, "/elsewhere", |_| String::new()), 0);
}

/// Attack 9: `Vary: Cookie`, and nobody has another cookie than those of a statistics script.
#[test]
fn vary_cookie_does_not_hinder_and_does_not_mix() {
    let crowd = Crowd::before(|seen| {
        let who = seen.cookie("session").map_or("everybody".to_owned(), |session| format!("for-{session}"));
        with("Vary: Cookie, Accept-Encoding\r\n", who)
    });
    let analytics = |visitor: u8| format!("Cookie: _ga=GA1.2.{visitor}; _fbp=fb.1.{visitor}\r\n");
    crowd.until_hit_with("/", &analytics(1));
    for round in 0..100u32 {
        let visitor = 1 + (round % 9) as u8;
        let fields = if visitor.is_multiple_of(2) { session(visitor) } else { analytics(visitor) };
        let got = crowd.ask(visitor, "/", &fields);
        assert_eq!(
            got.body,
            if visitor.is_multiple_of(2) { format!("for-s{visitor}") } else { "everybody".into() }
        );
    }
    assert!(crowd.hits() > 30, "{}", crowd.hits());
    let stripped = |head: &&String| !head.contains("X-Forwarded-For");
    let asked = crowd.asked();
    assert!(asked.iter().any(|head| stripped(&head)));
    assert!(!asked.iter().filter(stripped).any(|head| head.contains("Cookie")));
}

/// Attack 10: somebody with many addresses makes up evidence, so that a page is shared that he can foul: by fields that are
/// reflected in it.
#[test]
fn made_up_evidence_fouls_no_page() {
    let crowd = Crowd::before(|seen| {
        let reflected = ["X-Evil", "Referer", "X-Forwarded-Host", "Origin", "Sec-CH-UA", "Forwarded"]
            .iter()
            .filter_map(|name| seen.field(name))
            .find(|value| value.contains("evil"));
        page(reflected.map_or("clean".to_owned(), |value| format!("script from for-{value}")))
    });
    for name in ["X-Evil", "Referer", "X-Forwarded-Host", "Origin", "Sec-CH-UA", "Forwarded"] {
        let path = format!("/{}", name.to_lowercase());
        // As many equal answers as he wants, from as many addresses.
        for round in 0..120u32 {
            crowd.ask(100 + (round % 20) as u8, &path, &format!("{name}: evil\r\n"));
        }
        crowd.rounds(60, &path, |_| String::new());
        // The page that is not fouled is learned beside it, unless his answers contradict for a while.
        assert_eq!(crowd.ask(1, &path, "").body, "clean", "{name}");
    }
    crowd.until_hit("/untouched");
}

/// Attack 10b: somebody wants a rule withdrawn, so that the crowd hits the endpoint. He can for that page, for a while; not for
/// those that he does not send requests to, and not by overloading.
#[test]
fn withdrawing_by_force_is_bounded() {
    let crowd = Crowd::before(|seen| match seen.field("User-Agent") {
        Some(agent) if agent.contains("sqlmap") => {
            "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno".to_owned()
        }
        _ => page(seen.path()),
    });
    for path in ["/a/one", "/a/two"] {
        crowd.until_hit(path);
    }
    // The application answers him otherwise because of what his browser says: that is told apart, and the page stays.
    for round in 0..200u32 {
        crowd.ask_as(200 + (round % 20) as u8, "/a/one", "User-Agent: sqlmap/1\r\nAccept: */*\r\n");
        crowd.ask(1 + (round % 9) as u8, "/a/one", "");
    }
    assert!(crowd.rounds(100, "/a/two", |_| String::new()) > 80, "{:#}", crowd.advice());
    crowd.until_hit("/a/one");
}
