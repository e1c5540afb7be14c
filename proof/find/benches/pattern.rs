//! What looking for a value in a page of 64 KiB costs: text between text, a pattern with plain text in front and without, a path in JSON.
//! `cargo bench -p tentpole-find`

use divan::{Bencher, black_box};
use tentpole_find::{JsonPath, Pattern};

fn main() {
    divan::main();
}

/// A page whose form is at its end.
fn page() -> String {
    let line =
        "<li class=\"item\"><a href=\"/p/shoe\">A shoe</a> <input type=\"checkbox\" value=\"1\"></li>\n";
    line.repeat(64 * 1_024 / line.len()) + "<input name=\"token\" value=\"abc123\">"
}

/// By the bytes alone, which is the least that it can cost.
#[divan::bench]
fn plain_text(bencher: Bencher<'_, '_>) {
    let page = page();
    bencher.bench(|| memchr::memmem::find(black_box(page.as_bytes()), b"name=\"token\" value=\""));
}

#[divan::bench(args = ["name=\"token\" value=\"(\\w+)", "<input name=\"token\" value=\"(\\w+)", "[n]ame=\"token\" value=\"(\\w+)"])]
fn pattern(bencher: Bencher<'_, '_>, text: &str) {
    let (page, pattern) = (page(), Pattern::new(text, None).expect("it is one"));
    assert_eq!(pattern.finds(&page).next(), Some("abc123"));
    bencher.bench(|| pattern.finds(black_box(&page)).next().map(str::len));
}

#[divan::bench]
fn path_in_json(bencher: Bencher<'_, '_>) {
    let items: Vec<String> =
        (0..1_500).map(|id| format!("{{\"id\":{id},\"name\":\"a shoe\",\"price\":19.5}}")).collect();
    let text = format!("{{\"items\":[{}],\"token\":\"abc123\"}}", items.join(","));
    let path = JsonPath::new("$.token").expect("it is one");
    bencher.bench(|| {
        let root: serde_json::Value = serde_json::from_str(black_box(&text)).expect("it is JSON");
        path.find(&root).len()
    });
}
