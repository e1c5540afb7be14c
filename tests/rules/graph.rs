//! Who may depend on whom. A room's plane is the first part of its directory; the table in `broken_by` is the
//! whole law. Never looks into source files; `tree` does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde_json::Value;

/// A law of the house, with the reason that makes it worth a failed build.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    pub number: u8,
    pub text: &'static str,
    pub why: &'static str,
}

pub const MODEL_AND_DECIDE_ARE_PURE: Rule = Rule {
    number: 1,
    text: "model depends on no other room; decide/* on model only; neither on tokio, sockets or randomness",
    why: "a plan simulates an event with the very decisions that will run it, which works only while these \
          are functions of what they are given",
};
pub const ROOMS_OF_A_PLANE_ARE_STRANGERS: Rule = Rule {
    number: 2,
    text: "rooms of edge/ do not depend on one another, only edge/proxy puts them together; control/ and \
           control/run likewise",
    why: "the order of a visit is readable in one place only while no room calls its neighbour; what they \
          exchange are types of model, wire/message and runtime",
};
pub const EDGE_AND_CONTROL_NEVER_MEET: Rule = Rule {
    number: 3,
    text: "edge never depends on control, config, proof, console or app; control never on edge",
    why: "killing or upgrading the control process must change no response: they meet in published values \
          and observations",
};
pub const PROOF_IS_AN_OUTSIDER: Rule = Rule {
    number: 4,
    text: "proof, console, app and bastion use what any outsider could (HTTP, headers, the admin API, \
           published files), beside model, decide and runtime; only proof/load uses wire, and only \
           proof/report console/charts",
    why: "a measurement that shares code with what it measures shares its mistakes; charts measure nothing, \
          and one set of them serves console and reports",
};
pub const ONLY_CLI_KNOWS_ALL_PLANES: Rule = Rule {
    number: 5,
    text: "only cli knows all planes",
    why: "what knows everything is rebuilt by every change and can be replaced by nobody, so it must be thin \
          and there must be one of it",
};
pub const ONLY_TESTS_USE_TESTKIT: Rule = Rule {
    number: 5,
    text: "only tests depend on testkit: as a dev-dependency, or from tests/ and benches/",
    why: "what makes servers fail on purpose must not be in a released program",
};
pub const FOUNDATIONS_KNOW_NO_PLANE: Rule = Rule {
    number: 2,
    text: "runtime stands on model; observe, wire and testkit on model, runtime, wire and decide; config on \
           those and observe",
    why: "every room waits for them to compile and may use them, so they may use none of those rooms",
};
pub const WIRE_HAS_NO_SOCKETS: Rule = Rule {
    number: 2,
    text: "wire/* turns bytes into messages and back, without tokio or sockets",
    why: "the codecs are fuzzed, compared and reused by proof/load byte by byte, with no network under them",
};
pub const EVERY_PLANE_IS_KNOWN: Rule = Rule {
    number: 5,
    text: "the first part of a room's directory is a plane that the design names",
    why: "a new plane needs a line in this table, or nothing holds it",
};

/// Every law, so that the made-up houses can be shown to break each of them.
pub const RULES: &[Rule] = &[
    MODEL_AND_DECIDE_ARE_PURE,
    ROOMS_OF_A_PLANE_ARE_STRANGERS,
    EDGE_AND_CONTROL_NEVER_MEET,
    PROOF_IS_AN_OUTSIDER,
    ONLY_CLI_KNOWS_ALL_PLANES,
    ONLY_TESTS_USE_TESTKIT,
    FOUNDATIONS_KNOW_NO_PLANE,
    WIRE_HAS_NO_SOCKETS,
    EVERY_PLANE_IS_KNOWN,
];

/// One crate of the workspace.
pub struct Room {
    /// Its directory, relative to the root: `wire/http1`.
    pub place: String,
    /// Its package name.
    pub name: String,
    /// The other rooms that it depends on.
    pub uses: Vec<Use>,
    /// The crates from outside that it compiles in, reached without passing through another room.
    pub outside: Vec<Outside>,
}

/// A dependency of one room on another.
pub struct Use {
    pub place: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal,
    Dev,
    Build,
}

/// How a crate from outside is reached: `["hyper", "tokio"]` is tokio, brought by hyper.
pub struct Outside(pub Vec<String>);

impl Outside {
    pub fn crate_name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }
}

/// A dependency that must not be, and the law that it breaks.
#[derive(Debug)]
pub struct Breach {
    pub rule: &'static Rule,
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule { number, text, why } = self.rule;
        write!(f, "{}\n  breaks rule {number}: {text}\n  which exists because {why}", self.what)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plane {
    Model,
    Runtime,
    Observe,
    Wire,
    Decide,
    Config,
    Edge,
    Control,
    Proof,
    App,
    Console,
    Bastion,
    Cli,
    Testkit,
    Tests,
    Benches,
}

fn plane(place: &str) -> Option<Plane> {
    Some(match place.split('/').next()? {
        "model" => Plane::Model,
        "runtime" => Plane::Runtime,
        "observe" => Plane::Observe,
        "wire" => Plane::Wire,
        "decide" => Plane::Decide,
        "config" => Plane::Config,
        "edge" => Plane::Edge,
        "control" => Plane::Control,
        "proof" => Plane::Proof,
        "app" => Plane::App,
        "console" => Plane::Console,
        "bastion" => Plane::Bastion,
        "cli" => Plane::Cli,
        "testkit" => Plane::Testkit,
        "tests" => Plane::Tests,
        "benches" => Plane::Benches,
        _ => return None,
    })
}

/// Every dependency that must not be.
pub fn breaches(rooms: &[Room]) -> Vec<Breach> {
    let mut found = Vec::new();
    for room in rooms {
        let Some(from) = plane(&room.place) else {
            let what = format!("{} is a crate in an unknown plane", room.place);
            found.push(Breach { rule: &EVERY_PLANE_IS_KNOWN, what });
            continue;
        };
        for used in &room.uses {
            if let Some(rule) = broken_by(from, &room.place, used) {
                let kind = match used.kind {
                    Kind::Normal => "",
                    Kind::Dev => " (for its tests)",
                    Kind::Build => " (for its build script)",
                };
                found.push(Breach { rule, what: format!("{} depends on {}{kind}", room.place, used.place) });
            }
        }
        found.extend(room.outside.iter().filter_map(|path| smuggled(from, room, path)));
    }
    found
}

/// The law that a dependency of a room in `from` breaks, if any. Dev-dependencies obey the same table, because a
/// room whose tests need its neighbours cannot be understood alone; only testkit is theirs in addition.
fn broken_by(from: Plane, place: &str, used: &Use) -> Option<&'static Rule> {
    use Plane::*;
    let to = plane(&used.place)?; // A room of an unknown plane is reported once, by itself.
    let composes = matches!(from, Cli | Tests | Benches);
    if to == Testkit {
        let test = used.kind == Kind::Dev || matches!(from, Tests | Benches);
        return (!test).then_some(&ONLY_TESTS_USE_TESTKIT);
    }
    let (may, rule) = match from {
        Cli => (!matches!(to, Tests | Benches), &ONLY_CLI_KNOWS_ALL_PLANES),
        Tests | Benches => (true, &ONLY_CLI_KNOWS_ALL_PLANES),
        Model => (false, &MODEL_AND_DECIDE_ARE_PURE),
        Decide => (to == Model, &MODEL_AND_DECIDE_ARE_PURE),
        Runtime => (to == Model, &FOUNDATIONS_KNOW_NO_PLANE),
        Wire => (
            matches!(to, Model | Runtime | Decide) || used.place == "wire/message",
            if to == Wire { &ROOMS_OF_A_PLANE_ARE_STRANGERS } else { &FOUNDATIONS_KNOW_NO_PLANE },
        ),
        Observe => (matches!(to, Model | Runtime | Wire | Decide), &FOUNDATIONS_KNOW_NO_PLANE),
        Testkit => (matches!(to, Model | Runtime | Wire | Decide), &FOUNDATIONS_KNOW_NO_PLANE),
        Config => (matches!(to, Model | Runtime | Wire | Decide | Observe), &FOUNDATIONS_KNOW_NO_PLANE),
        Edge if to == Edge => (place == "edge/proxy", &ROOMS_OF_A_PLANE_ARE_STRANGERS),
        Edge => (matches!(to, Model | Runtime | Observe | Wire | Decide), &EDGE_AND_CONTROL_NEVER_MEET),
        Control if to == Control => (place == "control/run", &ROOMS_OF_A_PLANE_ARE_STRANGERS),
        Control if to == Edge => (false, &EDGE_AND_CONTROL_NEVER_MEET),
        Control => {
            (matches!(to, Model | Runtime | Observe | Wire | Decide | Config), &ONLY_CLI_KNOWS_ALL_PLANES)
        }
        Proof => {
            let its_own = to == Proof
                || (to == Wire && place == "proof/load")
                || (used.place == "console/charts" && place == "proof/report");
            (its_own || matches!(to, Model | Runtime | Decide), &PROOF_IS_AN_OUTSIDER)
        }
        App | Console | Bastion => {
            (to == from || matches!(to, Model | Runtime | Decide), &PROOF_IS_AN_OUTSIDER)
        }
    };
    let top = matches!(to, Cli | Tests | Benches) && !composes;
    match (may, top) {
        (true, _) => None,
        (false, true) => Some(&ONLY_CLI_KNOWS_ALL_PLANES),
        (false, false) => Some(rule),
    }
}

/// Crates that wait, open sockets or read the system's clock for others.
const INPUT_AND_OUTPUT: &[&str] =
    &["tokio", "mio", "socket2", "async-io", "polling", "hyper", "reqwest", "ureq"];
/// Crates that bring randomness which no seed controls.
const RANDOMNESS: &[&str] = &["rand", "getrandom", "fastrand"];

fn smuggled(from: Plane, room: &Room, path: &Outside) -> Option<Breach> {
    let name = path.crate_name();
    let io = INPUT_AND_OUTPUT.contains(&name);
    let rule = match from {
        Plane::Model | Plane::Decide if io || RANDOMNESS.contains(&name) => &MODEL_AND_DECIDE_ARE_PURE,
        Plane::Wire if io => &WIRE_HAS_NO_SOCKETS,
        _ => return None,
    };
    Some(Breach { rule, what: format!("{} compiles in {}", room.place, path.0.join(", which brings ")) })
}

/// Reads the rooms out of `cargo metadata`'s answer.
pub fn rooms(metadata: &Value, root: &Path) -> Vec<Room> {
    let graph = Graph::read(metadata);
    let place = |id: &str| {
        let manifest = Path::new(text(&graph.packages[id]["manifest_path"]));
        let directory = manifest.parent().expect("a manifest has a directory");
        directory.strip_prefix(root).expect("a room is under the root").to_string_lossy().into_owned()
    };
    let read = |id: &&str| {
        let mut uses = Vec::new();
        for (to, kind) in graph.edges(id).filter(|(to, _)| graph.members.contains(to)) {
            uses.push(Use { place: place(to), kind });
        }
        let name = text(&graph.packages[id]["name"]).to_owned();
        Room { place: place(id), name, uses, outside: graph.outside(id) }
    };
    graph.members.iter().map(read).collect()
}

/// `cargo metadata`, with its lists made findable by package id.
struct Graph<'a> {
    packages: BTreeMap<&'a str, &'a Value>,
    nodes: BTreeMap<&'a str, &'a Value>,
    members: BTreeSet<&'a str>,
}

impl<'a> Graph<'a> {
    fn read(metadata: &'a Value) -> Self {
        let by_id = |list: &'a Value| list_of(list).iter().map(|item| (text(&item["id"]), item)).collect();
        Graph {
            packages: by_id(&metadata["packages"]),
            nodes: by_id(&metadata["resolve"]["nodes"]),
            members: list_of(&metadata["workspace_members"]).iter().map(text).collect(),
        }
    }

    /// What the package `id` depends on directly; a crate needed twice is named once for each kind.
    fn edges(&self, id: &str) -> impl Iterator<Item = (&'a str, Kind)> {
        list_of(&self.nodes[id]["deps"]).iter().flat_map(|dep| {
            let kinds: BTreeSet<_> = list_of(&dep["dep_kinds"]).iter().map(|k| k["kind"].as_str()).collect();
            kinds.into_iter().map(|kind| {
                let kind = match kind {
                    None => Kind::Normal,
                    Some("dev") => Kind::Dev,
                    Some(_) => Kind::Build,
                };
                (text(&dep["pkg"]), kind)
            })
        })
    }

    /// Every crate from outside that `id` compiles in, with the first way that leads to it.
    fn outside(&self, id: &'a str) -> Vec<Outside> {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![(id, Vec::new())];
        let mut found = Vec::new();
        while let Some((at, way)) = waiting.pop() {
            for (to, kind) in self.edges(at) {
                let compiled_in = kind == Kind::Normal && !self.members.contains(to);
                if compiled_in && seen.insert(to) {
                    let mut way: Vec<String> = way.clone();
                    way.push(text(&self.packages[to]["name"]).to_owned());
                    found.push(Outside(way.clone()));
                    waiting.push((to, way));
                }
            }
        }
        found
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("cargo metadata has text here")
}

fn list_of(value: &Value) -> &Vec<Value> {
    value.as_array().expect("cargo metadata has a list here")
}
