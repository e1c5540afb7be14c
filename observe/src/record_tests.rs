//! Tests of the request record: whatever is written is read back, whatever else is read does no harm.

use super::*;
use proptest::prelude::*;

fn bytes_of(why: &Why, texts: Option<&Texts<'_>>) -> Vec<u8> {
    encode(why, texts).parts(texts).concat()
}

fn failures() -> impl Strategy<Value = Failure> {
    let causes = vec![
        Cause::TimedOut,
        Cause::Closed,
        Cause::Malformed,
        Cause::TooLarge,
        Cause::TooSlow,
        Cause::NoEndpoint,
        Cause::QueueFull,
        Cause::FillAborted,
    ];
    let sources = prop_oneof![
        prop::sample::select(causes),
        prop::sample::select(KINDS.to_vec()).prop_map(Cause::Io),
        prop::sample::select(TlsFault::ALL.to_vec()).prop_map(Cause::Tls),
    ];
    let whose = (
        prop::sample::select(Side::ALL.to_vec()),
        prop::sample::select(Phase::ALL.to_vec()),
        prop::sample::select(Retry::ALL.to_vec()),
    );
    (whose, any::<u64>(), sources).prop_map(|((side, phase, retry), bytes_sent, source)| Failure {
        side,
        phase,
        retry,
        bytes_sent,
        source,
    })
}

fn attempts() -> impl Strategy<Value = [Option<Attempt>; ATTEMPTS_MAX]> {
    let outcomes = prop_oneof![
        any::<u16>().prop_map(Outcome::Status),
        failures().prop_map(Outcome::Failed),
        Just(Outcome::GivenUp)
    ];
    let not_again = prop::option::of(prop::sample::select(NotAgain::ALL.to_vec()));
    let detours = prop::option::of(prop::sample::select(Detour::ALL.to_vec()));
    let one = (any::<(u32, bool, u32, u32, u32, bool)>(), outcomes, not_again, detours).prop_map(
        |(numbers, outcome, not_again, detour)| Attempt {
            detour,
            endpoint: numbers.0,
            connection_reused: numbers.1,
            queued_us: numbers.2,
            connect_us: numbers.3,
            first_byte_us: numbers.4,
            hedged: numbers.5,
            not_again,
            outcome,
        },
    );
    prop::collection::vec(one, 0..=ATTEMPTS_MAX).prop_map(|some| {
        let mut all = [None; ATTEMPTS_MAX];
        all.iter_mut().zip(some).for_each(|(slot, attempt)| *slot = Some(attempt));
        all
    })
}

fn whys() -> impl Strategy<Value = Why> {
    let ends = prop_oneof![
        Just(End::Open),
        Just(End::Complete),
        Just(End::Tunnelled),
        prop::sample::select(Refused::ALL.to_vec()).prop_map(End::Refused),
        failures().prop_map(End::Failed),
    ];
    let caches = (0..crate::metrics::CACHE_SLOTS, prop::sample::select(Bypass::ALL.to_vec())).prop_map(
        |(slot, bypass)| match crate::metrics::CACHE_OUTCOMES[slot] {
            CacheOutcome::Bypass(_) => CacheOutcome::Bypass(bypass),
            other => other,
        },
    );
    let numbers = any::<(u64, u32, u32, u64, u64, IpAddr, u16, u16, u8, bool)>();
    let faults = prop::option::of(prop::sample::select(AssemblyFault::ALL.to_vec()));
    let assemblies = (any::<(u16, u16)>(), faults).prop_map(|((fragments, failed), fault)| Assembly {
        fragments,
        failed,
        fault,
    });
    let ids = any::<(u8, Option<u16>, Option<u32>, Option<(bool, bool)>)>();
    let tls = |(new, resumed)| Tls { version: TlsVersion::ALL[usize::from(new)], resumed };
    let methods = prop::sample::select(Method::ALL.to_vec());
    (numbers, ids, methods, caches, ends, assemblies, attempts()).prop_map(
        move |(n, ids, method, cache, end, assembly, attempts)| Why {
            snapshot: 7,
            arrived_unix_us: n.0,
            took_us: n.1,
            head_us: n.2,
            bytes_in: n.3,
            bytes_out: n.4,
            peer: n.5,
            peer_port: n.6,
            status: n.7,
            method,
            version: Version::ALL[usize::from(n.8) % Version::ALL.len()],
            connection_reused: n.9,
            tls: ids.3.map(tls),
            thread: ids.0,
            site: ids.1.map(SiteId),
            route: ids.2.map(RouteId),
            priority: Priority::ALL.get(usize::from(n.8)).copied(),
            cache,
            learned: n.6 % 2 == 1,
            load: n.6 % 3 == 1,
            filter: (n.8 != u8::MAX).then_some(n.8),
            end,
            assembly,
            attempts,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        why in whys(),
        host in prop::collection::vec(any::<u8>(), 0..256),
        target in prop::collection::vec(any::<u8>(), 0..300),
        with_texts: bool,
    ) {
        let texts = Texts { method: b"GET", host: &host, target: &target, user_agent: b"", referer: b"r", mark: b"run=1" };
        let texts = with_texts.then_some(texts);
        let bytes = bytes_of(&why, texts.as_ref());
        prop_assert_eq!(decode(&bytes), Some(Record { why, texts }));
    }

    #[test]
    fn other_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
    }
}

#[test]
fn methods_and_other_lists_are_in_the_order_of_their_values() {
    assert!(Method::ALL.iter().enumerate().all(|(at, &value)| value as usize == at));
    assert!(Retry::ALL.iter().enumerate().all(|(at, &value)| value as usize == at));
}

#[test]
fn the_longest_texts_are_cut_and_still_fit_a_record() {
    let long = vec![b'x'; 100_000];
    let texts =
        Texts { method: &long, host: &long, target: &long, user_agent: &long, referer: &long, mark: &long };
    let attempt = Attempt {
        endpoint: 0,
        connection_reused: false,
        queued_us: 0,
        connect_us: 0,
        first_byte_us: 0,
        hedged: false,
        not_again: None,
        detour: None,
        outcome: Outcome::Status(200),
    };
    let why = Why { attempts: [Some(attempt); ATTEMPTS_MAX], ..Why::new() };
    let bytes = bytes_of(&why, Some(&texts));
    assert_eq!(bytes.len(), RECORD_BYTES_MAX);
    let read = decode(&bytes).unwrap().texts.unwrap();
    assert_eq!(read.target.len(), TEXT_BYTES_MAX[2]);
    assert_eq!(read.referer.len(), TEXT_BYTES_MAX[4]);
}
