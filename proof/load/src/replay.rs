//! Requests at given moments, each by the visitor who made it: an access log played again. An open model: a request is
//! due at its moment, however the server does. Reads no log; whoever has one hands its requests over one after another.

use crate::extract::Check;
use crate::generator::{Orders, Thread};
use crate::journey::{Content, Extras, Journey, Journeys, Step, Verb};
use crate::order::Part;
use crate::template::Template;
use crate::visitor::Visitor;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tentpole_runtime::clock;
use tokio::sync::{Notify, mpsc};

/// Requests that are read ahead on each thread.
const AHEAD_MAX: usize = 1_024;

/// A request and its moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// When it is due, from the beginning. Never before the one that was handed over last.
    pub after: Duration,
    /// Who makes it: the same number, the same visitor.
    pub visitor: u64,
    /// How.
    pub verb: Verb,
    /// Path and query; begins with `/`.
    pub target: String,
    /// What the visitor says that he is; nothing for the generator's own name.
    pub user_agent: String,
    /// How it was answered: an error that came then is none now.
    pub status: u16,
}

/// Requests in the order of their moments.
pub type Requests = Box<dyn Iterator<Item = Request> + Send>;

/// Where requests come from, for the thread of a number: all of them, or those of its own visitors alone. Each thread reads them
/// anew and makes those of its own.
#[derive(Clone)]
pub struct Source(pub Arc<dyn Fn(u32) -> std::io::Result<Requests> + Send + Sync>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// What is told apart in the report: the methods.
pub fn journeys(name: &str) -> Journeys {
    let steps: Vec<Step> =
        Verb::ALL.into_iter().enumerate().map(|(number, verb)| step(number, verb)).collect();
    let order = (0..steps.len()).map(Part::Step).collect();
    let journey = Journey {
        name: name.to_owned(),
        weight: 1,
        hosts: Vec::new(),
        account: None,
        keeps_cookies: true,
        keeps_variables: false,
        goes_on: true,
        set: Vec::new(),
        data: Vec::new(),
        crew: None,
        steps,
        order,
    };
    Journeys { name: name.to_owned(), all: vec![journey], variables: Vec::new() }
}

fn step(number: usize, verb: Verb) -> Step {
    Step {
        number,
        name: verb.text().to_owned(),
        method: verb,
        path: Template::literal("/"),
        headers: Vec::new(),
        body: Content::None,
        chance: 1.0,
        think: None,
        // What a redirect led to stands in the log itself.
        redirects: Some(false),
        choose: Vec::new(),
        extract: Vec::new(),
        checks: Vec::new(),
        extras: Extras::default(),
    }
}

impl Request {
    fn step(&self) -> Step {
        let number = Verb::ALL.iter().position(|verb| *verb == self.verb).unwrap_or(0);
        let mut step = step(number, self.verb);
        step.path = Template::literal(&self.target);
        if !self.user_agent.is_empty() {
            step.headers.push(("User-Agent".to_owned(), Template::literal(&self.user_agent)));
        }
        if self.status >= 400 {
            step.checks.push(Check::Status(vec![self.status, 200, 204, 301, 302, 303, 304, 307, 308]));
        }
        step
    }
}

/// Visitors of one thread who wait for their next request, by number.
#[derive(Default)]
struct Waiting {
    all: RefCell<HashMap<u64, Visitor>>,
    under_way: Cell<u32>,
    ended: Notify,
}

/// Makes this thread's part of all requests; over when the last has ended.
pub(crate) async fn perform(thread: &Rc<Thread>, source: &Source, orders: &Orders) {
    let mut requests = read(thread, source);
    let waiting = Rc::new(Waiting::default());
    let under_way_max = thread.plan.in_flight_max.div_ceil(thread.plan.threads);
    while let Some(request) = requests.recv().await {
        let due = orders.begin.after(request.after);
        if clock::now() < due {
            thread.timer.until(due).await;
        }
        if waiting.under_way.get() >= under_way_max {
            crate::generator::refuse(thread, due);
            continue;
        }
        let known = waiting.all.borrow_mut().remove(&request.visitor);
        // Somebody who is still waiting for a page asks by another connection, as browsers do.
        let visitor = known.unwrap_or_else(|| Visitor::new(thread, request.visitor & 0xFFFF_FFFF));
        waiting.under_way.set(waiting.under_way.get() + 1);
        thread.shared.under_way.fetch_add(1, Relaxed);
        tokio::task::spawn_local(ask(thread.clone(), waiting.clone(), visitor, request, due, under_way_max));
    }
    while waiting.under_way.get() > 0 {
        waiting.ended.notified().await;
    }
    thread.shared.gone.fetch_add(1, Relaxed);
}

async fn ask(
    thread: Rc<Thread>,
    waiting: Rc<Waiting>,
    mut visitor: Visitor,
    request: Request,
    due: clock::Instant,
    kept_max: u32,
) {
    visitor.ask(&request.step(), due).await;
    thread.shared.under_way.fetch_sub(1, Relaxed);
    waiting.under_way.set(waiting.under_way.get() - 1);
    let mut all = waiting.all.borrow_mut();
    if all.len() >= kept_max as usize
        && let Some(other) = all.keys().next().copied()
    {
        // Memory is bounded: who comes again after that is a new visitor.
        all.remove(&other);
    }
    all.entry(request.visitor).or_insert(visitor);
    drop(all);
    waiting.ended.notify_one();
}

/// A thread beside this one reads: a slow disk must not make requests late that have been read.
fn read(thread: &Thread, source: &Source) -> mpsc::Receiver<Request> {
    let (to, received) = mpsc::channel(AHEAD_MAX);
    let (source, threads, number) = (source.clone(), u64::from(thread.plan.threads), thread.number);
    // It ends with the requests, or when nobody takes them any more.
    let reading = std::thread::Builder::new().name(format!("replay-{number}")).spawn(move || {
        let Ok(requests) = (source.0)(number) else { return };
        for request in requests.filter(|request| request.visitor % threads == u64::from(number)) {
            if to.blocking_send(request).is_err() {
                return;
            }
        }
    });
    drop(reading);
    received
}
