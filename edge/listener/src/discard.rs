//! How much is read and thrown away of what comes behind the last words, so that these arrive: what the kernel holds unread when
//! a socket is closed makes it send a reset, which can overtake them (RFC 9112 section 9.6). Reads nothing itself.

use std::time::Duration;

/// How long that may take.
pub(crate) const TIME: Duration = Duration::from_secs(2);
const BYTES_MAX: usize = 256 * 1024;
/// What reading any counts as at least: a byte costs us as much as a packet.
const COUNTED_MIN: usize = 256;

/// Bytes that may still be thrown away.
#[derive(Debug)]
pub(crate) struct Left(usize);

impl Left {
    pub(crate) fn all() -> Self {
        Self(BYTES_MAX)
    }

    /// So many were; whether more may be.
    pub(crate) fn goes_on_after(&mut self, count: usize) -> bool {
        self.0 = self.0.saturating_sub(count.max(COUNTED_MIN));
        self.0 > 0
    }
}
