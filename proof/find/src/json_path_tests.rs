//! Examples of RFC 9535 (§1.5, §2.3, §2.5), what is refused, and what is bounded.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn found(path: &str, root: &Value) -> Vec<Value> {
    JsonPath::new(path)
        .unwrap_or_else(|error| panic!("{path}: {error}"))
        .find(root)
        .into_iter()
        .cloned()
        .collect()
}

#[test]
fn a_shop_is_found_by_names_indices_slices_and_depth() {
    let shop = json!({
        "items": [
            { "id": 11, "name": "shoe", "size": { "eu": 42 } },
            { "id": 12, "name": "hat" },
            { "id": 13, "name": "bag", "in-stock": true },
        ],
        "next page": "/2", "id": "shop",
    });
    for (path, finds) in [
        ("$.items[0].id", json!([11])),
        ("$['items'][-1]['name']", json!(["bag"])),
        ("$.items[*].id", json!([11, 12, 13])),
        ("$.items[1:].id", json!([12, 13])),
        ("$.items[:-1].name", json!(["shoe", "hat"])),
        ("$.items[::2].id", json!([11, 13])),
        ("$.items[0, 2].id", json!([11, 13])),
        ("$..eu", json!([42])),
        ("$..id", json!(["shop", 11, 12, 13])),
        ("$[\"next page\"]", json!(["/2"])),
        ("$.items[2].in-stock", json!([true])),
        ("$.items[0].size.*", json!([42])),
        ("$.items[9].id", json!([])),
        ("$.items.id", json!([])),
        ("$.nothing", json!([])),
    ] {
        assert_eq!(Value::Array(found(path, &shop)), finds, "{path}");
    }
    assert_eq!(found("$", &shop), [shop]);
}

#[test]
fn slices_are_those_of_the_rfc() {
    let letters = json!(["a", "b", "c", "d", "e", "f", "g"]);
    for (path, finds) in [
        ("$[1:3]", json!(["b", "c"])),
        ("$[5:]", json!(["f", "g"])),
        ("$[1:5:2]", json!(["b", "d"])),
        ("$[5:1:-2]", json!(["f", "d"])),
        ("$[::-1]", json!(["g", "f", "e", "d", "c", "b", "a"])),
        ("$[1:3:0]", json!([])),
        ("$[-2:]", json!(["f", "g"])),
        ("$[9:1]", json!([])),
    ] {
        assert_eq!(Value::Array(found(path, &letters)), finds, "{path}");
    }
    assert_eq!(found("$[::-1]", &json!([])), Vec::<Value>::new());
}

#[test]
fn what_is_not_understood_is_said() {
    for (path, says) in [
        ("items", "begins with $: json = \"$.items\""),
        ("$.items[?(@.id > 1)]", "filters are not understood"),
        ("$.items.length()", "`length()` is not understood"),
        ("$.items[", "the end of this path in JSON is missing"),
        ("$.items['a", "`'a` is not understood"),
        ("$.", "the end of this path in JSON is missing"),
        ("$items", "`items` is not understood"),
        ("$[1 2]", "`2]` is not understood"),
        ("$[99999999999999999999]", "`99999999999999999999]` is not understood"),
    ] {
        let error = JsonPath::new(path).expect_err(path);
        assert!(error.contains(says), "{path}: {error}");
    }
    assert!(JsonPath::new(&format!("${}", ".a".repeat(33))).is_err());
}

#[test]
fn paths_that_multiply_end() {
    let many = Value::Array((0..300).map(|_| json!([0, 0, 0, [1, 2, [3]]])).collect());
    let all = found("$..*..*..*..*..*..*", &many);
    assert!(all.len() <= KEPT_MAX);
    // Deep and without a find, from each level again.
    let deep = (0..120).fold(json!(1), |inside, _| json!([inside, inside_of_none()]));
    assert_eq!(found("$..*..*..*..x", &deep), Vec::<Value>::new());
}

fn inside_of_none() -> Value {
    json!([[], []])
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[$.\\[\\]*:,'\"a-c0-2\\\\ -]{0,20}") {
        if let Ok(path) = JsonPath::new(&text) {
            path.find(&json!({ "a": [1, { "b": [2, 3] }], "c": "x" }));
            prop_assert_eq!(JsonPath::new(&path.to_string()), Ok(path));
        }
    }

    #[test]
    fn slices_are_as_counting_says(from in -9_i64..9, to in -9_i64..9, length in 0_usize..8) {
        let normal = |index: i64| if index < 0 { index + length as i64 } else { index };
        let counted: Vec<usize> = (0..length)
            .filter(|index| (*index as i64) >= normal(from) && (*index as i64) < normal(to)).collect();
        prop_assert_eq!(slice(Some(from), Some(to), 1, length).collect::<Vec<_>>(), counted);
    }
}
