//! From what was typed to the head that a visitor's browser would send.

use crate::args;
use tentpole_model::{HostPattern, Snapshot};

/// The request, as it would come.
pub(crate) struct Asked {
    /// `GET http://shop.example/cart`
    pub(crate) line: String,
    /// Its head.
    pub(crate) head: Vec<u8>,
    /// The connection is TLS.
    pub(crate) tls: bool,
    /// The answer's head, if one was named.
    pub(crate) answer: Option<Vec<u8>>,
}

/// Reads it; or says what is wrong.
pub(crate) fn read(typed: &args::Explain, snapshot: &Snapshot) -> Result<Asked, String> {
    let mut words = typed.request.split_whitespace();
    let (method, address) = match (words.next(), words.next(), words.next()) {
        (Some(method), Some(address), None) => (method, address),
        (Some(address), None, None) => ("GET", address),
        _ => return Err(format!("the request is {:?}; write method and path: 'GET /cart'.", typed.request)),
    };
    let (scheme, host, target) = parts(address)?;
    let tls = typed.https || scheme == Some("https");
    for field in &typed.header {
        check(field, "--header")?;
    }
    let own_host = typed.header.iter().find_map(|field| {
        let (name, value) = field.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
    });
    let named = typed.site.as_deref().or(host);
    let host = own_host.clone().unwrap_or_else(|| host_of(named, snapshot));
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if own_host.is_none() {
        head += &format!("Host: {host}\r\n");
    }
    typed.header.iter().for_each(|field| head += &format!("{field}\r\n"));
    head += "\r\n";
    let line = format!("{method} {}://{host}{target}", if tls { "https" } else { "http" });
    Ok(Asked { line, head: head.into_bytes(), tls, answer: answer(typed)? })
}

/// Scheme and host of a whole address, and the path.
fn parts(address: &str) -> Result<(Option<&str>, Option<&str>, &str), String> {
    let Some((scheme, rest)) = address.split_once("://").filter(|_| !address.starts_with('/')) else {
        return match address {
            "*" => Ok((None, None, address)),
            _ if address.starts_with('/') => Ok((None, None, address)),
            _ => Err(format!("{address:?} is no path; it begins with `/`, or with http:// or https://.")),
        };
    };
    if !matches!(scheme, "http" | "https") {
        return Err(format!("{address:?} begins with {scheme}://; it takes http:// or https://."));
    }
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    Ok((Some(scheme), Some(host), if target.is_empty() { "/" } else { target }))
}

/// The host that was named, by itself or as a site; otherwise the first that there is.
fn host_of(named: Option<&str>, snapshot: &Snapshot) -> String {
    let first = |site: &tentpole_model::Site| {
        let host = site.hosts.first().map(|host| match host {
            HostPattern::Exact(host) => host.clone(),
            HostPattern::Below(host) => format!("www.{host}"),
        });
        host.unwrap_or_else(|| "localhost".to_owned())
    };
    match named {
        Some(named) => snapshot.sites.iter().find(|site| site.name == named).map_or(named.to_owned(), first),
        None => snapshot.sites.first().map_or_else(|| "localhost".to_owned(), first),
    }
}

fn answer(typed: &args::Explain) -> Result<Option<Vec<u8>>, String> {
    if typed.answer.is_empty() && typed.status.is_none() {
        return Ok(None);
    }
    let mut head = format!("HTTP/1.1 {} \r\n", typed.status.unwrap_or(200));
    for field in &typed.answer {
        check(field, "--answer")?;
        head += &format!("{field}\r\n");
    }
    Ok(Some((head + "\r\n").into_bytes()))
}

fn check(field: &str, flag: &str) -> Result<(), String> {
    let is_field = field.split_once(':').is_some_and(|(name, _)| !name.trim().is_empty());
    match is_field && !field.contains(['\r', '\n']) {
        true => Ok(()),
        false => Err(format!("{flag} is {field:?}; it takes a name, a colon and a value: 'Cookie: a=b'.")),
    }
}
