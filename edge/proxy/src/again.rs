//! Whether a request is sent once more, and where: what `decide/retry` says, the attempts that are left, who was not asked
//! yet, and the pool's budget. Never sends a request twice that may have had an effect.

use crate::exchange::Exchange;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use tentpole_http1::Piece;
use tentpole_model::{ATTEMPTS_MAX, Failure, NotAgain, Retrying};
use tentpole_retry::{After, Allowance, Asked, Budget, after_failure, after_status};
use tentpole_runtime::clock;
use tentpole_upstream::Gate;

/// Of the body of an answer that is not used, so many bytes are read where they have come already: then the
/// connection can be used again.
const DISCARDED_MAX: usize = 64 * 1024;

/// What one request may still do.
pub(crate) struct Again<'a> {
    pub(crate) retrying: &'a Retrying,
    gate: &'a Gate,
}

impl<'a> Again<'a> {
    /// Counts the request: it pays its part into the budget.
    pub(crate) fn of(retrying: &'a Retrying, gate: &'a Gate) -> Self {
        let again = Self { retrying, gate };
        let allowance = again.allowance();
        if allowance.percent > 0 {
            let earned = |bits| Some(Budget::from_bits(bits).earned(allowance, now_ms()).bits());
            let _ = gate.budget.fetch_update(Relaxed, Relaxed, earned);
        }
        again
    }

    /// Whether a copy seems to be left.
    pub(crate) fn has_copies(&self) -> bool {
        let left = Budget::from_bits(self.gate.budget.load(Relaxed));
        left.spent(self.allowance(), now_ms()).is_some()
    }

    /// Takes a copy out of the budget; false when none is left.
    pub(crate) fn spend(&self) -> bool {
        let allowance = self.allowance();
        let spent = |bits| Some(Budget::from_bits(bits).spent(allowance, now_ms())?.bits());
        self.gate.budget.fetch_update(Relaxed, Relaxed, spent).is_ok()
    }

    /// Whether any attempt is left after so many.
    pub(crate) fn has_attempts(&self, made: usize) -> bool {
        made < ATTEMPTS_MAX.min(self.retrying.attempts_max as usize)
    }

    /// Whether the request is sent again after a failure; `Err` with the reason, where it has one.
    pub(crate) fn after_failure(
        &self,
        failure: &Failure,
        asked: Asked,
        made: usize,
        elsewhere: bool,
    ) -> Result<(), Option<NotAgain>> {
        self.decide(after_failure(self.retrying, failure, asked), made, elsewhere)
    }

    /// The same after an answer.
    pub(crate) fn after_status(
        &self,
        status: u16,
        retry_after: Option<&[u8]>,
        asked: Asked,
        made: usize,
    ) -> Result<(), Option<NotAgain>> {
        // Where nobody else is left the same endpoint is asked, after a pause.
        self.decide(after_status(self.retrying, status, retry_after, asked), made, true)
    }

    fn decide(&self, after: After, made: usize, elsewhere: bool) -> Result<(), Option<NotAgain>> {
        match after {
            After::Nothing => Err(None),
            After::Not(reason) => Err(Some(reason)),
            _ if !self.has_attempts(made) => Err(Some(NotAgain::AttemptsSpent)),
            _ if !elsewhere => Err(Some(NotAgain::NowhereElse)),
            After::Moved => Ok(()),
            // Last: what is not sent costs nothing.
            After::Copied if self.spend() => Ok(()),
            After::Copied => Err(Some(NotAgain::BudgetSpent)),
        }
    }

    fn allowance(&self) -> Allowance {
        let Retrying { budget_percent, budget_min_per_s, .. } = *self.retrying;
        Allowance { percent: budget_percent, min_per_s: budget_min_per_s }
    }
}

fn now_ms() -> u64 {
    clock::coarse().as_micros() / 1_000
}

impl Exchange {
    /// Ends it without its body: the connection serves again when what is left of it is here already and short.
    pub(crate) fn discard(mut self, thread: &crate::thread::Thread) {
        let mut context = Context::from_waker(Waker::noop());
        let mut left = DISCARDED_MAX;
        while left > 0 {
            match self.source.poll_piece(&mut context, &mut self.body) {
                Poll::Ready(Ok(Piece::Data { skip, len })) => {
                    self.source.consume(skip + len);
                    left = left.saturating_sub(len);
                }
                Poll::Ready(Ok(Piece::End)) => return self.finish(thread),
                // Not here, or broken: it is closed.
                Poll::Ready(Err(_)) | Poll::Pending => return,
            }
        }
    }
}
