//! `tentpole room` against a running Tentpole with people before its doors: what it shows, what becomes of them when an operator turns the
//! room, and what it says when that cannot be.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use std::net::SocketAddr;
use std::process::{Command, Output};
use tentpole_testkit::{Ask, Origin, Response, Tentpole, Up};

/// Runs `tentpole room` with these words.
async fn room(admin: SocketAddr, typed: &[&str]) -> Output {
    let typed: Vec<String> = typed.iter().map(|&word| word.to_owned()).collect();
    let run = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
        command.arg("room").args(typed).args(["--admin", &admin.to_string()]).output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// The same where it must go well; what it says.
async fn said(tentpole: &Tentpole, typed: &[&str]) -> String {
    let output = room(tentpole.admin(), typed).await;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{typed:?}: {out}{err}");
    out
}

/// The same where it must not; its exit code and what it says.
async fn refused(admin: SocketAddr, typed: &[&str]) -> (Option<i32>, String) {
    let output = room(admin, typed).await;
    assert!(!output.status.success() && output.stdout.is_empty(), "{typed:?}: {}", text(&output.stdout));
    (output.status.code(), text(&output.stderr))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Somebody's browser, by the ticket that it keeps.
#[derive(Default)]
struct Browser(Option<String>);

impl Browser {
    /// Asks for a page: whether he is inside.
    async fn is_inside(&mut self, tentpole: &Tentpole) -> bool {
        let ask = Ask::get("/").header("Accept", "text/html");
        let ask = self.0.iter().fold(ask, |ask, ticket| ask.cookie(ticket));
        let answer = tentpole.visitor().await.ask(&ask).await;
        if let Some(line) = answer.all("set-cookie").find(|line| line.starts_with("tentpole_room")) {
            self.0 = line.split(';').next().map(str::to_owned);
        }
        assert!([200, 503].contains(&answer.status), "{}", answer.text());
        answer.status == 200
    }
}

async fn shop(room: &str) -> (Origin, Tentpole) {
    let shop = Origin::start().await;
    shop.otherwise(|_| Response::ok("the shop").header("Cache-Control", "no-store"));
    let config = format!("threads = 1\n[pool.app]\nendpoints = [\"{}\"]\n{room}", shop.url());
    let tentpole = Up::config(&config).start().await;
    (shop, tentpole)
}

#[tokio::test]
async fn an_operator_turns_the_doors_and_those_before_them_come_in_or_do_not() {
    let (_shop, tentpole) = shop("[room.sale]\nactive = 1\nentries_per_minute = 6000\n").await;
    let shown = said(&tentpole, &[]).await;
    assert_eq!(shown, "sale: doors open, inside 0 of 1, waiting 0, entries 0 of 6000 a minute, wait 0 min\n");
    let [mut first, mut second, mut third] = [(); 3].map(|()| Browser::default());
    assert!(first.is_inside(&tentpole).await);
    assert!(!second.is_inside(&tentpole).await && !third.is_inside(&tentpole).await);
    let shown = said(&tentpole, &[]).await;
    assert!(
        shown.starts_with("sale: doors open, inside 1 of 1, waiting 2, entries 1 of 6000 a minute"),
        "{shown}"
    );

    // One more, and no other.
    said(&tentpole, &["sale", "let-in", "1"]).await;
    assert!(second.is_inside(&tentpole).await && !third.is_inside(&tentpole).await);
    // Nobody new, whatever there is room for; who is inside stays.
    let shown = said(&tentpole, &["sale", "close"]).await;
    assert!(shown.starts_with("sale: doors closed, inside 2 of 1, waiting 1, "), "{shown}");
    let shown = said(&tentpole, &["sale", "limit", "--active", "5", "--per-minute", "600"]).await;
    assert!(
        shown.starts_with("sale: doors closed, inside 2 of 5, ") && shown.contains(" of 600 a minute"),
        "{shown}"
    );
    assert!(!third.is_inside(&tentpole).await && first.is_inside(&tentpole).await);
    let shown = said(&tentpole, &["sale", "open"]).await;
    assert!(shown.starts_with("sale: doors open, inside 2 of 5"), "{shown}");
    assert!(third.is_inside(&tentpole).await);
    // One of two limits; the other one stays.
    let shown = said(&tentpole, &["sale", "limit", "--active", "3"]).await;
    assert!(shown.contains(", inside 3 of 3, ") && shown.contains(" of 600 a minute"), "{shown}");
    let mut fourth = Browser::default();
    assert!(!fourth.is_inside(&tentpole).await);
    let shown = said(&tentpole, &["sale", "off"]).await;
    assert!(shown.starts_with("sale: doors off, "), "{shown}");
    assert!(fourth.is_inside(&tentpole).await && Browser::default().is_inside(&tentpole).await);
    // As the file says, in all.
    let shown = said(&tentpole, &["sale", "auto"]).await;
    assert!(shown.starts_with("sale: doors open, ") && shown.contains(" of 1, "), "{shown}");
    assert!(shown.contains(" of 6000 a minute"), "{shown}");
    assert!(!Browser::default().is_inside(&tentpole).await);
    tentpole.ends().await;
}

#[tokio::test]
async fn a_room_that_is_not_there_is_told_and_nothing_is_turned() {
    let (_shop, tentpole) = shop("[room.sale]\nactive = 1\n").await;
    let before = said(&tentpole, &[]).await;
    for name in
        ["sales", "SALE", "sale/", "../sale", "a b", "sale?x", "..", "%2e", "sale\r\nX: y", "Schlange-ä"]
    {
        for typed in [&[name, "close"][..], &[name]] {
            let (code, said) = refused(tentpole.admin(), typed).await;
            assert_eq!(code, Some(1), "{name}: {said}");
            assert!(
                said.contains("there is no waiting room") && said.contains("lists them"),
                "{name}: {said}"
            );
        }
    }
    // Without a name nothing is shown, as if it had been done.
    let (code, told) = refused(tentpole.admin(), &["close"]).await;
    assert!(code == Some(2) && told.contains("which room?"), "{told}");
    assert_eq!((said(&tentpole, &[]).await, said(&tentpole, &["sale"]).await), (before.clone(), before));
    tentpole.ends().await;
    let (_shop, without) = shop("").await;
    assert!(said(&without, &[]).await.starts_with("there is no waiting room; "));
    assert!(refused(without.admin(), &["sale", "open"]).await.1.contains("there is no waiting room sale"));
    without.ends().await;
}

#[tokio::test]
async fn words_that_mean_nothing_are_refused_before_anybody_is_asked() {
    // Whatever is asked here would fail otherwise.
    let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
    for typed in [
        &["sale", "shut"][..],
        &["sale", "limit"],
        &["sale", "limit", "--active", "many"],
        &["sale", "limit", "--active", "-1"],
        &["sale", "let-in"],
        &["sale", "let-in", "1.5"],
        &["sale", "let-in", "99999999999"],
        &["open", "close"],
    ] {
        let (code, said) = refused(nobody, typed).await;
        assert_eq!(code, Some(2), "{typed:?}: {said}");
        assert!(said.contains("Usage") || said.contains("--help"), "{typed:?}: {said}");
    }
}

#[tokio::test]
async fn who_does_not_answer_or_does_not_allow_it_is_told_apart() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let (code, said) = refused(nobody, &[]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("nobody listens at {nobody}. Is tentpole up?")), "{said}");

    let other = Origin::start().await;
    other.on("/api/rooms").respond(Response::ok("<p>a shop"));
    let refusal = "{\"error\":\"this request comes from another site\",\"cure\":\"Send it from a script.\"}";
    other.on_method("POST", "/api/rooms/sale").respond(Response::status(403).body(refusal));
    let (code, said) = refused(other.address(), &[]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("is not Tentpole's admin API"), "{said}");
    let (code, said) = refused(other.address(), &["sale", "close"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("this request comes from another site. Send it from a script."), "{said}");
}

#[tokio::test]
async fn the_admin_api_changes_no_room_for_a_page_of_another_site() {
    let (_shop, tentpole) = shop("[room.sale]\nactive = 1\n").await;
    let wish =
        Ask::post("/api/rooms/sale", "{\"doors\":\"close\"}").header("Content-Type", "application/json");
    let foreign = wish.header("Origin", "http://shop.example");
    tentpole.admin_visitor().await.ask(&foreign).await.expect(403);
    assert!(said(&tentpole, &[]).await.starts_with("sale: doors open, "));
    tentpole.ends().await;
}
