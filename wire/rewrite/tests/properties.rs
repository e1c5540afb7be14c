//! What holds for every page, however broken.

use proptest::prelude::*;
use std::sync::Arc;
use tentpole_rewrite::{Rewriter, Rules, rewrite};

const HOST: &[u8] = b"shop.example";

fn rules(paths: &[&str]) -> Arc<Rules> {
    let paths: Vec<String> = paths.iter().map(|&path| path.into()).collect();
    Arc::new(Rules::new("https://assets.example", &paths))
}

/// Pages of the pieces that matter.
fn page() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "<",
            ">",
            "/",
            "!",
            "-",
            "--",
            "<!--",
            "-->",
            "<!--esi",
            "=",
            "'",
            "\"",
            " ",
            "\n",
            "<img ",
            "<link ",
            "<style>",
            "</style>",
            "<script>",
            "</script>",
            "<base href=",
            "//other.example",
            "src=",
            "href='",
            "srcset=\"",
            "style=\"",
            "/s/",
            "/s/a.png",
            "url(",
            "url('",
            ")",
            ",",
            "1x",
            "//shop.example/s/",
            "?",
            "http://shop.example/s/b",
            "&quot;",
            "..",
            "<svg ",
            "<use ",
            "esi:",
            "integrity ",
            "crossorigin ",
            "é",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_does_not_matter_where_a_page_is_cut(page in page(), cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        let whole = rewrite(&rules(&["/s/*"]), HOST, &page);
        let mut at: Vec<usize> = cuts.into_iter().map(|cut| cut % (page.len() + 1)).collect();
        at.extend([0, page.len()]);
        at.sort_unstable();
        let mut rewriter = Rewriter::new(rules(&["/s/*"]), HOST);
        let mut out = Vec::new();
        at.windows(2).for_each(|cut| rewriter.feed(&page[cut[0]..cut[1]], &mut out));
        rewriter.finish(&mut out);
        prop_assert_eq!(&out, &whole);
        let mut rewriter = Rewriter::new(rules(&["/s/*"]), HOST);
        let mut out = Vec::new();
        page.iter().for_each(|&byte| rewriter.feed(&[byte], &mut out));
        rewriter.finish(&mut out);
        prop_assert_eq!(&out, &whole);
    }

    #[test]
    fn without_a_path_to_look_for_nothing_changes(page in page()) {
        prop_assert_eq!(rewrite(&rules(&[]), HOST, &page), page);
    }

    #[test]
    fn what_was_rewritten_once_stays(page in page()) {
        let once = rewrite(&rules(&["/s/*"]), HOST, &page);
        prop_assert_eq!(rewrite(&rules(&["/s/*"]), HOST, &once), once);
    }

    #[test]
    fn nothing_is_lost_but_the_pages_own_host(page in page()) {
        let once = rewrite(&rules(&["/s/*"]), HOST, &page);
        let without = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).to_lowercase();
            ["https://assets.example", "https://shop.example", "http://shop.example", "//shop.example"]
                .iter()
                .fold(text, |text, host| text.replace(host, ""))
        };
        prop_assert_eq!(without(&once), without(&page));
    }
}
