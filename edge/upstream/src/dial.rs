//! Dialing: the first of an endpoint's addresses that answers. An address that says nothing costs a moment and not the
//! whole time (RFC 8305 section 5). Knows no request.

use crate::opening::Opening;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tentpole_model::Cause;
use tentpole_runtime::deadline::Deadline;
use tokio::net::TcpStream;

/// After this time without an answer the next address is dialed too (RFC 8305 section 8 recommends it).
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// One address that is being dialed. It counts as open from its first packet on.
struct Dialing<F> {
    address: SocketAddr,
    opening: Opening,
    connecting: Pin<Box<F>>,
}

/// A connection to the first address that answers, and which one that is. They are dialed in their order: the next one
/// when one fails or, while another connection may be opened, says nothing for a moment.
///
/// # Errors
/// [`Cause::TimedOut`] when the deadline passes; else what was said of the last one that failed.
pub(crate) async fn first_of<F: Future<Output = Result<TcpStream, Cause>>>(
    addresses: &[SocketAddr],
    opening: Opening,
    connect: impl Fn(SocketAddr) -> F,
    deadline: &Deadline,
) -> Result<(TcpStream, SocketAddr, Opening), Cause> {
    if let &[address] = addresses {
        let mut connecting = pin!(connect(address));
        return match deadline.guard(|context| connecting.as_mut().poll(context)).await {
            Ok(Ok(stream)) => {
                let opening = opening.stands(&stream);
                Ok((stream, address, opening))
            }
            Ok(Err(cause)) => Err(cause),
            Err(_) => Err(Cause::TimedOut),
        };
    }
    let mut left = addresses.iter().copied();
    let mut spare = Some(opening);
    let mut under_way: Vec<Dialing<F>> = Vec::new();
    let mut patience = pin!(tokio::time::sleep(NEXT_AFTER));
    let mut last = Cause::NoEndpoint;
    poll_fn(|context| {
        loop {
            let mut at = 0;
            while let Some(dialing) = under_way.get_mut(at) {
                match dialing.connecting.as_mut().poll(context) {
                    Poll::Ready(Ok(stream)) => {
                        let Dialing { address, opening, .. } = under_way.remove(at);
                        let opening = opening.stands(&stream);
                        return Poll::Ready(Ok((stream, address, opening)));
                    }
                    Poll::Ready(Err(cause)) => {
                        last = cause;
                        spare = Some(under_way.remove(at).opening);
                    }
                    Poll::Pending => at += 1,
                }
            }
            let none_left = left.len() == 0;
            let next = under_way.is_empty() || !none_left && patience.as_mut().poll(context).is_ready();
            if !next {
                return deadline.poll_expired(context).map(|_| Err(Cause::TimedOut));
            }
            let Some(address) = left.next() else { return Poll::Ready(Err(last)) };
            let another = || under_way.first().and_then(|dialing| dialing.opening.another());
            let Some(opening) = spare.take().or_else(another) else {
                // As many connections as may be are open: the one under way has all the time there is.
                left = [].iter().copied();
                continue;
            };
            under_way.push(Dialing { address, opening, connecting: Box::pin(connect(address)) });
            patience.set(tokio::time::sleep(NEXT_AFTER));
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::atomic::Ordering::SeqCst;
    use tentpole_runtime::{Cells, clock};
    use tokio::net::{TcpListener, TcpSocket};

    /// A listener whose queue is full: the kernel drops every further attempt to connect.
    async fn silent() -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        let once = || tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address));
        while let Ok(connected) = once().await {
            waiting.push(connected.unwrap());
            assert!(waiting.len() < 16, "the listener's queue never fills");
        }
        (listener, waiting)
    }

    async fn first_of(
        addresses: &[SocketAddr],
        deadline: &Deadline,
    ) -> Result<(TcpStream, SocketAddr), Cause> {
        let cell = Cells::new().of("app", "a:1");
        let opening = Opening::reserve(&cell, None).unwrap();
        let dialed = super::first_of(addresses, opening, connect, deadline).await;
        let dialed = dialed.map(|(stream, address, _)| (stream, address));
        assert_eq!(cell.open.load(SeqCst), 0);
        dialed
    }

    async fn connect(address: SocketAddr) -> Result<TcpStream, Cause> {
        TcpStream::connect(address).await.map_err(|error| Cause::from(&error))
    }

    #[tokio::test(flavor = "current_thread")]
    async fn each_address_that_is_dialed_counts_as_open() {
        clock::renew();
        let (silent, _waiting) = silent().await;
        let address = silent.local_addr().unwrap();
        let cell = Cells::new().of("app", "a:1");
        for (max, most) in [(None, 3), (Some(2), 2), (Some(1), 1)] {
            let deadline = Deadline::new();
            deadline.set_in(Duration::from_secs(60));
            let opening = Opening::reserve(&cell, max).unwrap();
            let addresses = [address; 3];
            let dialing = super::first_of(&addresses, opening, connect, &deadline);
            let (dialed, ()) = tokio::join!(dialing, async {
                while cell.open.load(SeqCst) < most {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                // Not one more.
                tokio::time::sleep(NEXT_AFTER * 2).await;
                assert_eq!(cell.open.load(SeqCst), most);
                tentpole_runtime::deadline::sweep(clock::now().after(Duration::from_secs(61)));
            });
            assert_eq!(dialed.map(|_| ()), Err(Cause::TimedOut));
            assert_eq!(cell.open.load(SeqCst), 0);
        }
    }

    /// An address where nobody listens.
    async fn refusing() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_address_that_says_nothing_costs_a_moment() {
        clock::renew();
        let (silent, _waiting) = silent().await;
        let well = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (silent, well_at) = (silent.local_addr().unwrap(), well.local_addr().unwrap());
        // No sweep runs here: without a second address dialed meanwhile this would wait for minutes.
        let began = clock::now();
        let deadline = Deadline::new();
        let (_stream, address) = first_of(&[silent, well_at], &deadline).await.unwrap();
        let took = clock::now().since(began);
        assert_eq!(address, well_at);
        assert!(took >= NEXT_AFTER && took < Duration::from_secs(10), "took {took:?}");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_address_that_refuses_costs_nothing_and_the_last_cause_is_told() {
        clock::renew();
        let (first, second) = (refusing().await, refusing().await);
        let well = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let deadline = Deadline::new();
        let (_stream, address) =
            first_of(&[first, second, well.local_addr().unwrap()], &deadline).await.unwrap();
        assert_eq!(address, well.local_addr().unwrap());
        let refused = Err(Cause::Io(io::ErrorKind::ConnectionRefused));
        assert_eq!(first_of(&[first, second], &deadline).await.map(|_| ()), refused);
        assert_eq!(first_of(&[first], &deadline).await.map(|_| ()), refused);
        assert_eq!(first_of(&[], &deadline).await.map(|_| ()), Err(Cause::NoEndpoint));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn addresses_that_all_say_nothing_cost_the_time_that_was_given() {
        clock::renew();
        let (silent, _waiting) = silent().await;
        let address = silent.local_addr().unwrap();
        let deadline = Deadline::new();
        deadline.set_in(Duration::from_secs(2));
        let addresses = [address, address];
        let (dialed, ()) = tokio::join!(first_of(&addresses, &deadline), async {
            tokio::task::yield_now().await;
            tentpole_runtime::deadline::sweep(clock::now().after(Duration::from_secs(3)));
        });
        assert_eq!(dialed.map(|_| ()), Err(Cause::TimedOut));
    }
}
