//! What pages are taken for: each test shows a page and what is left of it, with `[address]` for an include,
//! `[address|alt]`, a `?` where it may fail, and `{attempt/except}`.

use tentpole_esi::{
    ADDRESS_BYTES_MAX, DEPTH_MAX, EsiError, Fault, INCLUDES_MAX, PIECES_MAX, Piece, TAG_BYTES_MAX, parse,
};

fn shown(page: &[u8], pieces: &[Piece]) -> String {
    let show = |piece: &Piece| match piece {
        Piece::Text(range) => {
            String::from_utf8_lossy(&page[range.start as usize..range.end as usize]).into_owned()
        }
        Piece::Include(include) => {
            let alt = include.alt.as_ref().map_or(String::new(), |alt| format!("|{alt}"));
            format!("[{}{alt}{}]", include.src, if include.may_fail { "?" } else { "" })
        }
        Piece::Try { attempt, except } => format!("{{{}/{}}}", shown(page, attempt), shown(page, except)),
    };
    pieces.iter().map(show).collect()
}

#[track_caller]
fn check(page: &str, expect: &str) {
    let plan = parse(page.as_bytes()).expect("the page is understood");
    assert_eq!(shown(page.as_bytes(), plan.pieces()), expect);
    assert_eq!(plan.is_plain(), page == expect, "{page}");
}

#[track_caller]
fn refused(page: &str, fault: Fault, at: u64) {
    assert_eq!(parse(page.as_bytes()), Err(EsiError { fault, at }), "{page:.100}");
}

#[test]
fn an_include_is_a_place_for_another_response() {
    check(r#"<p>a</p><esi:include src="/b"/><p>c</p>"#, "<p>a</p>[/b]<p>c</p>");
    check(r#"<esi:include src="/b"/>"#, "[/b]");
    check(r#"<esi:include src="/b" alt="/c" onerror="continue"/>"#, "[/b|/c?]");
    check(r#"<esi:include onerror="abort" src="/b"/>"#, "[/b]");
}

#[test]
fn an_include_may_be_written_as_shops_do() {
    // Magento 2, with its block's parameters in the address.
    check(
        r#"<esi:include src="http://shop.example/page_cache/block/esi/blocks/%5B%22catalog.topnav%22%5D/handles/WyJkZWZhdWx0Il0%3D/?a=1&amp;b=2" />"#,
        "[http://shop.example/page_cache/block/esi/blocks/%5B%22catalog.topnav%22%5D/handles/WyJkZWZhdWx0Il0%3D/?a=1&b=2]",
    );
    // Symfony.
    check(
        r#"<esi:include src="/_fragment?_hash=x%3D&amp;_path=a%26b" onerror="continue" />"#,
        "[/_fragment?_hash=x%3D&_path=a%26b?]",
    );
    check("<esi:include src='/b'></esi:include>", "[/b]");
    check("<esi:include src='/b'>c", "[/b]c");
    check("<esi:include\n  src = '/b'\n/>\n", "[/b]\n");
    check("<esi:include src=/b>c", "[/b]c");
    check("<esi:include title='a > b' src='/b'/>", "[/b]");
}

#[test]
fn an_include_without_an_address_is_one_that_fails() {
    check("a<esi:include/>b", "a[]b");
    check("a<esi:include src='/a b' alt='/c'/>b", "a[|/c]b");
}

#[test]
fn what_is_removed_is_gone_with_all_that_is_in_it() {
    check("a<esi:remove><p>b</p><esi:include src='/c'/></esi:remove>d", "ad");
    check("a<esi:remove>b<esi:try><esi:attempt>c</esi:attempt></esi:try></esi:remove>d", "ad");
    check("a<esi:remove/>b<esi:comment text='it is > that'/>c", "abc");
}

#[test]
fn what_is_hidden_from_browsers_is_part_of_the_page() {
    check("a<!--esi <p>b</p><esi:include src='/c'/>-->d", "a <p>b</p>[/c]d");
    check("a<!--esi-->b", "ab");
    check("a<!--esi ----->b", "a ---b");
    check("<!--esi <!-- c --> d -->e", " <!-- c --> d e");
    check("<!--esi a < b -- > c -->d", " a < b -- > c d");
}

#[test]
fn a_try_has_what_is_tried_and_what_takes_its_place() {
    check(
        "a<esi:try> 1 <esi:attempt>b<esi:include src='/c'/></esi:attempt> 2 <esi:except>d</esi:except> 3 </esi:try>e",
        "a{b[/c]/d}e",
    );
    check("<esi:try><esi:attempt>a</esi:attempt></esi:try>", "{a/}");
    check(
        "<esi:try><esi:attempt><esi:try><esi:attempt>a</esi:attempt><esi:except>b</esi:except></esi:try></esi:attempt>\
         <esi:except>c</esi:except></esi:try>",
        "{{a/b}/c}",
    );
}

#[test]
fn of_a_choice_only_what_holds_otherwise_is_shown() {
    check(
        "a<esi:choose> <esi:when test=\"$(HTTP_COOKIE{group})=='x'\">b<esi:include src='/b'/></esi:when> \
         <esi:otherwise>c<esi:include src='/d'/></esi:otherwise> </esi:choose>e",
        "ac[/d]e",
    );
    check("a<esi:inline name='/x' fetchable='yes'>b</esi:inline>c", "ac");
}

#[test]
fn of_unknown_elements_the_tags_are_left_out() {
    check("a<esi:vars>b $(HTTP_HOST)</esi:vars>c", "ab $(HTTP_HOST)c");
    check("a<esi:new/>b</esi:remove>c<esi:attempt>d</esi:attempt>e", "abcde");
}

#[test]
fn what_is_commented_out_is_not_fetched() {
    check("<!-- <esi:include src='/a'/> -->b", "<!-- <esi:include src='/a'/> -->b");
    check("<!--><esi:include src='/a'/>", "<!-->[/a]");
    check("<!--es --><esi:include src='/a'/>", "<!--es -->[/a]");
    check("<![CDATA[<esi:include src='/a'/> ]]]><esi:remove/>b", "<![CDATA[<esi:include src='/a'/> ]]]>b");
    check("<!-- never ends <esi:include src='/a'/>", "<!-- never ends <esi:include src='/a'/>");
}

#[test]
fn what_only_looks_like_it_is_text() {
    for page in
        ["", "a", "<", "<e", "<esi", "< esi:include/>", "<ESI:include/>", "<!-", "<![CDATA", "-->", "<<<!--"]
    {
        check(page, page);
    }
    check("<<esi:include src='/a'/>", "<[/a]");
    check("<e<esi:include src='/a'/><", "<e[/a]<");
}

#[test]
fn a_page_that_does_not_end_what_it_begins_is_refused() {
    refused("ab<esi:include src='/a'", Fault::Unclosed, 2);
    refused("ab<esi:remove>c", Fault::Unclosed, 2);
    refused("ab<!--esi c", Fault::Unclosed, 2);
    refused("<esi:try><esi:attempt>a</esi:try>", Fault::Crossed, 23);
    refused("<esi:try><esi:attempt><esi:remove></esi:attempt></esi:try>", Fault::Crossed, 34);
}

#[test]
fn limits_hold_and_say_which() {
    let includes = |count| "<esi:include src='/a'/>".repeat(count);
    assert_eq!(parse(includes(INCLUDES_MAX).as_bytes()).unwrap().includes(), INCLUDES_MAX);
    refused(&includes(INCLUDES_MAX + 1), Fault::TooManyIncludes, 23 * INCLUDES_MAX as u64);

    let nested = |depth| ["<esi:remove>".repeat(depth), "</esi:remove>".repeat(depth)].concat();
    assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
    refused(&nested(DEPTH_MAX + 1), Fault::TooDeep, 12 * DEPTH_MAX as u64);

    let address = |length| format!("<esi:include src='{}'/>", "a".repeat(length));
    assert!(parse(address(ADDRESS_BYTES_MAX).as_bytes()).is_ok());
    refused(&address(ADDRESS_BYTES_MAX + 1), Fault::AddressTooLong, 0);

    let tag = |length| format!("<esi:comment {}>", "a".repeat(length - 13));
    assert!(parse(tag(TAG_BYTES_MAX).as_bytes()).is_ok());
    refused(&tag(TAG_BYTES_MAX + 1), Fault::TagTooLong, 0);

    let pieces = |count| "a<esi:x/>".repeat(count);
    assert_eq!(parse(pieces(PIECES_MAX).as_bytes()).unwrap().pieces().len(), PIECES_MAX);
    refused(&pieces(PIECES_MAX + 1), Fault::TooManyPieces, 9 * PIECES_MAX as u64);
}

#[test]
fn an_error_says_where_and_what() {
    let error = parse(b"ab<esi:remove>").unwrap_err();
    assert_eq!(error.to_string(), "what begins at byte 2 does not end");
    for fault in Fault::ALL {
        assert!(EsiError { fault, at: 7 }.to_string().contains('7'), "{fault:?}");
        assert!(fault.label().starts_with("esi_"));
    }
}
