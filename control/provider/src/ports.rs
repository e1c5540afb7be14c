//! Ports for instances: free ones outside the range from which the system takes ports for connections, so that no
//! connection of anybody's sits on a port between its choice and the instance's start. None is given twice within a
//! minute.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::time::Duration;
use tentpole_runtime::Instant;

/// Above the ports that services are usually given, below those that systems usually take for connections.
const CANDIDATES: RangeInclusive<u16> = 10_000..=32_767;
/// How long a port rests after it was given.
const REST: Duration = Duration::from_secs(60);
/// Ports tried for one instance. Each costs a few system calls.
const TRIES_MAX: usize = 1_000;
/// Where Linux says which ports it takes for connections.
const EPHEMERAL_FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Its default range.
const EPHEMERAL_USUAL: RangeInclusive<u16> = 32_768..=60_999;

/// Gives ports.
#[derive(Debug)]
pub(crate) struct Ports {
    candidates: Vec<u16>,
    next: usize,
    given: VecDeque<(u16, Instant)>,
}

impl Ports {
    /// Looks up the system's range and begins at a place that differs from process to process.
    pub fn of_this_machine() -> Self {
        let text = std::fs::read_to_string(EPHEMERAL_FILE).unwrap_or_default();
        Self::new(ephemeral(&text).unwrap_or(EPHEMERAL_USUAL), std::process::id() as usize)
    }

    fn new(ephemeral: RangeInclusive<u16>, seed: usize) -> Self {
        let all = || CANDIDATES.filter(|port| !ephemeral.contains(port));
        // A system that takes nearly all ports for connections leaves us none of our own.
        let candidates: Vec<u16> =
            if all().next().is_some() { all().collect() } else { CANDIDATES.collect() };
        // A number without a common factor with the length would do; a large prime is one.
        let next = seed.wrapping_mul(7_919) % candidates.len();
        Self { candidates, next, given: VecDeque::new() }
    }

    /// A port that nobody listens on, that `taken` does not name and that was not given within the last minute.
    pub fn give(&mut self, now: Instant, taken: impl Fn(u16) -> bool) -> Option<u16> {
        self.give_if(now, |port| !taken(port) && is_free(port))
    }

    fn give_if(&mut self, now: Instant, may: impl Fn(u16) -> bool) -> Option<u16> {
        while self.given.front().is_some_and(|&(_, at)| now.since(at) >= REST) {
            self.given.pop_front();
        }
        for _ in 0..TRIES_MAX.min(self.candidates.len()) {
            let port = self.candidates[self.next];
            self.next = (self.next + 1) % self.candidates.len();
            let rests = self.given.iter().any(|&(given, _)| given == port);
            if !rests && may(port) {
                self.given.push_back((port, now));
                return Some(port);
            }
        }
        None
    }
}

/// Understands `32768\t60999`.
fn ephemeral(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u16>);
    let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (first <= last).then_some(first..=last)
}

/// Can it be listened on, at whatever address? A machine without IPv6 has only half to ask.
fn is_free(port: u16) -> bool {
    let bind = |address: SocketAddr| TcpListener::bind(address).map(drop);
    let six = bind((Ipv6Addr::UNSPECIFIED, port).into());
    let taken = six.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse);
    !taken && bind((Ipv4Addr::UNSPECIFIED, port).into()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_runtime::clock;

    #[test]
    fn the_systems_range_is_understood_or_left() {
        assert_eq!(ephemeral("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(ephemeral("15000 15000"), Some(15_000..=15_000));
        for text in ["", "1", "x 2", "2 1", "0 70000"] {
            assert_eq!(ephemeral(text), None, "{text}");
        }
    }

    #[test]
    fn no_port_of_the_systems_range_is_given() {
        let mut ports = Ports::new(10_010..=32_767, 3);
        let now = clock::now();
        let mut given: Vec<u16> = std::iter::from_fn(|| ports.give_if(now, |_| true)).collect();
        given.sort_unstable();
        assert_eq!(given, (10_000..=10_009).collect::<Vec<u16>>());
        // All are taken: better one of them than none.
        assert!(Ports::new(1_024..=65_535, 0).give_if(now, |_| true).is_some());
    }

    #[test]
    fn a_port_rests_for_a_minute() {
        let mut ports = Ports::new(10_001..=60_999, 0);
        let now = clock::now();
        assert_eq!(ports.give_if(now, |_| true), Some(10_000));
        assert_eq!(ports.give_if(now.after(REST - Duration::from_micros(1)), |_| true), None);
        assert_eq!(ports.give_if(now.after(REST), |_| true), Some(10_000));
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            // Not every machine has IPv6.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            assert!(!is_free(listener.local_addr().unwrap().port()), "{address}");
        }
        let port = Ports::of_this_machine().give(clock::now(), |_| false).unwrap();
        TcpListener::bind(("127.0.0.1", port)).unwrap();
    }

    #[test]
    fn a_port_of_another_instance_is_not_given() {
        let mut ports = Ports::new(EPHEMERAL_USUAL, 0);
        let first = ports.give(clock::now(), |port| port < 10_100).unwrap();
        assert!(first >= 10_100);
    }
}
