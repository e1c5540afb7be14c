//! Serves a connection that carries many requests at once (HTTP/2): each goes the same way as any other, as if it had a
//! connection of its own, and has a task of its own as soon as it must wait. Reads no frame.

use crate::thread::Thread;
use crate::visit::Visit;
use crate::websocket;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use tentpole_listener::{Ended, Visitor};

/// Serves one connection until it ends. Requests under way when it breaks find that out by themselves.
pub async fn serve(thread: Rc<Thread>, visitor: Visitor) {
    let Some((mut connection, guise)) = visitor.into_http2(thread.shared.ledger.clone()) else { return };
    loop {
        let served = connection.begun();
        let is_draining = || thread.draining.get();
        let challenge = || websocket::challenge(&mut thread.random.borrow_mut());
        match connection.next(is_draining, challenge).await {
            Ok(stream) => {
                let visitor = Visitor::of_stream(stream, guise, served);
                let mut one = Box::pin(serve_one(thread.clone(), visitor));
                // Here as far as it goes: a hit is done then, and costs no task. What has to wait waits in one.
                if poll_fn(|context| Poll::Ready(one.as_mut().poll(context).is_pending())).await {
                    tokio::task::spawn_local(one);
                }
            }
            Err(Ended::Closed) => return,
            Err(Ended::Refused(why)) => return thread.metrics.connection_refused(why),
        }
    }
}

async fn serve_one(thread: Rc<Thread>, mut visitor: Visitor) {
    let mut scratch = thread.scratch();
    Visit::new(&thread, &mut visitor, &mut scratch).run().await;
    thread.put_back(scratch);
}
