//! The time. The only file that asks the system for it. Data threads read a coarse copy that is renewed once per
//! turn of their loop; everyone else may ask for the exact one.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Monotonic time in microseconds since the process first asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Instant(u64);

struct Base {
    /// The monotonic clock at the base, in microseconds.
    monotonic_us: u64,
    /// Wall time at the base, in microseconds since 1970, as far as is known now.
    unix_us: AtomicU64,
}

thread_local! {
    static COARSE: Cell<Instant> = const { Cell::new(Instant(0)) };
    /// When this turn of the loop began, and the two before.
    static TURNS: Cell<[Instant; 3]> = const { Cell::new([Instant(0); 3]) };
}

impl Instant {
    /// Microseconds since the process's base.
    pub fn as_micros(self) -> u64 {
        self.0
    }

    /// An instant from microseconds since the process's base.
    pub fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This instant plus a duration.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Wall time of this instant, in microseconds since 1970: the monotonic clock, and the offset that [`resync`]
    /// last found.
    pub fn unix_us(self) -> u64 {
        base().unix_us.load(Relaxed) + self.0
    }

    /// Wall time of this instant, in seconds since 1970.
    pub fn unix_seconds(self) -> u64 {
        self.unix_us() / 1_000_000
    }
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| Base { monotonic_us: system_us(), unix_us: AtomicU64::new(system_unix_us()) })
}

/// The exact time: one read of the clock.
pub fn now() -> Instant {
    // Starts at 1 so that 0 can mean "never".
    Instant(1 + system_us().saturating_sub(base().monotonic_us))
}

/// The time of this thread's turn: no read of the clock. Zero on a thread that never called [`renew`].
#[inline]
pub fn coarse() -> Instant {
    COARSE.with(Cell::get)
}

/// Begins a turn of this thread's loop: called when it wakes. Renews its coarse time.
pub fn wake() {
    let now = renew();
    TURNS.with(|turns| {
        let [last, before, _] = turns.get();
        turns.set([now, last, before]);
    });
}

/// When this turn of the thread's loop began: what the reactor knows of a socket is as old as that. `None` on a thread whose
/// loop does not say.
pub fn turn() -> Option<Instant> {
    TURNS.with(|turns| Some(turns.get()[0]).filter(|began| began.0 > 0))
}

/// When the turn before the last began: what the reactor found in this turn came after that, nobody knows how long. Not the last
/// one, for that may have found nothing: who was stopped and goes on has his wait interrupted first (signal(7)). `None` on a
/// thread whose loop does not say.
pub fn turn_before() -> Option<Instant> {
    TURNS.with(|turns| Some(turns.get()[2]).filter(|began| began.0 > 0))
}

/// Renews this thread's coarse time and returns it. Called when the loop wakes, and after long work.
pub fn renew() -> Instant {
    let now = now();
    COARSE.with(|coarse| coarse.set(now));
    now
}

/// Takes over what was done to the system's wall clock meanwhile (NTP, an administrator). Called now and then.
pub fn resync() {
    let since_base = now().as_micros();
    base().unix_us.store(system_unix_us().saturating_sub(since_base), Relaxed);
}

/// Wall time now, in seconds since 1970.
pub fn unix_seconds() -> u64 {
    now().unix_seconds()
}

/// The monotonic clock in microseconds. Each request asks for it: `std::time::Instant` would compute with seconds and nanoseconds
/// apart, twice.
fn system_us() -> u64 {
    let read = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(read.tv_sec).unwrap_or_default() * 1_000_000
        + u64::try_from(read.tv_nsec).unwrap_or_default() / 1_000
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
fn system_unix_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// CPU time that this process has used so far, on all its threads.
pub fn process_cpu() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(used.tv_sec).unwrap_or_default(),
        u32::try_from(used.tv_nsec).unwrap_or_default(),
    )
}

/// Days since 1970 to (year, month, day) in the proleptic Gregorian calendar. Source: Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_index + 2) / 5 + 1) as u32;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// An IMF-fixdate (RFC 9110 section 5.6.7), 29 bytes.
pub fn http_date(unix_seconds: u64) -> [u8; 29] {
    const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let days = unix_seconds / 86_400;
    let seconds = unix_seconds % 86_400;
    let (year, month, day) = civil(days as i64);
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let two = |out: &mut [u8; 29], at: usize, value: u64| {
        out[at] = b'0' + (value / 10 % 10) as u8;
        out[at + 1] = b'0' + (value % 10) as u8;
    };
    out[..3].copy_from_slice(DAYS[(days % 7) as usize]);
    two(&mut out, 5, u64::from(day));
    out[8..11].copy_from_slice(MONTHS[month as usize - 1]);
    two(&mut out, 12, year as u64 / 100);
    two(&mut out, 14, year as u64 % 100);
    two(&mut out, 17, seconds / 3_600);
    two(&mut out, 20, seconds / 60 % 60);
    two(&mut out, 23, seconds % 60);
    out
}

/// The thread's cached Date value: formatted once a second.
pub fn date_value() -> [u8; 29] {
    thread_local! {
        static DATE: Cell<(u64, [u8; 29])> = const { Cell::new((u64::MAX, [0; 29])) };
    }
    let seconds = coarse().unix_seconds();
    DATE.with(|cached| {
        let (at, value) = cached.get();
        if at == seconds {
            return value;
        }
        let value = http_date(seconds);
        cached.set((seconds, value));
        value
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_rfc_writes_them() {
        assert_eq!(&http_date(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&http_date(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(&http_date(951_782_400), b"Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(&http_date(4_102_444_799), b"Thu, 31 Dec 2099 23:59:59 GMT");
    }

    #[test]
    fn coarse_time_stands_still_until_renewed() {
        let first = renew();
        assert_eq!(coarse(), first);
        let second = renew();
        assert!(second >= first);
        assert_eq!(coarse(), second);
    }
}
