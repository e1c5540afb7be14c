//! A session of TLS 1.2 or 1.3 by rustls, as either side. No early data, no renegotiation.

use crate::fault::{endpoint_fault, fault};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind, ProtocolVersion};
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use tentpole_model::{HandshakeFault, Tls, TlsFault, TlsVersion};
use tentpole_runtime::secure::Session;

/// Bytes of content that are taken before their records went out: four full records (RFC 8446 section 5.1).
const OUTPUT_BYTES_MAX: usize = 4 * 16 * 1024;
/// Content of a record that fits into one packet: of 1,500 bytes, behind the heads of IPv6 and TCP with its options (72), what
/// TLS adds (29 at most), and room for a tunnel.
const SMALL_BYTES: usize = 1_360;
/// So much of what we say first goes out in such records: ten packets, which a new connection may have on the way (RFC 6928). A
/// full record would need more, and nothing of it can be read before its last byte has come, a round trip later.
const EARLY_BYTES: usize = 10 * SMALL_BYTES;

#[derive(Debug)]
struct TlsSession {
    connection: Connection,
    content: usize,
    /// Bytes that still go out in small records.
    early: usize,
    /// The other side said close_notify.
    ended: bool,
    /// We did.
    said_end: bool,
    fault: Option<HandshakeFault>,
    endpoint_fault: Option<TlsFault>,
}

/// A session in which we answer.
///
/// # Errors
/// When the system gives no randomness.
pub fn server(config: Arc<ServerConfig>) -> io::Result<Box<dyn Session>> {
    ServerConnection::new(config)
        .map(|connection| session(connection.into(), EARLY_BYTES))
        .map_err(io::Error::other)
}

/// A session that we begin, with whom the name says.
///
/// # Errors
/// When the system gives no randomness.
pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Box<dyn Session>> {
    ClientConnection::new(config, name)
        .map(|connection| session(connection.into(), 0))
        .map_err(io::Error::other)
}

fn session(mut connection: Connection, early: usize) -> Box<dyn Session> {
    connection.set_buffer_limit(Some(OUTPUT_BYTES_MAX));
    Box::new(TlsSession {
        connection,
        content: 0,
        early,
        ended: false,
        said_end: false,
        fault: None,
        endpoint_fault: None,
    })
}

impl TlsSession {
    /// Writes in small records until as much was said as goes out in them, and the rest as it comes.
    fn write_early(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let (mut record, mut length, mut taken) = ([0; SMALL_BYTES], 0, 0);
        for part in parts {
            let mut rest = &part[..];
            while self.early > 0 && !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(SMALL_BYTES - length));
                record[length..length + now.len()].copy_from_slice(now);
                length += now.len();
                rest = later;
                if length == SMALL_BYTES {
                    let written = self.write_record(&record)?;
                    taken += written;
                    if written < length {
                        return Ok(taken);
                    }
                    length = 0;
                }
            }
            // From here on nothing waits in `record`.
            if !rest.is_empty() {
                let written = self.write_record(rest)?;
                taken += written;
                if written < rest.len() {
                    return Ok(taken);
                }
            }
        }
        if length > 0 {
            taken += self.write_record(&record[..length])?;
        }
        Ok(taken)
    }

    fn write_record(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.connection.writer().write(bytes)?;
        self.early = self.early.saturating_sub(written);
        Ok(written)
    }
}

impl Session for TlsSession {
    fn take(&mut self, arrived: &[u8]) -> io::Result<usize> {
        let mut rest = arrived;
        while !rest.is_empty() && self.content == 0 && !self.ended {
            if self.connection.read_tls(&mut rest)? == 0 {
                break;
            }
            let state = self.connection.process_new_packets().map_err(|error| {
                match self.connection {
                    Connection::Client(_) => self.endpoint_fault = Some(endpoint_fault(&error)),
                    Connection::Server(_) => self.fault = Some(fault(&error)),
                }
                io::Error::new(io::ErrorKind::InvalidData, error)
            })?;
            self.content = state.plaintext_bytes_to_read();
            self.ended = state.peer_has_closed();
        }
        Ok(arrived.len() - rest.len())
    }

    fn content(&self) -> usize {
        self.content
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.connection.reader().read(into)?;
        self.content -= count;
        Ok(count)
    }

    fn has_ended(&self) -> bool {
        self.ended
    }

    fn write(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match parts {
            [_, ..] if self.early > 0 => self.write_early(parts),
            [one] => self.connection.writer().write(one),
            many => self.connection.writer().write_vectored(many),
        }
    }

    fn has_output(&self) -> bool {
        self.connection.wants_write()
    }

    fn put_out(&mut self, to: &mut dyn Write) -> io::Result<usize> {
        self.connection.write_tls(to)
    }

    fn end(&mut self) {
        if !self.said_end {
            self.said_end = true;
            self.connection.send_close_notify();
        }
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    fn facts(&self) -> Option<Tls> {
        if self.is_handshaking() {
            return None;
        }
        let version = match self.connection.protocol_version()? {
            ProtocolVersion::TLSv1_3 => TlsVersion::V13,
            _ => TlsVersion::V12,
        };
        Some(Tls { version, resumed: self.connection.handshake_kind() == Some(HandshakeKind::Resumed) })
    }

    fn fault(&self) -> Option<HandshakeFault> {
        self.fault
    }

    fn endpoint_fault(&self) -> Option<TlsFault> {
        self.endpoint_fault
    }
}
