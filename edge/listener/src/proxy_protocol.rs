//! The PROXY protocol, versions 1 and 2 (haproxy's `doc/proxy-protocol.txt`): who is behind a balancer that passes bytes
//! on. Reads bytes and nothing else: no socket, no trust. Strict, for two readers that differ would see two visitors.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a version 1 header at most, as its text says (section 2.1).
pub const V1_BYTES_MAX: usize = 107;
/// Bytes of a version 2 header at most. It may say up to 65,551; balancers send some hundred, with a certificate's name.
pub const V2_BYTES_MAX: usize = 4_096;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;
/// Types of additional fields: a checksum, and what is known of TLS (section 2.2).
const CRC32C: u8 = 0x03;
const SSL: u8 = 0x20;
/// In the first byte of the latter: the client spoke TLS.
const CLIENT_SSL: u8 = 0x01;

/// What stands at the beginning of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header.
    Partial,
    /// A header of this many bytes.
    Whole {
        /// How long it is.
        bytes: usize,
        /// For whom the connection is.
        source: Source,
        /// The balancer says that it was spoken to by TLS.
        https: bool,
    },
}

/// For whom a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// For the balancer itself: it looks whether we are well.
    Balancer,
    /// For somebody of whom it says no address.
    Unknown,
    /// For somebody at this address.
    Address(SocketAddr),
}

/// What is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads the header at the beginning of a connection.
///
/// # Errors
/// When it is none, longer than we read, or its checksum is wrong.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let common = bytes.len().min(SIGNATURE.len());
    if bytes[..common] == SIGNATURE[..common] {
        return if common < SIGNATURE.len() { Ok(Parsed::Partial) } else { version_2(bytes) };
    }
    version_1(bytes)
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443` and a line end.
fn version_1(bytes: &[u8]) -> Result<Parsed, Malformed> {
    const BEGINNING: &[u8] = b"PROXY ";
    let common = bytes.len().min(BEGINNING.len());
    if bytes[..common] != BEGINNING[..common] {
        return Err(Malformed);
    }
    let seen = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = seen.windows(2).position(|two| two == b"\r\n") else {
        return if bytes.len() < V1_BYTES_MAX { Ok(Parsed::Partial) } else { Err(Malformed) };
    };
    let line = seen.get(BEGINNING.len()..end).ok_or(Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let mut words = line.split(' ');
    let source = match words.next() {
        // Whatever follows is to be ignored.
        Some("UNKNOWN") => Source::Unknown,
        Some("TCP4") => Source::Address(of_words::<Ipv4Addr>(words)?),
        Some("TCP6") => Source::Address(of_words::<Ipv6Addr>(words)?),
        _ => return Err(Malformed),
    };
    Ok(Parsed::Whole { bytes: end + 2, source, https: false })
}

fn of_words<'a, A>(mut words: impl Iterator<Item = &'a str>) -> Result<SocketAddr, Malformed>
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let mut address = || words.next()?.parse::<A>().ok();
    let (source, _ours) = (address().ok_or(Malformed)?, address().ok_or(Malformed)?);
    let mut port = || words.next().and_then(port);
    let (source_port, _ours) = (port().ok_or(Malformed)?, port().ok_or(Malformed)?);
    if words.next().is_some() {
        return Err(Malformed);
    }
    Ok(SocketAddr::new(source.into(), source_port))
}

/// Digits alone, without zeros before them.
fn port(word: &str) -> Option<u16> {
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| is_number)
}

fn version_2(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let Some(&[version_and_command, family, high, low]) = bytes.get(12..V2_FIXED) else {
        return Ok(Parsed::Partial);
    };
    let length = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > V2_BYTES_MAX || !matches!(version_and_command, 0x20 | 0x21) {
        return Err(Malformed);
    }
    let Some(header) = bytes.get(..length) else { return Ok(Parsed::Partial) };
    if version_and_command == 0x20 {
        // "LOCAL": what is said of addresses is to be ignored.
        return Ok(Parsed::Whole { bytes: length, source: Source::Balancer, https: false });
    }
    let rest = &header[V2_FIXED..];
    let (source, fields) = match family {
        // Not said.
        0x00 => (Source::Unknown, rest),
        // TCP over IPv4: two addresses and two ports.
        0x11 => {
            let (addresses, fields) = rest.split_first_chunk::<12>().ok_or(Malformed)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            let ip = Ipv4Addr::new(a, b, c, d).into();
            (Source::Address(SocketAddr::new(ip, u16::from_be_bytes([high, low]))), fields)
        }
        0x21 => {
            let (source, after) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
            let (_ours, after) = after.split_first_chunk::<16>().ok_or(Malformed)?;
            let (&[high, low, _, _], fields) = after.split_first_chunk::<4>().ok_or(Malformed)?;
            let ip = Ipv6Addr::from(*source).into();
            (Source::Address(SocketAddr::new(ip, u16::from_be_bytes([high, low]))), fields)
        }
        // A Unix socket has no address of ours.
        0x31 => (Source::Unknown, rest.get(216..).ok_or(Malformed)?),
        _ => return Err(Malformed),
    };
    let https = read_fields(header, fields)?;
    Ok(Parsed::Whole { bytes: length, source, https })
}

/// The additional fields; whether one says that the client spoke TLS.
fn read_fields(header: &[u8], mut fields: &[u8]) -> Result<bool, Malformed> {
    let mut https = false;
    while !fields.is_empty() {
        let (&[kind, high, low], after) = fields.split_first_chunk::<3>().ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, after) = after.split_at_checked(length).ok_or(Malformed)?;
        match kind {
            CRC32C => {
                let said: [u8; 4] = value.try_into().map_err(|_| Malformed)?;
                // It was counted with zeros in its own place.
                let at = header.len() - after.len() - said.len();
                let parts = [&header[..at], &[0; 4], after];
                if crc32c(parts.into_iter().flatten()) != u32::from_be_bytes(said) {
                    return Err(Malformed);
                }
            }
            SSL => https = value.first().ok_or(Malformed)? & CLIENT_SSL != 0,
            _ => {}
        }
        fields = after;
    }
    Ok(https)
}

/// CRC-32C (RFC 9260 appendix A), bit by bit: there are few bytes, once a connection.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
    !bytes.fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
