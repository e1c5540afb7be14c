//! Messages between the processes of one Tentpole, over a Unix socket: each a JSON document behind its length, with file
//! descriptors where the message says so. Bounded: a longer message or more descriptors break the channel. Knows no
//! message's meaning, and never carries what visitors send.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Bytes of one message at most.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Descriptors that may have arrived and not been taken.
const DESCRIPTORS_MAX: usize = 64;
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// Bytes of the length in front of a message.
const LENGTH_BYTES: usize = 4;

/// Both ends of a new channel, for two processes or two threads. Ends are not inherited by child processes unless given
/// to them.
///
/// # Errors
/// When the system has no descriptors left.
pub fn pair() -> io::Result<(StdStream, StdStream)> {
    StdStream::pair()
}

/// The half that sends. Its futures must not be dropped half way: a message sent in part breaks the channel.
#[derive(Clone, Debug)]
pub struct Sender {
    stream: Arc<UnixStream>,
    one_at_a_time: Arc<tokio::sync::Mutex<()>>,
}

/// The half that receives.
#[derive(Debug)]
pub struct Receiver {
    stream: Arc<UnixStream>,
    filled: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

/// Takes over one end of a channel; needs a tokio runtime with its network driver.
///
/// # Errors
/// When the reactor does not take the socket.
pub fn open(stream: StdStream) -> io::Result<(Sender, Receiver)> {
    stream.set_nonblocking(true)?;
    let stream = Arc::new(UnixStream::from_std(stream)?);
    let sender = Sender { stream: stream.clone(), one_at_a_time: Arc::default() };
    Ok((sender, Receiver { stream, filled: Vec::new(), descriptors: VecDeque::new() }))
}

/// The same, with what was received of it before ([`Receiver::rest`]).
///
/// # Errors
/// As [`open`].
pub fn open_again(stream: StdStream, rest: Vec<u8>) -> io::Result<(Sender, Receiver)> {
    let (sender, receiver) = open(stream)?;
    Ok((sender, Receiver { filled: rest, ..receiver }))
}

impl Sender {
    /// Sends a message and, with its first byte, a descriptor. Waits while the other side does not read.
    ///
    /// # Errors
    /// When the other side is gone, or the message is longer than [`MESSAGE_BYTES_MAX`].
    pub async fn send<T: Serialize>(
        &self,
        message: &T,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let mut bytes = vec![0; LENGTH_BYTES];
        serde_json::to_writer(&mut bytes, message)?;
        let length = bytes.len() - LENGTH_BYTES;
        if length > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, too_long(length)));
        }
        bytes[..LENGTH_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
        let _turn = self.one_at_a_time.lock().await;
        let mut descriptor = descriptor;
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            let sent = self
                .stream
                .async_io(Interest::WRITABLE, || send_some(&self.stream, left, descriptor))
                .await?;
            descriptor = None;
            left = &left[sent..];
        }
        Ok(())
    }
}

impl Receiver {
    /// The next message; `None` at the channel's end. May be dropped half way: nothing is lost.
    ///
    /// # Errors
    /// When the channel broke, or what came is not a message.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(Some(message));
            }
            let (stream, filled, descriptors) = (&self.stream, &mut self.filled, &mut self.descriptors);
            let count =
                stream.async_io(Interest::READABLE, || receive_some(stream, filled, descriptors)).await?;
            if count == 0 {
                return match self.filled.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// Gives up receiving: what has come of a message that is not whole yet, for [`open_again`].
    pub fn rest(self) -> Vec<u8> {
        self.filled
    }

    /// The oldest descriptor that came and was not taken: the one that the message just received speaks of.
    ///
    /// # Errors
    /// When none came.
    pub fn descriptor(&mut self) -> io::Result<OwnedFd> {
        let missing = || io::Error::new(io::ErrorKind::InvalidData, "a message came without its descriptor");
        self.descriptors.pop_front().ok_or_else(missing)
    }

    fn take_message<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some((length, rest)) = self.filled.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, too_long(length)));
        }
        let Some(message) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(message)?;
        self.filled.drain(..LENGTH_BYTES + length);
        Ok(Some(message))
    }
}

fn too_long(length: usize) -> String {
    format!("a message of {length} bytes is longer than {MESSAGE_BYTES_MAX}")
}

fn send_some(stream: &UnixStream, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    let sent =
        rustix::net::sendmsg(stream.as_fd(), &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL);
    Ok(sent?)
}

fn receive_some(
    stream: &UnixStream,
    filled: &mut Vec<u8>,
    descriptors: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let begin = filled.len();
    filled.resize(begin + READ_BYTES, 0);
    let received = rustix::net::recvmsg(
        stream.as_fd(),
        &mut [IoSliceMut::new(&mut filled[begin..])],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    );
    filled.truncate(begin + received.as_ref().map_or(0, |received| received.bytes));
    let received = received?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            descriptors.extend(came);
        }
    }
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more descriptors came than were spoken of"));
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[tokio::test]
    async fn messages_arrive_whole_in_order_and_with_their_descriptors() {
        let (here, there) = pair().unwrap();
        let (sender, _keep) = open(here).unwrap();
        let (_other, mut receiver) = open(there).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"in the file").unwrap();
        file.rewind().unwrap();
        let long = "x".repeat(300_000);
        let sending = async {
            sender.send(&"first", None).await.unwrap();
            sender.send(&"with a file", Some(file.as_fd())).await.unwrap();
            sender.send(&long, None).await.unwrap();
        };
        let receiving = async {
            assert_eq!(receiver.receive::<String>().await.unwrap().unwrap(), "first");
            assert_eq!(receiver.receive::<String>().await.unwrap().unwrap(), "with a file");
            let mut text = String::new();
            std::fs::File::from(receiver.descriptor().unwrap()).read_to_string(&mut text).unwrap();
            assert_eq!(text, "in the file");
            assert_eq!(receiver.receive::<String>().await.unwrap().unwrap(), long);
            assert!(receiver.descriptor().is_err());
        };
        tokio::join!(sending, receiving);
    }

    #[tokio::test]
    async fn the_end_is_told_and_a_cut_message_is_an_error() {
        let (here, there) = pair().unwrap();
        let (_other, mut receiver) = open(there).unwrap();
        drop(here);
        assert!(receiver.receive::<String>().await.unwrap().is_none());

        let (mut here, there) = pair().unwrap();
        let (_other, mut receiver) = open(there).unwrap();
        here.write_all(&[9, 0, 0, 0, b'"']).unwrap();
        drop(here);
        assert!(receiver.receive::<String>().await.is_err());
    }

    #[tokio::test]
    async fn a_message_that_claims_to_be_too_long_breaks_the_channel_at_once() {
        let (mut here, there) = pair().unwrap();
        let (_other, mut receiver) = open(there).unwrap();
        here.write_all(&u32::MAX.to_le_bytes()).unwrap();
        let error = receiver.receive::<String>().await.unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
    }
}
