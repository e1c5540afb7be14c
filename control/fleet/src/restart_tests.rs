//! Rolling restarts in made-up time.

use super::tests::Stage;
use super::*;
use std::collections::BTreeSet;
use tentpole_model::Launch;

/// With so many that serve and are warm, and one slot more than there may be instances.
fn to_be_restarted(number: u32) -> Stage {
    let mut stage = Stage::of(Stage::fleet());
    stage.slots = Slots::new("shop", &Stage::fleet(), vec![100; 5]);
    (stage.in_flight, stage.weights, stage.sick) = (vec![0; 5], vec![100; 5], vec![false; 5]);
    stage.passes(60, number);
    stage.said.clear();
    stage
}

fn restart(stage: &mut Stage) {
    let acts = stage.slots.restart();
    stage.perform(acts);
}

/// A new control process takes over.
fn adopt(stage: &mut Stage, fleet: &Fleet) {
    stage.slots = Slots::new("shop", fleet, vec![100; 5]);
    let world = World {
        instances: &stage.instances,
        in_flight: &stage.in_flight,
        weights: &stage.weights,
        sick: &stage.sick,
        weights_version: stage.version,
        weights_taken: stage.taken,
    };
    let acts = stage.slots.adopt(stage.now, 0, &world);
    stage.perform(acts);
}

fn ids(stage: &Stage) -> Vec<InstanceId> {
    stage.instances.iter().map(|instance| instance.id).collect()
}

/// Instances that take their full share.
fn carrying(stage: &Stage) -> usize {
    let full = |(slot, held): &(u32, &Held)| {
        held.phase == InstancePhase::Serving && stage.weights[*slot as usize] == 100
    };
    stage.slots.held().filter(full).count()
}

#[test]
fn a_restart_replaces_one_after_the_other_and_never_has_fewer_than_wanted() {
    for number in 1..=4 {
        let mut stage = to_be_restarted(number);
        let old = ids(&stage);
        restart(&mut stage);
        assert!(
            stage.instances.iter().all(|instance| instance.mark == "serving, old"),
            "{:?}",
            stage.instances
        );
        let (mut most, mut steps) = (0, BTreeSet::new());
        for tick in 0..2_000 {
            // Requests take their time.
            stage.in_flight = vec![u32::from(tick % 40 < 20); 5];
            stage.tick(number);
            assert!(carrying(&stage) >= number as usize, "{tick}: {:?}", stage.phases());
            most = most.max(stage.slots.staying());
            if let Some(now) = stage.slots.restarting(number) {
                assert_eq!((now.of, now.new, now.stopped), (number, number - now.old, None), "{tick}");
                steps.insert(now.new);
            }
        }
        assert_eq!(most, number + 1);
        assert!((0..number).all(|new| steps.contains(&new)), "{steps:?}");
        assert_eq!(stage.slots.restarting(number), None, "{:?}", stage.said);
        assert_eq!(stage.instances.len(), number as usize);
        let is_new = |instance: &Instance| !old.contains(&instance.id) && instance.mark == "serving";
        assert!(stage.instances.iter().all(is_new), "{:?}", stage.instances);
        assert_eq!(stage.starts.len(), 2 * number as usize);
        assert!(stage.said.contains(&format!("shop: all {number} instances are new")), "{:?}", stage.said);
    }
}

#[test]
fn a_restart_whose_new_instances_do_not_come_up_stops_and_the_old_ones_stay() {
    let mut stage = to_be_restarted(2);
    let old = ids(&stage);
    stage.answer = Err("status 500".into());
    restart(&mut stage);
    for _ in 0..600 {
        stage.tick(2);
        assert_eq!(carrying(&stage), 2);
    }
    let said = stage.slots.restarting(2).expect("it is told");
    assert_eq!(said.old, 2);
    let why = said.stopped.expect("why it stopped");
    assert!(why.contains("did not answer GET /up within 20 s, the last time: status 500"), "{why}");
    assert_eq!(stage.starts.len(), 2 + 3, "three attempts");
    assert_eq!(ids(&stage), old);
    // Mended, and asked for once more.
    stage.answer = Ok(());
    restart(&mut stage);
    stage.passes(200, 2);
    assert_eq!(stage.slots.restarting(2), None);
    assert!(ids(&stage).iter().all(|id| !old.contains(id)));
}

#[test]
fn a_restart_whose_new_instances_answer_visitors_badly_stops() {
    let mut stage = to_be_restarted(1);
    let old = ids(&stage);
    restart(&mut stage);
    stage.sick[1] = true;
    stage.passes(60, 1);
    let why = stage.slots.restarting(1).and_then(|restart| restart.stopped).expect("why it stopped");
    assert!(why.contains("shop-2 is up, but does not answer visitors well"), "{why}");
    assert_eq!(ids(&stage), old, "the sick one went");
}

#[test]
fn a_restart_goes_on_under_a_new_control_process_and_another_command_begins_one() {
    let mut stage = to_be_restarted(2);
    let old = ids(&stage);
    restart(&mut stage);
    stage.passes(2, 2);
    adopt(&mut stage, &Stage::fleet());
    stage.passes(200, 2);
    assert_eq!(stage.slots.restarting(2), None);
    assert!(ids(&stage).iter().all(|id| !old.contains(id)), "{:?}", stage.instances);

    let before = ids(&stage);
    adopt(&mut stage, &Stage::fleet());
    stage.passes(60, 2);
    assert_eq!(ids(&stage), before, "nothing is new");
    let mut other = Stage::fleet();
    other.launch.run.push("--new".into());
    adopt(&mut stage, &other);
    assert_eq!(stage.slots.restarting(2).map(|restart| restart.old), Some(2));
    stage.passes(200, 2);
    assert!(ids(&stage).iter().all(|id| !before.contains(id)));
}

#[test]
fn launches_are_told_from_one_another() {
    let launch = |run: &[&str], env: &[(&str, &str)]| Launch {
        run: run.iter().map(|&word| word.to_owned()).collect(),
        directory: None,
        env: env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
    };
    let all = [
        launch(&["app", "x"], &[]),
        launch(&["appx"], &[]),
        launch(&["app"], &[("x", "")]),
        launch(&["app"], &[("", "x")]),
        Launch { directory: Some("x".into()), ..launch(&["app"], &[]) },
    ];
    let marks: std::collections::HashSet<u64> = all.iter().map(Launch::mark).collect();
    assert_eq!(marks.len(), all.len());
    assert_eq!(launch(&["app"], &[]).mark(), launch(&["app"], &[]).mark());
}
