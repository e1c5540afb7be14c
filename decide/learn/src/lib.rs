//! Finds out, from what different visitors got for the same URL, what may be shared although it says nothing about
//! caching. Holds hashes, never content; reads no clock; draws no random numbers.
//!
//! A wrong rule must not be able to show one visitor's page to another. That does not hang on the evidence gathered
//! here, but on what the edge does with a [`Rule`]:
//!
//! 1. what it stores is the answer to a request that says nothing about who asks ([`says_nothing`], [`Rule::vary`]);
//! 2. it stores only what the endpoint gave twice: to such a request, and to a visitor's own ([`Rule::agreed`]);
//! 3. it gives it only to requests that say nothing about who asks.
//!
//! The evidence is there so that the anonymous page is also the *right* one.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod advice;
mod answers;
mod learner;
mod limits;
mod memory;
mod observation;
mod page;
mod proposals;
mod request;
mod rules;
mod shape;

pub use advice::{Advice, Proposal, ProposalKind, RuleAdvice, State};
pub use learner::Learner;
pub use limits::Limits;
pub use memory::{Memory, Past, ShapeBar};
pub use observation::{Answer, Dims, Observation, Trait, Traits, Who};
pub use page::Withdrawn;
pub use request::{agent_class, language_class, says_nothing};
pub use rules::{Change, Rule, Rules};
pub use shape::shape_of;
