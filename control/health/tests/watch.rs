//! Watching real endpoints on loopback: one that dies leaves traffic and comes back, and the last one stays (S1.4).

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tentpole_health::{Event, Watch, Watching};
use tentpole_model::{
    Asked, Balance, Dials, DownReason, Endpoint, Fleet, FleetAddresses, Health, HealthCheck, HealthDetails,
    Launch, Lookup, Member, Membership, NameAnswer, NameAnswers, Pool, PoolMembers, Snapshot, Target,
};
use tentpole_runtime::{Cells, Published};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// An endpoint that answers every request with 200 until it is dropped.
struct App {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl App {
    async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1_024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            }
        });
        Self { address, _serving: serving }
    }

    async fn new() -> Self {
        Self::at(SocketAddr::new(our_address(), 0)).await
    }

    /// Where it is, as an endpoint's host and port.
    fn host(&self) -> (String, u16) {
        (self.address.ip().to_string(), self.address.port())
    }

    /// Ends it; returns where it was.
    async fn dies(mut self) -> SocketAddr {
        self._serving.shutdown().await;
        self.address
    }
}

/// A loopback address that only this process binds: no other test can take the port of an endpoint that died.
fn our_address() -> IpAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    IpAddr::from([127, 77, high, low.max(1)])
}

struct Pond {
    membership: Arc<Published<Membership>>,
    dials: Arc<Published<Dials>>,
    fleets: Arc<Published<FleetAddresses>>,
    names: Arc<Published<NameAnswers>>,
    cells: Arc<Cells>,
    events: Arc<Mutex<Vec<Event>>>,
    _watching: Watching,
}

fn probes() -> Option<HealthCheck> {
    Some(HealthCheck {
        path: "/up".into(),
        interval: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        unhealthy_after: 2,
        ..HealthCheck::default()
    })
}

async fn watch(hosts: &[(String, u16)], health: Option<HealthCheck>) -> Pond {
    watch_from(hosts, health, None, None).await
}

/// A fleet of so many slots, each with the weight 1, whose instances are at these addresses.
async fn watch_fleet(slots: &[Option<SocketAddr>], health: Option<HealthCheck>) -> Pond {
    let hosts: Vec<(String, u16)> = (1..=slots.len()).map(|slot| (format!("app-{slot}"), 0)).collect();
    watch_from(&hosts, health, Some(slots.to_vec()), None).await
}

fn fleet(max: u32) -> Fleet {
    Fleet {
        launch: Launch { run: vec!["app".into()], directory: None, env: Vec::new() },
        min: 1,
        max,
        cpus: 1.0,
        cpu_target: 0.7,
        requests_target: None,
        scale_in_window: Duration::from_secs(60),
        ready_path: "/".into(),
        start_time: Duration::from_secs(60),
        slow_start: Duration::ZERO,
        drain_time: Duration::ZERO,
        stop_time: Duration::ZERO,
    }
}

async fn watch_from(
    hosts: &[(String, u16)],
    health: Option<HealthCheck>,
    slots: Option<Vec<Option<SocketAddr>>>,
    initial: Option<Membership>,
) -> Pond {
    let endpoint =
        |(host, port): &(String, u16)| Endpoint { host: host.clone(), port: *port, ..Endpoint::default() };
    let endpoints = hosts.iter().map(endpoint).collect();
    watch_endpoints(endpoints, health, slots, initial, NameAnswers::default()).await
}

/// Where these names lead.
fn answers(names: &[(&str, Lookup, NameAnswer)]) -> NameAnswers {
    let asked = |host: &str, lookup| Asked { host: host.to_owned(), lookup };
    let names = names.iter().map(|(host, lookup, answer)| (asked(host, *lookup), answer.clone()));
    NameAnswers { names: names.collect() }
}

fn leads_to(addresses: &[SocketAddr]) -> NameAnswer {
    let target = |address: &SocketAddr| Target { ip: address.ip(), port: None, priority: 0, weight: 0 };
    NameAnswer { targets: addresses.iter().map(target).collect(), ..NameAnswer::default() }
}

/// An endpoint for each address that this name may have.
fn slots(host: &str, port: u16, lookup: Lookup, count: u16) -> Vec<Endpoint> {
    let slot = |slot| Endpoint { host: host.into(), port, lookup, slot: Some(slot), ..Endpoint::default() };
    (0..count).map(slot).collect()
}

async fn watch_endpoints(
    endpoints: Vec<Endpoint>,
    health: Option<HealthCheck>,
    slots: Option<Vec<Option<SocketAddr>>>,
    initial: Option<Membership>,
    names: NameAnswers,
) -> Pond {
    let snapshot = Snapshot {
        pools: vec![Pool {
            name: "app".into(),
            endpoints,
            balance: Balance::RoundRobin,
            health,
            fleet: slots.as_ref().map(|slots| fleet(slots.len() as u32)),
            ..Pool::default()
        }],
        ..Snapshot::default()
    };
    let membership = Published::new(Membership::default());
    let dials = Published::new(Dials::from_snapshot(&snapshot));
    let fleets = Published::new(FleetAddresses { pools: slots.into_iter().collect() });
    let names = Published::new(names);
    let (cells, events) = (Cells::new(), Arc::new(Mutex::new(Vec::new())));
    let watching = Watch {
        snapshot: Arc::new(snapshot),
        membership: membership.clone(),
        dials: dials.clone(),
        cells: cells.clone(),
        fleets: fleets.clone(),
        names: names.clone(),
        details: Published::new(HealthDetails::default()),
        before: None,
        initial,
        on_event: Box::new({
            let events = events.clone();
            move |event| events.lock().unwrap().push(event)
        }),
    };
    Pond { membership, dials, fleets, names, cells, events, _watching: watching.start().await }
}

impl Pond {
    fn health(&self) -> Vec<Health> {
        self.membership.get().pools[0].members.iter().map(|member| member.health).collect()
    }

    /// The first address of each endpoint.
    fn addresses(&self) -> Vec<Option<SocketAddr>> {
        let membership = self.membership.get();
        membership.pools[0].members.iter().map(|member| member.addresses.first().copied()).collect()
    }

    /// Waits until the published health is this.
    async fn becomes(&self, wanted: &[Health]) {
        let becomes = async {
            loop {
                let seen = self.membership.version();
                if self.health() == wanted {
                    return;
                }
                self.membership.changed_since(seen).await;
            }
        };
        let within = timeout(Duration::from_secs(20), becomes).await;
        assert!(within.is_ok(), "wanted {wanted:?}, it is {:?}", self.health());
    }
}

const UP: Health = Health::Up;
const DOWN: Health = Health::Down(DownReason::Probe);

#[tokio::test]
async fn an_endpoint_that_dies_leaves_traffic_and_comes_back_when_it_answers() {
    let (first, second) = (App::new().await, App::new().await);
    let hosts = [first.host(), second.host()];
    let pond = watch(&hosts, probes()).await;
    assert_eq!(pond.health(), [UP, UP], "optimistic at the start");
    assert_eq!(pond.membership.get().pools[0].members[1].addresses, [second.address]);
    let address = first.dies().await;
    pond.becomes(&[DOWN, UP]).await;
    let event = pond.events.lock().unwrap()[0].clone();
    assert_eq!((event.pool.as_str(), event.authority), ("app", address.to_string()));
    assert!(event.because.starts_with("2 bad probes in a row"), "{}", event.because);
    let _again = App::at(address).await;
    pond.becomes(&[UP, UP]).await;
}

#[tokio::test]
async fn s1_4_the_last_endpoint_stays_in_traffic_and_the_event_says_so() {
    let only = App::new().await;
    let pond = watch(&[only.host()], probes()).await;
    let address = only.dies().await;
    pond.becomes(&[Health::LastOne(DownReason::Probe)]).await;
    assert!(pond.events.lock().unwrap()[0].to_string().contains("it stays"));
    let _again = App::at(address).await;
    pond.becomes(&[UP]).await;
}

#[tokio::test]
async fn without_probes_failures_take_an_endpoint_out_and_a_connection_brings_it_back() {
    let (first, second) = (App::new().await, App::new().await);
    let hosts = [first.host(), second.host()];
    let pond = watch(&hosts, None).await;
    let cell = pond.cells.of("app", &first.address.to_string());
    let address = first.dies().await;
    (0..3).for_each(|_| _ = cell.failed());
    pond.becomes(&[Health::Down(DownReason::Failures), UP]).await;
    let _again = App::at(address).await;
    pond.becomes(&[UP, UP]).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(pond.health(), [UP, UP], "the failures from before are forgiven");
}

#[tokio::test]
async fn draining_the_other_endpoint_calls_the_bad_one_back_as_the_last() {
    let good = App::new().await;
    let dead = App::new().await;
    let hosts = [good.host(), dead.host()];
    let pond = watch(&hosts, probes()).await;
    dead.dies().await;
    pond.becomes(&[UP, DOWN]).await;
    pond.dials.publish(Dials { weights: vec![vec![0, 1]] });
    pond.becomes(&[UP, Health::LastOne(DownReason::Probe)]).await;
}

#[tokio::test]
async fn names_are_waited_for_at_the_start_and_unknown_ones_are_down() {
    let app = App::new().await;
    let endpoint =
        |host: &str| Endpoint { host: host.into(), port: app.address.port(), ..Endpoint::default() };
    let nowhere = NameAnswer { trouble: Some("no such name".into()), ..NameAnswer::default() };
    let now = answers(&[
        ("app.localhost", Lookup::Addresses, leads_to(&[app.address])),
        ("nowhere.internal", Lookup::Addresses, nowhere),
    ]);
    let endpoints = vec![endpoint("app.localhost"), endpoint("nowhere.internal")];
    let pond = watch_endpoints(endpoints, None, None, None, now).await;
    assert_eq!(pond.health(), [UP, EMPTY]);
    assert_eq!(pond.addresses(), [Some(app.address), None]);
    let events = pond.events.lock().unwrap();
    assert!(events.iter().any(|event| event.because.contains("no such name")), "{events:?}");
}

#[tokio::test]
async fn each_address_of_a_name_is_an_endpoint_of_its_own() {
    let (first, second) = (App::new().await, App::new().await);
    let third = App::at(SocketAddr::new(our_address(), 0)).await;
    // One name has one port: here each service's target says its own.
    let target = |app: &App, weight| Target {
        ip: app.address.ip(),
        port: Some(app.address.port()),
        priority: 10,
        weight,
    };
    let service = |targets: Vec<Target>| {
        answers(&[("_http._tcp.app", Lookup::Services, NameAnswer { targets, ..NameAnswer::default() })])
    };
    let now = service(vec![target(&first, 2_000), target(&second, 1_000)]);
    let endpoints = slots("_http._tcp.app", 0, Lookup::Services, 4);
    let pond = watch_endpoints(endpoints, probes(), None, None, now).await;
    assert_eq!(pond.health(), [UP, UP, EMPTY, EMPTY]);
    assert_eq!(pond.dials.get().weights, [[2, 1, 1, 1]]);
    // One of them dies: the others keep their traffic.
    let (second_at, third_at) = (second.dies().await, third.address);
    pond.becomes(&[UP, DOWN, EMPTY, EMPTY]).await;
    // Another one takes the place of the dead one, and is judged anew.
    pond.dials.publish(Dials { weights: vec![vec![0, 1, 1, 1]] });
    pond.names.publish(service(vec![target(&third, 3_000), target(&first, 1_000)]));
    pond.becomes(&[UP, EMPTY, UP, EMPTY]).await;
    assert_eq!(pond.addresses(), [Some(first.address), None, Some(third_at), None]);
    assert_ne!(third_at, second_at);
    // The drain was meant for who is still there; who came has the weight that his name says.
    assert_eq!(pond.dials.get().weights[0][2], 3);
    let events = pond.events.lock().unwrap();
    assert!(events.iter().all(|event| event.because.contains("probes")), "names tell the rest: {events:?}");
}

#[tokio::test]
async fn a_name_that_is_gone_leaves_traffic_unless_it_is_all_there_is() {
    let (first, second) = (App::new().await, App::new().await);
    let endpoint = |name: &str, app: &App| slots(name, app.address.port(), Lookup::Addresses, 2);
    let endpoints = [endpoint("a", &first), endpoint("b", &second)].concat();
    let well = |app: &App| leads_to(&[app.address]);
    let gone =
        |app: &App| NameAnswer { gone: true, trouble: Some("gone".into()), ..leads_to(&[app.address]) };
    let of = |a, b| answers(&[("a", Lookup::Addresses, a), ("b", Lookup::Addresses, b)]);
    let pond = watch_endpoints(endpoints, None, None, None, of(well(&first), well(&second))).await;
    assert_eq!(pond.health(), [UP, EMPTY, UP, EMPTY]);
    pond.names.publish(of(gone(&first), well(&second)));
    pond.becomes(&[EMPTY, EMPTY, UP, EMPTY]).await;
    pond.names.publish(of(gone(&first), gone(&second)));
    pond.names.publish(of(gone(&first), NameAnswer { trouble: None, ..gone(&second) }));
    pond.becomes(&[EMPTY, EMPTY, UP, EMPTY]).await;
    assert_eq!(pond.addresses()[2], Some(second.address), "the last one stays");
}

#[tokio::test]
async fn nothing_is_published_while_nothing_changes() {
    let app = App::new().await;
    let pond = watch(&[app.host()], probes()).await;
    let version = pond.membership.version();
    let changed = timeout(Duration::from_millis(500), pond.membership.changed_since(version)).await;
    assert!(changed.is_err());
}

const EMPTY: Health = Health::Down(DownReason::NoAddress);

#[tokio::test]
async fn slots_of_a_fleet_follow_their_instances_at_once_and_in_silence() {
    let (first, second) = (App::new().await, App::new().await);
    let pond = watch_fleet(&[Some(first.address), None], None).await;
    assert_eq!(pond.health(), [UP, EMPTY]);
    pond.fleets.publish(FleetAddresses { pools: vec![vec![Some(first.address), Some(second.address)]] });
    pond.becomes(&[UP, UP]).await;
    assert_eq!(pond.membership.get().pools[0].members[1].addresses, [second.address]);
    pond.fleets.publish(FleetAddresses { pools: vec![vec![None, Some(second.address)]] });
    pond.becomes(&[EMPTY, UP]).await;
    assert!(pond.membership.get().pools[0].members[0].addresses.is_empty());
    pond.fleets.publish(FleetAddresses { pools: vec![vec![None, None]] });
    pond.becomes(&[EMPTY, EMPTY]).await;
    assert!(pond.events.lock().unwrap().is_empty(), "the fleet tells what it does");
}

#[tokio::test]
async fn a_new_instance_in_a_slot_is_judged_anew() {
    let (first, second, third) = (App::new().await, App::new().await, App::new().await);
    let (second_was, third_is) = (second.address, third.address);
    let pond = watch_fleet(&[Some(first.address), Some(second_was)], probes()).await;
    second.dies().await;
    pond.becomes(&[UP, DOWN]).await;
    assert_eq!(pond.events.lock().unwrap()[0].authority, "app-2");
    pond.fleets.publish(FleetAddresses { pools: vec![vec![Some(first.address), Some(third_is)]] });
    pond.becomes(&[UP, UP]).await;
}

#[tokio::test]
async fn s1_4_when_every_instance_fails_those_that_are_there_stay() {
    let (first, second) = (App::new().await, App::new().await);
    let pond = watch_fleet(&[Some(first.address), Some(second.address), None], probes()).await;
    first.dies().await;
    second.dies().await;
    let last = Health::LastOne(DownReason::Probe);
    pond.becomes(&[last, last, EMPTY]).await;
}

#[tokio::test]
async fn a_watch_that_is_started_again_goes_on_from_what_was_published() {
    let (first, second) = (App::new().await, App::new().await);
    let hosts = [first.host(), second.host()];
    let address = first.dies().await;
    let member = |address, health| Member { addresses: vec![address], health, tier: 0 };
    let members = vec![member(address, DOWN), member(second.address, UP)];
    let initial = Membership { pools: vec![PoolMembers { members }] };
    let pond = watch_from(&hosts, probes(), None, Some(initial)).await;
    assert_eq!(pond.health(), [DOWN, UP], "not back unasked");
    assert!(pond.events.lock().unwrap().is_empty(), "nothing new");
    let _again = App::at(address).await;
    pond.becomes(&[UP, UP]).await;
}

#[tokio::test]
async fn slots_too_go_on_from_what_was_published_unless_another_instance_is_there() {
    let (first, second) = (App::new().await, App::new().await);
    let (first_was, second_is) = (first.address, second.address);
    first.dies().await;
    let elsewhere = SocketAddr::new(our_address(), 9);
    let member = |address, health| Member { addresses: vec![address], health, tier: 0 };
    let members = vec![member(first_was, DOWN), member(elsewhere, DOWN)];
    let initial = Membership { pools: vec![PoolMembers { members }] };
    let hosts = [("app-1".to_owned(), 0), ("app-2".to_owned(), 0)];
    let slots = vec![Some(first_was), Some(second_is)];
    let pond = watch_from(&hosts, probes(), Some(slots), Some(initial)).await;
    assert_eq!(pond.health(), [DOWN, UP]);
}
