//! A visitor's connection from its beginning to its end: who it is for, TLS, and its requests one after the other. What
//! becomes of a request is `visit.rs`.

use crate::edge::Served;
use crate::many;
use crate::secure;
use crate::stop::After;
use crate::thread::Thread;
use crate::visit::Visit;
use std::rc::Rc;
use tentpole_listener::{Begun, Port, Visitor};
use tentpole_model::Refused;

/// Serves one connection, request after request. What only its beginning and its end need has memory of its own: an idle
/// connection must not carry it.
#[expect(clippy::manual_async_fn, reason = "an async fn would hold the visitor twice")]
pub fn serve(served: Served, mut visitor: Visitor) -> impl Future<Output = ()> {
    async move {
        let thread = &served.0;
        if begins_with_proxy_header(thread, &visitor) {
            if !visitor.awaits_request().await {
                return;
            }
            match Box::pin(visitor.read_proxy_header()).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(refused) => return Box::pin(turn_away(thread, visitor, refused)).await,
            }
        }
        if visitor.port == Port::Tls {
            match Box::pin(secure::begin(thread, &mut visitor)).await {
                Begun::Secure if visitor.chose_http2() => {
                    return Box::pin(many::serve(thread.clone(), visitor)).await;
                }
                Begun::Secure => {}
                Begun::Gone => return,
                Begun::Clear => {
                    return Box::pin(turn_away(thread, visitor, Refused::ClearOnTls)).await;
                }
            }
        }
        while visitor.awaits_request().await {
            let mut scratch = thread.scratch();
            let after = Visit::new(thread, &mut visitor, &mut scratch).run().await;
            thread.put_back(scratch);
            visitor.served = visitor.served.saturating_add(1);
            match after {
                After::NextRequest => {}
                After::Close => return,
                After::Linger => return Box::pin(visitor.linger()).await,
                After::Http2 => return Box::pin(many::serve(thread.clone(), visitor)).await,
            }
        }
    }
}

/// Whether the connection is one of a trusted peer who says first whom it is for.
fn begins_with_proxy_header(thread: &Rc<Thread>, visitor: &Visitor) -> bool {
    let view = thread.view();
    let front = &view.prepared.snapshot.front;
    front.proxy_protocol && front.trusts(visitor.peer.ip())
}

/// Answers a connection that does not begin as it must.
async fn turn_away(thread: &Rc<Thread>, mut visitor: Visitor, refused: Refused) {
    let mut scratch = thread.scratch();
    Visit::new(thread, &mut visitor, &mut scratch).turn_away(refused).await;
    thread.put_back(scratch);
    visitor.linger().await;
}
