//! Serves a connection that carries many requests at once (HTTP/2): each has a task of its own and goes the same way as
//! any other, as if it had a connection of its own. Reads no frame.

use crate::thread::Thread;
use crate::visit::Visit;
use crate::websocket;
use std::rc::Rc;
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
                tokio::task::spawn_local(serve_one(thread.clone(), visitor));
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
