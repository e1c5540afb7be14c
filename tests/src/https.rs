//! A program that serves by https too, with the certificate that it makes for this machine, and clients for it: curl, and
//! rustls under whatever speaks over it.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};
use tempfile::TempDir;
use tentpole_testkit::{Tentpole, Up};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are read or encrypted at once.
const PIECE: usize = 16 * 1024;
/// Lines of a configuration that make it serve by https.
pub const LINES: &str = "[tls]\nlisten = \"127.0.0.1:0\"\n";

/// A running program.
#[derive(Debug)]
pub struct Https {
    /// The program.
    pub tentpole: Tentpole,
    /// Where it serves by https.
    pub address: SocketAddr,
    state: TempDir,
}

impl Https {
    /// Starts a program with this configuration, which has [`LINES`] in it.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(text: &str) -> Self {
        let state = tempfile::tempdir().expect("a temporary directory");
        std::fs::set_permissions(state.path(), std::fs::Permissions::from_mode(0o700)).expect("it is ours");
        let path = state.path().to_str().expect("a path of letters");
        let tentpole = Up::config(text).argument("--state").argument(path).start().await;
        let said = tentpole.said();
        let port = said.split("listening on https://127.0.0.1:").nth(1).and_then(|rest| rest.lines().next());
        let port: u16 = port.and_then(|port| port.parse().ok()).expect("it says where it serves by https");
        Self { tentpole, address: SocketAddr::from(([127, 0, 0, 1], port)), state }
    }

    /// The certificate to trust.
    pub fn trusted(&self) -> PathBuf {
        self.state.path().join("localhost.pem")
    }

    /// A client's settings; whoever shares them goes on with each other's sessions.
    ///
    /// # Panics
    /// When the certificate cannot be read.
    pub fn client(&self, protocol: &str) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(self.trusted()).expect("it is a certificate");
        roots.add(certificate).expect("it can be trusted");
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("there are versions")
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Arc::new(config)
    }

    /// curl, about to ask for this path by one of the [`WAYS`].
    pub fn curl(&self, way: Way, path: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--no-buffer", way.version]).stdin(Stdio::null());
        if way.secure {
            let port = self.address.port();
            curl.arg("--cacert").arg(self.trusted());
            curl.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
            curl.arg(format!("https://localhost:{port}{path}"));
        } else {
            curl.arg(format!("{}{path}", self.tentpole.url()));
        }
        curl
    }
}

/// How curl asks.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    version: &'static str,
    secure: bool,
}

/// Both versions of HTTP, without TLS and with it.
pub const WAYS: [Way; 4] = [
    Way { version: "--http1.1", secure: false },
    Way { version: "--http2-prior-knowledge", secure: false },
    Way { version: "--http1.1", secure: true },
    Way { version: "--http2", secure: true },
];

/// A connection behind TLS.
#[derive(Debug)]
pub struct Secure {
    tcp: TcpStream,
    tls: ClientConnection,
    /// Encrypted, and not taken by the kernel.
    out: Vec<u8>,
}

impl Secure {
    /// Connects; the handshake is made by whoever reads and writes.
    ///
    /// # Errors
    /// When there is nobody.
    pub async fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        Ok(Self { tcp, tls, out: Vec::new() })
    }

    /// Whether an earlier session went on. Known once something was read.
    pub fn resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() || !self.out.is_empty() {
            if self.out.is_empty() {
                self.tls.write_tls(&mut self.out)?;
            }
            let count = ready!(Pin::new(&mut self.tcp).poll_write(context, &self.out))?;
            self.out.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Secure {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            // Whatever the handshake has to say; what waits for the kernel does not hold up reading.
            if let Poll::Ready(Err(error)) = this.poll_send(context) {
                return Poll::Ready(Err(error));
            }
            match this.tls.reader().read(room.initialize_unfilled()) {
                Ok(count) => {
                    room.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            let mut piece = [0; PIECE];
            let mut came = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.tcp).poll_read(context, &mut came))?;
            let mut came = came.filled();
            loop {
                this.tls.read_tls(&mut came)?;
                this.tls.process_new_packets().map_err(io::Error::other)?;
                if came.is_empty() {
                    break;
                }
            }
        }
    }
}

impl AsyncWrite for Secure {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(context))?;
        let count = this.tls.writer().write(&bytes[..bytes.len().min(PIECE)])?;
        match this.poll_send(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.tls.send_close_notify();
        ready!(this.poll_send(context))?;
        Pin::new(&mut this.tcp).poll_shutdown(context)
    }
}
