//! What was learned, as one JSON document for the API: docs/learning.md says how to read it.

use super::Learning;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use tentpole_learn::{Advice, Proposal, ProposalKind, RuleAdvice, State};
use tentpole_runtime::clock;

impl Learning {
    /// The document.
    pub fn advice(&self) -> String {
        let origin_us = self.origin_us.load(Ordering::Relaxed);
        let now_ms = super::millis(clock::now());
        let (advice, pages) = {
            let learner = self.learner();
            (learner.advice(origin_us, now_ms), learner.pages())
        };
        let Advice { observed, rules, proposals } = advice;
        let document = json!({
            "observed": observed,
            "dropped": self.dropped.load(Ordering::Relaxed),
            "pages": pages,
            "in_force": self.rules.get().len(),
            "origin_ms": origin_us / 1_000,
            "rules": rules.iter().map(rule).collect::<Vec<Value>>(),
            "proposals": proposals.iter().map(proposal).collect::<Vec<Value>>(),
        });
        document.to_string()
    }
}

fn rule(rule: &RuleAdvice) -> Value {
    let (state, why, again_in_s) = match rule.state {
        State::WouldApply => ("would apply", None, None),
        State::Applied => ("applied", None, None),
        State::Withdrawn(why, milliseconds) => ("withdrawn", Some(why), Some(milliseconds / 1_000)),
        State::Watching => ("watching", None, None),
    };
    json!({
        "pages": rule.pages,
        "example": rule.example,
        "state": state,
        "why": why,
        "again_in_s": again_in_s,
        "ruled": rule.ruled,
        "seen": rule.seen,
        "samples": rule.samples,
        "visitors": rule.visitors,
        "minutes": rule.milliseconds as f64 / 60_000.0,
        "origin_share": rule.share,
        "saves_share": rule.saves,
        "vary": rule.vary.names().collect::<Vec<_>>(),
    })
}

fn proposal(proposal: &Proposal) -> Value {
    let kind = match proposal.kind {
        ProposalKind::IgnoreCookie => "ignore_cookie",
        ProposalKind::DropParameter => "drop_parameter",
        ProposalKind::DropTrackingParameter => "drop_tracking_parameter",
        ProposalKind::StopSettingCookie => "stop_setting_cookie",
    };
    json!({
        "kind": kind,
        "name": proposal.name,
        "samples": proposal.samples,
        "pages": proposal.pages,
        "visitors": proposal.visitors,
        "values": proposal.values,
        "minutes": proposal.milliseconds as f64 / 60_000.0,
        "origin_share": proposal.share,
    })
}
