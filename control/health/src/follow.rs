//! Takes over where names lead: the addresses of their slots, and the weights that names of services say. Who stands at a
//! new address is judged anew, with a weight of its own.

use crate::names::{Group, Service};
use crate::watch::{Place, Ward, Watched};
use tentpole_model::{Dials, NameAnswer};
use tentpole_runtime::notice;

/// Weights to put in force; `None` is as configured.
type Weights = Vec<(Place, Option<u32>)>;

impl Ward {
    /// Returns once each name was looked up, or leads somewhere by what was known before; with the version seen.
    pub(crate) async fn first_answers(&self) -> u64 {
        loop {
            let seen = self.follow_names();
            let answers = self.watch.names.get();
            let known = |group: &Group| {
                let mut places = (group.first..group.first + group.count)
                    .map(|endpoint| Place { pool: group.pool, endpoint });
                // Who stood somewhere before can be asked there meanwhile.
                answers.names.contains_key(&group.asked)
                    || places.any(|place| !self.addresses(place).is_empty())
            };
            if self.groups.iter().all(known) {
                return seen;
            }
            self.watch.names.changed_since(seen).await;
        }
    }

    /// Takes over where names lead; returns the version of that. Publishes nothing, for at the start many come together.
    pub(crate) fn follow_names(&self) -> u64 {
        let (version, answers) = self.watch.names.versioned();
        let mut weights = Weights::new();
        {
            let mut pools = self.pools();
            for group in &self.groups {
                let Some(answer) = answers.names.get(&group.asked) else { continue };
                let watched = &mut pools[group.pool];
                weights.extend(watched.leads_to(group, answer));
            }
        }
        self.weigh(&weights);
        version
    }

    /// Puts the weights that names of services say in force where they are as configured.
    pub(crate) fn weigh_services(&self) {
        let mut weights = Weights::new();
        let dials = self.watch.dials.get();
        for (pool, watched) in self.pools().iter().enumerate() {
            for (endpoint, known) in watched.endpoints.iter().enumerate() {
                let now = dials.weights.get(pool).and_then(|pool| pool.get(endpoint));
                let as_configured = now == Some(&self.watch.snapshot.pools[pool].endpoints[endpoint].weight);
                if let (Some(service), true) = (known.service, as_configured) {
                    weights.push((Place { pool, endpoint }, Some(service.weight)));
                }
            }
        }
        self.weigh(&weights);
    }

    fn weigh(&self, weights: &Weights) {
        let pools = &self.watch.snapshot.pools;
        self.watch.dials.update(|now| {
            let mut next: Dials = now.clone();
            for &(Place { pool, endpoint }, weight) in weights {
                let weight = weight.unwrap_or(pools[pool].endpoints[endpoint].weight);
                if let Some(place) = next.weights.get_mut(pool).and_then(|pool| pool.get_mut(endpoint)) {
                    *place = weight;
                }
            }
            (next != *now).then_some(next)
        });
    }
}

impl Watched {
    /// Takes over where a name leads. Returns the weights to put in force: those of slots in which somebody else is now (as
    /// configured where the name says none), and those that the name of a service says anew.
    fn leads_to(&mut self, group: &Group, answer: &NameAnswer) -> Weights {
        let range = group.first..group.first + group.count;
        let elsewhere =
            self.endpoints.iter().enumerate().any(|(at, it)| !range.contains(&at) && it.has_address());
        let nobody = NameAnswer { targets: Vec::new(), ..answer.clone() };
        // The last ones of a pool stay, whatever name servers say.
        let answer = if answer.gone && elsewhere { &nobody } else { answer };
        let before: Vec<_> = self.endpoints[range.clone()].iter().map(|it| it.addresses.clone()).collect();
        // Nobody knows yet: who was known before stays.
        if answer.targets.is_empty() && !answer.gone && before.iter().any(|held| !held.is_empty()) {
            return Vec::new();
        }
        let (held, too_many) = group.take(&before, answer);
        self.tell_too_many(group, too_many);
        let mut weights = Vec::new();
        for (at, held) in range.clone().zip(held) {
            let known = &mut self.endpoints[at];
            let place = Place { pool: group.pool, endpoint: at };
            let (there, service) = (!held.addresses.is_empty(), held.service);
            let somebody_else = known.slot && !known.addresses.iter().any(|it| held.addresses.contains(it));
            if known.addresses != held.addresses && somebody_else {
                known.trouble.clear();
                self.judge.replaced(at, there);
                if there {
                    weights.push((place, service.map(|service| service.weight)));
                }
            } else {
                self.judge.resolved(at, there);
                let weight = |service: Option<Service>| service.map(|service| service.weight);
                if there && weight(service) != weight(known.service) && known.service.is_some() {
                    weights.push((place, weight(service)));
                }
            }
            (known.addresses, known.service) = (held.addresses, service);
        }
        let first = &mut self.endpoints[group.first];
        if let (Some(trouble), true) = (&answer.trouble, first.addresses.is_empty()) {
            first.trouble = format!("its name has no address: {trouble}");
        }
        weights
    }

    /// Says once that a name leads to more than there is place for.
    fn tell_too_many(&mut self, group: &Group, too_many: usize) {
        let first = &mut self.endpoints[group.first];
        if first.too_many == too_many {
            return;
        }
        first.too_many = too_many;
        if too_many > 0 {
            let (pool, count) = (&first.cell.pool, group.count);
            notice(format_args!(
                "pool {pool}: {} leads to {too_many} addresses more than are used ({count}); raise `addresses_max`",
                group.asked
            ));
        }
    }
}
