//! The content of a stored response, shared by an object and those that a 304 makes of it. On the Ledger for as long
//! as anybody holds it.

use crate::charge::Charge;
use crate::chunks::PIECE_OVERHEAD;
use bytes::Bytes;
use std::any::Any;
use std::sync::{Arc, OnceLock};
use tentpole_esi::{EsiError, Parser, Plan};
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account;

#[derive(Debug)]
pub(crate) struct Body {
    pieces: Pieces,
    /// Where it may be a page to be put together.
    template: Option<Box<Template>>,
    ledger: Arc<Ledger>,
}

/// Most bodies are one piece: those spare a list and one pointer to follow.
#[derive(Debug)]
enum Pieces {
    One([Bytes; 1]),
    /// With the sum of their bytes.
    Any(Box<[Bytes]>, u64),
    /// Not in memory.
    Elsewhere(Elsewhere),
}

/// A content that is kept outside memory: whoever put it there knows how to read it.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// Where.
    pub place: Arc<dyn Any + Send + Sync>,
    /// Bytes of content.
    pub bytes: u64,
    /// Bytes of memory that `place` takes.
    pub cost: u64,
}

/// A page to be put together: what it is made of, once somebody wanted to know.
#[derive(Debug, Default)]
struct Template {
    plan: OnceLock<Planned>,
}

#[derive(Debug)]
struct Planned {
    plan: Result<Plan, EsiError>,
    _charge: Charge,
}

impl Body {
    /// Of pieces in order, none empty. `assembles` when it may be a page to be put together.
    pub(crate) fn new(ledger: &Arc<Ledger>, chunks: Vec<Bytes>, assembles: bool) -> Self {
        let pieces = match <[Bytes; 1]>::try_from(chunks) {
            Ok(one) => Pieces::One(one),
            Err(chunks) => {
                let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
                Pieces::Any(chunks.into(), bytes)
            }
        };
        Self::of(ledger, pieces, assembles.then(Box::default))
    }

    /// That is kept elsewhere.
    pub(crate) fn elsewhere(ledger: &Arc<Ledger>, elsewhere: Elsewhere) -> Self {
        Self::of(ledger, Pieces::Elsewhere(elsewhere), None)
    }

    fn of(ledger: &Arc<Ledger>, pieces: Pieces, template: Option<Box<Template>>) -> Self {
        let body = Self { pieces, template, ledger: ledger.clone() };
        ledger.charge(Account::Cache, body.cost());
        body
    }

    /// See [`crate::Object::assembles`].
    pub(crate) fn assembles(&self) -> bool {
        self.template.is_some()
    }

    /// Where it is kept, if not in memory.
    #[inline]
    pub(crate) fn place(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        match &self.pieces {
            Pieces::Elsewhere(elsewhere) => Some(&elsewhere.place),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn chunks(&self) -> &[Bytes] {
        match &self.pieces {
            Pieces::One(one) => one,
            Pieces::Any(chunks, _) => chunks,
            Pieces::Elsewhere(_) => &[],
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        match &self.pieces {
            Pieces::One([one]) => one.len() as u64,
            Pieces::Any(_, bytes) => *bytes,
            Pieces::Elsewhere(elsewhere) => elsewhere.bytes,
        }
    }

    /// Bytes of memory, with what each piece costs beside its content.
    pub(crate) fn cost(&self) -> u64 {
        match &self.pieces {
            Pieces::Elsewhere(elsewhere) => elsewhere.cost,
            _ => self.bytes() + self.chunks().len() as u64 * PIECE_OVERHEAD,
        }
    }

    /// See [`crate::Object::plan`]. Holds nobody up: two who are first at the same time both find out.
    #[inline]
    pub(crate) fn plan(&self) -> Option<&Result<Plan, EsiError>> {
        let template = self.template.as_ref()?;
        Some(template.plan.get().map_or_else(|| self.found_out(template), |planned| &planned.plan))
    }

    #[cold]
    fn found_out<'a>(&'a self, template: &'a Template) -> &'a Result<Plan, EsiError> {
        let mut parser = Parser::new();
        let fed = self.chunks().iter().try_for_each(|chunk| parser.feed(chunk));
        let plan = fed.and_then(|()| parser.finish());
        let bytes = size_of::<Template>() as u64 + plan.as_ref().map_or(0, Plan::memory_bytes);
        let charge = Charge::new(&self.ledger, Account::Cache, bytes);
        &template.plan.get_or_init(|| Planned { plan, _charge: charge }).plan
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.ledger.release(Account::Cache, self.cost());
    }
}
