//! What one process has learned goes on in the next: rules, and what stands against them.

#![allow(clippy::unwrap_used, reason = "tests")]

use tentpole_learn::{Answer, Change, Dims, Learner, Limits, Memory, Observation, Trait, Who};

/// A time of day of the first process, and of the second, whose clock reads otherwise.
const NOW_MS: u64 = 5_000_000;
const NEXT_MS: u64 = 3_600_500;

fn seen(target: &str, at_ms: u64, visitor: u64, hash: u64) -> Observation {
    let language = Trait { exact: visitor as u32 % 2 + 1, class: visitor as u16 % 2 + 1 };
    Observation {
        sent_ms: at_ms,
        done_ms: at_ms + 10,
        url: url(target),
        key: format!("shop.example\0{target}").into_bytes().into(),
        route: 3,
        apply: true,
        visitor,
        who: Who::Nobody,
        traits: [language, Trait::default(), Trait::default()],
        stripped: false,
        answer: Answer::Page { hash, coding: 0, storable: true, found: true, needs: Dims::NONE },
        took_us: 1_000,
        weight: 1,
        served: 0,
    }
}

fn url(target: &str) -> u64 {
    target.bytes().fold(7, |hash, byte| hash * 31 + u64::from(byte))
}

/// A learner to whom a page has been shown by many visitors, the last time at [`NOW_MS`].
fn learned(target: &str, hash: impl Fn(u64) -> u64) -> Learner {
    let mut learner = Learner::new(Limits::default());
    show(&mut learner, target, NOW_MS, hash);
    learner
}

fn show(learner: &mut Learner, target: &str, last_ms: u64, hash: impl Fn(u64) -> u64) -> Vec<Change> {
    (0..16)
        .flat_map(|n| {
            let at = last_ms - (15 - n) * 1_500;
            learner.observe(&seen(target, at, n, hash(n)))
        })
        .collect()
}

fn carried(from: &Learner) -> (Learner, Vec<Change>) {
    let mut next = Learner::new(Limits::default());
    from.shape_bars(NOW_MS).iter().for_each(|bar| next.knows_bar(bar, NEXT_MS));
    let memories = from.memories(NOW_MS);
    let changes = memories.iter().flat_map(|memory| next.recalls(memory, url_of(memory), NEXT_MS)).collect();
    (next, changes)
}

fn url_of(memory: &Memory) -> u64 {
    url(std::str::from_utf8(memory.key.split(|&byte| byte == 0).nth(1).unwrap()).unwrap())
}

#[test]
fn a_rule_goes_on_as_it_was_but_for_how_long_what_is_stored_lives() {
    let before = learned("/news", |_| 7);
    assert!(before.has_rule(url("/news")));
    let (next, changes) = carried(&before);
    assert!(next.has_rule(url("/news")));
    let [Change::Set { key, rule, .. }] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(&**key, b"shop.example\0/news");
    assert_eq!(rule.lifetime_s, Limits::default().lifetime_first_s);
    assert!(rule.agreed.iter().all(|(_, hash)| *hash == 7) && !rule.agreed.is_empty(), "{rule:?}");
    assert_eq!(next.memories(NEXT_MS), before.memories(NOW_MS), "and could be carried on");
}

#[test]
fn a_page_told_apart_by_language_is_told_apart_by_it_afterwards() {
    let before = learned("/by-language", |visitor| visitor % 2);
    assert!(before.has_rule(url("/by-language")));
    let (_, changes) = carried(&before);
    let [Change::Set { rule, .. }] = &changes[..] else { panic!("{changes:?}") };
    assert!(rule.vary.has(Dims::LANGUAGE), "{rule:?}");
    let mut agreed: Vec<u64> = rule.agreed.iter().map(|(_, hash)| *hash).collect();
    agreed.sort_unstable();
    assert_eq!(agreed, [0, 1]);
}

#[test]
fn what_contradicts_the_answers_of_before_ends_the_rule_in_the_next_process_too() {
    let (mut next, _) = carried(&learned("/news", |_| 7));
    // Another answer for one visitor, and then the first again for one who speaks the same.
    next.observe(&seen("/news", NEXT_MS + 1_000, 1, 8));
    let changes = next.observe(&seen("/news", NEXT_MS + 2_000, 3, 7));
    assert!(matches!(changes[..], [Change::Withdraw { .. }]), "{changes:?}");
    assert!(!next.has_rule(url("/news")));
}

#[test]
fn a_page_that_was_contradicted_stays_barred_and_its_shape_too() {
    let mut before = learned("/p/1", |_| 7);
    before.observe(&seen("/p/1", NOW_MS + 100, 1, 8));
    before.observe(&seen("/p/1", NOW_MS + 200, 3, 7));
    assert!(!before.has_rule(url("/p/1")));
    let (mut next, changes) = carried(&before);
    assert_eq!(changes, []);
    assert_eq!(next.shape_bars(NEXT_MS), before.shape_bars(NOW_MS));
    let bar = Limits::default().bar_first_ms;
    show(&mut next, "/p/1", NEXT_MS + bar / 2, |_| 7);
    assert!(!next.has_rule(url("/p/1")), "half of the bar has passed");
    show(&mut next, "/p/1", NEXT_MS + 2 * bar, |_| 7);
    assert!(next.has_rule(url("/p/1")));
}

#[test]
fn what_the_answers_contradict_is_no_rule_whatever_is_said_of_it() {
    let mut memories = learned("/news", |_| 7).memories(NOW_MS);
    memories[0].answers[8].hash = 8;
    let mut next = Learner::new(Limits::default());
    assert_eq!(next.recalls(&memories[0], url("/news"), NEXT_MS), []);
    assert!(!next.has_rule(url("/news")));
}

#[test]
fn what_was_seen_here_already_is_not_overwritten() {
    let memories = learned("/news", |_| 7).memories(NOW_MS);
    let mut next = Learner::new(Limits::default());
    next.observe(&seen("/news", NEXT_MS, 1, 9));
    assert_eq!(next.recalls(&memories[0], url("/news"), NEXT_MS), []);
    assert_eq!(next.memories(NEXT_MS)[0].answers.len(), 1);
}
