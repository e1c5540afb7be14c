//! A session of TLS 1.2 or 1.3 by rustls, as either side. No early data, no renegotiation.

use crate::fault::fault;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind, ProtocolVersion};
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use tentpole_model::{HandshakeFault, Tls, TlsVersion};
use tentpole_runtime::secure::Session;

/// Bytes of content that are taken before their records went out: four full records (RFC 8446 section 5.1).
const OUTPUT_BYTES_MAX: usize = 4 * 16 * 1024;

#[derive(Debug)]
struct TlsSession {
    connection: Connection,
    content: usize,
    /// The other side said close_notify.
    ended: bool,
    /// We did.
    said_end: bool,
    fault: Option<HandshakeFault>,
}

/// A session in which we answer.
///
/// # Errors
/// When the system gives no randomness.
pub fn server(config: Arc<ServerConfig>) -> io::Result<Box<dyn Session>> {
    ServerConnection::new(config).map(|connection| session(connection.into())).map_err(io::Error::other)
}

/// A session that we begin, with whom the name says.
///
/// # Errors
/// When the system gives no randomness.
pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Box<dyn Session>> {
    ClientConnection::new(config, name).map(|connection| session(connection.into())).map_err(io::Error::other)
}

fn session(mut connection: Connection) -> Box<dyn Session> {
    connection.set_buffer_limit(Some(OUTPUT_BYTES_MAX));
    Box::new(TlsSession { connection, content: 0, ended: false, said_end: false, fault: None })
}

impl Session for TlsSession {
    fn take(&mut self, arrived: &[u8]) -> io::Result<usize> {
        let mut rest = arrived;
        while !rest.is_empty() && self.content == 0 && !self.ended {
            if self.connection.read_tls(&mut rest)? == 0 {
                break;
            }
            let state = self.connection.process_new_packets().map_err(|error| {
                self.fault = Some(fault(&error));
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
}
