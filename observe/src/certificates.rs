//! Until when the certificates in use hold, as metrics show it. Asks when a page is made; reads no certificate.

use crate::exposition::Exposition;
use crate::names;
use std::fmt;
use tentpole_model::CertificateEnd;

/// A certificate that ends within this time is told of: what renews them by itself does so 30 days ahead, and tries for days.
const SOON_S: u64 = 14 * 86_400;
/// Those that are told of at most.
const TOLD_MAX: usize = 16;

/// One certificate in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The first host that it names; empty when it names none.
    pub host: String,
    /// Where it was read.
    pub file: String,
    /// When it expires, in seconds since 1970.
    pub ends_s: u64,
}

/// Asks for them.
pub(crate) struct AskCertificates(pub Box<dyn Fn() -> Vec<Certificate> + Send + Sync>);

impl fmt::Debug for AskCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AskCertificates")
    }
}

/// Those that have ended or will within [`SOON_S`], the first to end first, [`TOLD_MAX`] at most. `now_s` is the present, in
/// seconds since 1970.
pub(crate) fn ending(certificates: Vec<Certificate>, now_s: u64) -> Vec<CertificateEnd> {
    let mut ending: Vec<_> = certificates
        .into_iter()
        .filter(|one| one.ends_s.saturating_sub(now_s) < SOON_S)
        .map(|Certificate { host, file, ends_s }| CertificateEnd { host, file, ends_unix_s: ends_s })
        .collect();
    ending.sort_by_key(|one| one.ends_unix_s);
    ending.truncate(TOLD_MAX);
    ending
}

impl Exposition {
    pub(crate) fn certificates(&mut self, certificates: &[Certificate]) {
        self.family(&names::CERTIFICATE_ENDS);
        for one in certificates {
            let labels = [("host", one.host.as_str()), ("file", one.file.as_str())];
            self.sample(&names::CERTIFICATE_ENDS, &labels, one.ends_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_end_first_are_told_first_and_no_others() {
        const DAY: u64 = 86_400;
        let now = 1_000 * DAY;
        let one =
            |host: &str, ends_s| Certificate { host: host.into(), file: format!("/{host}.pem"), ends_s };
        let all = vec![
            one("fine", now + 14 * DAY),
            one("soon", now + 14 * DAY - 1),
            one("over", now - 3 * DAY),
            one("tomorrow", now + DAY),
        ];
        let told = ending(all, now);
        assert_eq!(
            told.iter().map(|one| one.host.as_str()).collect::<Vec<_>>(),
            ["over", "tomorrow", "soon"]
        );
        assert_eq!((told[0].file.as_str(), told[0].ends_unix_s), ("/over.pem", now - 3 * DAY));
        let many = (0..100).map(|number| one("many", now + number)).collect();
        assert_eq!(ending(many, now).len(), TOLD_MAX);
    }
}
