//! What a sticky cookie is worth to whoever comes with one.

use super::*;
use tentpole_model::{Endpoint, Sticky as Settings};

const NOW: u64 = 1_800_000_000;
const HOUR: u64 = 3_600;

fn pool(name: &str, endpoints: &[&str]) -> Pool {
    let endpoint = |host: &&str| Endpoint { host: (*host).into(), port: 80, ..Endpoint::default() };
    Pool {
        name: name.into(),
        endpoints: endpoints.iter().map(endpoint).collect(),
        sticky: Some(Settings { cookie: "backend".into(), key: None, lifetime: Duration::from_secs(HOUR) }),
        ..Pool::default()
    }
}

fn shop(own: &OwnKey) -> Sticky {
    Sticky::read(&pool("shop", &["10.0.0.1", "10.0.0.2", "10.0.0.3"]), own).unwrap()
}

/// What a visitor is told who was served by this endpoint, as his browser sends it back.
fn told(sticky: &Sticky, served: usize) -> String {
    let mut response = ResponseHead::new();
    sticky.write(&mut response, served, false, NOW);
    let cookie = response.fields.get(Name::SetCookie).unwrap();
    String::from_utf8(cookie.split(|&byte| byte == b';').next().unwrap().to_vec()).unwrap()
}

fn place(sticky: &Sticky, cookie: &str, now: u64) -> Option<usize> {
    sticky.place_of(sticky.stuck([cookie.as_bytes()].into_iter(), now)?.endpoint)
}

#[test]
fn a_visitor_comes_back_to_who_served_him() {
    let sticky = shop(&OwnKey::new(None));
    for served in 0..3 {
        assert_eq!(place(&sticky, &format!("a=1; {}; b=2", told(&sticky, served)), NOW), Some(served));
    }
}

#[test]
fn what_was_not_signed_here_says_nothing() {
    let (own, others) = (OwnKey::new(None), OwnKey::new(None));
    let sticky = shop(&own);
    let cookie = told(&sticky, 1);
    assert_eq!(place(&sticky, &told(&shop(&others), 1), NOW), None, "signed with another key");
    let other_pool = Sticky::read(&pool("blog", &["10.0.0.1", "10.0.0.2"]), &own).unwrap();
    assert_eq!(place(&sticky, &told(&other_pool, 1), NOW), None, "of another pool");
    assert_eq!(place(&other_pool, &cookie, NOW), None);
    for cut in "backend=".len()..cookie.len() {
        assert_eq!(place(&sticky, &cookie[..cut], NOW), None, "{cut} characters of it");
    }
    assert_eq!(place(&sticky, &format!("{cookie}0"), NOW), None);
    assert_eq!(place(&sticky, &cookie.to_uppercase().replace("BACKEND", "backend"), NOW), None);
    assert_eq!(place(&sticky, &cookie.replace("backend", "backend2"), NOW), None);
    assert_eq!(place(&sticky, &format!("backend={}", "f".repeat(30_000)), NOW), None);
    assert_eq!(place(&sticky, "backend=\u{fc}\u{fc}; backend", NOW), None);
}

#[test]
fn no_character_of_it_can_be_changed() {
    let sticky = shop(&OwnKey::new(None));
    let cookie = told(&sticky, 1);
    for at in "backend=".len()..cookie.len() {
        let mut forged = cookie.clone().into_bytes();
        forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
        assert_eq!(place(&sticky, std::str::from_utf8(&forged).unwrap(), NOW), None, "at {at}");
    }
}

#[test]
fn many_of_them_cost_no_more_than_a_few() {
    let sticky = shop(&OwnKey::new(None));
    let forged = format!("backend={}; ", "0".repeat(56));
    assert_eq!(place(&sticky, &(forged.repeat(3) + &told(&sticky, 2)), NOW), Some(2));
    assert_eq!(place(&sticky, &(forged.repeat(4) + &told(&sticky, 2)), NOW), None);
}

#[test]
fn it_holds_for_its_time_and_is_renewed_in_the_second_half() {
    let sticky = shop(&OwnKey::new(None));
    let cookie = told(&sticky, 0);
    let stuck = |now| sticky.stuck([cookie.as_bytes()].into_iter(), now);
    assert!(stuck(NOW + HOUR / 2).is_some_and(|stuck| !stuck.is_old));
    assert!(stuck(NOW + HOUR / 2 + 1).is_some_and(|stuck| stuck.is_old));
    assert!(stuck(NOW + HOUR - 1).is_some());
    assert_eq!(stuck(NOW + HOUR), None, "replayed later, it says nothing");
    assert_eq!(stuck(NOW - 61), None, "from the future");
}

#[test]
fn an_endpoint_that_a_reload_removed_is_nowhere_and_the_others_are_where_they_were() {
    let own = OwnKey::new(None);
    let before = shop(&own);
    let after = Sticky::read(&pool("shop", &["10.0.0.3", "10.0.0.1"]), &own).unwrap();
    assert_eq!(place(&after, &told(&before, 0), NOW), Some(1));
    assert_eq!(place(&after, &told(&before, 1), NOW), None);
    assert_eq!(place(&after, &told(&before, 2), NOW), Some(0));
}

#[test]
fn a_visitor_is_told_anew_only_when_his_endpoint_is_another_one_from_now_on() {
    let sticky = shop(&OwnKey::new(None));
    let stuck = |served, now| sticky.stuck([told(&sticky, served).as_bytes()].into_iter(), now);
    let all = |_: usize| true;
    assert!(sticky.must_tell(None, 0, all));
    assert!(!sticky.must_tell(stuck(1, NOW), 1, all));
    assert!(sticky.must_tell(stuck(1, NOW + HOUR - 1), 1, all), "it is about to end");
    assert!(!sticky.must_tell(stuck(1, NOW), 0, all), "his own was full for a moment");
    assert!(sticky.must_tell(stuck(1, NOW), 0, |index| index != 1), "his own is away");
}

#[test]
fn no_address_can_be_read_in_it_and_it_is_for_the_browser_alone() {
    let sticky = shop(&OwnKey::new(None));
    let mut response = ResponseHead::new();
    sticky.write(&mut response, 1, true, NOW);
    let line = String::from_utf8(response.fields.get(Name::SetCookie).unwrap().to_vec()).unwrap();
    let (value, attributes) = line.split_once("; ").unwrap();
    assert!(value.len() == "backend=".len() + 56 && !value.contains("10.0.0.2"), "{value}");
    assert_eq!(attributes, "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure");
    assert_eq!(response.fields.get(Name::CacheControl), Some(&b"private"[..]));
}

#[test]
fn what_is_for_all_stays_for_all_and_gets_no_cookie() {
    let sticky = shop(&OwnKey::new(None));
    let written = |name: &[u8], value: &[u8], sets_cookie: bool| {
        let mut response = ResponseHead::new();
        response.fields.push(name, value);
        if sets_cookie {
            response.fields.push(b"Set-Cookie", b"session=1");
        }
        sticky.write(&mut response, 1, false, NOW);
        let cookies = response.fields.all(Name::SetCookie).count() - usize::from(sets_cookie);
        let private = response.fields.all(Name::CacheControl).any(|value| value == b"private");
        (cookies, private)
    };
    assert_eq!(written(b"Cache-Control", b"public, max-age=60", false), (0, false));
    assert_eq!(written(b"Cache-Control", b"S-Maxage=60", false), (0, false));
    assert_eq!(written(b"CDN-Cache-Control", b"max-age=60", false), (0, false));
    assert_eq!(written(b"Expires", b"Thu, 01 Jan 2099 00:00:00 GMT", false), (0, false));
    assert_eq!(written(b"Cache-Control", b"private, max-age=60", false), (1, false));
    assert_eq!(written(b"Cache-Control", b"no-store", false), (1, false));
    assert_eq!(written(b"Cache-Control", b"no-cache", false), (1, true));
    assert_eq!(written(b"Cache-Control", b"max-age=60", true), (1, true), "with a session it is for one");
}

#[test]
fn the_own_key_outlives_the_edge_and_nobody_else_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let state = tempfile::tempdir().unwrap();
    let first = OwnKey::new(Some(state.path().into()));
    let cookie = told(&shop(&first), 2);
    let file = state.path().join(KEY_FILE);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1, "nothing is left beside it");
    let next = OwnKey::new(Some(state.path().into()));
    assert_eq!(place(&shop(&next), &cookie, NOW), Some(2));
    fs::write(&file, "short").unwrap();
    assert!(
        OwnKey::new(Some(state.path().into())).text().is_some_and(|key| key.len() == 64),
        "it goes on with one of its own"
    );
}

#[test]
fn edges_that_share_a_key_read_each_others_cookies() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
    let with_key = || {
        let mut pool = pool("shop", &["10.0.0.1", "10.0.0.2"]);
        pool.sticky.as_mut().unwrap().key = Some(tentpole_model::Secret::File(file.path().into()));
        Sticky::read(&pool, &OwnKey::new(None))
    };
    let (one, other) = (with_key().unwrap(), with_key().unwrap());
    assert_eq!(place(&other, &told(&one, 1), NOW), Some(1));
    fs::write(&file, "short").unwrap();
    assert!(with_key().is_none(), "a key that can be guessed is none");
}
