//! The answers to control's questions. They read counters, format text or wait for locks: never on the link's own
//! task, which must go on publishing.

use crate::Shared;
use tentpole_model::link::{Answer, Question};
use tentpole_observe::exposition::Exposition;
use tentpole_observe::log;
use tentpole_observe::report::Counted;
use tentpole_runtime::clock;

use tentpole_model::{EdgeReport, Purged};

/// The answer. May block for as long as a shard of the cache is held.
pub(crate) fn answer(shared: &Shared, question: Question) -> Answer {
    match question {
        // The writer sends the report itself, just before.
        Question::Report => Answer::Reported,
        Question::Metrics => Answer::Text(metrics(shared)),
        Question::Requests { limit } => Answer::Text(requests(shared, limit)),
        Question::Purge(order) => Answer::Purged(shared.parts.purge.purge(&order)),
        Question::PurgeBeside { by, orders } => {
            let mut all = Purged::default();
            let purge = |order| shared.parts.purge.purge_beside(by, order);
            // What one cannot be understood here is stored nowhere here.
            for purged in orders.iter().filter_map(|order| purge(order).ok()) {
                all.objects += purged.objects;
                all.fills += purged.fills;
            }
            Answer::Purged(Ok(all))
        }
        Question::Rooms(order) => Answer::Text((shared.parts.rooms)(order.as_ref()).unwrap_or_default()),
        Question::CacheAdvice => Answer::Text((shared.parts.advice)()),
    }
}

/// What was counted so far.
pub(crate) fn report(shared: &Shared) -> EdgeReport {
    let parts = &shared.parts;
    let in_force = shared.in_force();
    let counted = Counted {
        started: parts.started,
        observed: &parts.observed,
        ledger: &parts.ledger,
        snapshot: &in_force.snapshot,
        cells: &parts.cells,
    };
    counted.report((parts.queued)())
}

fn metrics(shared: &Shared) -> String {
    let parts = &shared.parts;
    let mut page = Exposition::new();
    page.process(parts.version, clock::now().since(parts.started).as_secs_f64());
    page.edge(&parts.observed);
    page.ledger(&parts.ledger);
    let now = shared.in_force();
    page.endpoints(&now.snapshot, &now.membership.get(), &now.dials.get(), &parts.cells);
    page.finish()
}

fn requests(shared: &Shared, limit: usize) -> String {
    let mut out = b"{\"requests\":[".to_vec();
    let empty = out.len();
    shared.parts.observed.recent(limit, |record| {
        if out.len() > empty {
            out.push(b',');
        }
        log::write_json(&mut out, &record, &shared.parts.names);
    });
    out.extend_from_slice(b"]}");
    // What a visitor sent that is no UTF-8 was replaced when the line was written.
    String::from_utf8_lossy(&out).into_owned()
}
