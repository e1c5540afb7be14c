//! The earliest close of the last half minute, and of the one before. An endpoint that is held up closes nothing
//! meanwhile: its connections stand open for longer than its limit, many at once, and what they teach is true for that
//! moment only. When it goes on, it closes as early as ever. So what may not be sent twice goes by the earliest close of
//! lately, whatever was seen open since.

use std::time::Duration;

/// Half a minute: longer than an endpoint is held up before health checks say so, and short enough that one with a new limit
/// is believed soon.
pub const WINDOW: Duration = Duration::from_secs(30);
/// Bits of a time in milliseconds: four and a half hours.
const BITS: u32 = 24;
/// Nothing was closed.
const NONE: u64 = (1 << BITS) - 1;
/// What is closed earlier was closed for another reason.
const EARLY: Duration = Duration::from_millis(20);

/// The earliest closes. 0 as a number: none was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lately(u64);

impl Lately {
    /// From one number, as [`Lately::bits`] gave it.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As one number, so that threads can exchange it as a whole.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// A connection was found closed, this long after the process began, that had been open after so long idle.
    #[must_use]
    pub fn closed_after(self, idle: Duration, now: Duration) -> Self {
        if idle < EARLY {
            return self;
        }
        let (window, [this, before]) = self.at(now);
        let idle = u64::try_from(idle.as_millis()).unwrap_or(NONE).min(NONE - 1);
        // One more than it is, so that none at all is 0.
        Self((window + 1) << (2 * BITS) | this.min(idle) << BITS | before)
    }

    /// The earliest close of the last half minute, or of up to twice that time.
    pub fn earliest(self, now: Duration) -> Option<Duration> {
        let (_, [this, before]) = self.at(now);
        let earliest = this.min(before);
        (earliest != NONE).then(|| Duration::from_millis(earliest))
    }

    /// The window of this moment, and what is known of it and of the one before.
    fn at(self, now: Duration) -> (u64, [u64; 2]) {
        // 16 bits less one value: it comes round after three weeks.
        let window = now.as_secs() / WINDOW.as_secs() % 0xffff;
        let (this, before) = (self.0 >> BITS & NONE, self.0 & NONE);
        let known = match (self.0 >> (2 * BITS)).checked_sub(1) {
            Some(known) if known == window => [this, before],
            Some(known) if (known + 1) % 0xffff == window => [NONE, this],
            _ => [NONE; 2],
        };
        (window, known)
    }
}
