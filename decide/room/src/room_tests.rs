//! Evenings in a room, with the clock in hand.

use super::*;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const MINUTE: u64 = 60_000;
const START: u64 = 1_800_000_000_000;

fn secret(value: u64) -> u64 {
    let mut z = value.wrapping_add(99).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn rules(active_max: Option<u32>, entries_per_minute: Option<u32>) -> Rules {
    Rules {
        limits: Limits { active_max, entries_per_minute },
        session_ms: 5 * MINUTE,
        keeps_ms: 10 * MINUTE,
        opens_ms: None,
        closes_ms: None,
    }
}

fn room(active_max: Option<u32>, entries_per_minute: Option<u32>) -> Room {
    Room::new(rules(active_max, entries_per_minute), None, Kept::default(), START)
}

/// What one visitor does.
#[derive(Clone, Default)]
struct Visitor {
    ticket: Option<Ticket>,
    arrived: u64,
    entered: Option<u64>,
    place: u64,
    first_estimate_s: Option<u64>,
    /// He leaves for good while he waits.
    gives_up_at: Option<u64>,
    /// He looks away once, for so long.
    pause_ms: u64,
    /// How long he stays inside.
    stay_ms: u64,
    /// When he asked last.
    asked: u64,
}

/// An evening: visitors, and the moments at which they ask.
struct Evening {
    room: Room,
    visitors: Vec<Visitor>,
    due: BinaryHeap<Reverse<(u64, usize)>>,
    fresh: u64,
    entries: Vec<u64>,
    now: u64,
    active_most: u32,
    /// Questions, and those of them before which the visitor was silent for more than a minute.
    asked: usize,
    rested: usize,
}

impl Evening {
    fn new(room: Room, visitors: Vec<Visitor>) -> Self {
        let due = visitors.iter().enumerate().map(|(who, visitor)| Reverse((visitor.arrived, who))).collect();
        Self {
            room,
            visitors,
            due,
            fresh: 1,
            entries: Vec::new(),
            now: START,
            active_most: 0,
            asked: 0,
            rested: 0,
        }
    }

    fn ask(&mut self, ticket: Option<Ticket>, now: u64) -> Verdict {
        self.fresh = secret(self.fresh + 1);
        self.room.ask(ticket, now, &Chance { fresh: self.fresh, secret: &secret })
    }

    /// Goes on until this moment.
    fn until(&mut self, end: u64) {
        while let Some(&Reverse((at, who))) = self.due.peek() {
            if at >= end {
                break;
            }
            self.due.pop();
            self.now = at;
            let mut visitor = self.visitors[who].clone();
            if visitor.entered.is_none() && visitor.gives_up_at.is_some_and(|gives_up| at >= gives_up) {
                continue;
            }
            let verdict = self.ask(visitor.ticket, at);
            self.asked += 1;
            self.rested += usize::from(visitor.ticket.is_some() && at > visitor.asked + MINUTE);
            visitor.asked = at;
            let next = match verdict {
                Verdict::Inside(ticket) => {
                    visitor.ticket = ticket.or(visitor.ticket);
                    if visitor.entered.is_none() {
                        visitor.entered = Some(at);
                        self.entries.push(at);
                    }
                    let stays = visitor.entered.is_some_and(|entered| at < entered + visitor.stay_ms);
                    stays.then_some(at + 20_000)
                }
                Verdict::Waits(waiting) => {
                    assert!(
                        visitor.entered.is_none(),
                        "visitor {who} was inside and is sent back to the line"
                    );
                    let known = visitor.place > 0;
                    if known && waiting.phase == Phase::Open {
                        let most = visitor.place;
                        assert!(waiting.place <= most, "{} after {}", waiting.place, visitor.place);
                    }
                    visitor.place = waiting.place;
                    visitor.ticket = Some(waiting.ticket);
                    visitor.first_estimate_s = visitor.first_estimate_s.or(waiting.estimate_s);
                    // Half a second more or less: browsers.
                    let jitter = secret(at ^ who as u64) % 1_000;
                    Some(at + waiting.refresh_ms + jitter + std::mem::take(&mut visitor.pause_ms))
                }
                other => panic!("visitor {who}: {other:?}"),
            };
            self.visitors[who] = visitor;
            self.active_most = self.active_most.max(self.room.seats.active());
            if let Some(next) = next {
                self.due.push(Reverse((next, who)));
            }
        }
        self.now = end;
    }

    fn entries_between(&self, from: u64, to: u64) -> usize {
        self.entries.iter().filter(|&&at| at >= from && at < to).count()
    }

    /// The most that came in within any 60 s.
    fn busiest_minute(&self) -> usize {
        let within = |(first, &start): (usize, &u64)| {
            self.entries[first..].iter().take_while(|&&at| at < start + MINUTE).count()
        };
        self.entries.iter().enumerate().map(within).max().unwrap_or(0)
    }
}

fn crowd(count: usize, over_ms: u64) -> Vec<Visitor> {
    (0..count as u64)
        .map(|who| Visitor {
            arrived: START + who * over_ms / count as u64,
            stay_ms: 2 * MINUTE + secret(who) % (2 * MINUTE),
            ..Visitor::default()
        })
        .collect()
}

#[test]
fn a_room_below_its_limit_is_in_nobodys_way() {
    let mut evening = Evening::new(room(Some(300), Some(300)), crowd(200, MINUTE));
    evening.until(START + 10 * MINUTE);
    for visitor in &evening.visitors {
        assert_eq!(visitor.entered, Some(visitor.arrived));
    }
}

#[test]
fn ten_thousand_at_once_come_in_at_the_rate_and_in_their_order() {
    let mut evening = Evening::new(room(None, Some(600)), crowd(10_000, 1_000));
    evening.until(START + 10 * MINUTE);
    let entered = evening.entries.len();
    assert!((5_900..=6_060).contains(&entered), "{entered} in ten minutes at 600 a minute");
    assert!(evening.busiest_minute() <= 606, "{}", evening.busiest_minute());
    // Whoever came a hundred earlier was in earlier, but for some seconds.
    let times: Vec<u64> = evening.visitors.iter().filter_map(|visitor| visitor.entered).collect();
    for (one, other) in times.iter().zip(&times[100..]) {
        assert!(*one <= other + 20_000, "{one} {other}");
    }
    // The estimate was honest.
    let late = evening.visitors.iter().filter(|visitor| {
        let (Some(entered), Some(said)) = (visitor.entered, visitor.first_estimate_s) else { return false };
        let took = (entered - visitor.arrived) / 1_000;
        took.abs_diff(said) > 15 + said / 5
    });
    let late: Vec<_> = late
        .map(|visitor| {
            (visitor.arrived - START, visitor.entered.unwrap_or_default() - START, visitor.first_estimate_s)
        })
        .collect();
    assert!(late.is_empty(), "{} of 10,000, such as {:?}", late.len(), &late[..late.len().min(5)]);
}

#[test]
fn a_full_house_is_never_more_than_full() {
    let mut evening = Evening::new(room(Some(300), None), crowd(3_000, 10_000));
    let limits = Limits { active_max: Some(300), entries_per_minute: Some(300) };
    evening.room.set_rules(Rules { limits, ..rules(None, None) }, START);
    evening.until(START + 20 * MINUTE);
    assert_eq!(evening.active_most, 300);
    // A seat lasts 2 to 4 minutes and 5 more: it is given again within moments.
    let entered = evening.entries_between(START + 10 * MINUTE, START + 20 * MINUTE);
    assert!((300..=480).contains(&entered), "{entered}");
}

#[test]
fn in_a_full_house_the_estimate_is_made_of_those_who_go() {
    // All at once, and half an hour later some more.
    let mut visitors = crowd(3_000, 10_000);
    visitors.extend((0..200).map(|who| Visitor {
        arrived: START + 30 * MINUTE + who * 20,
        stay_ms: 2 * MINUTE + secret(who) % (2 * MINUTE),
        ..Visitor::default()
    }));
    let mut evening = Evening::new(room(Some(300), Some(600)), visitors);
    evening.until(START + 3 * 60 * MINUTE);
    for (first, last) in [(300, 3_000), (3_000, 3_200)] {
        let mut ratios = Vec::from_iter(evening.visitors[first..last].iter().map(|visitor| {
            let took = (visitor.entered.expect("he came in") - visitor.arrived) / 1_000;
            took as f64 / visitor.first_estimate_s.expect("he was told") as f64
        }));
        ratios.sort_by(f64::total_cmp);
        let (least, middle, most) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
        println!("it took {least:.2} to {most:.2} times as long as was said, {middle:.2} in the middle");
        // They stay for two to four minutes more than a session, and those who came together go together.
        assert!(least > 0.6 && most < 1.8 && (0.7..1.6).contains(&middle), "{least} {middle} {most}");
    }
}

#[test]
fn no_shows_do_not_leave_the_shop_empty() {
    let mut visitors = crowd(10_000, 1_000);
    for visitor in
        visitors.iter_mut().filter(|visitor| secret(visitor.arrived * 7 + visitor.stay_ms).is_multiple_of(2))
    {
        visitor.gives_up_at = Some(visitor.arrived + 1);
    }
    let mut evening = Evening::new(room(None, Some(600)), visitors);
    evening.until(START + 6 * MINUTE);
    let entered = evening.entries_between(START + MINUTE, START + 6 * MINUTE);
    println!("{entered} of 3,000 in five minutes");
    assert!(entered >= 2_800, "{entered} of 3,000 in five minutes");
    assert!(evening.busiest_minute() <= 606);
}

#[test]
fn who_leaves_and_returns_within_minutes_keeps_the_place() {
    let mut visitors = crowd(2_000, 1_000);
    visitors[500].pause_ms = 4 * MINUTE;
    let mut evening = Evening::new(room(None, Some(600)), visitors);
    evening.until(START + 5 * MINUTE);
    // His turn was after 50 s; he came back after four minutes and waited for nobody.
    let entered = evening.visitors[500].entered.expect("he came in") - START;
    assert!(entered < 4 * MINUTE + 90_000, "{entered} ms");
}

#[test]
fn half_of_the_capacity_is_half_of_the_entries_within_seconds() {
    let mut evening = Evening::new(room(None, Some(600)), crowd(10_000, 1_000));
    let half = START + 3 * MINUTE;
    evening.until(half);
    evening.room.set_rules(rules(None, Some(300)), half);
    evening.until(half + 2 * MINUTE);
    let next_ten = evening.entries_between(half, half + 10_000);
    assert!((40..=60).contains(&next_ten), "{next_ten} in ten seconds at 5 a second");
    let minute = evening.entries_between(half + 10_000, half + 70_000);
    assert!((285..=303).contains(&minute), "{minute}");
}

#[test]
fn a_restart_loses_nobodys_place() {
    for crash in [false, true] {
        let mut evening = Evening::new(room(Some(900), Some(600)), crowd(3_000, 1_000));
        evening.until(START + MINUTE);
        let now = START + MINUTE;
        let kept = if crash { evening.room.kept(now) } else { evening.room.kept_at_end(now) };
        let active = evening.room.seats.active();
        evening.room = Room::new(rules(Some(900), Some(600)), None, kept, START + MINUTE);
        // After a crash, those who may have come in unwritten count as if they had.
        let counted = evening.room.seats.active();
        assert!(counted == active || (crash && (active..=900).contains(&counted)), "{counted} {active}");
        // The places are asserted to get better only, and nobody who was inside to be sent away, on the way.
        evening.until(START + 3 * MINUTE);
        assert!(evening.active_most <= 900);
        let entered = evening.entries_between(START + MINUTE, START + 3 * MINUTE);
        assert!(entered > 250, "{entered}");
    }
}

#[test]
fn those_who_were_early_are_drawn_and_those_who_come_later_stand_behind_them() {
    let opens = START + 10 * MINUTE;
    let mut visitors = crowd(5_000, 9 * MINUTE);
    visitors.extend((0..500).map(|who| Visitor { arrived: opens + 1_000 + who, ..Visitor::default() }));
    let early_rules = Rules { opens_ms: Some(opens), ..rules(None, Some(1_200)) };
    let room = Room::new(early_rules, None, Kept::default(), START);
    let mut evening = Evening::new(room, visitors);
    evening.until(opens - 50_000);
    let status = evening.room.status(opens - 50_000, &secret);
    assert_eq!((status.phase, status.waiting, status.estimate_s), (Phase::Early, 5_000, Some(50)));
    evening.until(opens);
    assert_eq!(evening.entries.len(), 0);
    evening.until(opens + 6 * MINUTE);
    assert_eq!(evening.entries.len(), 5_500);
    assert!(evening.busiest_minute() <= 1_212);
    let mean = |of: std::ops::Range<usize>| {
        let times = evening.visitors[of.clone()].iter().filter_map(|visitor| visitor.entered);
        times.map(|at| at - opens).sum::<u64>() / of.len() as u64
    };
    let (first, last, late) = (mean(0..1_000), mean(4_000..5_000), mean(5_000..5_500));
    assert!(first.abs_diff(last) < 20_000, "the first thousand {first} ms, the last thousand {last} ms");
    assert!(late > 240_000, "{late}");
}

#[test]
fn a_copied_place_lets_one_in() {
    let mut evening = Evening::new(room(None, Some(60)), Vec::new());
    let mut tickets = Vec::new();
    for _ in 0..50 {
        if let Verdict::Waits(waiting) = evening.ask(None, START) {
            tickets.push(waiting.ticket);
        }
    }
    let mut inside = 0;
    for second in 0..60 {
        // Ten visitors with one ticket.
        for _ in 0..10 {
            let now = START + second * 1_000 + 100;
            if let Verdict::Inside(Some(ticket)) = evening.ask(Some(tickets[0]), now) {
                inside += u32::from(ticket.visitor == tickets[0].visitor && evening.room.entered > 0);
            }
        }
        for ticket in &tickets[1..] {
            let _ = evening.ask(Some(*ticket), START + second * 1_000 + 200);
        }
    }
    assert!(inside > 0);
    assert_eq!(evening.room.seats.active(), evening.room.entered as u32);
    assert!(evening.room.copied > 0);
}

#[test]
fn an_operator_opens_closes_and_lets_in() {
    let mut evening = Evening::new(room(None, Some(60)), Vec::new());
    evening.room.set_hand(Some(Hand::Closed));
    let Verdict::Waits(waiting) = evening.ask(None, START) else { panic!("closed") };
    assert_eq!((waiting.phase, waiting.place, waiting.estimate_s), (Phase::Closed, 1, None));
    assert_eq!(evening.room.status(START, &secret).estimate_s, None);
    evening.room.set_hand(None);
    let ticket = Some(waiting.ticket);
    assert!(matches!(evening.ask(ticket, START + 5_000), Verdict::Inside(Some(_))));
    let tickets: Vec<Ticket> = (0..100)
        .filter_map(|_| match evening.ask(None, START + 5_000) {
            Verdict::Waits(waiting) => Some(waiting.ticket),
            _ => None,
        })
        .collect();
    evening.room.let_in(20);
    let entered = |evening: &mut Evening, at: u64| {
        tickets.iter().filter(|t| matches!(evening.ask(Some(**t), at), Verdict::Inside(_))).count()
    };
    let _ = entered(&mut evening, START + 5_100);
    assert!(evening.room.entered >= 21, "{}", evening.room.entered);
    evening.room.set_hand(Some(Hand::Off));
    assert_eq!(evening.ask(None, START + 6_000), Verdict::Inside(None));
}

#[test]
fn after_its_end_nobody_comes_in_and_nobody_is_sent_away() {
    let end = START + MINUTE;
    let closing = Rules { closes_ms: Some(end), ..rules(None, Some(60)) };
    let mut evening = Evening::new(Room::new(closing, None, Kept::default(), START), Vec::new());
    let Verdict::Inside(Some(ticket)) = evening.ask(None, START) else { panic!("open") };
    assert_eq!(evening.ask(None, end), Verdict::Over);
    assert!(matches!(evening.ask(Some(ticket), end), Verdict::Inside(_)));
}

#[test]
fn a_hundred_thousand_who_wait_ask_as_often_as_is_told() {
    let mut evening = Evening::new(room(None, Some(600)), crowd(100_000, 10_000));
    // What was told while the line was short has passed.
    evening.until(START + 20 * MINUTE);
    assert!(evening.due.len() > 85_000);
    let (asked, rested) = (evening.asked, evening.rested);
    evening.until(START + 25 * MINUTE);
    let per_second = |count: usize| count as f64 / 300.0;
    let (asked, rested) = (per_second(evening.asked - asked), per_second(evening.rested - rested));
    println!("{asked:.0} questions a second, {rested:.0} of them after more than a minute");
    // Those who come in ask until they do: ten a second. A connection that rests for a minute is closed, and a new one costs
    // ten to twenty times as much as a question.
    assert!(asked < 290.0, "{asked} questions a second");
    assert!(rested < 110.0, "{rested} of them after more than a minute");
}

#[test]
fn doors_that_are_shut_for_long_cost_nobody_his_place() {
    let mut evening = Evening::new(room(None, Some(600)), crowd(1_000, 1_000));
    evening.until(START + 30_000);
    evening.room.set_hand(Some(Hand::Closed));
    // Those who had been called meanwhile, too; the places are asserted to get better only, on the way.
    evening.until(START + 30 * MINUTE);
    let entered = evening.entries.len();
    assert!((250..=350).contains(&entered), "{entered}");
    evening.room.set_hand(None);
    evening.until(START + 33 * MINUTE);
    assert_eq!(evening.entries.len(), 1_000);
}

/// How many come in within a minute behind doors that an operator had shut.
fn enter_after_half_an_hour_shut(evening: &mut Evening) -> usize {
    evening.until(START + MINUTE);
    evening.room.set_hand(Some(Hand::Closed));
    let opens = START + 30 * MINUTE;
    evening.until(opens);
    evening.room.set_hand(None);
    evening.until(opens + MINUTE);
    evening.entries_between(opens, opens + MINUTE)
}

#[test]
fn behind_doors_that_open_again_those_in_front_stand_ready() {
    let mut evening = Evening::new(room(None, Some(600)), crowd(50_000, 10_000));
    let entered = enter_after_half_an_hour_shut(&mut evening);
    assert!((540..=606).contains(&entered), "{entered} of 600");
}

#[test]
fn so_do_they_where_nothing_says_how_fast_it_goes() {
    let mut evening = Evening::new(room(Some(2_000), None), crowd(50_000, 10_000));
    let entered = enter_after_half_an_hour_shut(&mut evening);
    println!("{entered} of 2,000 seats in a minute");
    assert!(entered >= 1_000, "{entered} of 2,000");
    assert!(evening.active_most <= 2_000);
}

#[test]
fn a_restart_lets_no_more_in_within_any_minute_than_is_allowed() {
    for (crash, waiting) in [(false, 4_000), (true, 4_000), (true, 900)] {
        let mut evening = Evening::new(room(None, Some(600)), crowd(waiting, 100_000));
        evening.until(START + 70_000);
        for restart in 1..=6 {
            let now = START + 70_000 + restart * 7_000;
            // What was written last is half a second old.
            evening.until(now - 500);
            let written = evening.room.kept(now - 500);
            evening.until(now);
            let kept = if crash { written } else { evening.room.kept_at_end(now) };
            evening.room = Room::new(rules(None, Some(600)), None, kept, now);
        }
        evening.until(START + 5 * MINUTE);
        assert!(evening.busiest_minute() <= 606, "{} {crash} {waiting}", evening.busiest_minute());
        let entered = evening.entries.len();
        assert!(entered >= if waiting == 900 { 900 } else { 2_500 }, "{entered} {crash} {waiting}");
    }
}

#[test]
fn who_keeps_no_cookie_keeps_his_place_while_his_page_asks_and_holds_up_nobody() {
    let mut evening = Evening::new(room(None, Some(60)), Vec::new());
    let fresh = |n: u64| secret(n + 77);
    let asks = |evening: &mut Evening, ticket: Ticket, now: u64| {
        evening.room.ask_without_cookie(ticket, now, &Chance { fresh: fresh(now), secret: &secret })
    };
    let mut tickets = Vec::new();
    while tickets.len() < 200 {
        if let Verdict::Waits(waiting) = evening.ask(None, START) {
            tickets.push((waiting.ticket, true));
        }
    }
    // The first ten keep none.
    let (mut place, mut entered) = (u64::MAX, 0);
    for second in 0..100 {
        let now = START + second * 1_000;
        for (ticket, _) in &tickets[..10] {
            let Verdict::Waits(waiting) = asks(&mut evening, *ticket, now) else { panic!("he waits") };
            if ticket.number == tickets[9].0.number {
                assert!(waiting.place <= place, "{} after {place}", waiting.place);
                place = waiting.place;
            }
        }
        for (ticket, waits) in &mut tickets[10..] {
            if *waits && matches!(evening.ask(Some(*ticket), now + 500), Verdict::Inside(_)) {
                (*waits, entered) = (false, entered + 1);
            }
        }
    }
    assert_eq!(place, 1);
    assert!(entered >= 86, "{entered} came in, in 100 s at one a second");
    // Now he keeps it: his place is still his.
    assert!(matches!(evening.ask(Some(tickets[0].0), START + 101_000), Verdict::Inside(Some(_))));
}

#[test]
fn who_comes_before_anything_is_written_waits_and_comes_in_then() {
    let mut evening = Evening::new(room(Some(10), None), Vec::new());
    evening.room.is_to_be_written();
    let Verdict::Waits(waiting) = evening.ask(None, START) else { panic!("nothing is written yet") };
    assert_eq!((waiting.place, evening.room.held()), (1, 1));
    let kept = evening.room.kept(START + 500);
    evening.room.is_written(&kept);
    assert!(matches!(evening.ask(Some(waiting.ticket), START + 2_000), Verdict::Inside(Some(_))));
    // Where nothing can be written, the doors do not shut.
    evening.room.is_to_be_written();
    evening.room.cannot_be_written();
    assert!(matches!(evening.ask(None, START + 20_000), Verdict::Inside(Some(_))));
}

#[test]
fn written_twice_a_second_it_holds_up_nobody_below_the_limits() {
    let mut evening = Evening::new(room(Some(3_000), Some(600)), crowd(2_000, 5 * MINUTE));
    evening.room.is_to_be_written();
    for half in 0..600 {
        let kept = evening.room.kept(START + half * 500);
        evening.room.is_written(&kept);
        evening.until(START + half * 500 + 500);
    }
    assert!(evening.visitors.iter().all(|visitor| visitor.entered == Some(visitor.arrived)));
}

#[test]
fn whom_an_operator_lets_in_comes_in_after_a_restart_too_and_after_a_crash_not_twice() {
    for (crash, come_in) in [(false, 5), (true, 0)] {
        let mut evening = Evening::new(room(Some(1), Some(60)), Vec::new());
        let _ = evening.ask(None, START);
        evening.room.let_in(5);
        let kept = if crash { evening.room.kept(START) } else { evening.room.kept_at_end(START) };
        evening.room = Room::new(rules(Some(1), Some(60)), None, kept, START);
        let inside = (0..20).filter(|_| matches!(evening.ask(None, START + 1), Verdict::Inside(_))).count();
        assert_eq!(inside, come_in);
    }
}
