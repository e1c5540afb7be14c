//! Somebody asks for more than can be remembered, to drive out what was learned, or to fill it with names of his own.

#![allow(clippy::unwrap_used, reason = "tests")]

use tentpole_learn::{Answer, Change, Dims, Learner, Limits, Observation, State, Trait, Who};

const LIMITS: Limits = Limits {
    samples_min: 6,
    visitors_min: 3,
    span_ms: 1_000,
    shape_pages_min: 5,
    answer_age_ms: 600_000,
    restless: 4,
    lifetime_first_s: 5,
    lifetime_max_s: 60,
    bar_first_ms: 600_000,
    bar_max_ms: 86_400_000,
    pages_max: 200,
    shapes_max: 20,
    proposal_samples_min: 20,
    proposal_visitors_min: 5,
    proposal_pages_min: 3,
};

struct Site {
    learner: Learner,
    now_ms: u64,
    changes: Vec<Change>,
}

impl Site {
    fn new() -> Self {
        Self { learner: Learner::new(LIMITS), now_ms: 1_000, changes: Vec::new() }
    }

    /// What the edge's own request was answered.
    fn tell_own(&mut self, target: &str, answer: Answer) {
        self.now_ms += 200;
        let seen = Observation { stripped: true, ..self.seen(target, 1, Who::Nobody, answer) };
        self.changes.extend(self.learner.observe(&seen));
    }

    /// One answer, a fifth of a second after the last.
    fn tell(&mut self, target: &str, visitor: u64, who: Who, answer: Answer) {
        self.now_ms += 200;
        let seen = self.seen(target, visitor, who, answer);
        self.changes.extend(self.learner.observe(&seen));
    }

    fn seen(&self, target: &str, visitor: u64, who: Who, answer: Answer) -> Observation {
        let key = format!("shop.example\0{target}");
        Observation {
            sent_ms: self.now_ms,
            done_ms: self.now_ms + 10,
            url: url(target),
            key: key.into_bytes().into(),
            route: 0,
            apply: true,
            visitor,
            who,
            traits: [Trait::default(); 3],
            stripped: false,
            answer,
            took_us: 1_000,
            weight: 1,
            served: 0,
        }
    }

    fn page(&mut self, target: &str, visitor: u64) {
        self.tell(target, visitor, Who::Nobody, answer(url(target), true));
    }

    fn learn(&mut self, target: &str) {
        (0..8).for_each(|visitor| self.page(target, visitor % 4));
        assert!(self.learner.has_rule(url(target)), "{target}");
    }
}

fn answer(hash: u64, storable: bool) -> Answer {
    Answer::Page { hash, coding: 0, storable, found: true, needs: Dims::NONE }
}

fn url(target: &str) -> u64 {
    target.bytes().fold(7, |hash: u64, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte))
}

#[test]
fn pages_that_nobody_knows_do_not_drive_rules_out() {
    let mut site = Site::new();
    for number in 0..20 {
        site.learn(&format!("/post/{number}"));
    }
    for number in 0..2_000 {
        site.page(&format!("/?junk={number}"), number);
    }
    let forgotten = site.changes.iter().filter(|change| matches!(change, Change::Withdraw { .. })).count();
    assert_eq!(forgotten, 0, "rules that serve visitors stay");
    assert_eq!(site.learner.pages(), 200);
    // What nobody asks for any more gives way all the same.
    site.now_ms += LIMITS.answer_age_ms;
    for number in 0..1_000 {
        site.page(&format!("/?more={number}"), number);
    }
    let forgotten = site.changes.iter().filter(|change| matches!(change, Change::Withdraw { .. })).count();
    assert_eq!(forgotten, 20);
}

#[test]
fn a_rule_ends_whose_requests_get_errors_that_no_visitor_gets() {
    let mut site = Site::new();
    site.learn("/bears-no-robots");
    site.learn("/has-too-much-to-do");
    for round in 0..30 {
        for target in ["/bears-no-robots", "/has-too-much-to-do"] {
            site.tell_own(target, Answer::Unseen);
            site.page(target, round % 4);
        }
        if round % 8 == 7 {
            site.tell("/has-too-much-to-do", 1, Who::Nobody, Answer::Unseen);
        }
    }
    assert!(!site.learner.has_rule(url("/bears-no-robots")));
    assert!(site.learner.has_rule(url("/has-too-much-to-do")));
}

#[test]
fn what_is_not_there_is_not_remembered() {
    let mut site = Site::new();
    for number in 0..1_000 {
        let missing = format!("/{number}/setup.php");
        site.tell(&missing, 1, Who::Nobody, answer(404, false));
        site.tell(&missing, 1, Who::Nobody, Answer::Unseen);
    }
    assert_eq!(site.learner.pages(), 0);
    site.learn("/post/1");
}

#[test]
fn new_parts_of_a_site_are_learned_and_told_of_after_somebody_made_many_up() {
    let mut site = Site::new();
    for number in 0..100 {
        site.page(&format!("/made-up-{number}/x"), 1);
    }
    for number in 0..6 {
        site.learn(&format!("/product/{number}"));
    }
    // Each of the first five had to prove itself; the shape they share spares the next one that.
    site.page("/product/new", 1);
    assert!(site.learner.has_rule(url("/product/new")));
    for number in 100..200 {
        site.page(&format!("/made-up-{number}/x"), 1);
    }
    let advice = site.learner.advice(10_000_000, site.now_ms);
    let row = advice.rules.iter().find(|row| row.pages == "shop.example/product/*").unwrap();
    assert_eq!((&row.state, row.ruled), (&State::Applied, 7));
    assert!(advice.rules.len() <= LIMITS.shapes_max);
}

#[test]
fn names_that_somebody_makes_up_do_not_hide_those_of_the_site() {
    let mut site = Site::new();
    let cookies = |name: &str| Who::Cookies(vec![name.into()]);
    let made_up = |site: &mut Site, from: u64| {
        site.page("/a", 0);
        for number in from..from + 400 {
            site.tell("/a", 1, cookies(&format!("made-up-{number}")), answer(url("/a"), true));
        }
    };
    made_up(&mut site, 0);
    for round in 0..30u64 {
        let target = ["/a", "/b", "/c"][round as usize % 3];
        site.page(target, 0);
        site.tell(target, round % 6, cookies("theme"), answer(url(target), true));
    }
    made_up(&mut site, 400);
    let advice = site.learner.advice(10_000_000, site.now_ms);
    assert!(advice.proposals.iter().any(|one| one.name == "theme"), "{:?}", advice.proposals);
}
