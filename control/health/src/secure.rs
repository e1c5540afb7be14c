//! Probes behind TLS: the session that one begins with, by the files as they are then, and the connection as something to
//! read from and write to. Decides nothing.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tentpole_model::{Endpoint, Pool, Scheme, TlsFault};
use tentpole_runtime::buffer::BUFFER_BYTES;
use tentpole_runtime::secure::Session;
use tentpole_runtime::socket::Socket;
use tentpole_tls::{Client, Offer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What the probes of one endpoint begin with, where it speaks TLS. Reads the files again when they have changed.
#[derive(Debug, Default)]
pub(crate) struct Begin(Mutex<Option<Client>>);

impl Begin {
    /// A session; `None` for an endpoint in the clear.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub fn session(&self, pool: &Pool, endpoint: &Endpoint) -> io::Result<Option<Box<dyn Session>>> {
        if endpoint.scheme != Scheme::Https {
            return Ok(None);
        }
        let mut client = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !client.as_ref().is_some_and(|client| client.is_current(&pool.tls)) {
            let loaded = Client::load(&pool.tls);
            let (loaded, _) = loaded.map_err(|trouble| io::Error::other(trouble.to_string()))?;
            *client = Some(loaded);
        }
        let offer = if pool.http2 { Offer::Http2 } else { Offer::Nothing };
        client.as_ref().map(|client| client.session(&endpoint.host, offer)).transpose()
    }
}

/// Shakes hands over a connection where there is a session.
///
/// # Errors
/// The system's, or what TLS says.
pub(crate) async fn over(stream: TcpStream, session: Option<Box<dyn Session>>) -> io::Result<Stream> {
    let mut socket = Socket::new(stream);
    if let Some(session) = session {
        socket.secure(session);
        let shaken = poll_fn(|context| socket.poll_handshake(context)).await;
        shaken
            .map_err(|error| socket.endpoint_fault().map_or(error, |fault| io::Error::other(words(fault))))?;
    }
    Ok(Stream(socket))
}

/// What it means, for whoever reads the trouble of an endpoint.
fn words(fault: TlsFault) -> &'static str {
    match fault {
        TlsFault::Untrusted => "TLS: no authority that counts has signed its certificate",
        TlsFault::WrongName => "TLS: its certificate is for another name",
        TlsFault::Expired => "TLS: its certificate has expired",
        TlsFault::NotYetValid => "TLS: its certificate is not valid yet",
        TlsFault::BadCertificate => "TLS: its certificate cannot be used",
        TlsFault::NotTls => "it does not speak TLS",
        TlsFault::NothingInCommon => "TLS: no version or cipher suite in common",
        TlsFault::ClientCertificate => "TLS: it wants a client certificate, or another one",
        TlsFault::Refused => "TLS: it broke the handshake off",
        TlsFault::Misbehaved => "TLS: it broke the protocol",
        TlsFault::NoFiles => "TLS: files of ours cannot be read",
    }
}

/// A connection to read from and write to.
#[derive(Debug)]
pub(crate) struct Stream(Socket);

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = &mut self.get_mut().0;
        if socket.filled().is_empty() && ready!(socket.poll_fill(context, BUFFER_BYTES))? == 0 {
            return Poll::Ready(Ok(()));
        }
        let length = socket.filled().len().min(room.remaining());
        room.put_slice(&socket.filled()[..length]);
        socket.consume(length);
        socket.rest();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().0.poll_write(context, &[IoSlice::new(bytes)])
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.poll_output(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{self, Bad};
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use std::io::{Read, Write};
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;
    use tentpole_model::{EndpointTls, HealthCheck};

    const TIME: Duration = Duration::from_secs(20);

    /// A pool whose one endpoint is behind TLS and answers 204, and its address.
    fn pool(folder: &tempfile::TempDir) -> (Pool, SocketAddr) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["app.internal".into()]).unwrap().self_signed(&key).unwrap();
        let authority = folder.path().join("app.pem");
        std::fs::write(&authority, certificate.pem()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config =
            config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let config = Arc::new(config);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let session = ServerConnection::new(config.clone()).unwrap();
                let mut stream = StreamOwned::new(session, connection.unwrap());
                if matches!(stream.read(&mut [0; 4_096]), Ok(1..)) {
                    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        });
        let host = "app.internal".to_owned();
        let endpoint = Endpoint { scheme: Scheme::Https, host, port: 443, ..Endpoint::default() };
        let tls = EndpointTls { authority: Some(authority), ..EndpointTls::default() };
        (Pool { endpoints: vec![endpoint], tls, ..Pool::default() }, address)
    }

    fn check(path: &str) -> HealthCheck {
        HealthCheck { path: path.to_owned(), timeout: TIME, ..HealthCheck::default() }
    }

    async fn probed(begin: &Begin, pool: &Pool, address: SocketAddr) -> Result<(), Bad> {
        let session = begin.session(pool, &pool.endpoints[0]).map_err(Bad::Io)?;
        probe::ask(&[address], session, false, &check("/"), "app.internal", "").await
    }

    #[tokio::test]
    async fn a_probe_believes_whom_a_request_would_and_says_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let (mut pool, address) = pool(&folder);
        let begin = Begin::default();
        probed(&begin, &pool, address).await.unwrap();
        let session = begin.session(&pool, &pool.endpoints[0]).unwrap();
        probe::connect(&[address], session, TIME).await.unwrap();
        pool.endpoints[0].host = "other.internal".into();
        let bad = probed(&begin, &pool, address).await.unwrap_err();
        assert_eq!(bad.to_string(), "TLS: its certificate is for another name");
        // Another authority takes its place in the file: it is read without being told.
        let (other, _) = self::pool(&folder);
        pool.endpoints[0].host = "app.internal".into();
        assert_eq!(other.tls.authority, pool.tls.authority);
        let bad = probed(&begin, &pool, address).await.unwrap_err();
        assert_eq!(bad.to_string(), "TLS: no authority that counts has signed its certificate");
        std::fs::remove_file(folder.path().join("app.pem")).unwrap();
        let bad = probed(&begin, &pool, address).await.unwrap_err();
        assert!(bad.to_string().contains("there is no such file"), "{bad}");
    }

    #[tokio::test]
    async fn a_probe_of_a_pool_that_speaks_http_2_speaks_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let mut heads = Vec::new();
            for status in [204, 500] {
                let (socket, _) = listener.accept().await.unwrap();
                let mut connection: h2::server::Connection<_, bytes::Bytes> =
                    h2::server::handshake(socket).await.unwrap();
                let (request, mut respond) = connection.accept().await.unwrap().unwrap();
                let response = http::Response::builder().status(status).body(()).unwrap();
                respond.send_response(response, true).unwrap();
                heads.push(request.into_parts().0);
                while let Some(Ok(_)) = connection.accept().await {}
            }
            heads
        });
        let addresses = [address];
        let check = check("/up?deep");
        let get = || probe::ask(&addresses, None, true, &check, "shop.example", "X-Key: a\r\n");
        get().await.unwrap();
        assert!(matches!(get().await, Err(Bad::Status(500))));
        let heads = asked.await.unwrap();
        assert_eq!(heads[0].uri, "http://shop.example/up?deep");
        assert_eq!(heads[0].headers["x-key"], "a");
    }
}
