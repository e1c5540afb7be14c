//! After how long an endpoint closes an idle connection, learned from what happens to them, and which of them may
//! therefore be used again. Holds no connection, reads no clock and knows no endpoint by name.
//!
//! Two times are known. `kept`: some connection stood idle for so long and was open still. `closed`: one was found
//! closed that had been open at least so long before. The endpoint's own limit lies between them, and both fall at
//! once when a connection is found closed earlier. They rise with each connection that was open longer; where that
//! contradicts what was seen, only as far as doubles it, so that a limit is unlearned by several observations and
//! learned by one.

mod lately;

pub use lately::{Lately, WINDOW};

use std::time::Duration;

/// A request that may not be sent twice goes on a connection that was used just now, whatever is known. No server is
/// known to close after a shorter time, and such a request would pay for a connection in the middle of a burst.
const JUST_NOW: Duration = Duration::from_millis(10);
/// A shorter limit is not believed: at this time what was found closed was closed for another reason (a restart, its
/// last request), and waiting for less than this is no waiting.
const CLOSED_MIN_MS: u32 = 20;

/// What is known of one endpoint. Milliseconds; nothing is known at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// 0: no connection was seen idle.
    kept_ms: u32,
    /// 0: none was seen closed.
    closed_ms: u32,
}

/// What a request needs of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It can be sent again when the connection turns out to be closed.
    Usable,
    /// It cannot: the connection must not close in this moment.
    Fresh,
}

impl Limit {
    /// From one number, as [`Limit::bits`] gave it.
    pub fn from_bits(bits: u64) -> Self {
        Self { kept_ms: bits as u32, closed_ms: (bits >> 32) as u32 }
    }

    /// As one number, so that threads can exchange it as a whole. 0: nothing is known. The upper half is the limit in
    /// milliseconds, 0 when none is known.
    pub fn bits(self) -> u64 {
        u64::from(self.closed_ms) << 32 | u64::from(self.kept_ms)
    }

    /// How long idle connections stay open there; `None` while none was seen closed.
    pub fn closed(self) -> Option<Duration> {
        (self.closed_ms > 0).then(|| Duration::from_millis(self.closed_ms.into()))
    }

    /// A connection idle for less than this may be used: a tenth before the limit; `None` is no limit.
    ///
    /// For [`Need::Fresh`] it is half of what was seen to be kept: whatever an endpoint's limit is, as long as it
    /// is the same for each connection, half of it is never near it, also before any connection was seen closed.
    pub fn usable_below(self, need: Need) -> Option<Duration> {
        match need {
            Need::Usable => self.closed().map(|closed| closed * 9 / 10),
            Need::Fresh => Some(self.kept() / 2).map(|half| half.max(JUST_NOW)),
        }
    }

    /// The same, where one was found closed after `earliest` lately: what may not be sent twice stays below half of that too.
    pub fn usable_below_lately(self, need: Need, earliest: Option<Duration>) -> Option<Duration> {
        let below = self.usable_below(need);
        match (need, earliest) {
            (Need::Fresh, Some(earliest)) => below.map(|below| below.min((earliest / 2).max(JUST_NOW))),
            _ => below,
        }
    }

    /// A connection was open after this time idle.
    #[must_use]
    pub fn survived(self, idle: Duration) -> Self {
        let idle = millis(idle);
        let closed_ms = match self.closed_ms {
            closed if closed == 0 || idle <= closed => closed,
            closed => idle.min(closed.saturating_mul(2)),
        };
        let kept_max = if closed_ms == 0 { u32::MAX } else { closed_ms };
        Self { kept_ms: self.kept_ms.max(idle).min(kept_max), closed_ms }
    }

    /// A connection was found closed that had been open after this time idle.
    #[must_use]
    pub fn closed_after(self, idle: Duration) -> Self {
        let idle = millis(idle);
        if self.closed_ms > 0 && idle > self.closed_ms {
            return self.survived(Duration::from_millis(idle.into()));
        }
        Self { kept_ms: self.kept_ms.min(idle), closed_ms: idle.max(CLOSED_MIN_MS) }
    }

    /// The endpoint says that it closes after this time (`Keep-Alive: timeout=N`, RFC 2068 section 19.7.1). That can
    /// only lower what was seen: it is a hint, and between it and us may stand something that closes earlier.
    #[must_use]
    pub fn announced(self, timeout: Duration) -> Self {
        let announced = millis(timeout).max(CLOSED_MIN_MS);
        let closed_ms = if self.closed_ms == 0 { announced } else { self.closed_ms.min(announced) };
        Self { kept_ms: self.kept_ms.min(closed_ms), closed_ms }
    }

    fn kept(self) -> Duration {
        Duration::from_millis(self.kept_ms.into())
    }
}

/// The timeout in the value of a `Keep-Alive` field: `timeout=5, max=100`. Zero and what is no number say nothing.
pub fn announced(value: &[u8]) -> Option<Duration> {
    let parameters = value.split(|&byte| byte == b',' || byte == b';').map(<[u8]>::trim_ascii);
    let seconds = parameters.filter_map(|parameter| {
        let at = parameter.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (parameter[..at].trim_ascii(), parameter[at + 1..].trim_ascii());
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(value).ok().filter(|_| is_number)?.parse::<u32>().ok()?;
        (name.eq_ignore_ascii_case(b"timeout") && number > 0).then_some(number)
    });
    seconds.min().map(|seconds| Duration::from_secs(seconds.into()))
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
