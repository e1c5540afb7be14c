//! The one account of bytes: cache, fills, buffers, queues. Everyone who holds memory on behalf of traffic
//! charges it here. Grants and refuses; frees nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What memory is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Account {
    /// Stored objects with their overhead.
    Cache,
    /// Objects on their way into the cache.
    Fills,
    /// Buffers of active connections.
    Buffers,
    /// What is known of objects on disk, and what waits to be written there or was read from there.
    Disk,
}

/// How full the whole is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Below 90 %.
    None,
    /// From 90 %: fills pass through instead of being stored.
    PassFills,
    /// From 95 %: the cache shrinks.
    ShrinkCache,
    /// Full: new connections get a 503.
    RefuseConnections,
}

const ACCOUNTS: usize = 4;

/// The account of bytes of one process.
#[derive(Debug)]
pub struct Ledger {
    bytes_max: u64,
    accounts: [AtomicU64; ACCOUNTS],
}

impl Account {
    /// All of them.
    pub const ALL: [Self; ACCOUNTS] = [Self::Cache, Self::Fills, Self::Buffers, Self::Disk];

    /// The word in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Fills => "fills",
            Self::Buffers => "buffers",
            Self::Disk => "disk",
        }
    }
}

impl Ledger {
    /// An empty account that may hold `bytes_max`.
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { bytes_max: bytes_max.max(1), accounts: Default::default() })
    }

    /// Charges bytes. Never refuses: whoever may be refused asks [`Ledger::pressure`] first.
    pub fn charge(&self, account: Account, bytes: u64) {
        self.accounts[account as usize].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives bytes back.
    pub fn release(&self, account: Account, bytes: u64) {
        let before = self.accounts[account as usize].fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "{account:?} gave back {bytes} of {before} bytes");
    }

    /// Bytes in one account.
    pub fn held(&self, account: Account) -> u64 {
        self.accounts[account as usize].load(Ordering::Relaxed)
    }

    /// Bytes in all accounts.
    pub fn total(&self) -> u64 {
        Account::ALL.iter().map(|&account| self.held(account)).sum()
    }

    /// Bytes that may be held.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// How full the whole is.
    pub fn pressure(&self) -> Pressure {
        // Of 100 parts; the product fits, for memory is far below 2^57 bytes.
        let parts = self.total().saturating_mul(100) / self.bytes_max;
        match parts {
            0..90 => Pressure::None,
            90..95 => Pressure::PassFills,
            95..100 => Pressure::ShrinkCache,
            _ => Pressure::RefuseConnections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_follows_the_sum_of_all_accounts() {
        let ledger = Ledger::new(1_000);
        ledger.charge(Account::Cache, 500);
        ledger.charge(Account::Fills, 399);
        assert_eq!(ledger.pressure(), Pressure::None);
        ledger.charge(Account::Buffers, 1);
        assert_eq!(ledger.pressure(), Pressure::PassFills);
        ledger.charge(Account::Buffers, 50);
        assert_eq!(ledger.pressure(), Pressure::ShrinkCache);
        ledger.charge(Account::Buffers, 50);
        assert_eq!(ledger.pressure(), Pressure::RefuseConnections);
        ledger.release(Account::Cache, 500);
        assert_eq!(ledger.pressure(), Pressure::None);
    }
}
