//! One call to a content network's API: credentials, the request, and whether the answer says yes. Tries once.

use crate::calls::Call;
use std::time::Duration;
use tentpole_model::{ContentNetwork, ContentService, Secret};
use tentpole_runtime::secret;
use tentpole_sigv4::{Key, Signed, hash};
use ureq::Agent;
use ureq::http::Request;

/// Time for one call, from dialing to the answer's end.
const CALL_TIME: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Signs of an answer that are said.
const SAID_MAX: usize = 160;

/// Why a call did not do what it should.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// In words, without any credential.
    pub(crate) what: String,
    /// Whether another attempt may help.
    pub(crate) again: Again,
}

/// Whether another attempt may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It says no, and will again.
    No,
    /// It may, after a pause.
    Yes,
    /// It says itself after how long.
    After(Duration),
}

/// What sends.
pub(crate) fn agent() -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(CALL_TIME))
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("tentpole/", env!("CARGO_PKG_VERSION")));
    #[cfg(feature = "tls")]
    let config = config.tls_config(tls());
    config.build().new_agent()
}

/// The certificates of the system, and the one crypto provider of the house.
#[cfg(feature = "tls")]
fn tls() -> ureq::tls::TlsConfig {
    use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
    // What cannot be loaded is missing in the handshake, whose error says so.
    let found = rustls_native_certs::load_native_certs();
    let roots = found.certs.iter().map(|der| Certificate::from_der(der).to_owned());
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&roots.collect::<Vec<_>>()))
        .build()
}

/// Makes the call. `time` is now, as ISO 8601 basic format in UTC: `20150830T123600Z`.
pub(crate) fn send(agent: &Agent, network: &ContentNetwork, call: &Call, time: &str) -> Result<(), Trouble> {
    let refuse = |what: String| Trouble { what, again: Again::No };
    let mut fields: Vec<(String, String)> =
        call.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    fields.extend(credentials(network, call, time).map_err(refuse)?);
    let mut request = Request::builder().method("POST").uri(format!("{}{}", network.api, call.path));
    for (name, value) in &fields {
        request = request.header(name, value);
    }
    let request = request.body(call.body.as_bytes());
    let request = request.map_err(|error| refuse(format!("the call cannot be written: {error}")))?;
    let mut response = agent.run(request).map_err(|error| Trouble {
        what: format!("{} cannot be reached: {error}", network.api),
        again: Again::Yes,
    })?;
    let status = response.status().as_u16();
    let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().unwrap_or_default();
    judge(&network.service, status, wait, &text)
}

/// Whether the answer says that it was done.
fn judge(service: &ContentService, status: u16, wait_s: Option<u64>, text: &str) -> Result<(), Trouble> {
    let said = || format!("{} answers {status}: {}", service.label(), short(text));
    match status {
        200..=299 => {
            let says_no = matches!(service, ContentService::Cloudflare { .. })
                && serde_json::from_str::<serde_json::Value>(text)
                    .map_or(true, |answer| answer["success"].as_bool() != Some(true));
            if says_no { Err(Trouble { what: said(), again: Again::No }) } else { Ok(()) }
        }
        408 | 429 | 500..=599 => {
            let again = wait_s.map_or(Again::Yes, |seconds| Again::After(Duration::from_secs(seconds)));
            Err(Trouble { what: said(), again })
        }
        _ => Err(Trouble { what: said(), again: Again::No }),
    }
}

/// Whether the credentials are there.
pub(crate) fn check(network: &ContentNetwork) -> Result<(), String> {
    let secrets = match &network.service {
        ContentService::Fastly { token, .. } | ContentService::Cloudflare { token, .. } => vec![token],
        ContentService::CloudFront { key_id, key, .. } => vec![key_id, key],
    };
    secrets.into_iter().try_for_each(|secret| secret::read(secret).map(drop))
}

fn credentials(network: &ContentNetwork, call: &Call, time: &str) -> Result<Vec<(String, String)>, String> {
    let field = |name: &str, value: String| vec![(name.to_owned(), value)];
    Ok(match &network.service {
        ContentService::Fastly { token, .. } => field("Fastly-Key", secret::read(token)?),
        ContentService::Cloudflare { token, .. } => {
            field("Authorization", format!("Bearer {}", secret::read(token)?))
        }
        ContentService::CloudFront { key_id, key, session, .. } => {
            let (id, key) = (secret::read(key_id)?, secret::read(key)?);
            signed(network, call, time, &Key { id: &id, secret: &key }, &session_token(session.as_ref())?)
        }
    })
}

/// Keys that are not temporary have none.
fn session_token(session: Option<&Secret>) -> Result<Option<String>, String> {
    match session {
        Some(Secret::Variable(name)) if std::env::var_os(name).is_none() => Ok(None),
        Some(secret) => secret::read(secret).map(Some),
        None => Ok(None),
    }
}

fn signed(
    network: &ContentNetwork,
    call: &Call,
    time: &str,
    key: &Key<'_>,
    session: &Option<String>,
) -> Vec<(String, String)> {
    let host = network.api.split_once("://").map_or("", |(_, authority)| authority);
    let content = hash(call.body.as_bytes());
    let mut fields = vec![("host", host), ("x-amz-content-sha256", &content), ("x-amz-date", time)];
    fields.extend(
        call.fields
            .iter()
            .find(|(name, _)| *name == "Content-Type")
            .map(|(_, value)| ("content-type", &**value)),
    );
    fields.extend(session.as_deref().map(|token| ("x-amz-security-token", token)));
    fields.sort_unstable();
    let signed = Signed {
        method: "POST",
        path: &call.path,
        fields: &fields,
        content: &content,
        time,
        // CloudFront is one for the whole world, and signed for there.
        region: "us-east-1",
        service: "cloudfront",
    };
    let authorization = ("authorization".to_owned(), signed.authorization(key));
    let own = fields.iter().filter(|(name, _)| name.starts_with("x-amz-"));
    own.map(|&(name, value)| (name.to_owned(), value.to_owned())).chain([authorization]).collect()
}

/// The beginning of an answer, on one line.
fn short(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = line.chars().filter(|sign| !sign.is_control()).take(SAID_MAX).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    if short.is_empty() { "nothing".to_owned() } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloudflare() -> ContentService {
        ContentService::Cloudflare { zone: "Z".into(), token: Secret::Variable("T".into()) }
    }

    fn again(status: u16, wait_s: Option<u64>, text: &str) -> Option<Again> {
        judge(&cloudflare(), status, wait_s, text).err().map(|trouble| trouble.again)
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        assert_eq!(again(200, None, r#"{"success":true}"#), None);
        assert_eq!(again(200, None, r#"{"success":false,"errors":[]}"#), Some(Again::No));
        assert_eq!(again(200, None, "<p>hello"), Some(Again::No));
        assert_eq!(again(403, None, ""), Some(Again::No));
        assert_eq!(again(502, None, ""), Some(Again::Yes));
        assert_eq!(again(429, Some(7), ""), Some(Again::After(Duration::from_secs(7))));
    }

    #[test]
    fn an_answer_is_said_in_one_short_line() {
        assert_eq!(short("  a\n\tb \u{1b}[31m"), "a b [31m…");
        assert_eq!(short(""), "nothing");
        assert!(short(&"x".repeat(5_000)).chars().count() <= SAID_MAX + 1);
    }
}
