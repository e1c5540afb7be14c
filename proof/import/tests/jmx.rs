//! What a plan says that journeys cannot say: it is listed with what is lost by it, and nothing goes missing silently.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tentpole_import::{Imported, jmx};

/// A plan with one thread group, which holds this.
fn plan(inside: &str) -> String {
    format!(
        "<jmeterTestPlan>\n<hashTree>\n<TestPlan testname=\"plan\"/>\n<hashTree>\n<ThreadGroup testname=\"buyers\"/>\n\
         <hashTree>\n{inside}\n</hashTree>\n</hashTree>\n</hashTree>\n</jmeterTestPlan>\n"
    )
}

fn request(path: &str) -> String {
    format!(
        "<HTTPSamplerProxy testname=\"{path}\"><stringProp name=\"HTTPSampler.domain\">shop.test</stringProp>\
         <stringProp name=\"HTTPSampler.path\">{path}</stringProp></HTTPSamplerProxy><hashTree/>\n"
    )
}

fn controller(class: &str, name: &str, condition: &str, inside: &str) -> String {
    format!(
        "<{class} testname=\"{name}\"><stringProp name=\"{class}.condition\">{condition}</stringProp></{class}>\n\
         <hashTree>\n{inside}</hashTree>\n"
    )
}

fn imported(inside: &str) -> Imported {
    let imported = jmx::import("plan.jmx", &plan(inside)).unwrap();
    assert!(tentpole_load::read::read("plan.toml", &imported.text).is_ok(), "{}", imported.text);
    imported
}

fn notes(imported: &Imported) -> Vec<String> {
    let about =
        |note: &&tentpole_import::Note| note.says.contains("Controller") || note.says.contains("like this");
    imported.notes.iter().filter(about).map(ToString::to_string).collect()
}

#[test]
fn what_stands_under_a_condition_is_left_out_and_said_with_condition_and_requests() {
    let asked = request("/account") + &request("/orders");
    let inner = request("/cart") + &controller("IfController", "inner", "true", &request("/deep"));
    let found = imported(
        &(request("/")
            + &controller("IfController", "known", "\n  \"${user}\" ==\n \"anna\"", &asked)
            + &controller("WhileController", "until paid", "${paid}", &inner)
            + &request("/last")),
    );
    for path in ["/account", "/orders", "/cart", "/deep"] {
        assert!(!found.text.contains(&format!("path = \"{path}\"")), "{}", found.text);
    }
    assert!(found.text.contains("path = \"/\"") && found.text.contains("path = \"/last\""), "{}", found.text);
    let notes = notes(&found);
    assert_eq!(
        notes,
        [
            "8: IfController \"known\" is not understood; it is left out with the 2 HTTP requests in it \
             (if \"${user}\" == \"anna\"). Journeys have no conditions: write a block with the `chance` that it is so.",
            "15: WhileController \"until paid\" is not understood; it is left out with the 2 HTTP requests in it \
             (while ${paid}). Journeys have no conditions: write a block with a `repeat`.",
        ]
    );
    // They stand in the text too, where one looks who goes on with it.
    assert!(found.text.contains("IfController \"known\" is not understood"), "{}", found.text);
}

#[test]
fn controllers_that_are_alike_are_counted() {
    let one = controller("SwitchController", "", "", &request("/a"));
    let found = imported(&(request("/") + &one + &one + &one));
    let notes = notes(&found);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("with the HTTP request in it. (2 more like this)"), "{notes:?}");
}

fn element(class: &str, name: &str, fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(name, text)| format!("<stringProp name=\"{name}\">{text}</stringProp>"))
        .collect();
    format!("<{class} testname=\"{name}\">{fields}</{class}><hashTree/>\n")
}

/// A request with these below it.
fn request_with(path: &str, below: &str) -> String {
    request(path).replace("<hashTree/>", &format!("<hashTree>\n{below}</hashTree>"))
}

fn regex(name: &str, pattern: &str, more: &[(&str, &str)]) -> String {
    let mut fields = vec![("RegexExtractor.refname", name), ("RegexExtractor.regex", pattern)];
    fields.extend(more);
    if !more.iter().any(|(name, _)| *name == "RegexExtractor.template") {
        fields.push(("RegexExtractor.template", "$1$"));
    }
    element("RegexExtractor", name, &fields)
}

#[test]
fn extractors_are_taken_as_they_are_written() {
    let below = regex("token", "value=&quot;([a-z0-9]{32})&quot;", &[("RegexExtractor.match_number", "0")])
        + &regex(
            "second",
            "(a|b)=(\\d+)",
            &[("RegexExtractor.template", "$2$"), ("RegexExtractor.match_number", "3")],
        )
        + &regex("there", "Location: (.+)", &[("RegexExtractor.useHeaders", "true")])
        + &regex("sid", "Set-Cookie: sid=([^;]+)", &[("RegexExtractor.useHeaders", "true")])
        + &regex("around", "(?=a)(b)", &[])
        + &regex("both", "(a)(b)", &[("RegexExtractor.template", "$1$-$2$")])
        + &element(
            "JSONPostProcessor",
            "items",
            &[
                ("JSONPostProcessor.referenceNames", "id;price;odd"),
                ("JSONPostProcessor.jsonPathExprs", "$.items[*].id;items[0].price;$.a[?(@.b)]"),
                ("JSONPostProcessor.match_numbers", ";1;1"),
                ("JSONPostProcessor.defaultValues", "none;;"),
            ],
        );
    let found = imported(&(request_with("/", &below) + &request("/p/${token}/${id}")));
    for says in [
        "{ name = \"token\", pattern = \"value=\\\"([a-z0-9]{32})\\\"\", pick = \"random\" }",
        "{ name = \"second\", pattern = \"(a|b)=(\\\\d+)\", group = 2, pick = 3 }",
        "{ name = \"there\", header = \"Location\" }",
        "{ name = \"sid\", header = \"Set-Cookie\", pattern = \"sid=([^;]+)\" }",
        "{ name = \"id\", json = \"$.items[*].id\", pick = \"random\", or = \"none\" }",
        "{ name = \"price\", json = \"$.items[0].price\" }",
    ] {
        assert!(found.text.contains(says), "{says}\n---\n{}", found.text);
    }
    let notes: Vec<String> = found.notes.iter().map(ToString::to_string).collect();
    for says in [
        "RegexExtractor \"around\": the pattern is not understood",
        "RegexExtractor \"both\": the template $1$-$2$ is not one group; write an `extract` for {both} yourself.",
        "JSONPostProcessor \"items\": `?(@.b)]`: filters are not understood",
    ] {
        assert!(notes.iter().any(|note| note.contains(says)), "{says}\n---\n{notes:#?}");
    }
}

#[test]
fn assertions_of_json_become_checks() {
    let json = |name: &str, more: &[(&str, &str)]| {
        let fields: Vec<_> = [("JSON_PATH", "$.state")].into_iter().chain(more.iter().copied()).collect();
        element("JSONPathAssertion", name, &fields)
    };
    let below = json("there", &[])
        + &json("is", &[("EXPECTED_VALUE", "sold out"), ("JSONVALIDATION", "true")])
        + &json("is not", &[("INVERT", "true")])
        + &json("like", &[("EXPECTED_VALUE", "s.*"), ("JSONVALIDATION", "true"), ("ISREGEX", "true")]);
    let found = imported(&request_with("/", &below));
    let checks = "check = [{ json = \"$.state\" }, { json = \"$.state\", is = \"sold out\" }]";
    assert!(found.text.contains(checks), "{}", found.text);
    let notes: Vec<String> = found.notes.iter().map(ToString::to_string).collect();
    for says in [
        "\"is not\": that something is not so is not understood",
        "\"like\": the pattern s.* is not understood",
    ] {
        assert!(notes.iter().any(|note| note.contains(says)), "{says}\n---\n{notes:#?}");
    }
}

#[test]
fn nothing_but_a_condition_is_no_plan_that_could_ask() {
    let wrong =
        jmx::import("plan.jmx", &plan(&controller("IfController", "all", "", &request("/")))).unwrap_err();
    let wrong = wrong.to_string();
    assert!(wrong.contains("no enabled thread group with an HTTP request that is understood"), "{wrong}");
    assert!(wrong.contains("7: IfController \"all\" is not understood"), "{wrong}");
}
