//! What holds of every page, however it is cut.

use proptest::prelude::*;
use tentpole_esi::{EsiError, INCLUDES_MAX, Parser, Piece, Plan, parse};

/// Pages made of what matters, in any order.
fn pages() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "<esi:include src='/a'/>",
        "<esi:include src=\"/b?c&amp;d\" alt='/e' onerror=\"continue\">",
        "</esi:include>",
        "<esi:remove>",
        "</esi:remove>",
        "<esi:try>",
        "</esi:try>",
        "<esi:attempt>",
        "</esi:attempt>",
        "<esi:except>",
        "</esi:except>",
        "<esi:choose>",
        "</esi:choose>",
        "<esi:when>",
        "</esi:when>",
        "<esi:otherwise>",
        "</esi:otherwise>",
        "<esi:comment text='>'/>",
        "<!--esi",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<",
        "-",
        ">",
        "'",
        "text",
        "<esi:",
        "</",
    ]);
    let any = prop::collection::vec(any::<u8>(), 0..20);
    let piece = prop_oneof![9 => words.prop_map(|word| word.as_bytes().to_vec()), 1 => any];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn parse_cut(page: &[u8], sizes: &[usize]) -> Result<Plan, EsiError> {
    let mut parser = Parser::new();
    let (mut rest, mut sizes) = (page, sizes.iter().cycle());
    while !rest.is_empty() {
        let size = sizes.next().copied().unwrap_or(1).min(rest.len());
        parser.feed(&rest[..size])?;
        rest = &rest[size..];
    }
    parser.finish()
}

/// Whether ranges lie in the page, in order, and no byte is in two.
fn in_order(pieces: &[Piece], from: &mut u64, length: u64) -> bool {
    pieces.iter().all(|piece| match piece {
        Piece::Text(range) => {
            let fits = *from <= range.start && range.start < range.end && range.end <= length;
            *from = range.end;
            fits
        }
        Piece::Include(_) => true,
        // In the page, `except` may come first.
        Piece::Try { attempt, except } => {
            let (mut end, begin) = (*from, *from);
            let inside = [attempt, except].into_iter().all(|part| {
                let mut at = begin;
                let fits = in_order(part, &mut at, length);
                end = end.max(at);
                fits
            });
            *from = end;
            inside
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_page_is_the_same_however_it_is_cut(page in pages(), sizes in prop::collection::vec(1..40_usize, 1..6)) {
        prop_assert_eq!(parse(&page), parse_cut(&page, &sizes));
        prop_assert_eq!(parse(&page), parse_cut(&page, &[1]));
    }

    #[test]
    fn pieces_lie_in_the_page_and_in_order(page in pages()) {
        if let Ok(plan) = parse(&page) {
            prop_assert!(in_order(plan.pieces(), &mut 0, page.len() as u64), "{:?}", plan);
            prop_assert!(plan.includes() <= INCLUDES_MAX);
        }
    }

    #[test]
    fn a_page_without_esi_is_its_own_text(page in "([a-z<>!/\\- '\"=&;\\[\\]]|<!--|<esi|<p>|CDATA)*") {
        prop_assume!(!page.contains("esi:") && !page.contains("<!--esi"));
        let plan = parse(page.as_bytes()).unwrap();
        prop_assert!(plan.is_plain());
        let whole = 0..page.len() as u64;
        let expected = if page.is_empty() { Vec::new() } else { vec![Piece::Text(whole)] };
        prop_assert_eq!(plan.pieces(), expected.as_slice());
    }

    #[test]
    fn text_around_an_include_is_untouched(before in "[a-z<> ]*", after in "[a-z<> ]*") {
        prop_assume!(!before.contains("<esi"));
        let page = format!("{before}<esi:include src='/x'/>{after}");
        let plan = parse(page.as_bytes()).unwrap();
        let texts: Vec<&str> = plan.pieces().iter().filter_map(|piece| match piece {
            Piece::Text(range) => Some(&page[range.start as usize..range.end as usize]),
            _ => None,
        }).collect();
        prop_assert_eq!(texts.concat(), format!("{before}{after}"));
        prop_assert_eq!(plan.includes(), 1);
    }
}
