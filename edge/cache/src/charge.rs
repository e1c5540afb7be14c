//! Bytes charged to the Ledger for as long as a value lives: what is held cannot be forgotten to be given back.

use std::sync::Arc;
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account;

/// Bytes on one account; given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    ledger: Arc<Ledger>,
    account: Account,
    bytes: u64,
}

impl Charge {
    pub(crate) fn new(ledger: &Arc<Ledger>, account: Account, bytes: u64) -> Self {
        ledger.charge(account, bytes);
        Self { ledger: ledger.clone(), account, bytes }
    }

    /// Charges or gives back the difference.
    pub(crate) fn set(&mut self, bytes: u64) {
        if bytes > self.bytes {
            self.ledger.charge(self.account, bytes - self.bytes);
        } else if bytes < self.bytes {
            self.ledger.release(self.account, self.bytes - bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.release(self.account, self.bytes);
    }
}
