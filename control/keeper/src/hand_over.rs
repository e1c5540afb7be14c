//! One keeper's place taken by another program, in the same process (exec): its process id, its children and their
//! channels, the listening sockets and the lock of the state directory stay. What goes over is one JSON document and the
//! descriptors that it speaks of, in its order, through a socket that is standard input for that moment. A program that
//! cannot read it gives everything back to the one before, as it came.
//!
//! Only the main thread may do it: a child's parent-death signal comes when the *thread* that forked it ends, and exec
//! ends all threads but the one that calls it. The keeper's loop, which starts all children, runs on the main thread.

use crate::child::{Child, ChildState, Event};
use crate::instances::InstancesState;
use crate::part::PartState;
use crate::upgrade::Counts;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tentpole_model::link::ToControl;
use tentpole_model::{PROTOCOL, SnapshotFile, Trigger};

/// Descriptors of one message. The kernel takes 253 (SCM_MAX_FD).
const AT_ONCE: usize = 64;
/// Descriptors that may come at all: listening sockets of all threads, instances.
const DESCRIPTORS_MAX: usize = 16_384;
/// Bytes of the document at most.
const DOCUMENT_BYTES_MAX: u64 = 64 << 20;
/// The argument that says that there is something to take over.
const TAKE_OVER: &str = "--take-over";
/// The word in front of the last message: it goes over.
const OVER: u8 = b'o';
/// It comes back, because the other program could not read it.
const BACK: u8 = b'b';
/// More messages follow.
const MORE: u8 = b'm';
/// Descriptors that are always there, in front of the others: standard input, the document, the program before.
const ALWAYS: usize = 3;

/// What goes over. Its descriptors, in order: the lock of the state directory; the listening sockets of the first thread,
/// of the second…; the admin API's; the channels of the edge, the next edge, leaving edges, the control process, shims.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HandOver {
    /// [`PROTOCOL`] of who wrote it.
    pub protocol: u32,
    /// The version of Tentpole that wrote it.
    pub version: String,
    /// Where the program that wrote it lies.
    pub program: PathBuf,
    pub file: SnapshotFile,
    pub version_tried: u64,
    pub state: PathBuf,
    pub temporary: bool,
    /// Listening sockets of each data thread.
    pub listeners: Vec<usize>,
    pub admin: bool,
    /// What who composes the keeper wants to find again: the file that is read again.
    pub read_again: Option<PathBuf>,
    pub open_files: Option<u64>,
    pub edge: PartState,
    /// The new program's edge.
    pub next: PartState,
    /// Edges of programs before; and how long each may stay.
    pub leaving: Vec<(PartState, Duration)>,
    /// Since when each of them leaves, in milliseconds since 1970. A program that did not know this says nothing.
    #[serde(default)]
    pub leaving_since_unix_ms: Vec<u64>,
    /// How upgrades ended; the same.
    #[serde(default)]
    pub upgrades: Counts,
    pub control: PartState,
    pub instances: InstancesState,
    pub untold: VecDeque<ToControl>,
    /// What children said and nobody has heeded yet.
    pub heard: Vec<Event>,
    pub strangers: HashSet<u32>,
    /// Who wished for the upgrade, and for reloads after it.
    pub by: Vec<Trigger>,
    pub reloads: Vec<Trigger>,
}

/// What came over, or came back.
#[derive(Debug)]
pub struct TakenOver {
    pub(crate) document: HandOver,
    pub(crate) descriptors: VecDeque<OwnedFd>,
    /// The program that it was given to could not take it.
    pub(crate) came_back: bool,
}

impl TakenOver {
    /// What is served.
    pub fn file(&self) -> &SnapshotFile {
        &self.document.file
    }

    /// The file that is read again, if there is one.
    pub fn read_again(&self) -> Option<PathBuf> {
        self.document.read_again.clone()
    }
}

/// Whether a document that another program wrote can be taken over: what `tentpole part check` says. Returns the version
/// of who wrote it.
///
/// # Errors
/// In words for the person who wants the upgrade.
pub fn check(document: &[u8]) -> Result<String, String> {
    read(document).map(|document| document.version)
}

fn read(document: &[u8]) -> Result<HandOver, String> {
    #[derive(Deserialize)]
    struct Said {
        protocol: u32,
        version: String,
    }
    let unreadable = |error: serde_json::Error| format!("it cannot read what is handed over: {error}");
    let Said { protocol, version } = serde_json::from_slice(document).map_err(unreadable)?;
    if protocol != PROTOCOL {
        return Err(format!(
            "it speaks protocol {PROTOCOL}, and Tentpole {version}, which runs, speaks {protocol}: between these two \
             Tentpole has to be ended and started again"
        ));
    }
    serde_json::from_slice(document).map_err(unreadable)
}

/// Becomes the program, which gets the document and the descriptors. Returns only when that was not possible; then all
/// is as before.
pub(crate) fn give(
    program: &File,
    name: &Path,
    document: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Error {
    let given = || -> io::Result<()> {
        let mut file = File::from(memfd_create("hand-over", MemfdFlags::CLOEXEC)?);
        file.write_all(document)?;
        let mut all = vec![file.as_fd(), program.as_fd()];
        all.extend_from_slice(descriptors);
        become_program(name, &all, OVER)
    };
    match given() {
        Ok(()) => io::Error::other("exec came back"),
        Err(error) => error,
    }
}

/// The arguments that this program was started with, by whom it was started first.
pub(crate) fn arguments() -> impl Iterator<Item = OsString> {
    std::env::args_os().skip(1).filter(|argument| argument != TAKE_OVER)
}

/// Sends all over a new socket that becomes standard input, and executes. Standard input is restored when that fails.
fn become_program(name: &Path, descriptors: &[BorrowedFd<'_>], word: u8) -> io::Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let (ours, theirs) = UnixStream::pair()?;
    // All of it waits in the socket: it must not wait for who reads it.
    ours.set_nonblocking(true)?;
    let mut all = vec![stdin.as_fd()];
    all.extend_from_slice(descriptors);
    let mut pieces = all.chunks(AT_ONCE).peekable();
    while let Some(piece) = pieces.next() {
        send(&ours, piece, if pieces.peek().is_some() { MORE } else { word })?;
    }
    rustix::stdio::dup2_stdin(&theirs)?;
    // What this thread blocks stays blocked.
    let error = Command::new(name).args(arguments()).arg(TAKE_OVER).exec();
    rustix::stdio::dup2_stdin(&stdin)?;
    Err(error)
}

/// Takes over what the program before has left on standard input, which is as it was after this. A document that cannot
/// be read goes back: then this returns only when that is not possible either.
///
/// # Errors
/// When nothing is there to be taken over.
pub fn take_over() -> Result<TakenOver, String> {
    let failed = |error: io::Error| format!("there is nothing to take over: {error}");
    let (mut descriptors, word) = receive().map_err(failed)?;
    if descriptors.len() < ALWAYS {
        return Err("there is nothing to take over: descriptors are missing".into());
    }
    let stdin = descriptors.remove(0);
    rustix::stdio::dup2_stdin(&stdin).map_err(|error| failed(error.into()))?;
    let mut document = Vec::new();
    let mut file = File::from(descriptors[0].try_clone().map_err(failed)?);
    file.rewind().map_err(failed)?;
    file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut document).map_err(failed)?;
    match read(&document) {
        Ok(document) => {
            let descriptors = descriptors.into_iter().skip(ALWAYS - 1).collect();
            Ok(TakenOver { document, descriptors, came_back: word == BACK })
        }
        Err(why) if word == OVER => {
            let name = name_of(&descriptors[1]).map_err(failed)?;
            let all: Vec<BorrowedFd<'_>> = descriptors.iter().map(OwnedFd::as_fd).collect();
            let error = become_program(&name, &all, BACK).err();
            Err(format!("{why}; and it cannot be given back: {error:?}"))
        }
        Err(why) => Err(why),
    }
}

/// Where a program lies: by its own name while that is the same file.
fn name_of(program: &OwnedFd) -> io::Result<PathBuf> {
    let link = PathBuf::from(format!("/proc/self/fd/{}", program.as_raw_fd()));
    let named = std::fs::read_link(&link)?;
    let same = |one: std::fs::Metadata, other: std::fs::Metadata| {
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    };
    let is_it = match (std::fs::metadata(&named), std::fs::metadata(&link)) {
        (Ok(named), Ok(link)) => same(named, link),
        _ => false,
    };
    Ok(if is_it { named } else { link })
}

fn send(to: &UnixStream, descriptors: &[BorrowedFd<'_>], word: u8) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors in one message"));
    }
    sendmsg(to, &[IoSlice::new(&[word])], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// All descriptors that wait in standard input, and the last word.
fn receive() -> io::Result<(Vec<OwnedFd>, u8)> {
    let from = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    from.set_nonblocking(true)?;
    let mut all = Vec::new();
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut word = [0];
        let received =
            recvmsg(&from, &mut [IoSliceMut::new(&mut word)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(came) = message {
                all.extend(came);
            }
        }
        match word[0] {
            MORE if all.len() < DESCRIPTORS_MAX => {}
            word @ (OVER | BACK) => return Ok((all, word)),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a hand-over")),
        }
    }
}

/// A child that is handed over: its state, and the channel's end. `None` when there is none.
pub(crate) type Packed = (Option<ChildState>, Option<OwnedFd>);

/// Stops listening to a child and talking to it, for who takes it over.
pub(crate) async fn pack<T: crate::child::Spoken>(child: Option<Child<T>>) -> Packed {
    match child {
        Some(child) => {
            let (state, channel) = child.pack().await;
            (Some(state), Some(channel))
        }
        None => (None, None),
    }
}
