//! Which requests are a load test's: those with its signed mark, `Tentpole-Load: run=…; at=…; account=…; sig=…` (docs/load.md). They are
//! counted apart from visitors', and are served like all others: nothing is allowed by a mark, so that one that was copied does
//! no harm beyond its few minutes.

use crate::sticky::{is_same, unhex};
use ring::hmac::{self, HMAC_SHA256};
use tentpole_message::Fields;
use tentpole_model::Secret;
use tentpole_runtime::{notice, secret};

const FIELD: &[u8] = b"tentpole-load";
/// What is signed begins with this.
const CONTEXT: &[u8] = b"tentpole load\0";
/// Bytes of a mark at most: its run's name, time and test account are short.
const BYTES_MAX: usize = 160;
/// How far apart two clocks may be.
const SKEW_S: u64 = 300;

/// The key that both sides have.
#[derive(Debug)]
pub(crate) struct Marked {
    key: hmac::Key,
}

impl Marked {
    /// `None` where nothing is agreed, or the key cannot be read, which is said.
    pub(crate) fn read(key: Option<&Secret>) -> Option<Self> {
        match secret::read(key?) {
            Ok(text) => Some(Self { key: hmac::Key::new(HMAC_SHA256, text.as_bytes()) }),
            Err(why) => {
                notice(format_args!("requests of load tests are not recognised: {why}"));
                None
            }
        }
    }

    /// Whether a request is one, at this time in seconds since 1970.
    pub(crate) fn is(&self, fields: &Fields, now: u64) -> bool {
        let mut marks = fields.find(FIELD);
        match (marks.next(), marks.next()) {
            (Some(mark), None) => self.holds(mark, now),
            _ => false,
        }
    }

    fn holds(&self, mark: &[u8], now: u64) -> bool {
        let Some(text) = std::str::from_utf8(mark).ok().filter(|text| text.len() <= BYTES_MAX) else {
            return false;
        };
        let Some((said, signature)) = text.split_once("; sig=") else { return false };
        let at = said.split_once("; at=").map(|(_, at)| at.split_once(';').map_or(at, |(at, _)| at));
        let at = at.and_then(|at| at.parse::<u64>().ok());
        if at.is_none_or(|at| at.abs_diff(now) > SKEW_S) {
            return false;
        }
        let Some(signature) = unhex::<16>(signature.as_bytes()) else { return false };
        let mut context = hmac::Context::with_key(&self.key);
        context.update(CONTEXT);
        context.update(said.as_bytes());
        is_same(&signature, &context.sign().as_ref()[..16])
    }
}

/// What a mark says, without its proof: for the access log.
pub(crate) fn said(fields: &Fields) -> &[u8] {
    let mark = fields.find(FIELD).next().unwrap_or_default();
    mark.windows(6).position(|at| at == b"; sig=").map_or(mark, |end| &mark[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(key: &str) -> Marked {
        Marked { key: hmac::Key::new(HMAC_SHA256, key.as_bytes()) }
    }

    /// As docs/load.md says that it is made.
    fn mark(key: &str, at: u64) -> String {
        mark_of(key, &format!("run=00000000000000ff; at={at}"))
    }

    fn mark_of(key: &str, said: &str) -> String {
        let key = hmac::Key::new(HMAC_SHA256, key.as_bytes());
        let tag = hmac::sign(&key, format!("tentpole load\0{said}").as_bytes());
        let hex: String = tag.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{said}; sig={hex}")
    }

    fn is(key: &str, marks: &[&str], now: u64) -> bool {
        let mut fields = Fields::new();
        marks.iter().for_each(|mark| fields.push(b"Tentpole-Load", mark.as_bytes()));
        marked(key).is(&fields, now)
    }

    #[test]
    fn only_who_has_the_key_and_the_time_is_recognised() {
        let good = mark("agreed", 1_000);
        assert!(is("agreed", &[&good], 1_000) && is("agreed", &[&good], 1_300));
        assert!(!is("agreed", &[&good], 1_301) && !is("agreed", &[&good], 699), "too old, or of tomorrow");
        assert!(!is("another", &[&good], 1_000));
        assert!(!is("agreed", &[], 1_000) && !is("agreed", &[&good, &good], 1_000));
        let with_account = mark_of("agreed", "run=ff; at=1000; account=load-test@shop.example");
        assert!(is("agreed", &[&with_account], 1_000) && !is("agreed", &[&with_account], 1_301));
        assert!(!is("agreed", &[&with_account.replace("load-test", "customer1")], 1_000), "it is signed");
        let mut fields = Fields::new();
        fields.push(b"Tentpole-Load", with_account.as_bytes());
        assert_eq!(said(&fields), b"run=ff; at=1000; account=load-test@shop.example");
        let changed = good.replace("ff;", "fe;");
        let cut = &good[..good.len() - 1];
        for bad in [changed.as_str(), cut, "run=ff; at=1000", "", "; at=1000; sig=", &"x".repeat(5_000)] {
            assert!(!is("agreed", &[bad], 1_000), "{bad}");
        }
    }
}
