//! What a profile file may say, and what is said about one that is wrong.

use super::*;
use crate::extract::{Check, Find, Pick};
use crate::journey::SHOP;
use proptest::prelude::*;
use tentpole_find::{JsonPath, Pattern};

fn wrong(text: &str) -> String {
    read("p.toml", text).expect_err("it is wrong").to_string()
}

/// A file with one step that holds these lines.
fn step(lines: &str) -> String {
    format!("[[journey]]\n[[journey.step]]\n{lines}\n")
}

#[test]
fn the_shops_journeys_are_right_and_put_little_past_a_cache() {
    let journeys =
        read("shop.toml", SHOP).unwrap_or_else(|problems| panic!("{problems}")).journeys.expect("some");
    assert_eq!(journeys.name, "shop");
    assert_eq!(journeys.step_names()[0], "look around: home");
    let (mut all, mut private) = (0.0, 0.0);
    for journey in &journeys.all {
        for step in &journey.steps {
            // Putting something into the cart is answered with a redirect to it: two requests.
            let requests =
                f64::from(journey.weight) * step.chance * if step.method == Verb::Post { 2.0 } else { 1.0 };
            all += requests;
            private += if step.path.start().starts_with("/cart") { requests } else { 0.0 };
        }
    }
    let share: f64 = private / all;
    assert!((0.15..0.25).contains(&share), "{share}");
}

#[test]
fn a_file_says_stages_objectives_and_journeys() {
    let text = "objectives = { p50 = \"300ms\", p99 = \"1s\", errors = \"0.5%\" }\n\
                stages = [{ rate = 10, time = \"1m\" }, { rate = 2.5, time = \"30s\", ramp = \"5s\" }]\n";
    let profile = read("p.toml", text).expect("it is right");
    let (model, stages) = profile.stages.expect("stages");
    assert_eq!((model, stages.len(), stages[1].load), (Model::Open, 2, 2.5));
    assert_eq!((stages[1].time, stages[1].ramp), (Duration::from_secs(30), Duration::from_secs(5)));
    assert_eq!((profile.p50, profile.errors), (Some(Duration::from_millis(300)), Some(0.005)));
    assert_eq!(profile.journeys, None);
}

#[test]
fn what_is_usual_need_not_be_said() {
    let text =
        step("path = \"/a\"\n[[journey.step]]\npath = \"/b\"\nform = { x = \"1\", y = [\"2\", \"3\"] }");
    let journeys = read("p.toml", &text).expect("it is right").journeys.expect("journeys");
    let [first, second] = &journeys.all[0].steps[..] else { panic!("{journeys:?}") };
    assert_eq!((first.method, first.name.as_str(), first.chance, first.think), (Verb::Get, "/a", 1.0, None));
    assert_eq!((second.method, second.number), (Verb::Post, 1));
    assert!(matches!(&second.body, Content::Form(fields) if fields.len() == 3));
}

#[test]
fn all_that_is_wrong_is_told_with_its_line_and_what_to_write() {
    let text = step(
        "path = \"a\"\nmethod = \"get\"\nchance = 2\nthink = \"1\"\nheaders = { Host = \"x\" }\n\
         extract = [{ name = \"a-b\" }, { name = \"x\", from = \"json\" }, { name = \"y\", between = [\"a\"] }]\n\
         check = [{ size = 1 }, { status = 42 }]\ncolour = 1",
    );
    let told = wrong(&text);
    for says in [
        "p.toml:3:8: `path` begins with / or is a whole link",
        "p.toml:4:10: `method` is GET,",
        "p.toml:5:10: `chance` takes a number from 0 to 1.",
        "p.toml:6:9: \"1\" is not a time;",
        "p.toml:7:13: `Host` is written by the load generator itself.",
        "p.toml:8:21: a variable's name has letters",
        "p.toml:8:51: `from` is \"body\",",
        "`between` takes the text before and the text after",
        "p.toml:9:12: `size` is not known here; known are status,",
        "a check is { status = 200 }",
        "p.toml:9:35: `status` takes whole numbers from 100 to 999.",
        "p.toml:10:1: `colour` is not known here",
        "\n 10 | colour = 1",
    ] {
        assert!(told.contains(says), "{says}\n---\n{told}");
    }
}

#[test]
fn patterns_and_paths_in_json_are_read_and_what_is_wrong_with_them_is_told() {
    let text = step(
        "path = \"/\"\nextract = [{ name = \"a\", pattern = 'id=(\\d+) (\\w+)', group = 2, pick = 3 }, { name = \"b\", json = \"$.b\" }]\n\
         check = [{ pattern = \"a|b\" }, { lacks_pattern = '\\d' }, { json = \"$..ok\", is = \"yes\" }, { json = \"$.c\" }]",
    );
    let journeys = read("p.toml", &text).expect("it is right").journeys.expect("journeys");
    let step_1 = &journeys.all[0].steps[0];
    let [a, b] = &step_1.extract[..] else { panic!("{step_1:?}") };
    assert_eq!(
        (&a.find, a.pick),
        (&Find::Pattern(Pattern::new("id=(\\d+) (\\w+)", Some(2)).expect("one")), Pick::Nth(3))
    );
    assert_eq!(b.find, Find::Json(JsonPath::new("$.b").expect("one")));
    assert_eq!(step_1.checks.len(), 4);
    assert_eq!(step_1.checks[2], Check::Json(JsonPath::new("$..ok").expect("one"), Some("yes".into())));

    let told = wrong(&step(
        "path = \"/\"\nextract = [{ name = \"a\", pattern = \"(a\" },\n{ name = \"b\", pattern = \"(a)\", group = 2 },\n\
         { name = \"c\", json = \"items\" },\n{ name = \"d\", json = \"$.a\", header = \"X\" },\n\
         { name = \"e\", json = \"$.a\", pattern = \"a\" },\n{ name = \"f\", between = [\"a\", \"b\"], group = 1 },\n\
         { name = \"g\", json = \"$.a\", pick = 0 }]\n\
         check = [{ pattern = \"(?=a)\" },\n{ json = \"$[?(@.a)]\" },\n{ status = 200, contains = \"a\" },\n{ contains = \"a\", is = \"b\" }]",
    ));
    for says in [
        "p.toml:4:36: the pattern is not understood",
        "p.toml:5:25: the pattern has no group 2: 1 stand in it.",
        "p.toml:6:22: a path in JSON begins with $: json = \"$.items\".",
        "p.toml:7:22: `json` looks into the body",
        "a value is taken in one way",
        "`group` goes with `pattern`.",
        "p.toml:10:36: `pick` takes whole numbers from 1 to 1000.",
        "look-around is not supported",
        "filters are not understood",
        "a check says one thing",
        "`is` goes with `json`.",
    ] {
        assert!(told.contains(says), "{says}\n---\n{told}");
    }
}

#[test]
fn a_variable_must_be_set_on_every_way_to_its_use() {
    let skipped = "path = \"/\"\nchance = 0.5\nextract = [{ name = \"x\", between = [\"a\", \"b\"] }]\n\
                   [[journey.step]]\npath = \"/{x}\"";
    assert!(wrong(&step(skipped)).contains("p.toml:7:8: nothing sets `{x}` before this step"));
    let other_journey = "path = \"/\"\nextract = [{ name = \"x\", between = [\"a\", \"b\"] }]\n\
                         [[journey]]\n[[journey.step]]\npath = \"/{x}\"";
    assert!(wrong(&step(other_journey)).contains("nothing sets `{x}`"));
    let itself = "path = \"/\"\n[[journey.step]]\npath = \"/{x}\"\nchance = 0.5\nchoose = { x = [\"1\"] }";
    read("p.toml", &step(itself)).expect("a step draws before it asks");
}

/// One mistake, one complaint: what the file would have set is used further down.
#[test]
fn of_a_data_file_that_is_not_understood_nothing_else_follows() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("users.csv"), "user,secret\nann\n").expect("a file");
    let name = folder.path().join("p.toml").display().to_string();
    let uses = "[[journey.step]]\npath = \"/{user}\"\nform = { secret = \"{secret}\" }\n";
    let told = |data: &str| {
        read(&name, &format!("[[journey]]\n{data}\n{uses}")).expect_err("it is wrong").to_string()
    };
    for (data, says) in [
        ("data = [{ file = \"none.csv\" }]", "none.csv: this file cannot be read"),
        ("data = [{ file = \"users.csv\" }]", "users.csv:2: 1 value where 2 are named (user, secret)."),
        ("data = [{ file = \"users.csv\", columns = [\"a-b\"] }]", "a variable's name has letters"),
        ("data = [{ take = \"own\" }]", "which file?"),
        ("data = \"users.csv\"", "takes tables"),
    ] {
        let told = told(data);
        assert!(told.contains(says), "{says}\n---\n{told}");
        assert!(!told.contains("nothing sets"), "{told}");
    }
    // Another journey, and a journey whose files are fine, are told as ever.
    let other = "[[journey]]\n[[journey.step]]\npath = \"/{x}\"\n";
    let both = format!("[[journey]]\ndata = [{{ file = \"none.csv\" }}]\n{uses}{other}");
    let told = read(&name, &both).expect_err("it is wrong").to_string();
    assert_eq!(
        (told.matches("nothing sets").count(), told.contains("nothing sets `{x}`")),
        (1, true),
        "{told}"
    );
}

#[test]
fn what_is_wrong_with_a_variable_is_told_once() {
    let told = wrong(&step(
        "path = \"/\"\nextract = [{ name = \"x\", from = \"json\" }]\nchoose = { y = [] }\n[[journey.step]]\npath = \"/{x}/{y}\"",
    ));
    assert!(told.contains("`from` is \"body\"") && told.contains("write y = ["), "{told}");
    assert!(!told.contains("nothing sets"), "{told}");
}

#[test]
fn a_journey_has_a_step_that_is_always_walked() {
    assert!(wrong("[[journey]]\nname = \"x\"\n").contains("journey \"x\" has no step"));
    assert!(wrong(&step("path = \"/\"\nchance = 0.5")).contains("has no step that is always walked"));
}

#[test]
fn a_stage_may_begin_with_a_crowd_that_thins_out() {
    let stages = |text: &str| read("p.toml", text).expect("it is right").stages.expect("stages").1;
    let all = stages(
        "stages = [{ rate = 10, burst = 500, half_life = \"5s\", time = \"1m\" }, { rate = 10, burst = 20, time = \"1m\" }, \
         { rate = 10, time = \"1m\" }, { rate = 0, burst = 0, time = \"1m\" }]",
    );
    let seen: Vec<_> =
        all.iter().map(|stage| stage.burst.map(|burst| (burst.above, burst.half_life.as_secs()))).collect();
    assert_eq!(seen, [Some((500.0, 5)), Some((20.0, 10)), None, None]);
    for (stage, says) in [
        ("visitors = 10, burst = 5", "p.toml:1:11: `burst` is for a stage with `rate`: visitors stay"),
        ("visitors = 10, half_life = \"5s\"", "`burst` is for a stage with `rate`"),
        ("rate = 10, half_life = \"5s\"", "how many come at first? Write burst = 500."),
        ("rate = 10, burst = 5, half_life = \"0s\"", "`half_life` is more than 0"),
        ("rate = 10, burst = -5", "`burst` takes a number from 0 to"),
        ("rate = 600000, burst = 600000", "together are 1000000 a second at most"),
        ("rate = 10, burst = 5, half_life = 10", "`half_life` takes"),
    ] {
        let told = wrong(&format!("stages = [{{ {stage}, time = \"1m\" }}]"));
        assert!(told.contains(says), "{says}\n---\n{told}");
    }
}

#[test]
fn stages_are_of_one_kind() {
    assert!(
        wrong("stages = [{ visitors = 1, time = \"1s\" }, { rate = 1, time = \"1s\" }]")
            .contains("all stages")
    );
    assert!(wrong("stages = [{ time = \"1s\" }]").contains("`visitors` or `rate`"));
    assert!(wrong("stages = [{ visitors = 1 }]").contains("how long?"));
    assert!(wrong("stages = 5").contains("takes tables"));
    assert!(wrong("stages = [").contains("this is not TOML"));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}", key in "[a-z.\\[\\]]{0,12}", value in "\\PC{0,20}") {
        let _ = read("p.toml", &text).map_err(|problems| problems.to_string());
        let _ = read("p.toml", &step(&format!("path = \"/\"\n{key} = {value}"))).map_err(|problems| problems.to_string());
    }
}
