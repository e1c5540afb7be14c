//! The canonical form of a path: what becomes what, and what is refused.

use proptest::prelude::*;
use tentpole_route::{BadPath, canonical_path};

fn canonical(path: &[u8], merge_slashes: bool) -> Result<Vec<u8>, BadPath> {
    let mut out = b"left from before".to_vec();
    let changed = canonical_path(path, merge_slashes, &mut out)?;
    let result = if changed { out } else { path.to_vec() };
    assert_eq!(changed, result != path, "it says whether it changed something");
    Ok(result)
}

#[track_caller]
fn becomes(path: &str, expected: &str) {
    for merge_slashes in [true, false] {
        let result = canonical(path.as_bytes(), merge_slashes)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(result.as_deref(), Ok(expected), "{path} with merge_slashes = {merge_slashes}");
    }
}

#[track_caller]
fn is_refused(path: &[u8], expected: BadPath) {
    for merge_slashes in [true, false] {
        assert_eq!(canonical(path, merge_slashes), Err(expected), "{}", String::from_utf8_lossy(path));
    }
}

#[test]
fn a_plain_path_is_canonical_and_not_copied() {
    let mut out = b"untouched".to_vec();
    for path in
        ["/", "/a", "/a/", "/a/b.html", "/a.b/c~d/e_f-g", "/p;v=1/x,y/@me:$&'()*+!=", "/?q", "/a?../x//%zz#"]
    {
        assert_eq!(canonical_path(path.as_bytes(), true, &mut out), Ok(false), "{path}");
    }
    assert_eq!(out, b"untouched");
}

#[test]
fn escapes_are_written_in_upper_case_3986_6_2_2_1() {
    becomes("/stra%c3%9fe", "/stra%C3%9Fe");
    becomes("/stra%C3%9Fe", "/stra%C3%9Fe");
}

#[test]
fn unreserved_characters_are_not_escaped_3986_6_2_2_2() {
    becomes("/%7euser/%41%62%2d%5f%30", "/~user/Ab-_0");
    becomes("/index%2ehtml", "/index.html");
}

#[test]
fn reserved_characters_stay_as_they_came_3986_2_2() {
    becomes("/a%2ab*c%40d@e%3b;f", "/a%2Ab*c%40d@e%3B;f");
    becomes("/a%3fb%23c", "/a%3Fb%23c");
}

#[test]
fn what_may_not_stand_in_a_path_is_escaped_s2_3() {
    becomes("/straße", "/stra%C3%9Fe");
    becomes("/a b\"c<d>e^f`g{h|i}j[k]", "/a%20b%22c%3Cd%3Ee%5Ef%60g%7Bh%7Ci%7Dj%5Bk%5D");
    assert_eq!(canonical(b"/\xff\xfe", true).as_deref(), Ok(&b"/%FF%FE"[..]));
}

#[test]
fn unicode_is_not_normalised() {
    becomes("/e\u{301}", "/e%CC%81");
    becomes("/\u{e9}", "/%C3%A9");
}

#[test]
fn dot_segments_are_removed_3986_6_2_2_3() {
    becomes("/a/./b", "/a/b");
    becomes("/a/../b", "/b");
    becomes("/a/b/..", "/a/");
    becomes("/a/b/.", "/a/b/");
    becomes("/a/b/c/./../../g", "/a/g");
    becomes("/mid/content=5/../6", "/mid/6");
    becomes("/.", "/");
    becomes("/a/..", "/");
}

#[test]
fn escaped_dots_are_dots() {
    becomes("/a/%2e%2e/b", "/b");
    becomes("/a/%2E./b", "/b");
    becomes("/a/%2e/b", "/a/b");
}

#[test]
fn names_that_begin_with_dots_are_no_dot_segments() {
    becomes("/.well-known/x", "/.well-known/x");
    becomes("/...", "/...");
    becomes("/..a/.b/c..", "/..a/.b/c..");
    becomes("/a/..;/b", "/a/..;/b");
}

#[test]
fn escaped_twice_is_decoded_never() {
    becomes("/%252e%252e/x", "/%252e%252e/x");
    becomes("/a/%25%32%65/b", "/a/%252e/b");
    becomes("/%2525", "/%2525");
}

#[test]
fn an_escaped_slash_or_backslash_separates_nothing() {
    becomes("/a%2fb/..", "/");
    becomes("/a/..%2fb", "/a/..%2Fb");
    becomes("/a%5c..%5cb", "/a%5C..%5Cb");
    becomes("/a\\..\\b", "/a%5C..%5Cb");
}

#[test]
fn slashes_are_merged_where_the_site_says_so() {
    assert_eq!(canonical(b"/a//b///c//", true).as_deref(), Ok(&b"/a/b/c/"[..]));
    assert_eq!(canonical(b"/a//../b", true).as_deref(), Ok(&b"/b"[..]));
    assert_eq!(canonical(b"/a//b///c//", false).as_deref(), Ok(&b"/a//b///c//"[..]));
    assert_eq!(canonical(b"/a//../b", false).as_deref(), Ok(&b"/a/b"[..]));
}

#[test]
fn no_canonical_path_begins_with_two_slashes() {
    // Location: //evil.example/ would lead to another host.
    becomes("//evil.example/%7e", "/evil.example/~");
    becomes("///x", "/x");
    becomes("/.//x", "/x");
    becomes("/a/..//x", "/x");
    becomes("//", "/");
}

#[test]
fn a_query_is_left_alone() {
    becomes("/%7e?%7e=/../a//b&\u{df} \\#", "/~?%7e=/../a//b&\u{df} \\#");
    becomes("/a/..?x", "/?x");
    becomes("/a/../b/?", "/b/?");
}

#[test]
fn what_leads_above_the_root_is_refused() {
    for path in ["/..", "/../a", "/a/../..", "/a/../../b", "/%2e%2e/a", "/./../a", "/../"] {
        is_refused(path.as_bytes(), BadPath::AboveRoot);
    }
}

#[test]
fn escapes_that_are_none_are_refused() {
    for path in ["/%", "/%4", "/%zz", "/a%g0", "/%u0041", "/%+1", "/a%/b", "/%4?1"] {
        is_refused(path.as_bytes(), BadPath::Escape);
    }
}

#[test]
fn what_some_readers_see_and_others_do_not_is_refused() {
    is_refused(b"/a%00.html", BadPath::Nul);
    is_refused(b"/a\0b", BadPath::Control);
    is_refused(b"/a\tb", BadPath::Control);
    is_refused(b"/a\r\nb", BadPath::Control);
    is_refused(b"/a\x7f", BadPath::Control);
    is_refused(b"/a#b", BadPath::Fragment);
}

#[test]
fn a_path_begins_with_a_slash() {
    for path in ["", "a", "*", "?x", "%2fa", "http://a/"] {
        is_refused(path.as_bytes(), BadPath::NotAbsolute);
    }
}

/// Pieces that are likely to interact, and any byte.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            "/", "//", ".", "..", "/..", "/./", "%2e", "%2E", "%2f", "%5c", "\\", "%25", "%252e", "%c3%9f", "a", "b", "A", "~", "%7e",
            "%", "%0a", " ", "*", ";", "?",
        ]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| [vec![b'/'], pieces.concat()].concat())
}

proptest! {
    #[test]
    fn the_canonical_form_of_a_canonical_path_is_itself(path in path(), merge_slashes: bool) {
        if let Ok(once) = canonical(&path, merge_slashes) {
            prop_assert_eq!(canonical(&once, merge_slashes), Ok(once.clone()));
        }
    }

    #[test]
    fn a_canonical_path_has_only_what_it_may_have(path in path(), merge_slashes: bool) {
        let Ok(canonical) = canonical(&path, merge_slashes) else { return Ok(()) };
        let path = canonical.split(|&byte| byte == b'?').next().unwrap();
        prop_assert!(path.starts_with(b"/") && !path.starts_with(b"//"));
        prop_assert!(!merge_slashes || !path.windows(2).any(|two| two == b"//"));
        prop_assert!(path.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(byte)));
        prop_assert!(path.split(|&byte| byte == b'/').all(|segment| segment != b"." && segment != b".."));
    }

    #[test]
    fn a_path_whose_safe_bytes_are_escaped_has_the_same_canonical_form(path in "(/[a-z0-9~_-]{1,6}){1,5}/?", merge_slashes: bool) {
        let escaped: String = path.chars().map(|c| if c == '/' { "/".to_owned() } else { format!("%{:02x}", c as u32) }).collect();
        prop_assert_eq!(canonical(escaped.as_bytes(), merge_slashes), Ok(path.into_bytes()));
    }

    #[test]
    fn any_bytes_are_answered_without_a_panic(path: Vec<u8>, merge_slashes: bool) {
        let _ = canonical(&path, merge_slashes);
    }
}
