//! Whole lives of instances in made-up time.

use super::*;
use proptest::prelude::*;
use tentpole_model::Launch;

const TICK: Duration = Duration::from_millis(250);

fn fleet() -> Fleet {
    Fleet {
        launch: Launch { run: vec!["app".into()], directory: None, env: Vec::new() },
        min: 1,
        max: 4,
        cpus: 1.0,
        cpu_target: 0.7,
        requests_target: None,
        scale_in_window: Duration::from_secs(60),
        ready_path: "/up".into(),
        start_time: Duration::from_secs(20),
        slow_start: Duration::from_secs(10),
        drain_time: Duration::from_secs(30),
        stop_time: Duration::from_secs(5),
    }
}

/// A world that does what the slots want, as soon as it is told.
pub(super) struct Stage {
    pub(super) slots: Slots,
    pub(super) now: Duration,
    pub(super) instances: Vec<Instance>,
    pub(super) in_flight: Vec<u32>,
    pub(super) weights: Vec<u32>,
    pub(super) sick: Vec<bool>,
    pub(super) version: u64,
    /// Data threads take new weights.
    pub(super) threads_take: bool,
    pub(super) taken: u64,
    /// Instances answer as soon as they are asked.
    pub(super) answer: Result<(), String>,
    /// They end when they are asked to.
    pub(super) obey: bool,
    pub(super) next_id: u64,
    pub(super) said: Vec<String>,
    pub(super) killed: Vec<u64>,
    pub(super) starts: Vec<(Duration, u32)>,
}

impl Stage {
    pub(super) fn fleet() -> Fleet {
        fleet()
    }

    pub(super) fn of(fleet: Fleet) -> Self {
        let max = fleet.max as usize;
        Self {
            slots: Slots::new("shop", &fleet, vec![100; max]),
            now: Duration::from_secs(1_000_000),
            instances: Vec::new(),
            in_flight: vec![0; max],
            weights: vec![100; max],
            sick: vec![false; max],
            version: 1,
            threads_take: true,
            taken: 1,
            answer: Ok(()),
            obey: true,
            next_id: 1,
            said: Vec::new(),
            killed: Vec::new(),
            starts: Vec::new(),
        }
    }

    fn new() -> Self {
        Self::of(fleet())
    }

    /// With so many that serve and are warm.
    fn serving(number: u32) -> Self {
        let mut stage = Self::new();
        stage.passes(60, number);
        assert_eq!(stage.phases(), vec!["serving"; number as usize]);
        stage.said.clear();
        stage
    }

    pub(super) fn tick(&mut self, wanted: u32) {
        self.now += TICK;
        if self.threads_take {
            self.taken = self.version;
        }
        let world = World {
            instances: &self.instances,
            in_flight: &self.in_flight,
            weights: &self.weights,
            sick: &self.sick,
            weights_version: self.version,
            weights_taken: self.taken,
        };
        let acts = self.slots.tick(self.now, wanted, &world);
        self.perform(acts);
    }

    fn ticks(&mut self, number: u64, wanted: u32) {
        (0..number).for_each(|_| self.tick(wanted));
    }

    pub(super) fn passes(&mut self, seconds: u64, wanted: u32) {
        self.ticks(seconds * 4, wanted);
    }

    pub(super) fn perform(&mut self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Start { slot } => {
                    let instance = Instance {
                        id: InstanceId(self.next_id),
                        pool: "shop".into(),
                        slot,
                        address: SocketAddr::from(([127, 0, 0, 1], 2_000 + self.next_id as u16)),
                        pid: Some(7),
                        started_unix_ms: 0,
                        launch: Some(self.slots.fleet.launch.mark()),
                        mark: String::new(),
                        ended: None,
                    };
                    self.next_id += 1;
                    self.instances.push(instance.clone());
                    self.starts.push((self.now, slot));
                    let more = self.slots.started(slot, self.now, Ok(instance));
                    self.perform(more);
                }
                Act::Ask { slot, instance } => self.slots.answered(slot, instance.id, self.answer.clone()),
                Act::Mark(id, word) => self.of_id(id).mark = word.to_owned(),
                Act::Weigh { slot, from, to } => {
                    let weight = &mut self.weights[slot as usize];
                    if *weight != to && from.is_none_or(|from| from == *weight) {
                        *weight = to;
                        self.version += 1;
                    }
                }
                Act::Terminate(id) if self.obey => self.of_id(id).ended = Some("exit status 0".into()),
                Act::Terminate(_) => {}
                Act::Kill(id) => {
                    self.killed.push(id.0);
                    self.of_id(id).ended = Some("signal 9 (SIGKILL)".into());
                }
                Act::Forget(id) => {
                    assert!(self.of_id(id).ended.is_some(), "only those that have ended are forgotten");
                    self.instances.retain(|instance| instance.id != id);
                }
                Act::Tell(text) | Act::Trouble(text) => self.said.push(text),
            }
        }
    }

    fn of_id(&mut self, id: InstanceId) -> &mut Instance {
        self.instances.iter_mut().find(|instance| instance.id == id).unwrap()
    }

    fn dies(&mut self, slot: u32) {
        let instance = self.instances.iter_mut().find(|instance| instance.slot == slot).unwrap();
        instance.ended = Some("exit status 1".into());
    }

    pub(super) fn phases(&self) -> Vec<String> {
        self.slots.held().map(|(_, held)| held.phase.to_string()).collect()
    }

    fn takes_traffic(&self) -> Vec<bool> {
        self.slots.addresses().iter().map(Option::is_some).collect()
    }

    fn mark(&self, slot: u32) -> &str {
        &self.instances.iter().find(|instance| instance.slot == slot).unwrap().mark
    }
}

#[test]
fn the_first_ones_take_their_full_share_at_once_for_nobody_else_could() {
    let mut stage = Stage::new();
    stage.ticks(2, 2);
    assert_eq!(stage.phases(), ["serving", "serving"]);
    assert_eq!((stage.weights[0], stage.weights[1]), (100, 100));
    assert_eq!(stage.takes_traffic(), [true, true, false, false]);
    assert_eq!(stage.mark(0), "serving");
    assert_eq!(
        stage.said,
        ["shop-1 answers after 0.2 s and takes traffic", "shop-2 answers after 0.2 s and takes traffic"]
    );
}

#[test]
fn beside_a_warm_one_the_share_of_a_new_one_grows_from_a_tenth() {
    let mut stage = Stage::serving(1);
    stage.ticks(2, 2);
    assert_eq!((stage.weights[1], stage.takes_traffic()[1], stage.mark(1)), (10, true, "warming up"));
    let mut weights = Vec::new();
    for _ in 0..44 {
        stage.tick(2);
        weights.push(stage.weights[1]);
    }
    assert!(weights.is_sorted());
    weights.dedup();
    assert_eq!(weights, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
    assert_eq!((stage.phases(), stage.mark(1)), (vec!["serving".to_owned(); 2], "serving"));
    assert_eq!(stage.said[0], "shop-2 answers after 0.2 s; its share of the traffic grows for 10 s");
}

#[test]
fn until_it_answers_an_instance_takes_no_traffic() {
    let mut stage = Stage::new();
    stage.answer = Err("connection refused".into());
    stage.passes(19, 1);
    assert_eq!(stage.phases(), ["starting"]);
    assert_eq!(stage.takes_traffic(), [false; 4]);
}

#[test]
fn a_start_that_takes_too_long_is_ended_and_tried_again_later_and_later() {
    let mut stage = Stage::new();
    stage.answer = Err("status 503".into());
    stage.passes(240, 1);
    assert_eq!(
        stage.said[1],
        "shop-1 did not answer GET /up within 20 s, the last time: status 503; it is killed, another one is started \
         in 1 s (failed starts: 1)"
    );
    let starts: Vec<u64> = stage.starts.iter().map(|(at, _)| (*at - stage.starts[0].0).as_secs()).collect();
    let gaps: Vec<u64> = starts.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(gaps, [21, 22, 24, 28, 36, 50, 50]);
    assert_eq!(stage.killed.len(), gaps.len());
}

#[test]
fn crash_loops_slow_down_and_are_forgiven_once_one_has_served_a_while() {
    let mut stage = Stage::new();
    for _ in 0..480 {
        stage.tick(1);
        if !stage.instances.is_empty() {
            stage.dies(0);
        }
    }
    let gaps: Vec<u64> = stage.starts.windows(2).map(|two| (two[1].0 - two[0].0).as_secs()).collect();
    assert_eq!(gaps, [1, 2, 4, 8, 16, 30, 30]);
    assert!(
        stage.said[0]
            .starts_with("shop-1 ended by itself after 0.2 s (exit status 1); another one is started in 1 s")
    );
    stage.passes(65, 1);
    assert_eq!(stage.phases(), ["serving"]);
    stage.dies(0);
    stage.ticks(2, 1);
    assert_eq!(stage.phases(), ["serving"], "it had served: at once");
    stage.dies(0);
    stage.passes(2, 1);
    assert_eq!(stage.phases(), ["serving"], "and then from the shortest pause on");
}

#[test]
fn a_program_that_cannot_run_is_not_tried_in_the_next_slot_instead() {
    let mut stage = Stage::new();
    for _ in 0..40 {
        stage.tick(3);
        (0..stage.instances.len()).for_each(|at| stage.instances[at].ended = Some("exit status 127".into()));
    }
    let mut seconds: Vec<u64> =
        stage.starts.iter().map(|(at, _)| (*at - stage.starts[0].0).as_secs()).collect();
    assert_eq!(seconds.len() % 3, 0, "three together");
    seconds.dedup();
    assert_eq!(seconds, [0, 1, 3, 7], "and three failures together count once");
}

#[test]
fn an_instance_that_dies_loses_its_address_at_once_and_is_replaced() {
    let mut stage = Stage::serving(2);
    stage.dies(1);
    stage.tick(2);
    assert_eq!(stage.takes_traffic(), [true, false, false, false]);
    assert_eq!(stage.said[0], "shop-2 ended by itself after 60 s (exit status 1); another one is started");
    stage.tick(2);
    assert_eq!(stage.takes_traffic(), [true, true, false, false]);
    assert_eq!(stage.weights[1], 10, "cold again");
}

#[test]
fn who_leaves_is_the_highest_slot_and_ends_when_nothing_is_in_flight() {
    let mut stage = Stage::serving(3);
    stage.in_flight = vec![9, 9, 2, 0];
    stage.tick(2);
    assert_eq!(stage.phases(), ["serving", "serving", "draining"]);
    assert_eq!((stage.weights[2], stage.mark(2)), (0, "draining"));
    assert_eq!(stage.said, ["shop-3 gets no new requests; 2 in flight may finish within 30 s"]);
    stage.passes(10, 2);
    assert_eq!(stage.takes_traffic(), [true, true, true, false], "requests in flight go on");
    stage.in_flight[2] = 0;
    stage.tick(2);
    assert_eq!(stage.phases()[2], "draining", "one look alone may be an old count");
    stage.tick(2);
    assert_eq!(stage.phases()[2], "stopping");
    assert_eq!(stage.takes_traffic(), [true, true, false, false]);
    stage.tick(2);
    assert_eq!((stage.phases().len(), stage.instances.len()), (2, 2), "ended and forgotten");
}

#[test]
fn a_drain_waits_until_every_data_thread_knows() {
    let mut stage = Stage::serving(2);
    stage.threads_take = false;
    stage.passes(20, 1);
    assert_eq!(
        stage.phases(),
        ["serving", "draining"],
        "nothing in flight, but somebody may still choose it"
    );
    stage.threads_take = true;
    stage.ticks(2, 1);
    assert_eq!(stage.phases(), ["serving", "stopping"]);
}

#[test]
fn a_drain_that_takes_too_long_ends_and_says_so() {
    let mut stage = Stage::serving(2);
    stage.in_flight[1] = 3;
    stage.passes(30, 1);
    assert_eq!(stage.phases(), ["serving", "draining"]);
    stage.passes(1, 1);
    assert_eq!(stage.phases(), ["serving"]);
    assert!(
        stage
            .said
            .contains(&"shop-2 still has 3 requests in flight after 30 s; it is ended all the same".into())
    );
}

#[test]
fn who_does_not_end_by_itself_is_killed() {
    let mut stage = Stage::serving(2);
    stage.obey = false;
    stage.passes(5, 1);
    assert_eq!((stage.phases()[1].as_str(), stage.killed.len()), ("stopping", 0));
    stage.passes(2, 1);
    assert_eq!((stage.phases(), stage.killed.as_slice()), (vec!["serving".to_owned()], &[2][..]));
}

#[test]
fn who_is_wanted_again_while_it_drains_turns_round() {
    let mut stage = Stage::serving(2);
    stage.in_flight[1] = 3;
    stage.passes(3, 1);
    assert_eq!(stage.weights[1], 0);
    stage.tick(2);
    assert_eq!((stage.phases(), stage.weights[1]), (vec!["serving".to_owned(); 2], 100));
    assert_eq!((stage.mark(1), stage.starts.len()), ("serving", 2));
}

#[test]
fn who_takes_no_traffic_yet_leaves_first_and_without_a_drain() {
    let mut stage = Stage::serving(3);
    stage.dies(0);
    stage.answer = Err("connection refused".into());
    stage.ticks(2, 3);
    assert_eq!(stage.phases(), ["starting", "serving", "serving"]);
    stage.ticks(2, 2);
    assert_eq!(stage.phases(), ["serving", "serving"]);
    assert!(stage.said.contains(&"shop-1 is ended before it answered".into()));
}

#[test]
fn a_weight_that_a_person_turned_stays_through_the_slow_start() {
    let mut stage = Stage::serving(1);
    stage.passes(5, 2);
    assert!(stage.weights[1] > 10 && stage.weights[1] < 100);
    stage.weights[1] = 0;
    stage.passes(60, 2);
    assert_eq!((stage.weights[1], stage.phases()[1].as_str()), (0, "serving"));
    stage.weights[0] = 0;
    stage.passes(60, 2);
    assert_eq!(stage.weights[..2], [0, 0], "nor is a serving one's turned back");
    stage.weights[1] = 100;
    stage.passes(60, 2);
    assert_eq!(stage.weights[..2], [0, 100]);
    stage.dies(0);
    stage.passes(60, 2);
    assert_eq!(stage.weights[..2], [100, 100], "it was about the instance that is gone");
}

#[test]
fn a_new_control_process_goes_on_where_the_old_one_was() {
    let mut stage = Stage::serving(3);
    stage.in_flight[2] = 5;
    stage.tick(2);
    stage.passes(2, 3 /* and one that still warms up */);
    stage.tick(2);
    let was = (stage.slots.addresses(), stage.weights.clone(), stage.phases());
    assert_eq!(was.2, ["serving", "serving", "draining"]);
    stage.slots = Slots::new("shop", &fleet(), vec![100; 4]);
    stage.now += Duration::from_secs(3);
    let world = World {
        sick: &[],
        instances: &stage.instances,
        in_flight: &stage.in_flight,
        weights: &stage.weights,
        weights_version: stage.version,
        weights_taken: stage.taken,
    };
    let acts = stage.slots.adopt(stage.now, 0, &world);
    stage.perform(acts);
    assert_eq!((stage.slots.addresses(), stage.weights.clone(), stage.phases()), was);
    assert_eq!(stage.slots.staying(), 2);
    let starts = stage.starts.len();
    stage.passes(5, 2);
    assert_eq!(stage.phases(), ["serving", "serving", "draining"], "it still has requests");
    stage.in_flight[2] = 0;
    stage.passes(2, 2);
    assert_eq!((stage.phases().len(), stage.starts.len()), (2, starts), "none was doubled");
}

#[test]
fn a_new_control_process_goes_on_warming_up_and_starting() {
    let mut stage = Stage::serving(1);
    stage.passes(5, 2);
    stage.answer = Err("connection refused".into());
    stage.tick(3);
    let weights = stage.weights.clone();
    assert!(weights[1] >= 40 && weights[1] < 100);
    for at in 0..stage.instances.len() {
        stage.instances[at].started_unix_ms = 15_000;
    }
    stage.slots = Slots::new("shop", &fleet(), vec![100; 4]);
    let world = World {
        sick: &[],
        instances: &stage.instances,
        in_flight: &stage.in_flight,
        weights: &stage.weights,
        weights_version: stage.version,
        weights_taken: stage.taken,
    };
    let acts = stage.slots.adopt(stage.now, 30_000, &world);
    assert!(acts.iter().any(|act| matches!(act, Act::Ask { slot: 2, .. })), "{acts:?}");
    stage.perform(acts);
    assert_eq!(stage.phases(), ["serving", "warming up", "starting"]);
    assert_eq!(stage.weights, weights, "never back");
    stage.passes(4, 3);
    assert_eq!(stage.phases()[2], "starting");
    stage.passes(2, 3);
    assert!(stage.killed.contains(&3), "15 s of its 20 were over: {:?}", stage.said);
    stage.passes(5, 3);
    assert_eq!((stage.phases()[1].as_str(), stage.weights[1]), ("serving", 100));
}

#[test]
fn records_of_nobody_are_dropped_and_doubles_ended() {
    let mut stage = Stage::serving(1);
    let double = Instance { id: InstanceId(90), ..stage.instances[0].clone() };
    let ended = Instance { id: InstanceId(91), ended: Some("exit status 0".into()), ..double.clone() };
    stage.instances.extend([double, ended]);
    stage.ticks(2, 1);
    assert_eq!((stage.instances.len(), stage.killed.as_slice()), (1, &[90][..]));
}

#[test]
fn a_start_that_is_refused_is_tried_again_after_a_pause() {
    let mut slots = Slots::new("shop", &fleet(), vec![100; 4]);
    let now = Duration::from_secs(1_000);
    let acts = slots.started(0, now, Err(ProviderError::NoPort));
    let [Act::Trouble(text)] = &acts[..] else { panic!("{acts:?}") };
    assert_eq!(
        text,
        "shop-1 cannot be started: no free port was found; another one is started in 1 s (failed starts: 1)"
    );
}

proptest! {
    /// Whatever happens to instances, weights and numbers, in whatever order.
    #[test]
    fn what_must_always_hold(
        steps in prop::collection::vec((1..5u32, 0..8u32, 0..4u32, any::<bool>(), any::<bool>(), 0..3u32), 1..400),
    ) {
        let mut stage = Stage::new();
        for (wanted, event, slot, answers, obey, in_flight) in steps {
            stage.answer = if answers { Ok(()) } else { Err("no".into()) };
            stage.obey = obey;
            stage.in_flight[slot as usize] = in_flight;
            if event == 0 && stage.instances.iter().any(|instance| instance.slot == slot) {
                stage.dies(slot);
            }
            stage.ticks(u64::from(event) * 4 + 1, wanted);
            prop_assert!(stage.slots.staying() <= wanted, "nobody stays beyond those wanted");
            prop_assert!(stage.instances.len() <= 4 + 1, "one in each slot: {:?}", stage.instances);
            for (slot, held) in stage.slots.held() {
                let address = stage.slots.addresses()[slot as usize];
                prop_assert_eq!(address.is_some(), held.takes_traffic());
                if held.phase == InstancePhase::Draining {
                    prop_assert_eq!(stage.weights[slot as usize], 0);
                }
            }
        }
        // Left in peace it comes to rest with as many as are wanted.
        stage.answer = Ok(());
        stage.obey = true;
        stage.in_flight = vec![0; 4];
        for instance in &stage.instances.clone() {
            stage.slots.answered(instance.slot, instance.id, Ok(()));
        }
        stage.passes(120, 2);
        prop_assert_eq!(stage.phases(), ["serving", "serving"]);
    }
}

#[test]
fn who_does_not_answer_well_leaves_before_those_who_do() {
    let mut stage = Stage::serving(3);
    stage.sick[0] = true;
    stage.passes(5, 2);
    assert_eq!(stage.takes_traffic()[..3], [false, true, true]);
}

#[test]
fn whoever_takes_long_to_answer_is_told_of_once_with_where_it_is_asked() {
    let mut stage = Stage::new();
    stage.answer = Err("Connection refused".into());
    stage.passes(15, 1);
    let said: Vec<&String> = stage.said.iter().filter(|said| said.contains("yet")).collect();
    assert_eq!(said.len(), 1, "{:?}", stage.said);
    assert!(said[0].contains("does not answer GET /up at 127.0.0.1:"), "{said:?}");
    assert!(said[0].ends_with("yet (Connection refused); it has 10 s more"), "{said:?}");
}
