//! Fields with a secret in them that one side sends and the other asks for: an endpoint locked to all but us, and we to
//! all but the content network in front. Read once when a Snapshot is published. Never shows a secret.

use crate::prepare::Prepared;
use crate::purging::same;
use tentpole_http1 as http1;
use tentpole_message::{Fields, RequestHead};
use tentpole_model::{Method, SecretField};
use tentpole_runtime::{notice, secret};

/// The fields, and what must stand in them.
#[derive(Default)]
pub struct Lock {
    fields: Vec<Wanted>,
    lines: Vec<u8>,
}

struct Wanted {
    name: String,
    /// `None` when the secret is not there.
    value: Option<Vec<u8>>,
}

impl Lock {
    /// Reads the secrets; says which are not there, and what `becomes` of it.
    pub fn read(fields: &[SecretField], becomes: &str) -> Self {
        let mut lock = Self::default();
        for field in fields {
            let value = secret::read_for_field(&field.value)
                .map_err(|why| {
                    notice(format_args!("the field {} has no value: {why}; {becomes}", field.name))
                })
                .ok();
            if let Some(value) = &value {
                http1::write_field(&mut lock.lines, field.name.as_bytes(), value.as_bytes());
            }
            let value = value.map(String::into_bytes);
            lock.fields.push(Wanted { name: field.name.clone(), value });
        }
        lock
    }

    /// The fields as lines.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|wanted| wanted.name.as_str())
    }

    /// Whether each field is there, and right however often. Without a secret nobody is let in.
    pub fn opens(&self, sent: &Fields) -> bool {
        self.fields.iter().all(|Wanted { name, value }| {
            let mut sent = sent.find(name.as_bytes()).peekable();
            let Some(value) = value else { return false };
            sent.peek().is_some() && sent.all(|sent| same(sent, value))
        })
    }
}

/// Whether a request brings what each must bring, or asks only for what all may see. By https it has shown the certificate
/// that may be wanted.
pub fn is_let_in(prepared: &Prepared, request: &RequestHead, method: Method, by_https: bool) -> bool {
    let has_certificate = by_https || prepared.snapshot.tls.client_authority.is_none();
    (has_certificate && prepared.require.opens(&request.fields)) || {
        let asked_for = http1::split_target(request).path_and_query;
        let path = asked_for.split(|&byte| byte == b'?').next().unwrap_or_default();
        matches!(method, Method::Get | Method::Head) && prepared.snapshot.front.is_open(path)
    }
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
