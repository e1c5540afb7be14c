//! The stages of a profile file: how much load, for how long, how it gets there, and the crowd that comes on top of it at first. Part of
//! `read`, with the same way to tell what is wrong.

use crate::climb::{Burst, RATE_MAX, STEPS_MAX, Stage, VISITORS_MAX};
use crate::result::Model;
use crate::toml_table::Table;
use std::time::Duration;

/// The half-life of a burst that says none.
pub const HALF_LIFE_USUAL: Duration = Duration::from_secs(10);

/// All stages, and which model they are of; none where the file has none.
pub(super) fn read(top: &Table<'_>) -> Option<(Model, Vec<Stage>)> {
    let mut all = Vec::new();
    let mut model = None;
    for stage in top.tables("stages", &["visitors", "rate", "time", "ramp", "burst", "half_life"]) {
        let visitors = stage.number("visitors", 0.0, f64::from(VISITORS_MAX));
        let rate = stage.number("rate", 0.0, RATE_MAX);
        let (this, load) = match (visitors, rate) {
            (Some(visitors), None) => (Model::Closed, visitors.value.round()),
            (None, Some(rate)) => (Model::Open, rate.value),
            _ => {
                stage.tell(
                    stage.at(),
                    "a stage has `visitors` or `rate`, one of them: { visitors = 100, time = \"1m\" }.",
                );
                continue;
            }
        };
        if *model.get_or_insert(this) != this {
            stage.tell(stage.at(), "all stages of a file have `visitors`, or all have `rate`.");
        }
        let burst = burst(&stage, this, load);
        let Some(time) = stage.duration("time") else {
            if !stage.has("time") {
                stage.tell(stage.at(), "how long? Write time = \"1m\".");
            }
            continue;
        };
        all.push(Stage { load, time, ramp: stage.duration("ramp").unwrap_or(Duration::ZERO), burst });
    }
    if all.len() > STEPS_MAX {
        top.tell(0, format!("a profile has at most {STEPS_MAX} stages."));
    }
    Some((model?, all))
}

/// The crowd at a stage's beginning.
fn burst(stage: &Table<'_>, model: Model, load: f64) -> Option<Burst> {
    let half_life = stage.duration("half_life");
    let above = stage.number("burst", 0.0, RATE_MAX);
    if model == Model::Closed && (stage.has("burst") || stage.has("half_life")) {
        let says = "`burst` is for a stage with `rate`: visitors stay, and do not thin out. \
                    Write { rate = 100, burst = 500, half_life = \"10s\", time = \"1m\" }.";
        stage.tell(stage.at(), says);
        return None;
    }
    let Some(above) = above else {
        if stage.has("half_life") && !stage.has("burst") {
            stage.tell(stage.at(), "`half_life` is a burst's: how many come at first? Write burst = 500.");
        }
        return None;
    };
    if load + above.value > RATE_MAX {
        stage.tell(above.at, format!("`rate` and `burst` together are {RATE_MAX} a second at most."));
    }
    if half_life.is_some_and(|time| time.is_zero()) {
        stage.tell(stage.at(), "`half_life` is more than 0: the time in which half of the burst is gone.");
    }
    (above.value > 0.0).then(|| Burst { above: above.value, half_life: half_life.unwrap_or(HALF_LIFE_USUAL) })
}
