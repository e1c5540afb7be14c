//! The edge's counts of the endpoints, as the cells of this process: health and fleets read them as if they were
//! counted here. Health sets failures in a row back to 0 when an endpoint came back; that is told to the edge, and
//! until the edge knows it, what it reports of them is old.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use tentpole_model::link::LinkDown;
use tentpole_model::{EndpointReport, Snapshot};
use tentpole_runtime::{Cell, Cells};

/// All endpoints of the Snapshot.
pub(crate) struct Mirror {
    by_name: HashMap<(String, String), usize>,
    images: Vec<Image>,
    /// Endpoints that are gone from the Snapshot, while something is under way there.
    leaving: Vec<Arc<Cell>>,
    /// Number of the last wish to forgive.
    asked: u64,
    /// Up to where the edge has fulfilled them.
    forgiven: u64,
}

/// One endpoint.
struct Image {
    cell: Arc<Cell>,
    /// What was last written into the cell's failures in a row.
    in_a_row: u32,
    /// Number of the wish to forgive that the edge has not fulfilled.
    wish: Option<u64>,
}

impl Mirror {
    pub(crate) fn new(snapshot: &Snapshot, cells: &Cells) -> Self {
        let mut mirror =
            Self { by_name: HashMap::new(), images: Vec::new(), leaving: Vec::new(), asked: 0, forgiven: 0 };
        mirror.follow(snapshot, cells);
        mirror
    }

    /// Goes on with the endpoints of another Snapshot. Those that are gone are followed until nothing is under way there.
    pub(crate) fn follow(&mut self, snapshot: &Snapshot, cells: &Cells) {
        let mut before: HashMap<u32, Image> =
            std::mem::take(&mut self.images).into_iter().map(|image| (image.cell.slot, image)).collect();
        self.by_name.clear();
        for pool in &snapshot.pools {
            for known in &pool.endpoints {
                let cell = cells.of(&pool.name, &known.authority());
                let image = before.remove(&cell.slot);
                self.leaving.retain(|leaving| leaving.slot != cell.slot);
                self.by_name.insert((cell.pool.clone(), cell.authority.clone()), self.images.len());
                self.images.push(image.unwrap_or(Image { cell, in_a_row: 0, wish: None }));
            }
        }
        self.leaving.extend(before.into_values().map(|image| image.cell));
    }

    /// Takes over what was reported; returns what the edge is to forgive.
    pub(crate) fn take(&mut self, reports: &[EndpointReport]) -> Vec<LinkDown> {
        let mut wishes = Vec::new();
        self.leaving.retain(|cell| {
            // What is not told of any more has come to its end.
            let there = reports.iter().find(|it| it.pool == cell.pool && it.authority == cell.authority);
            copy(cell, there.unwrap_or(&EndpointReport::default()));
            there.is_some()
        });
        for report in reports {
            let key = (report.pool.clone(), report.authority.clone());
            // An endpoint of another configuration is none of ours.
            let Some(&at) = self.by_name.get(&key) else { continue };
            let image = &mut self.images[at];
            copy(&image.cell, report);
            if image.was_forgiven() {
                self.asked += 1;
                image.in_a_row = 0;
                image.wish = Some(self.asked);
                wishes.push(image.forgive(self.asked));
            }
            if image.wish.is_none_or(|wish| wish <= self.forgiven) {
                image.wish = None;
                image.write(report.failures_in_a_row);
            }
        }
        wishes
    }

    /// The edge has forgiven up to this number.
    pub(crate) fn forgiven(&mut self, number: u64) {
        self.forgiven = self.forgiven.max(number);
    }

    /// What a new link has to say again: the old one may not have come that far.
    pub(crate) fn wishes(&self) -> Vec<LinkDown> {
        let open = self.images.iter().filter_map(|image| Some((image.wish?, image)));
        let mut open: Vec<_> = open.collect();
        // The edge says up to which number it has come: they go there in order.
        open.sort_by_key(|&(number, _)| number);
        open.into_iter().map(|(number, image)| image.forgive(number)).collect()
    }
}

impl Image {
    /// Whether somebody here set the count back since it was written.
    fn was_forgiven(&self) -> bool {
        self.in_a_row != 0 && self.cell.failures_in_a_row.load(Relaxed) == 0
    }

    /// Writes the count, unless somebody sets it back at this very moment: then the next report shows that.
    fn write(&mut self, in_a_row: u32) {
        if self.cell.failures_in_a_row.compare_exchange(self.in_a_row, in_a_row, Relaxed, Relaxed).is_ok() {
            self.in_a_row = in_a_row;
        }
    }

    fn forgive(&self, number: u64) -> LinkDown {
        let Cell { pool, authority, .. } = &*self.cell;
        LinkDown::Forgive { number, pool: pool.clone(), authority: authority.clone() }
    }
}

fn copy(cell: &Cell, report: &EndpointReport) {
    let totals: [(&AtomicU64, u64); 4] = [
        (&cell.requests, report.requests),
        (&cell.connects, report.connects),
        (&cell.failures, report.failures),
        (&cell.errors_5xx, report.errors_5xx),
    ];
    let now: [(&AtomicU32, u32); 2] = [(&cell.in_flight, report.in_flight), (&cell.open, report.open)];
    cell.errors_in_a_row.store(report.errors_in_a_row, Relaxed);
    cell.latencies.store(&report.latencies);
    totals.into_iter().for_each(|(total, value)| total.store(value, Relaxed));
    now.into_iter().for_each(|(now, value)| now.store(value, Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::{Endpoint, Pool};

    fn snapshot() -> Snapshot {
        let endpoint = |port| Endpoint { host: "10.0.0.1".into(), port, ..Endpoint::default() };
        let pool = Pool { name: "app".into(), endpoints: vec![endpoint(1), endpoint(2)], ..Pool::default() };
        Snapshot { pools: vec![pool], ..Snapshot::default() }
    }

    fn report(authority: &str, failures_in_a_row: u32) -> EndpointReport {
        let authority = authority.to_owned();
        EndpointReport {
            pool: "app".into(),
            authority,
            in_flight: 2,
            requests: 9,
            failures_in_a_row,
            ..Default::default()
        }
    }

    #[test]
    fn what_the_edge_counted_stands_in_the_cells_and_strangers_do_not() {
        let cells = Cells::new();
        let mut mirror = Mirror::new(&snapshot(), &cells);
        let wishes = mirror.take(&[report("10.0.0.1:2", 4), report("10.0.0.9:9", 1)]);
        let cell = cells.of("app", "10.0.0.1:2");
        assert_eq!((cell.in_flight.load(Relaxed), cell.requests.load(Relaxed)), (2, 9));
        assert_eq!(cell.failures_in_a_row.load(Relaxed), 4);
        assert_eq!((wishes.len(), cells.all().len()), (0, 2));
    }

    #[test]
    fn what_was_forgiven_here_stays_so_until_the_edge_knows_it() {
        let cells = Cells::new();
        let mut mirror = Mirror::new(&snapshot(), &cells);
        let cell = cells.of("app", "10.0.0.1:2");
        assert!(mirror.take(&[report("10.0.0.1:2", 4)]).is_empty());
        cell.failures_in_a_row.store(0, Relaxed);
        let wish = LinkDown::Forgive { number: 1, pool: "app".into(), authority: "10.0.0.1:2".into() };
        assert_eq!(mirror.take(&[report("10.0.0.1:2", 4)]), vec![wish.clone()]);
        assert!(mirror.take(&[report("10.0.0.1:2", 5)]).is_empty(), "asked once");
        assert_eq!(mirror.wishes(), [wish], "and over a new link again");
        assert_eq!(cell.failures_in_a_row.load(Relaxed), 0, "what came before the edge knew it is old");
        mirror.forgiven(1);
        assert!(mirror.take(&[report("10.0.0.1:2", 1)]).is_empty());
        assert_eq!(cell.failures_in_a_row.load(Relaxed), 1);
        assert!(mirror.wishes().is_empty());
    }

    #[test]
    fn an_endpoint_that_is_gone_is_followed_until_nothing_is_under_way_there() {
        let cells = Cells::new();
        let mut mirror = Mirror::new(&snapshot(), &cells);
        mirror.take(&[report("10.0.0.1:1", 0), report("10.0.0.1:2", 3)]);
        let mut next = snapshot();
        next.pools[0].endpoints.remove(0);
        mirror.follow(&next, &cells);
        let (gone, stays) = (cells.of("app", "10.0.0.1:1"), cells.of("app", "10.0.0.1:2"));
        mirror.take(&[report("10.0.0.1:2", 3), report("10.0.0.1:1", 0)]);
        assert_eq!((gone.in_flight.load(Relaxed), stays.failures_in_a_row.load(Relaxed)), (2, 3));
        mirror.take(&[report("10.0.0.1:2", 3)]);
        assert_eq!(gone.in_flight.load(Relaxed), 0);
    }
}
