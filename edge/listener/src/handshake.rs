//! The beginning of a connection behind TLS: bounded in time, in number, and in what it takes from those who are served
//! already. A handshake costs as much as hundreds of hits, so only a few steps are computed between two looks at all
//! other connections of the thread.

use crate::visitor::Visitor;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::task::Poll;
use tentpole_model::HandshakeFault;
use tentpole_runtime::secure::Session;
use tokio::sync::Semaphore;

/// Steps of handshakes that are computed in one turn of the thread: some milliseconds with RSA, less than one with ECDSA.
const STEPS_A_TURN: usize = 4;
/// Bytes that are read to see what it is.
const FIRST_BYTES_MAX: usize = 16 * 1024;

/// The handshakes of one data thread.
#[derive(Debug)]
pub struct Handshakes {
    under_way: Cell<usize>,
    most: usize,
    steps: Semaphore,
}

/// How a connection behind TLS began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// What is agreed on is in [`Visitor::tls`].
    Secure,
    /// He speaks HTTP in the clear; his bytes are still there.
    Clear,
    /// He left without a word, or the edge ends.
    Gone,
}

impl Handshakes {
    /// At most so many at once.
    pub fn new(most: usize) -> Self {
        Self { under_way: Cell::new(0), most, steps: Semaphore::new(STEPS_A_TURN) }
    }

    fn enter(&self) -> Option<Place<'_>> {
        if self.under_way.get() >= self.most {
            return None;
        }
        self.under_way.set(self.under_way.get() + 1);
        Some(Place(self))
    }
}

/// One handshake under way.
struct Place<'a>(&'a Handshakes);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
    }
}

/// Takes the visitor's connection behind TLS, with a session that `begin` makes once his first bytes are there: within
/// the time for a head.
///
/// # Errors
/// Why it failed. What he is told of that was sent.
pub async fn shake_hands(
    visitor: &mut Visitor,
    handshakes: &Handshakes,
    begin: impl FnOnce() -> io::Result<Box<dyn Session>>,
) -> Result<Begun, HandshakeFault> {
    let head_time = visitor.head_time();
    // Whoever connects ahead of need is let go when the edge ends.
    visitor.deadline.set_idle_in(head_time);
    if !arrival(visitor).await.unwrap_or(false) {
        return Ok(Begun::Gone);
    }
    let Some(_place) = handshakes.enter() else { return Err(HandshakeFault::TooMany) };
    // Once for the whole handshake: a byte now and then does not buy more time.
    visitor.deadline.set_in(head_time);
    let mut begin = Some(begin);
    loop {
        if !arrival(visitor).await? {
            return Err(HandshakeFault::Closed);
        }
        let mut turn = std::pin::pin!(handshakes.steps.acquire());
        let turn = visitor.deadline.guard(|context| turn.as_mut().poll(context)).await;
        let turn = turn.map_err(|_| HandshakeFault::TimedOut)?;
        if let Some(begin) = begin.take() {
            match first_byte(visitor).await {
                None => return Ok(Begun::Gone),
                Some(byte) if byte.is_ascii_uppercase() => return Ok(Begun::Clear),
                Some(_) => {}
            }
            let (socket, _) = visitor.parts().ok_or(HandshakeFault::Closed)?;
            socket.secure(begin().map_err(|_| HandshakeFault::Misbehaved)?);
        }
        let (socket, deadline) = visitor.parts().ok_or(HandshakeFault::Closed)?;
        // Bytes that were said to be there and are not: back to waiting.
        let stepped = poll_fn(|context| Poll::Ready(socket.poll_step(context))).await;
        // Those who are served already come first.
        tokio::task::yield_now().await;
        drop(turn);
        match stepped {
            Poll::Ready(Ok(true)) | Poll::Pending => {}
            Poll::Ready(Ok(false)) => return Err(HandshakeFault::Closed),
            Poll::Ready(Err(_)) => return Err(socket.fault().unwrap_or(HandshakeFault::Closed)),
        }
        if !socket.is_handshaking() {
            visitor.tls = socket.tls();
            visitor.https = true;
            return Ok(Begun::Secure);
        }
        // The whole answer is out before more is read: it is small, and he can go on only with it.
        match deadline.guard(|context| socket.poll_output(context)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(HandshakeFault::Closed),
            Err(_) => return Err(HandshakeFault::TimedOut),
        }
    }
}

/// Waits for bytes without reading them, so that who waits for his turn holds no buffer; false when the connection
/// failed.
async fn arrival(visitor: &mut Visitor) -> Result<bool, HandshakeFault> {
    let (socket, deadline) = visitor.parts().ok_or(HandshakeFault::Closed)?;
    match deadline.guard(|context| socket.poll_arrival(context)).await {
        Ok(arrived) => Ok(arrived.is_ok()),
        Err(_) => Err(HandshakeFault::TimedOut),
    }
}

/// The first byte; `None` when the connection ended before it.
async fn first_byte(visitor: &mut Visitor) -> Option<u8> {
    let (socket, deadline) = visitor.parts()?;
    if socket.filled().is_empty() {
        let filled = deadline.guard(|context| socket.poll_fill(context, FIRST_BYTES_MAX)).await;
        filled.ok()?.ok()?;
    }
    socket.filled().first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Doors, Port};
    use std::io::{IoSlice, Write};
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use tentpole_model::{Tls, TlsFault, TlsVersion, VisitorLimits};
    use tentpole_runtime::socket::Socket;
    use tentpole_runtime::{Ledger, clock};

    /// Counts its steps, and is done after the second.
    #[derive(Debug)]
    struct Counted {
        steps: Arc<AtomicUsize>,
        own: usize,
    }

    impl Session for Counted {
        fn take(&mut self, arrived: &[u8]) -> io::Result<usize> {
            self.steps.fetch_add(1, Relaxed);
            self.own += 1;
            Ok(arrived.len())
        }
        fn content(&self) -> usize {
            0
        }
        fn read(&mut self, _into: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
        fn has_ended(&self) -> bool {
            false
        }
        fn write(&mut self, _parts: &[IoSlice<'_>]) -> io::Result<usize> {
            Ok(0)
        }
        fn has_output(&self) -> bool {
            false
        }
        fn put_out(&mut self, _to: &mut dyn Write) -> io::Result<usize> {
            Ok(0)
        }
        fn end(&mut self) {}
        fn is_handshaking(&self) -> bool {
            self.own < 2
        }
        fn alpn(&self) -> Option<&[u8]> {
            None
        }
        fn facts(&self) -> Option<Tls> {
            Some(Tls { version: TlsVersion::V13, resumed: false })
        }
        fn endpoint_fault(&self) -> Option<TlsFault> {
            None
        }
        fn fault(&self) -> Option<HandshakeFault> {
            None
        }
    }

    #[tokio::test(flavor = "local")]
    async fn a_flood_of_handshakes_leaves_each_turn_to_those_who_are_served() {
        const VISITORS: usize = 60;
        clock::renew();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (doors, _handovers) = Doors::new(VISITORS, 1, Ledger::new(1 << 20));
        let (steps, handshakes) = (Arc::new(AtomicUsize::new(0)), Rc::new(Handshakes::new(VISITORS)));
        let mut clients = Vec::new();
        let mut flood = Vec::new();
        for _ in 0..VISITORS {
            let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.write_all(&[22, 3, 1]).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let open = doors.enter(0, std::net::Ipv4Addr::LOCALHOST.into()).unwrap();
            let mut visitor = Visitor::new(Socket::new(stream), Port::Tls, open, VisitorLimits::default());
            let (steps, handshakes) = (steps.clone(), handshakes.clone());
            flood.push(tokio::task::spawn_local(async move {
                let session = || Ok(Box::new(Counted { steps, own: 0 }) as Box<dyn Session>);
                shake_hands(&mut visitor, &handshakes, session).await
            }));
            clients.push(client);
        }
        let mut most = 0;
        while steps.load(Relaxed) < VISITORS {
            let before = steps.load(Relaxed);
            tokio::task::yield_now().await;
            most = most.max(steps.load(Relaxed) - before);
        }
        // Their second flight, all at once.
        clients.iter_mut().for_each(|client| client.write_all(&[22, 3, 1]).unwrap());
        while steps.load(Relaxed) < 2 * VISITORS {
            let before = steps.load(Relaxed);
            tokio::task::yield_now().await;
            most = most.max(steps.load(Relaxed) - before);
        }
        assert!((1..=STEPS_A_TURN).contains(&most), "{most} steps between two looks");
        for one in flood {
            assert_eq!(one.await.unwrap(), Ok(Begun::Secure));
        }
        assert_eq!(handshakes.under_way.get(), 0);
    }
}
