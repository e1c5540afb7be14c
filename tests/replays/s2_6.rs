//! S2.6: each zone has a balancer of its own that sends visitors to the instances of its zone alone, as the integration of
//! an orchestrator with the cloud sets it up. One zone has one instance, the other three; the visitors come evenly. At 60 %
//! of what the instances can carry, the queue of the small zone fills and errors follow. An instance takes four requests
//! at once, each 100 ms long: 40 a second. The queue waits half a second where the story's waited a minute.

use std::net::SocketAddr;
use std::time::Duration;

use tentpole_testkit::{Origin, Response, Tentpole, Up, Visitor};
use tentpole_tests::stock::Stock;

/// How long a page takes.
const TAKES: Duration = Duration::from_millis(100);
/// Requests that an instance takes at once.
const AT_ONCE: u32 = 4;
/// Requests over all, at 96 a second: 60 % of the 160 that four instances carry.
const REQUESTS: u32 = 576;
const GAP: Duration = Duration::from_micros(10_416);

/// One instance in zone `a`, three in zone `b`.
async fn instances() -> Vec<Origin> {
    let mut instances = Vec::new();
    for _ in 0..4 {
        let instance = Origin::start().await;
        instance.otherwise(|_| Response::ok("page").header("Cache-Control", "no-store"));
        instance.delays(TAKES);
        instances.push(instance);
    }
    instances
}

/// What the visitors of each zone were answered.
#[derive(Debug)]
struct Seen {
    statuses: [Vec<u16>; 2],
}

impl Seen {
    fn failed(&self, zone: usize) -> usize {
        self.statuses[zone].iter().filter(|&&status| status != 200).count()
    }

    fn all_answered(&self) -> bool {
        let count = self.statuses.iter().map(Vec::len).sum::<usize>();
        count == REQUESTS as usize && self.failed(0) + self.failed(1) == 0
    }
}

/// The load: visitors come evenly to the balancers of both zones, whether those before them were served or not.
async fn load(balancers: [SocketAddr; 2]) -> Seen {
    let began = tokio::time::Instant::now();
    let mut visits = tokio::task::JoinSet::new();
    for number in 0..REQUESTS {
        tokio::time::sleep_until(began + GAP * number).await;
        let zone = number as usize % 2;
        let page = format!("/{number}");
        visits.spawn(async move { (zone, Visitor::connect(balancers[zone]).await.get(&page).await.status) });
    }
    let mut statuses = [Vec::new(), Vec::new()];
    visits.join_all().await.into_iter().for_each(|(zone, status)| statuses[zone].push(status));
    Seen { statuses }
}

/// HAProxy before the instances of one zone.
async fn haproxy(instances: &[Origin]) -> Stock {
    let server =
        |(at, instance): (usize, &Origin)| format!("server s{at} {} maxconn {AT_ONCE}\n", instance.address());
    let servers: String = instances.iter().enumerate().map(server).collect();
    let sections = format!(
        "defaults\nmode http\ntimeout connect 5s\ntimeout client 30s\ntimeout server 30s\ntimeout queue 500ms\n\
         frontend all\nbind {{listen}}\ndefault_backend app\nbackend app\n{servers}"
    );
    Stock::haproxy(&sections).await
}

/// Tentpole before all instances, in one of the zones.
async fn tentpole(instances: &[Origin], zone: &str, lines: &str) -> Tentpole {
    let endpoint = |(at, instance): (usize, &Origin)| {
        let of = if at == 0 { "a" } else { "b" };
        format!("{{ url = \"{}\", zone = \"{of}\", requests_max = {AT_ONCE} }}", instance.url())
    };
    let endpoints: Vec<String> = instances.iter().enumerate().map(endpoint).collect();
    let endpoints = endpoints.join(", ");
    let config = format!("threads = 1\nzone = \"{zone}\"\n[pool.app]\nendpoints = [{endpoints}]\n{lines}\n");
    Up::config(&config).start().await
}

async fn behind_tentpole(instances: &[Origin], lines: &str) -> (Seen, Vec<u64>) {
    let (a, b) = (tentpole(instances, "a", lines).await, tentpole(instances, "b", lines).await);
    let before: Vec<u64> = instances.iter().map(Origin::request_count).collect();
    let seen = load([a.address(), b.address()]).await;
    let counts = instances.iter().zip(before).map(|(instance, before)| instance.request_count() - before);
    let counts = counts.collect();
    a.ends().await;
    b.ends().await;
    (seen, counts)
}

#[tokio::test]
async fn s2_6_the_small_zone_fails_behind_balancers_of_zones_and_nobody_fails_behind_tentpole() {
    let instances = instances().await;
    let (a, b) = (haproxy(&instances[..1]).await, haproxy(&instances[1..]).await);
    let seen = load([a.address(), b.address()]).await;
    // Three quarters of what there is stands in the other zone, where nobody fails but whom the machine held up.
    assert!(seen.failed(0) > 0, "the queue of the small zone never overflowed: {seen:?}");
    assert!(seen.statuses[0].iter().all(|&status| status == 200 || status == 503), "{seen:?}");
    assert!(seen.failed(1) * 4 <= seen.failed(0), "{seen:?}");
    println!("HAProxy by zone: {} of {} failed in zone a", seen.failed(0), seen.statuses[0].len());
    drop((a, b));

    let (seen, counts) = behind_tentpole(&instances, "").await;
    assert!(seen.all_answered(), "{seen:?}");
    println!("Tentpole: {counts:?}");
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*most < *least * 2, "load is spread over all instances alike: {counts:?}");
}

#[tokio::test]
async fn s2_6_near_endpoints_can_come_first_and_nobody_fails_either() {
    let instances = instances().await;
    let (seen, counts) = behind_tentpole(&instances, "zones = \"near\"").await;
    assert!(seen.all_answered(), "{seen:?}");
    println!("Tentpole, near first: {counts:?}");
}
