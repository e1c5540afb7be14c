//! An object store in the place of an application: what it is asked, and what visitors get of its answers.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{self, Running, edge, endpoint};
use std::net::SocketAddr;
use std::path::Path;
use tentpole_model::{Addressing, ObjectStore, Secret, Snapshot};

const ERROR: &str = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Key>secret/name</Key></Error>";

fn opens(directory: &Path) -> impl FnOnce(&mut Snapshot) {
    let secret = |name: &str, text: &str| {
        let file = directory.join(name);
        std::fs::write(&file, text).unwrap();
        Secret::File(file)
    };
    let store = ObjectStore {
        bucket: "shop".into(),
        region: "us-east-1".into(),
        key_id: secret("id", "AKID\n"),
        key: secret("key", "s3cret\n"),
        session: None,
        addressing: Addressing::Path,
        index: "index.html".into(),
    };
    |snapshot| snapshot.pools[0].object_store = Some(store)
}

/// An edge before a store, which answers so.
fn store(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (Running, common::Asked) {
    let (address, asked): (SocketAddr, _) = endpoint(answer);
    let directory = tempfile::tempdir().unwrap();
    (edge(address, opens(directory.path())), asked)
}

fn object(_: &str) -> String {
    "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 4\r\nETag: \"1\"\r\nCache-Control: max-age=60\r\n\
     x-amz-request-id: R\r\nx-amz-meta-owner: me\r\nServer: AmazonS3\r\nSet-Cookie: a=b\r\n\r\npng!"
        .into()
}

fn error(status: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nx-amz-request-id: R\r\nLocation: http://other\r\n\
         Content-Length: {}\r\n\r\n{ERROR}",
        ERROR.len()
    )
}

#[test]
fn each_request_is_signed_and_tells_nothing_of_the_visitor() {
    let (edge, asked) = store(object);
    edge.get(
        "/a.png?acl",
        "Authorization: Basic me\r\nCookie: session=me\r\nX-Amz-Acl: public\r\nX-Own: me\r\n",
    );
    let asked = asked.lock().unwrap()[0].clone();
    assert!(asked.starts_with("GET /shop/a.png HTTP/1.1\r\nHost: 127.0.0.1:"), "{asked}");
    assert!(asked.contains("Authorization: AWS4-HMAC-SHA256 Credential=AKID/"), "{asked}");
    assert!(
        asked.contains("/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, ")
    );
    assert!(!asked.contains("me\r\n") && !asked.contains("public") && !asked.contains("s3cret"), "{asked}");
}

#[test]
fn an_object_is_stored_and_what_is_between_the_store_and_its_owner_is_not_passed_on() {
    let (edge, asked) = store(object);
    for _ in 0..2 {
        let response = edge.get("/a.png", "");
        assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("\r\n\r\npng!"), "{response}");
        for hidden in ["x-amz-", "X-Amz-", "AmazonS3", "Set-Cookie"] {
            assert!(!response.contains(hidden), "{response}");
        }
    }
    assert_eq!(asked.lock().unwrap().len(), 1, "the second time from the cache");
}

#[test]
fn an_error_of_the_store_is_told_in_our_words() {
    for (status, expect) in [
        ("404 Not Found", "404"),
        ("403 Forbidden", "403"),
        ("400 Bad Request", "502"),
        ("301 Moved Permanently", "502"),
        ("307 Temporary Redirect", "502"),
        ("416 Range Not Satisfiable", "416"),
        ("503 Slow Down", "503"),
    ] {
        let (edge, asked) = store(move |_| error(status));
        let response = edge.get("/a", "");
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {expect} ")), "{response}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{response}");
        assert!(body.starts_with(&format!("{expect}: ")) && body.ends_with(".\n"), "{response}");
        assert!(!response.contains("NoSuchKey") && !response.contains("other") && !response.contains("amz"));
        let head = edge.ask("HEAD /a HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
        assert!(head.starts_with(&format!("HTTP/1.1 {expect} ")) && head.ends_with("\r\n\r\n"), "{head}");
        assert!(asked.lock().unwrap().iter().any(|head| head.starts_with("HEAD /shop/a ")));
    }
}

#[test]
fn a_connection_serves_on_after_an_error() {
    let (edge, asked) =
        store(|head| if head.starts_with("GET /shop/a") { object(head) } else { error("404 No") });
    assert!(edge.get("/no", "").starts_with("HTTP/1.1 404"));
    assert!(edge.get("/a", "").starts_with("HTTP/1.1 200"));
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn a_part_is_asked_for_as_a_part() {
    let (edge, asked) = store(|_| {
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/8\r\nContent-Length: 4\r\nETag: \"1\"\r\n\
         Cache-Control: no-store\r\n\r\npart"
            .into()
    });
    let part = edge.get("/a", "Range: bytes=0-3\r\n");
    assert!(part.starts_with("HTTP/1.1 206") && part.ends_with("part"), "{part}");
    assert!(part.contains("\r\nContent-Range: bytes 0-3/8\r\n"), "{part}");
    assert!(asked.lock().unwrap().last().unwrap().contains("\r\nRange: bytes=0-3\r\n"));
}

#[test]
fn nobody_changes_or_lists_what_is_in_the_store() {
    let (edge, asked) = store(object);
    for method in ["PUT", "POST", "DELETE", "OPTIONS", "PATCH"] {
        let response = edge.ask(&format!(
            "{method} /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ));
        assert!(response.starts_with("HTTP/1.1 405"), "{response}");
    }
    assert_eq!(asked.lock().unwrap().len(), 0);
    edge.get("/?list-type=2&prefix=", "");
    edge.get("/..%2fother/a", "");
    let asked = asked.lock().unwrap();
    assert!(asked[0].starts_with("GET /shop/index.html HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked.iter().all(|head| head.starts_with("GET /shop/")), "{asked:?}");
    assert!(asked.iter().all(|head| !head.contains("..")), "{asked:?}");
}

#[test]
fn without_its_secret_nothing_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let (address, asked) = endpoint(object);
    let edge = edge(address, |snapshot| {
        opens(directory.path())(snapshot);
        std::fs::remove_file(directory.path().join("key")).unwrap();
    });
    assert!(edge.get("/a", "").starts_with("HTTP/1.1 50"));
    assert_eq!(asked.lock().unwrap().len(), 0);
}
