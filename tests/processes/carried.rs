//! What an edge has made or found out goes on at the next after an upgrade: compressed forms, and what it has learned to
//! share.

use crate::upgrade::{upgrade, upgraded};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tentpole_testkit::process::runs;
use tentpole_testkit::{Answer, Ask, Origin, Response, Tentpole, Up, Visitor};
use tentpole_tests::{pool, until, until_within};

fn status_of(answer: &Answer) -> String {
    answer.header("Cache-Status").unwrap_or_default().to_owned()
}

#[tokio::test]
async fn what_was_compressed_before_an_upgrade_is_so_right_after_it() {
    let origin = Origin::start().await;
    let page: String = (0..400).map(|line| format!("<p>line {line} of a page</p>\n")).collect();
    let whole = page.clone();
    origin.otherwise(move |_| {
        Response::ok(whole.clone())
            .header("Cache-Control", "max-age=3600")
            .header("Content-Type", "text/html")
            .header("ETag", "\"1\"")
    });
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let codings = ["br", "gzip", "zstd"];
    let ask = |coding: &str| Ask::get("/page").header("Accept-Encoding", coding);
    let mut before = Vec::new();
    let mut visitor = tentpole.visitor().await;
    for coding in codings {
        until("the form to be made", async || {
            visitor.ask(&ask(coding)).await.expect(200).header("Content-Encoding") == Some(coding)
        })
        .await;
        before.push(visitor.ask(&ask(coding)).await);
    }
    drop(visitor);
    let (old, asked) = (tentpole.edge_pid(), origin.request_count());
    upgrade(&tentpole, None).await.expect(200);
    until("the edge before to end", async || !runs(old)).await;
    let mut visitor = tentpole.visitor().await;
    for (coding, before) in codings.into_iter().zip(before) {
        let answer = visitor.ask(&ask(coding)).await.expect(200);
        assert!(answer.is_hit(), "{answer:?}");
        assert_eq!(answer.header("Content-Encoding"), Some(coding), "the first visitor gets it");
        assert_eq!(answer.body, before.body);
        for name in ["ETag", "Vary", "Content-Length", "Content-Type"] {
            assert_eq!(answer.header(name), before.header(name), "{name}");
        }
    }
    assert_eq!(visitor.get("/page").await.text(), page);
    assert_eq!(origin.request_count(), asked, "the application was not asked");
    tentpole.ends().await;
}

/// Somebody who says nothing about himself, from one of several addresses.
async fn somebody(tentpole: &Tentpole, number: u8, path: &str) -> Answer {
    let from = IpAddr::from([127, 0, 0, 2 + number % 5]);
    let mut visitor =
        Visitor::try_connect_from(Some(from), tentpole.address()).await.expect("it takes connections");
    visitor.get(path).await.expect(200)
}

#[tokio::test]
async fn what_was_learned_before_an_upgrade_is_known_after_it_and_what_was_contradicted_too() {
    let origin = Origin::start().await;
    // One page that is the same for all, and one of which there are two.
    let turn = AtomicU64::new(0);
    origin.otherwise(move |seen| match seen.path() {
        "/news" => Response::ok("news"),
        _ => Response::ok(if turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) { "one" } else { "two" }),
    });
    let config = format!("{}[cache]\nlearn = \"apply\"\n", pool(&[&origin], ""));
    let tentpole = Up::config(&config).start().await;
    let mut number = 0;
    // The evidence has to span ten seconds.
    until_within(Duration::from_secs(60), "the page to be shared", async || {
        number += 1;
        tokio::time::sleep(Duration::from_millis(150)).await;
        somebody(&tentpole, number, "/two").await;
        status_of(&somebody(&tentpole, number, "/news").await).contains("detail=learned")
    })
    .await;
    upgraded(&tentpole).await;
    // Ten seconds of evidence were needed before. Now one request fetches it, and the next is served.
    // What learns has a thread of its own, which may have to wait for a processor.
    until_within(Duration::from_secs(8), "what was learned to be known", async || {
        number += 1;
        let answer = somebody(&tentpole, number, "/news").await;
        assert_eq!(answer.text(), "news");
        let status = status_of(&answer);
        status.contains("hit") && status.contains("detail=learned")
    })
    .await;
    for visitor in 0..12 {
        let two = somebody(&tentpole, visitor, "/two").await;
        assert!(!status_of(&two).contains("learned"), "{}", status_of(&two));
    }
    tentpole.ends().await;
}
