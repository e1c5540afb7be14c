//! Looking up names at a name server on loopback that counts what it is asked, changes its mind and misbehaves.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tentpole_model::{Asked, Endpoint, Lookup, NameAnswer, NamesPort, NamesSettings, Pool, Snapshot, Target};
use tentpole_names::{Files, Followed, Names};
use tentpole_runtime::clock;
use tentpole_testkit::{Fault, NameServer, Record};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// What looks up, and where.
struct Desk {
    server: NameServer,
    names: Names,
    events: Arc<Mutex<Vec<String>>>,
    settings: NamesSettings,
    directory: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self::with(|settings| settings, "")
    }

    fn with(change: impl FnOnce(NamesSettings) -> NamesSettings, hosts: &str) -> Self {
        clock::renew();
        let server = NameServer::start();
        let directory = TempDir::new().unwrap();
        let files = Files {
            resolv_conf: directory.path().join("resolv.conf"),
            hosts: directory.path().join("hosts"),
        };
        // Longer than the machine holds up the server.
        std::fs::write(&files.resolv_conf, "options timeout:10 attempts:1\n").unwrap();
        std::fs::write(&files.hosts, hosts).unwrap();
        let settings = NamesSettings { servers: vec![server.address()], ..NamesSettings::default() };
        let settings = change(settings);
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = events.clone();
        let on_event = Box::new(move |event| told.lock().unwrap().push(event));
        let names = Names::start(settings.clone(), files, on_event);
        Self { server, names, events, settings, directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Wants these names, each as an endpoint of a pool.
    fn follow(&self, names: &[&str]) -> Followed {
        let endpoint = |name: &&str| match name.strip_prefix("srv://") {
            Some(host) => Endpoint { host: host.into(), lookup: Lookup::Services, ..Endpoint::default() },
            None => Endpoint { host: (*name).into(), port: 80, ..Endpoint::default() },
        };
        let pool = Pool { endpoints: names.iter().map(endpoint).collect(), ..Pool::default() };
        self.names.follow(&Snapshot {
            pools: vec![pool],
            names: self.settings.clone(),
            ..Snapshot::default()
        })
    }

    fn now(&self, name: &str) -> Option<NameAnswer> {
        let asked = match name.strip_prefix("srv://") {
            Some(host) => Asked { host: host.into(), lookup: Lookup::Services },
            None => Asked { host: name.into(), lookup: Lookup::Addresses },
        };
        self.names.answers().get().names.get(&asked).cloned()
    }

    /// Waits until the answer for a name is as wanted.
    async fn becomes(&self, name: &str, what: &str, wanted: impl Fn(&NameAnswer) -> bool) -> NameAnswer {
        let answers = self.names.answers();
        let came = timeout(PATIENCE, async {
            loop {
                let seen = answers.version();
                match self.now(name) {
                    Some(answer) if wanted(&answer) => return answer,
                    _ => answers.changed_since(seen).await,
                }
            }
        });
        came.await.unwrap_or_else(|_| panic!("{name} never became {what}: {:?}", self.now(name)))
    }

    async fn leads(&self, name: &str, to: &[&str]) -> NameAnswer {
        self.becomes(name, &format!("{to:?}"), |answer| shown(&answer.targets) == to).await
    }

    fn told(&self, what: &str) -> bool {
        self.events.lock().unwrap().iter().any(|event| event.contains(what))
    }
}

fn shown(targets: &[Target]) -> Vec<String> {
    targets.iter().map(|target| target.ip.to_string()).collect()
}

#[tokio::test]
async fn one_name_is_looked_up_once_a_ttl_whoever_wants_it() {
    let desk = Desk::new();
    desk.server.leads("app.internal", 1, &["10.0.0.1", "10.0.0.2"]);
    let began = clock::now();
    let _wishes: Vec<Followed> = (0..20).map(|_| desk.follow(&["app.internal", "app.internal"])).collect();
    desk.leads("app.internal", &["10.0.0.1", "10.0.0.2"]).await;
    while desk.server.questions() < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let questions = desk.server.questions() as u64;
    let elapsed = clock::now().since(began).as_secs_f64();
    assert!(questions as f64 <= elapsed + 1.0, "{questions} questions in {elapsed} s with a TTL of 1 s");
    let status = desk.names.status();
    assert_eq!((status.absent, status.failed), (0, 0));
    // One may be sent and not yet answered.
    assert!(status.found + 1 >= questions && status.questions >= questions, "{status:?}");
    assert_eq!(status.last_minute, status.found);
    assert_eq!(status.names[0].addresses, ["10.0.0.1", "10.0.0.2"]);
}

#[tokio::test]
async fn who_nobody_wants_is_asked_for_no_longer() {
    let desk = Desk::new();
    desk.server.leads("app.internal", 1, &["10.0.0.1"]);
    let (one, other) = (desk.follow(&["app.internal"]), desk.follow(&["app.internal"]));
    desk.leads("app.internal", &["10.0.0.1"]).await;
    drop(one);
    assert!(desk.now("app.internal").is_some());
    drop(other);
    assert_eq!(desk.now("app.internal"), None);
    // A question may be on its way.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = desk.server.questions();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(desk.server.questions(), asked);
}

#[tokio::test]
async fn a_changed_answer_is_taken_after_its_ttl_and_a_dead_resolver_keeps_the_last() {
    let desk = Desk::new();
    std::fs::write(desk.file("resolv.conf"), "options timeout:1 attempts:1\n").unwrap();
    desk.server.leads("app.internal", 1, &["10.0.0.1"]);
    let _wish = desk.follow(&["app.internal"]);
    desk.leads("app.internal", &["10.0.0.1"]).await;
    desk.server.leads("app.internal", 1, &["10.0.0.2", "10.0.0.1"]);
    desk.leads("app.internal", &["10.0.0.2", "10.0.0.1"]).await;
    assert!(desk.told("name app.internal: leads to 10.0.0.2 too"), "{:?}", desk.events);
    for fault in [Fault::Silent, Fault::Fails, Fault::WrongId] {
        desk.server.misbehaves(fault);
        let kept = desk.becomes("app.internal", "in trouble", |answer| answer.trouble.is_some()).await;
        assert_eq!(shown(&kept.targets), ["10.0.0.2", "10.0.0.1"]);
        assert!(!kept.gone);
        assert!(desk.told("the last good answer"), "{:?}", desk.events);
        desk.server.misbehaves(Fault::None);
        desk.becomes("app.internal", "well again", |answer| answer.trouble.is_none()).await;
    }
    assert!(desk.told("name app.internal: it is answered again"));
    assert!(desk.names.status().failed >= 3);
}

#[tokio::test]
async fn forged_answers_are_not_listened_to() {
    let desk = Desk::new();
    desk.server.leads("app.internal", 1, &["10.0.0.1"]);
    desk.server.misbehaves(Fault::Forged(10));
    let _wish = desk.follow(&["app.internal"]);
    desk.leads("app.internal", &["10.0.0.1"]).await;
    assert_eq!(desk.server.by_tcp(), 0);
    // More than anybody sends by mistake: it is asked where nobody can guess.
    desk.server.misbehaves(Fault::Forged(100));
    desk.server.leads("app.internal", 1, &["10.0.0.3"]);
    desk.leads("app.internal", &["10.0.0.3"]).await;
    assert!(desk.server.by_tcp() > 0);
}

#[tokio::test]
async fn what_does_not_fit_is_asked_for_by_tcp() {
    let desk = Desk::new();
    let addresses: Vec<String> = (1..=60).map(|last| format!("10.0.0.{last}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    desk.server.leads("app.internal", 600, &addresses);
    desk.server.misbehaves(Fault::Truncates);
    let _wish = desk.follow(&["app.internal"]);
    desk.leads("app.internal", &addresses).await;
    assert_eq!((desk.server.questions(), desk.server.by_tcp()), (2, 1));
}

#[tokio::test]
async fn aliases_are_followed_and_their_circles_are_no_answer() {
    let desk = Desk::new();
    let alias = |to: &str| [Record::Alias(to.to_owned())];
    desk.server.tell("app.internal", 600, &alias("b.internal"));
    desk.server.tell("b.internal", 1, &alias("c.internal"));
    desk.server.leads("c.internal", 600, &["10.0.0.3"]);
    desk.server.tell("round.internal", 1, &alias("about.internal"));
    desk.server.tell("about.internal", 1, &alias("round.internal"));
    let _wish = desk.follow(&["app.internal", "round.internal"]);
    desk.leads("app.internal", &["10.0.0.3"]).await;
    let status = desk.names.status();
    let app = status.names.iter().find(|name| name.name == "app.internal").unwrap();
    assert_eq!(app.ttl_ms, 1_000, "the least on the way");
    let round = desk.becomes("round.internal", "in trouble", |answer| answer.trouble.is_some()).await;
    assert!(round.targets.is_empty() && round.trouble.unwrap().contains("circle"));
}

#[tokio::test]
async fn a_name_that_is_gone_keeps_its_answer_for_a_while() {
    let hold = Duration::from_secs(3);
    let desk = Desk::with(|settings| NamesSettings { absent_hold: hold, ..settings }, "");
    desk.server.leads("app.internal", 1, &["10.0.0.1"]);
    let _wish = desk.follow(&["app.internal", "never.internal"]);
    desk.leads("app.internal", &["10.0.0.1"]).await;
    let began = clock::now();
    desk.server.forget("app.internal");
    let kept = desk.becomes("app.internal", "in trouble", |answer| answer.trouble.is_some()).await;
    assert_eq!((shown(&kept.targets), kept.gone), (vec!["10.0.0.1".to_owned()], false));
    desk.becomes("app.internal", "gone", |answer| answer.gone).await;
    assert!(clock::now().since(began) >= hold);
    desk.server.leads("app.internal", 1, &["10.0.0.9"]);
    let back = desk.leads("app.internal", &["10.0.0.9"]).await;
    assert!(!back.gone && back.trouble.is_none());
    let never = desk.becomes("never.internal", "in trouble", |answer| answer.trouble.is_some()).await;
    assert!(never.targets.is_empty() && never.trouble.unwrap().contains("no such name"));
}

#[tokio::test]
async fn ipv6_counts_where_there_is_no_ipv4_and_costs_one_question_from_then_on() {
    let desk = Desk::new();
    desk.server.leads("both.internal", 1, &["10.0.0.1", "fd00::1"]);
    desk.server.leads("six.internal", 1, &["fd00::2"]);
    let _wish = desk.follow(&["both.internal", "six.internal"]);
    desk.leads("both.internal", &["10.0.0.1"]).await;
    desk.leads("six.internal", &["fd00::2"]).await;
    while desk.server.questions_for("six.internal") < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(desk.server.questions_of_type("six.internal", 1), 1, "IPv4 was asked for once");
    assert_eq!(desk.server.questions_of_type("both.internal", 28), 0);
}

#[tokio::test]
async fn this_machines_file_of_hosts_is_asked_first_and_read_again_when_it_changes() {
    let desk = Desk::with(|settings| settings, "10.0.0.7 app.internal\n127.0.0.5 two\n127.0.0.6 two\n");
    desk.server.leads("app.internal", 600, &["10.0.0.1"]);
    let _wish = desk.follow(&["app.internal", "two", "localhost", "shop.localhost"]);
    let app = desk.leads("app.internal", &["10.0.0.7"]).await;
    assert!(app.one_machine);
    assert!(!desk.leads("two", &["127.0.0.5", "127.0.0.6"]).await.one_machine);
    for local in ["localhost", "shop.localhost"] {
        assert!(desk.leads(local, &["127.0.0.1", "::1"]).await.one_machine);
    }
    assert_eq!(desk.server.questions(), 0);
    std::fs::write(desk.file("hosts"), "10.0.0.8 app.internal two\n").unwrap();
    desk.leads("app.internal", &["10.0.0.8"]).await;
    std::fs::write(desk.file("hosts"), "").unwrap();
    desk.leads("app.internal", &["10.0.0.1"]).await;
}

#[tokio::test]
async fn search_domains_are_tried_in_their_order_and_what_worked_is_asked_first() {
    let desk = Desk::new();
    desk.server.leads("app.shop.internal", 1, &["10.0.0.1"]);
    std::fs::write(
        desk.file("resolv.conf"),
        "search none.internal shop.internal\noptions timeout:10 attempts:1\n",
    )
    .unwrap();
    let _wish = desk.follow(&["app"]);
    desk.leads("app", &["10.0.0.1"]).await;
    let others = desk.server.questions_for("app.none.internal");
    assert!(others > 0);
    let asked = desk.server.questions_for("app.shop.internal");
    while desk.server.questions_for("app.shop.internal") < asked + 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(desk.server.questions_for("app.none.internal"), others);
}

#[tokio::test]
async fn a_service_leads_to_its_targets_with_priority_and_weight() {
    let desk = Desk::new();
    let service =
        |priority, weight, port, host: &str| Record::Service(priority, weight, port, host.to_owned());
    desk.server.tell(
        "_http._tcp.shop.internal",
        1,
        &[
            service(10, 60, 8_080, "a.internal"),
            service(10, 20, 8_081, "b.internal"),
            service(20, 0, 80, "c.internal"),
        ],
    );
    desk.server.leads("a.internal", 600, &["10.0.0.1"]);
    desk.server.leads("b.internal", 600, &["10.0.0.2", "10.0.0.3"]);
    desk.server.leads("c.internal", 600, &["10.0.0.4"]);
    let name = "srv://_http._tcp.shop.internal";
    let _wish = desk.follow(&[name, "a.internal"]);
    let answer = desk.leads(name, &["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]).await;
    let rest = |target: &Target| (target.port.unwrap(), target.priority, target.weight);
    let rest: Vec<_> = answer.targets.iter().map(rest).collect();
    assert_eq!(rest, [(8_080, 10, 60_000), (8_081, 10, 10_000), (8_081, 10, 10_000), (80, 20, 0)]);
    desk.server.tell("_http._tcp.shop.internal", 1, &[service(10, 1, 8_080, "c.internal")]);
    desk.leads(name, &["10.0.0.4"]).await;
    assert_eq!(desk.server.questions_for("a.internal"), 1, "wanted twice, looked up once");
    // Known to be offered nowhere.
    desk.server.tell("_http._tcp.shop.internal", 1, &[service(0, 0, 0, "")]);
    desk.becomes(name, "in trouble", |answer| answer.trouble.is_some()).await;
}
