//! Which ports of this machine connections come from. The kernel looks for a free one among every second port of its range, one after the
//! other, and then among the rest: as soon as half of the ports to a server are taken, each further connection costs a walk through
//! that half (`__inet_hash_connect` in Linux' net/ipv4/inet_hashtables.c). So each connection looks in a small window of the range, the
//! next one in the next window. Chooses no port itself, so that none is taken twice.

use nix::sys::socket::setsockopt;
use nix::{libc, setsockopt_impl, sockopt_impl};
use socket2::Socket;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What the kernel gives out when nobody has changed it (`net.ipv4.ip_local_port_range`).
const USUAL: (u16, u16) = (32_768, 60_999);
/// Ports of a window: few enough to walk through, enough that one of them is free until nearly all are taken.
const WINDOW: u32 = 128;
/// `IPPROTO_IP`, and `IP_LOCAL_PORT_RANGE` of Linux 6.3 and later (ip(7)), for IPv6 too.
const LEVEL: i32 = libc::IPPROTO_IP;
const LOCAL_PORT_RANGE: i32 = 51;

sockopt_impl!(
    /// The lowest port in the lower 16 bits, the highest one in the upper ones.
    LocalPortRange,
    SetOnly,
    LEVEL,
    LOCAL_PORT_RANGE,
    u32
);

/// Whose turn it is. Copies share it.
#[derive(Clone, Debug, Default)]
pub struct Ports(Arc<AtomicU32>);

/// The lowest and the highest port that the system gives out.
fn range() -> (u16, u16) {
    static RANGE: OnceLock<(u16, u16)> = OnceLock::new();
    *RANGE.get_or_init(|| {
        let said = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let mut bounds = said.split_ascii_whitespace().map(str::parse::<u16>);
        match (bounds.next(), bounds.next()) {
            (Some(Ok(low)), Some(Ok(high))) if low <= high => (low, high),
            _ => USUAL,
        }
    })
}

/// How many ports the system gives out.
pub fn count() -> u32 {
    let (low, high) = range();
    u32::from(high - low) + 1
}

/// The window of a number: they follow one another, and the last one has what is left.
fn window((low, high): (u16, u16), number: u32) -> (u16, u16) {
    let (low, all) = (u32::from(low), u32::from(high - low) + 1);
    let first = low + number % (all / WINDOW).max(1) * WINDOW;
    let last = if first + 2 * WINDOW > low + all { low + all - 1 } else { first + WINDOW - 1 };
    (first as u16, last as u16)
}

impl Ports {
    /// Lets a socket look in the next window when it connects. An older kernel has no windows, and looks everywhere.
    pub fn narrow(&self, socket: &Socket) {
        let (first, last) = window(range(), self.0.fetch_add(1, Relaxed));
        let _ = setsockopt(socket, LocalPortRange, &(u32::from(first) | u32::from(last) << 16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_all_ports_and_each_of_them_once() {
        for range in [USUAL, (1_024, 65_535), (40_000, 40_010), (40_000, 40_127), (40_000, 40_300), (7, 7)] {
            let windows = (u32::from(range.1 - range.0) + 1) / WINDOW;
            let mut next = range.0;
            for number in 0..windows.max(1) {
                let (first, last) = window(range, number);
                assert_eq!(first, next, "{range:?} {number}");
                assert!(last >= first && u32::from(last - first) < 2 * WINDOW, "{range:?} {number}");
                next = last.wrapping_add(1);
            }
            assert_eq!(next, range.1.wrapping_add(1), "{range:?}");
            assert_eq!(window(range, windows.max(1)), window(range, 0), "and then again");
        }
    }
}
