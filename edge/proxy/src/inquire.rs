//! What a visit asks of the cache and of endpoints, and waiting for that while the visitor is there. Decides nothing about either.

use crate::asked::Asked;
use crate::choose::left_the_queue;
use crate::exchange::NoResponse;
use crate::fetch::Attempts;
use crate::obtain::{Forwarded, Got, Inquiry};
use crate::place::Place;
use crate::stop::Stop;
use crate::thread::{Scratch, Thread, View};
use crate::visit::Visit;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tentpole_listener::Visitor;
use tentpole_runtime::deadline::Deadline;

impl Visit<'_> {
    /// What is asked for, without the connection that it came over.
    pub(crate) fn inquiry<'b>(
        &'b mut self,
        view: &'b Rc<View>,
        asked: &'b Asked,
        place: &'b Place,
    ) -> Inquiry<'b> {
        let deadline = &self.visitor.deadline;
        let said = (&mut self.why.attempts, &mut self.forwarded);
        inquiry_of((self.thread, &*self.scratch, deadline), said, (view, asked, place), self.came.address)
    }
}

/// What is asked for, by its parts: so that the visitor can be looked after meanwhile.
pub(crate) fn inquiry_of<'b>(
    (thread, scratch, deadline): (&'b Rc<Thread>, &'b Scratch, &'b Deadline),
    (attempts, forwarded): (&'b mut Attempts, &'b mut Option<Forwarded>),
    (view, asked, place): (&'b Rc<View>, &'b Asked, &'b Place),
    peer: IpAddr,
) -> Inquiry<'b> {
    let Scratch { request, target, shared_target, key, cookies, via, .. } = scratch;
    let cookies = place.cookies.reduced.then_some(&cookies[..]);
    Inquiry {
        thread,
        view,
        request,
        target,
        shared_target,
        cookies,
        key,
        asked,
        place,
        peer,
        via,
        deadline,
        attempts,
        forwarded,
    }
}

/// Waits for what is obtained, unless the visitor leaves before while others wait for the pool too: then nobody need be asked on
/// his behalf. At leisure one who has closed his half of the connection is answered.
pub(crate) async fn while_there(
    visitor: &mut Visitor,
    obtaining: impl Future<Output = Result<Got, NoResponse>>,
    view: &View,
    place: Place,
) -> Result<Got, Stop> {
    let gate = &view.prepared.pools[usize::from(place.pool.0)].gate;
    let mut obtaining = pin!(obtaining);
    poll_fn(|context| match obtaining.as_mut().poll(context) {
        Poll::Ready(obtained) => Poll::Ready(obtained.map_err(Stop::from)),
        Poll::Pending => match visitor.poll_left(context) {
            Poll::Ready(()) if gate.length() > 0 => Poll::Ready(Err(Stop::Failed(left_the_queue()))),
            _ => Poll::Pending,
        },
    })
    .await
}
