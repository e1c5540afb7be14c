//! Unix sockets of this machine, as streams like any other: what carries them needs to know no second kind, and pays
//! nothing for there being one.

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect as connect_to, socket_with,
};
use std::io;
use std::path::Path;
use tokio::net::TcpStream;

/// Connects to the socket at `path`, without ever waiting. The stream is one of bytes that a descriptor carries; what only
/// TCP has (its delay, its addresses) fails on it and is not needed.
///
/// # Errors
/// `WouldBlock` when the queue of whoever listens is full; else what the system said.
pub fn connect(path: &Path) -> io::Result<TcpStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect_to(&socket, &SocketAddrUnix::new(path)?)?;
    TcpStream::from_std(std::net::TcpStream::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_unix_socket_carries_bytes_both_ways_and_a_full_queue_is_told() {
        let folder = std::env::temp_dir().join(format!("tentpole-unix-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("socket");
        assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        let mut ours = connect(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
        ours.write_all(b"ping").await.unwrap();
        let mut read = [0; 4];
        theirs.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"ping");
        theirs.write_all(b"pong").await.unwrap();
        ours.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"pong");
        ours.shutdown().await.unwrap();
        assert_eq!(theirs.read(&mut read).await.unwrap(), 0);
        // A listener's queue holds 128 with the standard library, or what the system allows.
        let mut waiting = Vec::new();
        let refused = loop {
            match connect(&path) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
            assert!(waiting.len() < 10_000, "the queue never fills");
        };
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        drop(listener);
        assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
