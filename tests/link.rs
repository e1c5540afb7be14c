//! The link between edge and control process: both ends against one another over a real pair of sockets, with the
//! data threads and the rest of the control plane played by the test.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tentpole_link as control_link;
use tentpole_model::link::{Answer, LinkDown, LinkUp, Question};
use tentpole_model::{
    Dials, DownReason, EdgeGone, EdgePort, Endpoint, Health, LastPublished, Member, Membership, Method, Pool,
    PoolMembers, PurgeError, PurgeOrder, PurgePort, PurgeWhat, Purged, Snapshot, SnapshotFile, Why,
};
use tentpole_observe::{Drain, EdgeMetrics, Names, Observed, Recorder};
use tentpole_runtime::published::Reader;
use tentpole_runtime::{Cells, InForce, Ledger, Published, channel, clock};
use tentpole_testkit::gate::PATIENCE;
use tentpole_tests::until;
use tentpole_uplink as edge_link;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// One pool `app` of two endpoints.
fn snapshot() -> Arc<Snapshot> {
    let endpoint = |port| Endpoint { host: "10.0.0.1".into(), port, weight: 5, ..Endpoint::default() };
    let pool = Pool { name: "app".into(), endpoints: vec![endpoint(1), endpoint(2)], ..Pool::default() };
    Arc::new(Snapshot { pools: vec![pool], ..Snapshot::default() })
}

/// Both endpoints up but those that are not.
fn members(down: &[usize]) -> Membership {
    let member = |at: usize| Member {
        addresses: vec![([10, 0, 0, 1], at as u16 + 1).into()],
        health: if down.contains(&at) { Health::Down(DownReason::Probe) } else { Health::Up },
        tier: 0,
    };
    Membership { pools: vec![PoolMembers { members: vec![member(0), member(1)] }] }
}

fn weights(first: u32, second: u32) -> Dials {
    Dials { weights: vec![vec![first, second]] }
}

fn purge(what: PurgeWhat) -> Question {
    Question::Purge(PurgeOrder::hard(what))
}

/// Remembers what was purged.
#[derive(Default)]
struct Purges(Mutex<Vec<String>>);

impl PurgePort for Purges {
    fn purge_beside(&self, _: tentpole_model::PurgedBy, order: &PurgeOrder) -> Result<Purged, PurgeError> {
        self.purge(order)
    }

    fn purge(&self, order: &PurgeOrder) -> Result<Purged, PurgeError> {
        match &order.what {
            PurgeWhat::Url(url) if !url.starts_with("http://") => Err(PurgeError::NotAnUrl),
            PurgeWhat::Url(url) => {
                self.0.lock().unwrap().push(url.clone());
                Ok(Purged { objects: 2, fills: 1 })
            }
            _ => Ok(Purged { objects: 9, fills: 0 }),
        }
    }
}

/// An edge without its data threads.
struct Edge {
    link: edge_link::Link,
    membership: Arc<Published<Membership>>,
    dials: Arc<Published<Dials>>,
    cells: Arc<Cells>,
    observed: Arc<Observed>,
    purges: Arc<Purges>,
    purge_done: mpsc::Sender<PurgeOrder>,
    reloads: Arc<Mutex<Vec<InForce>>>,
}

impl Edge {
    fn start(state: &TempDir) -> Self {
        let snapshot = snapshot();
        let last = edge_link::last_published(state.path(), &snapshot);
        let known = last.is_some();
        let file = SnapshotFile::first((*snapshot).clone(), 0);
        let in_force = match last {
            Some(last) => InForce::new(file, last.membership, last.dials),
            None => InForce::at_first(file),
        };
        let (membership, dials) = (in_force.membership.clone(), in_force.dials.clone());
        let reloads = Arc::<Mutex<Vec<InForce>>>::default();
        let (purge_done, purged) = mpsc::channel(2);
        let (cells, observed, purges) =
            (Cells::new(), Observed::new(&snapshot.log), Arc::<Purges>::default());
        let link = edge_link::Link::start(edge_link::LinkParts {
            passing: None,
            beside: Arc::new(|_| ()),
            in_force,
            known,
            reload: Arc::new({
                let reloads = reloads.clone();
                move |next: &InForce| match next.snapshot.pools.is_empty() {
                    true => Err("no pool".to_owned()),
                    false => {
                        reloads.lock().unwrap().push(next.clone());
                        Ok(())
                    }
                }
            }),
            names: Names::new(1, snapshot, cells.clone()),
            cells: cells.clone(),
            observed: observed.clone(),
            ledger: Ledger::new(1 << 20),
            purge: purges.clone(),
            advice: Arc::new(String::new),
            rooms: Arc::new(|_| None),
            queued: Arc::new(|| vec![7]),
            purged: Some(Arc::new(tokio::sync::Mutex::new(purged))),
            state: state.path().to_owned(),
            started: clock::now(),
            version: "0.0.0",
        });
        Self { link: link.unwrap(), membership, dials, cells, observed, purges, purge_done, reloads }
    }

    /// A new link, the other end of which is returned.
    async fn linked(&self) -> UnixStream {
        let (here, there) = channel::pair().unwrap();
        self.link.replace(here).await;
        there
    }
}

/// A control process that does nothing but its link.
struct Control {
    link: Arc<control_link::Link>,
    membership: Arc<Published<Membership>>,
    dials: Arc<Published<Dials>>,
    cells: Arc<Cells>,
    serving: JoinHandle<()>,
    told: watch::Sender<Vec<PurgeOrder>>,
}

impl Control {
    fn start(stream: UnixStream) -> Self {
        let snapshot = snapshot();
        let membership = Published::new(Membership::default());
        let (dials, cells) = (Published::new(Dials::from_snapshot(&snapshot)), Cells::new());
        let told = watch::Sender::new(Vec::new());
        let link = control_link::Link::new(control_link::LinkParts {
            in_force: InForce {
                version: 1,
                read_unix_ms: 0,
                snapshot,
                membership: membership.clone(),
                dials: dials.clone(),
            },
            cells: cells.clone(),
            on_purge: Arc::new({
                let told = told.clone();
                move |order: &PurgeOrder| told.send_modify(|told| told.push(order.clone()))
            }),
        });
        let serving = serve(&link, stream);
        Self { link, membership, dials, cells, serving, told }
    }

    /// Asks as the admin API does.
    async fn asks(&self, question: Question) -> Result<Answer, EdgeGone> {
        let link = self.link.clone();
        tokio::task::spawn_blocking(move || link.ask(question)).await.unwrap()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn serve(link: &Arc<control_link::Link>, stream: UnixStream) -> JoinHandle<()> {
    let link = link.clone();
    tokio::spawn(async move { link.serve(stream).await })
}

/// What every data thread does again and again.
fn takes<T: Send + Sync + 'static>(mut reader: Reader<T>, published: &Arc<Published<T>>) -> JoinHandle<()> {
    let published = published.clone();
    tokio::spawn(async move {
        loop {
            published.changed_since(reader.seen()).await;
            reader.renew();
        }
    })
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("in time")
}

#[tokio::test]
async fn what_control_publishes_counts_as_taken_when_every_data_thread_has_it() {
    let state = TempDir::new().unwrap();
    let edge = Edge::start(&state);
    let mut thread = edge.membership.reader();
    let control = Control::start(edge.linked().await);
    assert_eq!(soon(control.link.hello()).await, None, "a new edge has nothing to say");

    let version = control.membership.publish(members(&[1]));
    let waiting = tokio::spawn({
        let membership = control.membership.clone();
        async move { membership.taken_by_all(version).await }
    });
    soon(edge.membership.changed_since(1)).await;
    assert_eq!(*edge.membership.get(), members(&[1]));
    // Nothing else on the link waits for that thread.
    let version = control.dials.publish(weights(0, 5));
    soon(control.dials.taken_by_all(version)).await;
    assert_eq!(*edge.dials.get(), weights(0, 5));
    assert!(!waiting.is_finished(), "the data thread has not taken it");
    thread.renew();
    soon(waiting).await.unwrap();
}

#[tokio::test]
async fn a_new_control_process_begins_with_what_is_in_force() {
    let state = TempDir::new().unwrap();
    let edge = Edge::start(&state);
    let first = Control::start(edge.linked().await);
    soon(first.link.hello()).await;
    first.dials.publish(weights(0, 5));
    let version = first.membership.publish(members(&[1]));
    soon(first.membership.taken_by_all(version)).await;
    soon(first.dials.taken_by_all(2)).await;
    drop(first);

    let before = (edge.membership.version(), edge.dials.version());
    let second = Control::start(edge.linked().await);
    let said = soon(second.link.hello()).await.expect("the edge tells what is in force");
    assert_eq!(said, LastPublished::of(&snapshot(), members(&[1]), weights(0, 5)));
    assert_eq!((&*second.membership.get(), &*second.dials.get()), (&members(&[1]), &weights(0, 5)));
    soon(second.dials.taken_by_all(2)).await;
    assert_eq!((edge.membership.version(), edge.dials.version()), before, "nothing changed for the threads");
}

#[tokio::test]
async fn a_new_edge_gets_what_control_has_and_what_was_published_without_an_edge_waits_for_it() {
    let state = TempDir::new().unwrap();
    let edge = Edge::start(&state);
    let control = Control::start(edge.linked().await);
    let version = control.membership.publish(members(&[]));
    soon(control.membership.taken_by_all(version)).await;
    drop(edge);
    until("the link to end", async || control.serving.is_finished()).await;
    assert_eq!(control.asks(Question::Metrics).await, Err(EdgeGone));

    let version = control.dials.publish(weights(5, 0));
    let taken = timeout(Duration::from_millis(50), control.dials.taken_by_all(version)).await;
    assert!(taken.is_err(), "there is nobody who could have it");

    let edge = Edge::start(&state);
    assert_eq!(
        *edge.membership.get(),
        members(&[]),
        "an edge that starts again reads what was last published"
    );
    let _serving = serve(&control.link, edge.linked().await);
    soon(control.dials.taken_by_all(version)).await;
    assert_eq!(*edge.dials.get(), weights(5, 0));
}

#[tokio::test]
async fn an_edge_finds_the_last_published_values_on_disk_but_not_those_of_another_configuration() {
    let state = TempDir::new().unwrap();
    let edge = Edge::start(&state);
    let control = Control::start(edge.linked().await);
    control.membership.publish(members(&[0]));
    control.dials.publish(weights(3, 4));
    let last = LastPublished::of(&snapshot(), members(&[0]), weights(3, 4));
    until("the file", async || edge_link::last_published(state.path(), &snapshot()) == Some(last.clone()))
        .await;

    let mut other = (*snapshot()).clone();
    other.pools[0].endpoints.pop();
    let known = edge_link::last_published(state.path(), &other).expect("it knows this endpoint too");
    assert_eq!(known.fitted(&other).1, Dials { weights: vec![vec![3]] });
    other.pools[0].endpoints[0].host = "app.example".into();
    assert_eq!(edge_link::last_published(state.path(), &other), None);
    std::fs::write(state.path().join("published.json"), "{").unwrap();
    assert_eq!(edge_link::last_published(state.path(), &snapshot()), None);
}

#[tokio::test]
async fn values_that_do_not_fit_the_configuration_are_ignored() {
    let state = TempDir::new().unwrap();
    let edge = Edge::start(&state);
    let (sender, mut receiver) = channel::open(edge.linked().await).unwrap();
    let mut small = members(&[]);
    small.pools[0].members.pop();
    sender.send(&LinkDown::Membership { of: 1, version: 2, value: small }, None).await.unwrap();
    sender.send(&LinkDown::Dials { of: 1, version: 2, value: Dials::default() }, None).await.unwrap();
    sender
        .send(&LinkDown::Forgive { number: 1, pool: "app".into(), authority: "10.0.0.1:7".into() }, None)
        .await
        .unwrap();
    sender.send(&LinkDown::Dials { of: 2, version: 3, value: weights(9, 9) }, None).await.unwrap();
    sender.send(&LinkDown::Dials { of: 1, version: 4, value: weights(1, 1) }, None).await.unwrap();
    loop {
        match soon(receiver.receive::<LinkUp>()).await.unwrap().unwrap() {
            LinkUp::MembershipTaken { .. } => panic!("it was taken"),
            LinkUp::DialsTaken { of, version } => break assert_eq!((of, version), (1, 4)),
            _ => {}
        }
    }
    assert_eq!((&*edge.membership.get(), &*edge.dials.get()), (&Membership::default(), &weights(1, 1)));
}

/// The Snapshot with its endpoints turned round, and what is published beside it.
fn turned(version: u64) -> InForce {
    let mut snapshot = (*snapshot()).clone();
    snapshot.pools[0].endpoints.reverse();
    let mut membership = members(&[]);
    membership.pools[0].members.reverse();
    InForce::new(SnapshotFile { version, read_unix_ms: 0, snapshot }, membership, weights(7, 8))
}

#[tokio::test]
async fn another_snapshot_comes_with_its_lists_and_those_of_the_old_one_mean_nothing_any_more() {
    let state = TempDir::new().unwrap();
    let edge = Edge::start(&state);
    let control = Control::start(edge.linked().await);
    soon(control.link.hello()).await;
    control.membership.publish(members(&[1]));
    soon(edge.membership.changed_since(1)).await;
    let next = turned(2);
    control.link.replace(next.clone());
    soon(control.link.taken(2)).await.unwrap();
    let taken = edge.reloads.lock().unwrap().remove(0);
    assert_eq!((taken.version, &taken.snapshot.pools), (2, &next.snapshot.pools));
    assert_eq!(*taken.dials.get(), weights(7, 8));
    // What is published from now on goes to the new lists.
    let version = next.dials.publish(weights(0, 8));
    soon(next.dials.taken_by_all(version)).await;
    assert_eq!((&*taken.dials.get(), &*edge.dials.get()), (&weights(0, 8), &weights(5, 5)));
    until("the file", async || {
        let last = edge_link::last_published(state.path(), &next.snapshot);
        last.is_some_and(|last| last.fitted(&snapshot()).1 == weights(8, 0))
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_that_the_link_lost_is_given_over_the_next_one_and_a_refused_one_changes_nothing() {
    let state = TempDir::new().unwrap();
    let edge = Edge::start(&state);
    let control = Control::start(edge.linked().await);
    soon(control.link.hello()).await;
    control.serving.abort();
    control.link.replace(turned(2));
    let taken = timeout(Duration::from_millis(50), control.link.taken(2)).await;
    assert!(taken.is_err(), "there is no link");
    let _serving = serve(&control.link, edge.linked().await);
    soon(control.link.taken(2)).await.unwrap();
    assert_eq!(edge.reloads.lock().unwrap().len(), 1);

    let file = SnapshotFile { version: 3, read_unix_ms: 0, snapshot: Snapshot::default() };
    control.link.replace(InForce::at_first(file));
    assert_eq!(soon(control.link.taken(3)).await, Err("no pool".to_owned()));
    assert_eq!(edge.reloads.lock().unwrap().len(), 1);
}

/// Reads a link as one does who dies before he has understood it.
fn reads_until(link: &UnixStream, word: &[u8]) {
    link.set_nonblocking(false).unwrap();
    link.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut read, mut piece) = (Vec::new(), [0; 4_096]);
    while !read.windows(word.len()).any(|part| part == word) {
        let count = (&*link).read(&mut piece).unwrap();
        assert_ne!(count, 0, "it ended");
        read.extend_from_slice(&piece[..count]);
    }
}

#[tokio::test]
async fn purges_of_applications_are_told_over_whatever_link_there_is() {
    let state = tempfile::tempdir().unwrap();
    let edge = Edge::start(&state);
    let order = |path: &str| PurgeOrder::hard(PurgeWhat::Url(format!("http://shop.example{path}")));
    edge.purge_done.send(order("/before")).await.unwrap();
    let first = Control::start(edge.linked().await);
    let mut told = first.told.subscribe();
    timeout(PATIENCE, told.wait_for(|told| *told == [order("/before")])).await.unwrap().unwrap();
    first.serving.abort();
    let second = Control::start(edge.linked().await);
    // The edge speaks to it from here on.
    soon(second.link.hello()).await;
    edge.purge_done.send(order("/after")).await.unwrap();
    let hears = async |control: &Control, path: &str| {
        let mut told = control.told.subscribe();
        let heard = soon(told.wait_for(|told| told.contains(&order(path)))).await.unwrap().clone();
        // What the one before had, but did not say so any more, may come once more.
        let again = |told: &PurgeOrder| *told == order("/before") || *told == order(path);
        assert!(heard.iter().all(again), "{heard:?}");
    };
    hears(&second, "/after").await;
    // When control has said that it knows, it is forgotten; what one never read that has died is not.
    soon(second.asks(Question::Metrics)).await.unwrap();
    second.serving.abort();
    let dead = edge.linked().await;
    edge.purge_done.send(order("/lost")).await.unwrap();
    tokio::task::spawn_blocking(move || reads_until(&dead, b"/lost")).await.unwrap();
    hears(&Control::start(edge.linked().await), "/lost").await;
}

#[tokio::test]
async fn metrics_requests_and_purges_are_answered() {
    let state = TempDir::new().unwrap();
    let edge = Edge::start(&state);
    let control = Control::start(edge.linked().await);
    soon(control.link.hello()).await;
    control.membership.publish(members(&[]));
    soon(edge.membership.changed_since(1)).await;

    let (metrics, mut recorder): (Arc<EdgeMetrics>, Recorder) = edge.observed.register();
    let why = Why { status: 404, method: Method::Get, ..Why::new() };
    metrics.record(&why);
    recorder.record(&why, None);
    // The drain thread empties the ring once more when it ends.
    Drain::start(edge.observed.clone(), Names::new(0, snapshot(), edge.cells.clone())).unwrap().stop();

    let Ok(Answer::Text(text)) = control.asks(Question::Metrics).await else { panic!("no metrics") };
    assert!(text.contains("tentpole_responses_total{class=\"4xx\",status=\"404\"} 1\n"), "{text}");
    assert!(
        text.contains("tentpole_endpoint_takes_traffic{pool=\"app\",endpoint=\"10.0.0.1:1\"} 1\n"),
        "{text}"
    );
    let Ok(Answer::Text(text)) = control.asks(Question::Requests { limit: 5 }).await else {
        panic!("no requests")
    };
    let requests: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(requests["requests"][0]["status"], 404);
    assert_eq!(requests["requests"].as_array().unwrap().len(), 1);

    let purged = control.asks(purge(PurgeWhat::Url("http://a/".into()))).await;
    assert_eq!(purged, Ok(Answer::Purged(Ok(Purged { objects: 2, fills: 1 }))));
    assert_eq!(*edge.purges.0.lock().unwrap(), ["http://a/"]);
    let purged = control.asks(purge(PurgeWhat::Url("a".into()))).await;
    assert_eq!(purged, Ok(Answer::Purged(Err(PurgeError::NotAnUrl))));
    let purged = control.asks(purge(PurgeWhat::All)).await;
    assert_eq!(purged, Ok(Answer::Purged(Ok(Purged { objects: 9, fills: 0 }))));
}

#[tokio::test]
async fn what_the_edge_counts_shows_in_controls_cells_and_can_be_had_at_once() {
    let state = TempDir::new().unwrap();
    let edge = Edge::start(&state);
    let control = Control::start(edge.linked().await);
    soon(control.link.hello()).await;
    let (there, here) = (edge.cells.of("app", "10.0.0.1:2"), control.cells.of("app", "10.0.0.1:2"));
    there.in_flight.store(3, Relaxed);
    there.requests.store(12, Relaxed);
    let is_reported = || (here.in_flight.load(Relaxed), here.requests.load(Relaxed)) == (3, 12);
    until("the report", async || is_reported()).await;

    for count in 13..30 {
        there.requests.store(count, Relaxed);
        let link = control.link.clone();
        let report = tokio::task::spawn_blocking(move || link.report_now()).await.unwrap().unwrap();
        assert_eq!((report.endpoints[1].requests, &report.queued), (count, &vec![7]));
        assert_eq!(here.requests.load(Relaxed), count);
    }
}

#[tokio::test]
async fn failures_in_a_row_that_health_forgave_count_from_nought_at_the_edge() {
    let state = TempDir::new().unwrap();
    let edge = Edge::start(&state);
    let control = Control::start(edge.linked().await);
    soon(control.link.hello()).await;
    let (there, here) = (edge.cells.of("app", "10.0.0.1:2"), control.cells.of("app", "10.0.0.1:2"));
    (0..5).for_each(|_| _ = there.failed());
    until("the failures", async || here.failures_in_a_row.load(Relaxed) == 5).await;
    // As health does after a good probe.
    here.failures_in_a_row.store(0, Relaxed);
    until("the edge to forgive", async || {
        assert_eq!(here.failures_in_a_row.load(Relaxed), 0, "a report from before says nothing");
        there.failures_in_a_row.load(Relaxed) == 0
    })
    .await;
    there.failed();
    until("the next failure", async || here.failures_in_a_row.load(Relaxed) == 1).await;
}

#[tokio::test]
async fn a_control_process_that_stands_still_costs_reports_and_nothing_else() {
    let state = TempDir::new().unwrap();
    let edge = Edge::start(&state);
    let (sender, stopped) = channel::open(edge.linked().await).unwrap();
    // Far more answers than the socket holds, and nobody reads.
    let asking = async {
        for id in 0..5_000 {
            sender.send(&LinkDown::Ask { id, question: Question::Metrics }, None).await.unwrap();
        }
        sender.send(&LinkDown::Dials { of: 1, version: 2, value: weights(0, 1) }, None).await.unwrap();
    };
    soon(asking).await;
    // Publishing goes on.
    soon(edge.dials.changed_since(1)).await;
    let before = bytes_held();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let grown = bytes_held().saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes more in a second");
    // The next one is served at once, while the old one still holds its end.
    let control = Control::start(edge.linked().await);
    soon(control.link.hello()).await;
    let metrics = control.asks(Question::Metrics).await;
    assert!(matches!(metrics, Ok(Answer::Text(_))), "{metrics:?}");
    drop(stopped);
}

#[tokio::test]
async fn an_edge_that_stands_still_is_not_waited_for_long() {
    let (here, there) = channel::pair().unwrap();
    let control = Control::start(there);
    let (sender, _receiver) = channel::open(here).unwrap();
    sender.send(&LinkUp::Hello { pid: 1, snapshot: 1, published: None }, None).await.unwrap();
    soon(control.link.hello()).await;
    assert_eq!(soon(control.asks(Question::Metrics)).await, Err(EdgeGone));
}

#[tokio::test]
async fn data_threads_that_follow_confirm_many_changes_in_a_row() {
    let state = TempDir::new().unwrap();
    let edge = Edge::start(&state);
    let threads = [takes(edge.dials.reader(), &edge.dials), takes(edge.dials.reader(), &edge.dials)];
    let control = Control::start(edge.linked().await);
    for weight in 1..500 {
        let version = control.dials.publish(weights(weight, 1));
        if weight % 50 == 0 {
            soon(control.dials.taken_by_all(version)).await;
            assert_eq!(*edge.dials.get(), weights(weight, 1));
        }
    }
    threads.iter().for_each(JoinHandle::abort);
}

/// Memory of this process that is not shared.
fn bytes_held() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: Vec<u64> = statm.split(' ').map(|pages| pages.trim().parse().unwrap()).collect();
    (pages[1] - pages[2]) * 4_096
}
