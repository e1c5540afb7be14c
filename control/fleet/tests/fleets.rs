//! Fleets of instances that listen on loopback: started, watched, grown, drained, taken over.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tentpole_fleet::{FleetParts, Running};
use tentpole_model::{
    Balance, Dials, DownReason, Endpoint, Fleet, FleetAddresses, FleetStatus, Health, Instance, InstanceId,
    InstancePhase, Launch, Member, Membership, Pool, PoolMembers, Provider, ProviderError, Snapshot,
};
use tentpole_runtime::{Cells, Published};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// Makes instances that are tasks of the test: each listens on a port of its own and answers with the same status.
struct Tasks {
    status: Mutex<&'static str>,
    instances: Mutex<Vec<Instance>>,
    tasks: Mutex<HashMap<InstanceId, AbortHandle>>,
    /// CPU time that each uses, in thousandths of the time that passes.
    cpu: AtomicU64,
    began: Instant,
    log: Mutex<Vec<String>>,
}

impl Tasks {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            status: Mutex::new("200 OK"),
            instances: Mutex::default(),
            tasks: Mutex::default(),
            cpu: AtomicU64::new(0),
            began: Instant::now(),
            log: Mutex::default(),
        })
    }

    /// One that runs already, left by an earlier control process.
    fn left(&self, slot: u32, mark: &str) -> Instance {
        let instance = self.start("app", slot, &launch()).unwrap();
        self.mark(instance.id, mark);
        instance
    }

    fn end(&self, id: InstanceId, how: &str) {
        if let Some(task) = self.tasks.lock().unwrap().remove(&id) {
            task.abort();
            let mut instances = self.instances.lock().unwrap();
            instances.iter_mut().find(|it| it.id == id).unwrap().ended = Some(how.to_owned());
        }
    }

    fn logged(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

impl Provider for Tasks {
    fn start(&self, pool: &str, slot: u32, _launch: &Launch) -> Result<Instance, ProviderError> {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut instances = self.instances.lock().unwrap();
        let id = InstanceId(self.log.lock().unwrap().len() as u64 + 1_000);
        let status = *self.status.lock().unwrap();
        let task = tokio::spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1_024];
                let _ = stream.read(&mut request).await;
                let _ = stream
                    .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())
                    .await;
            }
        });
        self.tasks.lock().unwrap().insert(id, task.abort_handle());
        let instance = Instance {
            id,
            pool: pool.to_owned(),
            slot,
            address,
            pid: None,
            started_unix_ms: 1,
            launch: None,
            mark: String::new(),
            ended: None,
        };
        instances.push(instance.clone());
        self.log.lock().unwrap().push(format!("start {slot}"));
        Ok(instance)
    }

    fn instances(&self) -> Vec<Instance> {
        self.instances.lock().unwrap().clone()
    }

    fn cpu_time(&self, _id: InstanceId) -> Option<Duration> {
        Some(self.began.elapsed() * self.cpu.load(Ordering::Relaxed) as u32 / 1_000)
    }

    fn mark(&self, id: InstanceId, mark: &str) {
        let mut instances = self.instances.lock().unwrap();
        instances.iter_mut().filter(|it| it.id == id).for_each(|it| it.mark = mark.to_owned());
    }

    fn terminate(&self, id: InstanceId) {
        self.log.lock().unwrap().push("terminate".to_owned());
        self.end(id, "exit status 0");
    }

    fn kill(&self, id: InstanceId) {
        self.log.lock().unwrap().push("kill".to_owned());
        self.end(id, "signal 9 (SIGKILL)");
    }

    fn forget(&self, id: InstanceId) {
        self.instances.lock().unwrap().retain(|it| it.id != id);
    }
}

fn launch() -> Launch {
    Launch { run: vec!["app".into()], directory: None, env: Vec::new() }
}

fn fleet() -> Fleet {
    Fleet {
        launch: launch(),
        min: 1,
        max: 3,
        cpus: 1.0,
        cpu_target: 0.7,
        requests_target: None,
        scale_in_window: Duration::from_millis(500),
        ready_path: "/".into(),
        start_time: Duration::from_secs(20),
        slow_start: Duration::ZERO,
        drain_time: Duration::from_secs(20),
        stop_time: Duration::from_secs(5),
    }
}

fn snapshot(fleet: Fleet) -> Snapshot {
    let slot = |at: u32| Endpoint { host: format!("app-{}", at + 1), weight: 100, ..Endpoint::default() };
    let other = Pool {
        name: "media".into(),
        endpoints: vec![Endpoint { port: 80, host: "127.0.0.1".into(), ..slot(0) }],
        balance: Balance::RoundRobin,
        ..Pool::default()
    };
    let endpoints = (0..fleet.max).map(slot).collect();
    let app = Pool { name: "app".into(), endpoints, fleet: Some(fleet), ..other.clone() };
    Snapshot { pools: vec![other, app], ..Snapshot::default() }
}

struct Stage {
    provider: Arc<Tasks>,
    cells: Arc<Cells>,
    membership: Arc<Published<Membership>>,
    dials: Arc<Published<Dials>>,
    addresses: Arc<Published<FleetAddresses>>,
    status: Arc<Published<Vec<FleetStatus>>>,
    events: Arc<Mutex<Vec<String>>>,
    _running: Running,
}

impl Stage {
    fn of(fleet: Fleet, provider: Arc<Tasks>) -> Self {
        let snapshot = Arc::new(snapshot(fleet));
        let (cells, events) = (Cells::new(), Arc::new(Mutex::new(Vec::new())));
        let dials = Published::new(Dials::from_snapshot(&snapshot));
        let membership = Published::new(Membership::default());
        let addresses = Published::new(FleetAddresses::default());
        let status = Published::new(Vec::new());
        let running = FleetParts {
            before: None,
            snapshot,
            provider: provider.clone(),
            cells: cells.clone(),
            membership: membership.clone(),
            dials: dials.clone(),
            addresses: addresses.clone(),
            status: status.clone(),
            on_event: Box::new({
                let events = events.clone();
                move |event| events.lock().unwrap().push(event)
            }),
        }
        .start();
        Self { provider, cells, membership, dials, addresses, status, events, _running: running }
    }

    fn slots(&self) -> Vec<Option<SocketAddr>> {
        self.addresses.get().pools[1].clone()
    }

    fn phases(&self) -> Vec<InstancePhase> {
        self.status.get()[0].instances.iter().map(|it| it.phase).collect()
    }

    async fn becomes(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let becomes = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let within = timeout(Duration::from_secs(30), becomes).await;
        assert!(within.is_ok(), "{what}: {:#?}\n{:#?}", self.status.get(), self.events.lock().unwrap());
    }
}

#[tokio::test]
async fn a_fleet_begins_with_min_and_sends_traffic_to_those_that_answer() {
    let stage = Stage::of(Fleet { min: 2, ..fleet() }, Tasks::new());
    assert_eq!(stage.slots(), [None; 3], "nobody has answered yet");
    assert!(stage.addresses.get().pools[0].is_empty(), "a pool without a fleet has no slots");
    stage.becomes("two take traffic", |it| it.slots().iter().flatten().count() == 2).await;
    let instances = stage.provider.instances();
    assert_eq!(stage.slots(), [Some(instances[0].address), Some(instances[1].address), None]);
    stage.becomes("they serve", |it| it.phases() == [InstancePhase::Serving; 2]).await;
    let status = stage.status.get()[0].clone();
    assert_eq!((status.pool.as_str(), status.wanted, status.min, status.max), ("app", 2, 2, 3));
    assert_eq!((status.instances[1].name.as_str(), status.instances[1].weight_share), ("app-2", 1.0));
    assert_eq!(status.decisions.last().unwrap().why, "the minimum is 2");
    assert_eq!(stage.events.lock().unwrap()[0], "fleet app: starts with 2 instances: the minimum is 2");
}

#[tokio::test]
async fn s3_2_load_makes_it_grow_and_rest_makes_it_shrink_when_the_requests_have_ended() {
    let stage = Stage::of(fleet(), Tasks::new());
    stage.becomes("one serves", |it| it.slots()[0].is_some()).await;
    // A hundred and some percent, also where the machine holds it up between two looks at the clock.
    stage.provider.cpu.store(1_200, Ordering::Relaxed);
    stage.becomes("two take traffic", |it| it.slots()[1].is_some()).await;
    assert!(
        stage
            .events
            .lock()
            .unwrap()
            .iter()
            .any(|event| event.starts_with("fleet app: 1 → 2 instances: CPU 1")),
        "{:?}",
        stage.events
    );
    // Somebody still reads a response of the second when it is to leave.
    let cell = stage.cells.of("app", "app-2");
    cell.in_flight.store(1, Ordering::Relaxed);
    stage.provider.cpu.store(0, Ordering::Relaxed);
    stage.becomes("the second drains", |it| it.dials.get().weights[1] == [100, 0, 100]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(stage.slots()[1].is_some(), "its request goes on");
    assert!(!stage.provider.logged().contains(&"terminate".to_owned()));
    cell.in_flight.store(0, Ordering::Relaxed);
    stage.becomes("it has ended", |it| it.provider.instances().len() == 1).await;
    assert_eq!(stage.slots()[1], None);
    assert_eq!(stage.provider.logged(), ["start 0", "start 1", "terminate"]);
}

#[tokio::test]
async fn those_of_an_earlier_control_process_take_traffic_without_a_gap_and_none_is_doubled() {
    let provider = Tasks::new();
    let (first, second) = (provider.left(0, "serving"), provider.left(1, "serving"));
    let stage = Stage::of(fleet(), provider);
    assert_eq!(
        stage.slots(),
        [Some(first.address), Some(second.address), None],
        "in the first that is published"
    );
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(stage.provider.logged(), ["start 0", "start 1"], "both were there");
    assert_eq!(stage.status.get()[0].wanted, 2, "as many as there were");
}

#[tokio::test]
async fn a_drain_of_an_earlier_control_process_goes_on_once_every_data_thread_knows() {
    let provider = Tasks::new();
    provider.left(0, "serving");
    let leaving = provider.left(2, "draining");
    let snapshot = snapshot(fleet());
    let dials = Published::new(Dials::from_snapshot(&snapshot));
    let mut data_thread = dials.reader();
    let (addresses, status) = (Published::new(FleetAddresses::default()), Published::new(Vec::new()));
    let _running = FleetParts {
        before: None,
        snapshot: Arc::new(snapshot),
        provider: provider.clone(),
        cells: Cells::new(),
        membership: Published::new(Membership::default()),
        dials: dials.clone(),
        addresses: addresses.clone(),
        status,
        on_event: Box::new(drop),
    }
    .start();
    assert_eq!(addresses.get().pools[1][2], Some(leaving.address));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(provider.instances().len(), 2, "a data thread has not taken the weight yet");
    data_thread.renew();
    assert_eq!(data_thread.value().weights[1], [100, 100, 0]);
    let gone = async {
        while provider.instances().len() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), gone).await.unwrap();
    assert_eq!(addresses.get().pools[1][2], None);
}

#[tokio::test]
async fn an_instance_that_dies_is_out_of_traffic_at_once_and_replaced_after_a_pause() {
    let stage = Stage::of(fleet(), Tasks::new());
    stage.becomes("one serves", |it| it.slots()[0].is_some()).await;
    let first = stage.provider.instances()[0].clone();
    stage.provider.end(first.id, "exit status 3");
    stage.becomes("it is out", |it| it.slots()[0].is_none()).await;
    stage.becomes("another one serves", |it| it.slots()[0].is_some()).await;
    assert_ne!(stage.slots()[0], Some(first.address));
    let events = stage.events.lock().unwrap().clone();
    assert!(
        events.iter().any(|event| event.contains("ended by itself") && event.contains("exit status 3")),
        "{events:?}"
    );
}

#[tokio::test]
async fn one_that_never_answers_well_is_killed_and_the_event_says_what_it_said() {
    let provider = Tasks::new();
    *provider.status.lock().unwrap() = "503 Loading";
    let stage = Stage::of(Fleet { start_time: Duration::from_millis(2_500), ..fleet() }, provider);
    stage.becomes("it is tried again", |it| it.provider.logged() == ["start 0", "kill", "start 0"]).await;
    assert_eq!(stage.slots(), [None; 3]);
    let events = stage.events.lock().unwrap().clone();
    let said = "fleet app: app-1 did not answer GET / within 2.5 s, the last time: status 503; it is killed, another \
                one is started in 1 s (failed starts: 1)";
    assert!(events.contains(&said.to_owned()), "{events:?}");
}

#[tokio::test]
async fn a_weight_that_a_person_turned_to_0_stays_there() {
    let stage = Stage::of(Fleet { min: 2, ..fleet() }, Tasks::new());
    stage.becomes("two take traffic", |it| it.slots()[1].is_some()).await;
    stage.dials.update(|dials| {
        let mut dials = dials.clone();
        dials.weights[1][0] = 0;
        Some(dials)
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.dials.get().weights[1], [0, 100, 100]);
    stage.becomes("the status says so", |it| it.status.get()[0].instances[0].weight_share == 0.0).await;
}

#[tokio::test]
async fn dropping_it_leaves_the_instances_as_they_are() {
    let Stage { provider, addresses, _running, .. } = Stage::of(fleet(), Tasks::new());
    let up = async {
        while addresses.get().pools[1][0].is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), up).await.unwrap();
    drop(_running);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!((provider.instances().len(), provider.logged().len()), (1, 1));
    assert_eq!(provider.instances()[0].mark, "serving");
}

#[tokio::test]
async fn an_instance_that_does_not_answer_well_is_made_up_for_and_keeps_nobody_from_growing() {
    let stage = Stage::of(Fleet { min: 2, requests_target: Some(4.0), ..fleet() }, Tasks::new());
    stage.becomes("two serve", |stage| stage.phases() == [InstancePhase::Serving; 2]).await;
    // Enough for two, too much for the one that is left.
    stage.cells.of("app", "app-2").in_flight.store(7, Ordering::Relaxed);
    let member = |health| Member { addresses: Vec::new(), health, tier: 0 };
    let [media, sick] = [Health::Up, Health::Down(DownReason::Probe)].map(member);
    let nobody = member(Health::Down(DownReason::NoAddress));
    let pools = vec![vec![media.clone()], vec![sick, media, nobody]];
    let pools = pools.into_iter().map(|members| PoolMembers { members }).collect();
    stage.membership.publish(Membership { pools });
    stage.becomes("a third one", |stage| stage.phases().len() == 3).await;
    assert_eq!(stage.status.get()[0].wanted, 3);
}
