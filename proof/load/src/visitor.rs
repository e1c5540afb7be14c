//! A virtual user: walks journeys over a connection of its own, with cookies and choices of its own. Asks only the
//! hosts of the run, whatever a page says; keeps no body that no step looks into.

use crate::arrivals::{below, seed_of, unit};
use crate::connection::{Connection, Finished};
use crate::cookies::Jar;
use crate::extract::{BODY_BYTES_MAX, Page, failure};
use crate::generator::{Scratch, Thread};
use crate::journey::{Content, Journey, Step, Verb};
use crate::record::{Ended, Wire};
use crate::result::FailureCause;
use crate::template::Place;
use crate::url::{Url, push_encoded};
use std::rc::Rc;
use std::time::Duration;
use tentpole_http1::{Framing, write_field, write_framing, write_request_line};
use tentpole_message::Name;
use tentpole_runtime::Random;
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::deadline::Deadline;

/// Redirects that are followed.
pub const HOPS_MAX: usize = 5;

/// One virtual user.
pub struct Visitor {
    thread: Rc<Thread>,
    random: Random,
    jar: Jar,
    /// To which host, and the connection.
    connection: Option<(usize, Connection)>,
    deadline: Deadline,
    /// Of the journey's variables, by number.
    values: Vec<Option<String>>,
}

impl Visitor {
    /// The visitor of this number; the same number and seed make the same choices.
    pub fn new(thread: &Rc<Thread>, number: u64) -> Self {
        Self {
            thread: thread.clone(),
            random: Random::from_seed(seed_of(thread.plan.seed, number)),
            jar: Jar::default(),
            connection: None,
            deadline: Deadline::new(),
            values: vec![None; thread.plan.journeys.variables.len()],
        }
    }

    /// Walks one journey, whose first request is due at `due`. Returns when the visitor wants to begin the next;
    /// `None` when `goes_on` said in between that there is no further.
    pub async fn walk(&mut self, mut due: Instant, goes_on: impl Fn() -> bool) -> Option<Instant> {
        let thread = self.thread.clone();
        let journey = self.choose_journey(&thread);
        let host = self.choose_host(&thread, journey);
        let mut last = None;
        for step in &journey.steps {
            if step.chance < 1.0 && unit(&mut self.random) >= step.chance {
                continue;
            }
            if let Some(last) = last {
                due = self.after_thinking(last, step.think);
                thread.timer.until(due).await;
                if !goes_on() {
                    return None;
                }
            }
            for (variable, values) in &step.choose {
                self.values[*variable] = Some(values[below(&mut self.random, values.len())].clone());
            }
            let (ended, is_good) = self.visit(&thread, step, host, due).await;
            last = Some(ended);
            if !is_good {
                // Who got an error page begins again.
                break;
            }
        }
        if !journey.keeps_cookies {
            self.jar.clear();
        }
        self.values.fill(None);
        Some(self.after_thinking(last.unwrap_or_else(clock::now), None))
    }

    fn choose_journey<'t>(&mut self, thread: &'t Thread) -> &'t Journey {
        let journeys = &thread.plan.journeys;
        let place = match journeys.all.len() {
            1 => 0,
            _ => journeys.choose(below(&mut self.random, journeys.weights())),
        };
        &journeys.all[place]
    }

    fn choose_host(&mut self, thread: &Thread, journey: &Journey) -> usize {
        if journey.hosts.is_empty() {
            return 0;
        }
        let name = &journey.hosts[below(&mut self.random, journey.hosts.len())];
        thread.plan.hosts.place(name, thread.plan.hosts.port).unwrap_or(0)
    }

    /// Half to one and a half of the mean: visitors do not move in step.
    fn after_thinking(&mut self, from: Instant, think: Option<Duration>) -> Instant {
        let mean = think.unwrap_or(self.thread.plan.think);
        if mean.is_zero() {
            return from;
        }
        from.after(mean.mul_f64(0.5 + unit(&mut self.random)))
    }

    /// One page load: counted, whatever comes of it. Returns when it ended and whether the journey goes on.
    async fn visit(&mut self, thread: &Thread, step: &Step, host: usize, due: Instant) -> (Instant, bool) {
        let begun = clock::renew();
        thread.record().begin(due, begun);
        let mut wire = Wire::default();
        let mut scratch = thread.scratch();
        let failure = self.load(thread, step, host, begun, &mut wire, &mut scratch).await.err();
        self.deadline.clear();
        thread.put_back(scratch);
        let ended = clock::renew();
        thread.record().end(&Ended { step: step.number, due, begun, ended, failure, wire });
        (ended, failure.is_none())
    }

    async fn load(
        &mut self,
        thread: &Thread,
        step: &Step,
        mut host: usize,
        begun: Instant,
        wire: &mut Wire,
        scratch: &mut Scratch,
    ) -> Result<(), FailureCause> {
        host = self.begin_target(thread, step, host, scratch)?;
        let mut verb = step.method;
        let mut has_content = true;
        let body_max = if step.wants_body() { BODY_BYTES_MAX } else { 0 };
        for hop in 0..=HOPS_MAX {
            self.write_request(thread, step, verb, has_content, host, scratch)?;
            scratch.body.clear();
            let finished = self.exchange(thread, verb, host, body_max, begun, wire, scratch).await?;
            wire.statuses[hop] = scratch.head.status;
            wire.bytes += finished.bytes;
            self.take_cookies(thread, host, scratch);
            let Some(location) = redirect(step, scratch) else {
                return self.judge(thread, step, host, scratch);
            };
            if hop == HOPS_MAX {
                break;
            }
            (host, scratch.target) = leads_to(thread, host, &scratch.target, &location)?;
            if scratch.head.status != 307 && scratch.head.status != 308 && verb != Verb::Head {
                verb = Verb::Get;
                has_content = false;
            }
        }
        Err(FailureCause::Redirect)
    }

    /// Fills in the path of a step; it may be a whole link that leads to another host of the run.
    fn begin_target(
        &self,
        thread: &Thread,
        step: &Step,
        host: usize,
        scratch: &mut Scratch,
    ) -> Result<usize, FailureCause> {
        scratch.target.clear();
        if !step.path.write(&mut scratch.target, Place::Url, &self.values) {
            return Err(FailureCause::Extract);
        }
        if scratch.target.starts_with('/') && !scratch.target.starts_with("//") {
            return Ok(host);
        }
        let (host, target) = leads_to(thread, host, "/", &scratch.target)?;
        scratch.target = target;
        Ok(host)
    }

    fn write_request(
        &self,
        thread: &Thread,
        step: &Step,
        verb: Verb,
        has_content: bool,
        host: usize,
        scratch: &mut Scratch,
    ) -> Result<(), FailureCause> {
        let Scratch { request, target, text, .. } = scratch;
        let host = &thread.plan.hosts.all[host];
        request.clear();
        write_request_line(request, verb.text().as_bytes(), target.as_bytes());
        write_field(request, b"Host", host.authority.as_bytes());
        let says = |name: &str| step.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        if !says("user-agent") {
            request.extend_from_slice(b"User-Agent: tentpole-load\r\n");
        }
        if !says("accept") {
            request.extend_from_slice(b"Accept: */*\r\n");
        }
        let content_header =
            |name: &str| name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"));
        for (name, value) in step.headers.iter().filter(|(name, _)| has_content || !content_header(name)) {
            text.clear();
            if !value.write(text, Place::Header, &self.values) {
                return Err(FailureCause::Extract);
            }
            write_field(request, name.as_bytes(), text.as_bytes());
        }
        if !self.jar.is_empty() {
            let before = request.len();
            request.extend_from_slice(b"Cookie: ");
            let empty = request.len();
            let seconds = clock::coarse().unix_seconds();
            self.jar.write(request, &host.name, target, host.is_loopback(), seconds);
            if request.len() == empty {
                request.truncate(before);
            } else {
                request.extend_from_slice(b"\r\n");
            }
        }
        text.clear();
        match &step.body {
            _ if !has_content => request.extend_from_slice(b"\r\n"),
            Content::None if matches!(verb, Verb::Get | Verb::Head | Verb::Options) => {
                request.extend_from_slice(b"\r\n");
            }
            content => {
                if !write_content(content, text, &self.values) {
                    return Err(FailureCause::Extract);
                }
                write_framing(request, Framing::Length(text.len() as u64));
                request.extend_from_slice(b"\r\n");
                request.extend_from_slice(text.as_bytes());
            }
        }
        Ok(())
    }

    /// Sends what is in `scratch.request` and reads the response. A kept connection that the other side has closed
    /// meanwhile is replaced once, as browsers do, and is no failure.
    #[allow(clippy::too_many_arguments, reason = "what one exchange needs, all of it owned elsewhere")]
    async fn exchange(
        &mut self,
        thread: &Thread,
        verb: Verb,
        host: usize,
        body_max: usize,
        begun: Instant,
        wire: &mut Wire,
        scratch: &mut Scratch,
    ) -> Result<Finished, FailureCause> {
        let plan = &thread.plan;
        if let Some((to, connection)) = &mut self.connection {
            let is_usable = connection.is_clean();
            if *to != host || !is_usable {
                wire.reconnects += u32::from(*to == host);
                self.connection = None;
            }
        }
        loop {
            let is_reused = self.connection.is_some();
            if !is_reused {
                let connect_timeout = plan.connect_timeout.min(plan.timeout);
                self.deadline.set_at(clock::now().after(connect_timeout).min(begun.after(plan.timeout)));
                wire.connects += 1;
                // Boxed: dialing is rare, and its memory would be in every visitor for good.
                let dialing = Box::pin(Connection::dial(&plan.hosts.all[host].addresses, &self.deadline));
                self.connection = Some((host, dialing.await?));
            }
            let Some((_, connection)) = &mut self.connection else { return Err(FailureCause::Refused) };
            self.deadline.set_at(begun.after(plan.timeout));
            let Scratch { request, head, body, .. } = scratch;
            let outcome =
                connection.exchange(request, verb.method(), head, body, body_max, &self.deadline).await;
            match outcome {
                Ok(finished) => {
                    if !finished.keeps_alive {
                        self.connection = None;
                    }
                    return Ok(finished);
                }
                Err(broken) => {
                    self.connection = None;
                    let is_closed = matches!(broken.cause, FailureCause::Reset | FailureCause::ClosedEarly);
                    if !is_reused || broken.answered || !is_closed {
                        return Err(broken.cause);
                    }
                    wire.reconnects += 1;
                }
            }
        }
    }

    fn take_cookies(&mut self, thread: &Thread, host: usize, scratch: &Scratch) {
        if !scratch.head.fields.has(Name::SetCookie) {
            return;
        }
        let seconds = clock::coarse().unix_seconds();
        for value in scratch.head.fields.all(Name::SetCookie) {
            self.jar.take(value, &thread.plan.hosts.all[host].name, &scratch.target, seconds);
        }
    }

    /// Whether the response is as it must be, and what the next steps take from it.
    fn judge(
        &mut self,
        thread: &Thread,
        step: &Step,
        host: usize,
        scratch: &Scratch,
    ) -> Result<(), FailureCause> {
        if step.checks.is_empty() && step.extract.is_empty() && scratch.head.status < 400 {
            return Ok(());
        }
        let host = &thread.plan.hosts.all[host];
        let url = format!("http://{}{}", host.authority, scratch.target);
        let page = Page { head: &scratch.head, body: &scratch.body, url: &url };
        if let Some(cause) = failure(page, &step.checks) {
            return Err(cause);
        }
        for extract in &step.extract {
            let value = extract.take(page, &mut self.random).ok_or(FailureCause::Extract)?;
            self.values[extract.variable] = Some(value);
        }
        Ok(())
    }
}

fn write_content(content: &Content, out: &mut String, values: &[Option<String>]) -> bool {
    match content {
        Content::None => true,
        Content::Text(text) => text.write(out, Place::Body, values),
        Content::Form(fields) => fields.iter().all(|(name, value)| {
            if !out.is_empty() {
                out.push('&');
            }
            push_encoded(out, name);
            out.push('=');
            value.write(out, Place::Form, values)
        }),
    }
}

/// Where a response sends its visitor, when it does.
fn redirect(step: &Step, scratch: &Scratch) -> Option<String> {
    if !matches!(scratch.head.status, 301 | 302 | 303 | 307 | 308) || step.checks_status() {
        return None;
    }
    let location = scratch.head.fields.find(b"location").next()?;
    Some(String::from_utf8_lossy(location).into_owned())
}

/// Which host of the run a link leads to, and to what there.
fn leads_to(thread: &Thread, host: usize, target: &str, link: &str) -> Result<(usize, String), FailureCause> {
    let hosts = &thread.plan.hosts;
    let here = Url { host: hosts.all[host].name.clone(), port: hosts.port, target: target.to_owned() };
    let there = here.join(link).map_err(|_| FailureCause::Redirect)?;
    let host = hosts.place(&there.host, there.port).ok_or(FailureCause::Redirect)?;
    Ok((host, there.target))
}
