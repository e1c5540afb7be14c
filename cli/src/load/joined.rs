//! Several runs, one after the other at the same place, as one. Measures nothing.

use tentpole_load::Run;
use tentpole_load::result::Distrust;
use tentpole_load::verdict;

/// The same run with its only step under this number.
pub fn numbered(mut run: Run, number: u32) -> Run {
    for step in &mut run.steps {
        step.number = number;
    }
    for why in &mut run.distrust {
        match why {
            Distrust::Lag { step, .. }
            | Distrust::GeneratorFull { step, .. }
            | Distrust::NoPort { step, .. }
            | Distrust::FewRequests { step, .. } => *step = number,
            Distrust::AgentLost { .. } => {}
        }
    }
    run
}

/// Appends a run to those before it: its steps and seconds, and what is to be said of the generator.
pub fn add(whole: &mut Option<Run>, mut run: Run) {
    let Some(all) = whole else {
        *whole = Some(run);
        return;
    };
    let later = run.started_unix_ms.saturating_sub(all.started_unix_ms) as f64 / 1_000.0;
    for step in &mut run.steps {
        step.began_s += later;
    }
    for second in &mut run.seconds {
        second.at_s += later;
    }
    let lost_at = run.agents.iter_mut().filter_map(|agent| agent.lost_at_s.as_mut());
    let named = run.distrust.iter_mut().filter_map(|why| match why {
        Distrust::AgentLost { at_s, .. } => Some(at_s),
        _ => None,
    });
    lost_at.chain(named).for_each(|at_s| *at_s += later);
    all.took_s = later + run.took_s;
    all.steps.append(&mut run.steps);
    all.seconds.append(&mut run.seconds);
    all.distrust.append(&mut run.distrust);
    all.agents = run.agents;
    all.interrupted |= run.interrupted;
    all.stopped_for = all.stopped_for.take().or(run.stopped_for);
    all.spared = all.spared.or(run.spared);
}

/// The verdict over all its steps, and of the generator what was worst.
pub fn judged(mut run: Run) -> Run {
    run.distrust = verdict::distrust(&run.steps, &run.objectives);
    run.trusted = run.distrust.is_empty();
    run.breaking_point = verdict::breaking_point(&run.steps, &run.distrust);
    run.highest_held = verdict::highest_held(&run.steps);
    run
}
