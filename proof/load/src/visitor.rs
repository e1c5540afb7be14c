//! A virtual user: walks journeys over a connection of its own, with cookies and choices of its own. Asks only the
//! hosts of the run, whatever a page says; keeps no body that no step looks into.

use crate::arrivals::{Pause, below, seed_of, unit};
use crate::connection::{Connection, Finished};
use crate::cookies::Jar;
use crate::extract::{BODY_BYTES_MAX, Page, failure};
use crate::generator::{Scratch, Thread};
use crate::journey::{Content, Journey, Step, Talk, Verb};
use crate::order::{Met, Walk};
use crate::record::{Ended, Wire};
use crate::result::{FailureCause, Model};
use crate::template::Place;
use crate::think::Think;
use crate::transport::Version;
use crate::url::{Url, push_encoded};
use crate::way::Way;
use crate::websocket::{WebSocket, challenge, handshake_lines};
use std::cell::OnceCell;
use std::rc::Rc;
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
    number: u64,
    random: Random,
    jar: Jar,
    /// To which host, and the connection.
    connection: Option<(usize, Connection)>,
    way: Way,
    deadline: Deadline,
    /// Which journey is walked.
    journey: usize,
    /// Of the journey's variables, by number.
    values: Vec<Option<String>>,
    /// Blocks that were met, by number.
    met: Vec<Met>,
    /// How many rows were taken of each file, by number, and the one that is kept.
    rows: Vec<(usize, Option<usize>)>,
}

impl Visitor {
    /// The visitor of this number; the same number and seed make the same choices.
    pub fn new(thread: &Rc<Thread>, number: u64) -> Self {
        Self {
            thread: thread.clone(),
            number,
            random: Random::from_seed(seed_of(thread.plan.seed, number)),
            jar: Jar::default(),
            connection: None,
            way: Way::default(),
            deadline: Deadline::new(),
            journey: 0,
            values: vec![None; thread.plan.journeys.variables.len()],
            met: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// When a visitor begins who has been there all the time, seen from a moment that knows nothing of him: in the midst of the thinking
    /// before a journey.
    pub fn amid(&mut self, from: Instant) -> Instant {
        let first = self.thread.plan.journeys.all.first().and_then(|journey| journey.steps.first());
        let think = first.and_then(|step| step.think).unwrap_or(Think::Mean(self.thread.plan.think));
        let form = first.and_then(|step| step.extras.pause).unwrap_or(self.thread.plan.pause);
        from.after(think.draw_rest(form, &mut self.random))
    }

    /// Walks one journey, whose first request is due at `due`. Returns when the visitor wants to begin the next;
    /// `None` when `goes_on` said in between that there is no further.
    pub async fn walk(&mut self, due: Instant, goes_on: impl Fn() -> bool) -> Option<Instant> {
        let journeys = &self.thread.plan.journeys;
        let place = match journeys.all.len() {
            1 => 0,
            _ => journeys.choose(below(&mut self.random, journeys.weights())),
        };
        self.walk_journey(place, due, goes_on).await
    }

    /// The same with the journey at this place. `None` also when its data have come to their end.
    pub async fn walk_journey(
        &mut self,
        place: usize,
        mut due: Instant,
        goes_on: impl Fn() -> bool,
    ) -> Option<Instant> {
        let thread = self.thread.clone();
        let journey = &thread.plan.journeys.all[place];
        self.journey = place;
        let host = self.choose_host(&thread, journey);
        self.begin(journey)?;
        // In the open model who arrives is somebody else each time.
        self.way.begin(journey.keeps_cookies && thread.plan.model == Model::Closed);
        let mut last = None;
        let mut walk = Walk::new(&journey.order);
        while let Some(place) = walk.next(&mut self.met, &mut self.random) {
            let step = &journey.steps[place];
            if step.chance < 1.0 && unit(&mut self.random) >= step.chance {
                continue;
            }
            if let Some(last) = last {
                due = self.after_thinking(last, step.think, step.extras.pause);
                thread.timer.until(due).await;
                if !goes_on() {
                    return None;
                }
            }
            for (variable, values) in &step.choose {
                self.values[*variable] = Some(values[below(&mut self.random, values.len())].clone());
            }
            let (ended, is_good) = match &step.extras.websocket {
                // Boxed: its memory would be in every visitor for good.
                Some(talk) => Box::pin(self.converse(&thread, step, talk, host, due)).await,
                None => self.visit(&thread, step, host, due).await,
            };
            last = Some(ended);
            if !is_good && !journey.goes_on {
                // Who got an error page begins again.
                break;
            }
        }
        if !journey.keeps_cookies {
            self.jar.clear();
        }
        if !journey.keeps_variables {
            self.values.fill(None);
        }
        let first = journey.steps.first();
        let think = first.and_then(|step| step.think);
        let pause = first.and_then(|step| step.extras.pause);
        Some(self.after_thinking(last.unwrap_or_else(clock::now), think, pause))
    }

    /// Makes one request that belongs to no journey, with the visitor's cookies and connection.
    pub async fn ask(&mut self, step: &Step, due: Instant) {
        let thread = self.thread.clone();
        self.visit(&thread, step, 0, due).await;
    }

    /// Gives variables the values that they have at the journey's beginning.
    fn begin(&mut self, journey: &Journey) -> Option<()> {
        for (variable, value) in &journey.set {
            self.values[*variable].get_or_insert_with(|| value.clone());
        }
        for data in &journey.data {
            if self.rows.len() <= data.number {
                self.rows.resize(data.number + 1, (0, None));
            }
            let (taken, kept) = &mut self.rows[data.number];
            if kept.is_none() || !data.is_kept {
                *kept = Some(data.take(taken, &mut self.random)?);
            }
            let row = kept.and_then(|place| data.rows.get(place)).map_or(&[][..], Vec::as_slice);
            for (variable, value) in data.variables.iter().zip(row) {
                self.values[*variable] = Some(value.clone());
            }
        }
        Some(())
    }

    fn choose_host(&mut self, thread: &Thread, journey: &Journey) -> usize {
        if journey.hosts.is_empty() {
            return 0;
        }
        let name = &journey.hosts[below(&mut self.random, journey.hosts.len())];
        thread.plan.hosts.place(name, thread.plan.hosts.port).unwrap_or(0)
    }

    /// Drawn, so that visitors do not move in step.
    fn after_thinking(&mut self, from: Instant, think: Option<Think>, pause: Option<Pause>) -> Instant {
        let think = think.unwrap_or(Think::Mean(self.thread.plan.think));
        let form = pause.unwrap_or(self.thread.plan.pause);
        from.after(think.draw(form, &mut self.random))
    }

    /// One conversation over a WebSocket: counted from when it was due to the last answer, then held open. One that breaks
    /// while it is held is counted as another one that failed.
    async fn converse(
        &mut self,
        thread: &Thread,
        step: &Step,
        talk: &Talk,
        host: usize,
        due: Instant,
    ) -> (Instant, bool) {
        let begun = clock::renew();
        thread.record().begin(due, begun);
        self.way.due(thread, due);
        let mut wire = Wire::default();
        let mut scratch = thread.scratch();
        let talked = self.talk(thread, step, talk, host, (due, begun), &mut wire, &mut scratch).await;
        thread.put_back(scratch);
        let ended = clock::renew();
        let (failure, open) = match talked {
            Ok(open) => (None, Some(open)),
            Err(cause) => (Some(cause), None),
        };
        thread.ended(&Ended { step: step.number, due, begun, ended, failure, wire }, self.number);
        self.way.ended(thread, failure.is_some());
        let Some(mut open) = open else {
            self.deadline.clear();
            return (ended, false);
        };
        let until = ended.after(talk.hold);
        self.deadline.set_at(until);
        let broke = loop {
            if clock::now() >= until {
                break None;
            }
            match open.hear(&self.deadline).await {
                Ok(_) => {}
                Err(FailureCause::TimedOut) => break None,
                Err(cause) => break Some(cause),
            }
        };
        let now = clock::renew();
        self.deadline.set_at(now.after(thread.plan.timeout));
        match broke {
            None => open.close(&self.deadline).await,
            Some(_) => {
                thread.record().begin(now, now);
                let (failure, wire) = (broke, Wire::default());
                let broken = Ended { step: step.number, due: now, begun: now, ended: now, failure, wire };
                thread.ended(&broken, self.number);
            }
        }
        self.deadline.clear();
        (now, broke.is_none())
    }

    /// Opens it and goes through the turns.
    #[allow(clippy::too_many_arguments, reason = "what one conversation needs, all of it owned elsewhere")]
    async fn talk(
        &mut self,
        thread: &Thread,
        step: &Step,
        talk: &Talk,
        host: usize,
        (due, begun): (Instant, Instant),
        wire: &mut Wire,
        scratch: &mut Scratch,
    ) -> Result<WebSocket, FailureCause> {
        let plan = &thread.plan;
        let host = self.begin_target(thread, step, host, scratch)?;
        self.write_request(thread, step, Verb::Get, false, host, scratch)?;
        let challenge = challenge(&mut self.random);
        let lines = handshake_lines(&challenge);
        let end = scratch.request.len() - b"\r\n".len();
        scratch.request.splice(end..end, lines.bytes());
        self.deadline.set_at(begun.after(plan.connect_timeout.min(plan.timeout)));
        wire.connects += 1;
        self.way.find(thread, host, true).await?;
        let there = self.way.there().unwrap_or(&plan.hosts.all[host]);
        let (connection, dialed) =
            Connection::dial(&plan.transport, Version::Http1, there, self.number, &self.deadline).await?;
        (wire.connect, wire.handshake) = (dialed.connect, dialed.handshake);
        let socket = connection.into_socket().ok_or(FailureCause::NoWebsocket)?;
        self.deadline.set_at(begun.after(plan.timeout));
        let random = Random::from_seed(self.random.next_u64());
        let opened =
            WebSocket::open(socket, &scratch.request, &challenge, &mut scratch.head, random, &self.deadline)
                .await;
        wire.statuses[0] = scratch.head.status;
        let mut open = opened?;
        for (send, expect) in &talk.turns {
            scratch.text.clear();
            if !send.write(&mut scratch.text, Place::Body, &self.values) {
                return Err(FailureCause::Extract);
            }
            let said = clock::renew();
            self.deadline.set_at(said.after(plan.timeout));
            open.say(&scratch.text, &self.deadline).await?;
            let Some(expect) = expect else { continue };
            scratch.text.clear();
            if !expect.write(&mut scratch.text, Place::Body, &self.values) {
                return Err(FailureCause::Extract);
            }
            // What others say in between is not the answer.
            loop {
                let heard = open.hear(&self.deadline).await?;
                wire.bytes += heard.len() as u64;
                if memchr::memmem::find(&heard, scratch.text.as_bytes()).is_some() {
                    break;
                }
            }
            thread.record().message(due, clock::renew().since(said));
        }
        Ok(open)
    }

    /// One page load: counted, whatever comes of it. Returns when it ended and whether the journey goes on.
    async fn visit(&mut self, thread: &Thread, step: &Step, host: usize, due: Instant) -> (Instant, bool) {
        let begun = clock::renew();
        thread.record().begin(due, begun);
        self.way.due(thread, due);
        let mut wire = Wire::default();
        let mut scratch = thread.scratch();
        let failure = self.load(thread, step, host, begun, &mut wire, &mut scratch).await.err();
        self.deadline.clear();
        thread.put_back(scratch);
        let ended = clock::renew();
        thread.ended(&Ended { step: step.number, due, begun, ended, failure, wire }, self.number);
        self.way.ended(thread, failure.is_some());
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
            wire.first_byte.get_or_insert(finished.first_byte);
            self.take_cookies(thread, host, scratch);
            let Some(location) = redirect(step, scratch) else {
                return self.judge(thread, step, host, begun, scratch);
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
        thread.write_mark(request, self.journey);
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
            let is_secure = thread.plan.hosts.https || host.is_loopback();
            self.jar.write(request, &host.name, target, is_secure, seconds);
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
        if plan.resolvers.is_some() {
            // Boxed: few runs have them, and their memory would be in every visitor for good.
            Box::pin(self.way.find(thread, host, self.connection.is_none())).await?;
        }
        if let Some((to, connection)) = &mut self.connection {
            let is_there = *to == host && self.way.leads_to(connection.to);
            if !connection.is_clean() || !is_there {
                wire.reconnects += u32::from(is_there);
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
                let there = self.way.there().unwrap_or(&plan.hosts.all[host]);
                let version = plan.transport.version;
                let dialing =
                    Box::pin(Connection::dial(&plan.transport, version, there, self.number, &self.deadline));
                let (connection, dialed) = dialing.await?;
                wire.connect += dialed.connect;
                wire.handshake += dialed.handshake;
                self.way.reached(connection.to);
                self.connection = Some((host, connection));
            }
            let Some((_, connection)) = &mut self.connection else { return Err(FailureCause::Refused) };
            wire.http2 = connection.is_http2();
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
                    let is_closed = matches!(
                        broken.cause,
                        FailureCause::Reset | FailureCause::ClosedEarly | FailureCause::GoAway
                    );
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
        begun: Instant,
        scratch: &Scratch,
    ) -> Result<(), FailureCause> {
        if step.checks.is_empty() && step.extract.is_empty() && scratch.head.status < 400 {
            return Ok(());
        }
        let host = &thread.plan.hosts.all[host];
        let scheme = crate::url::scheme(thread.plan.hosts.https);
        let url = format!("{scheme}://{}{}", host.authority, scratch.target);
        let took = clock::renew().since(begun);
        let json = OnceCell::new();
        let page = Page { head: &scratch.head, body: &scratch.body, url: &url, took, json: &json };
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
    if !matches!(scratch.head.status, 301 | 302 | 303 | 307 | 308) || !step.follows() {
        return None;
    }
    let location = scratch.head.fields.find(b"location").next()?;
    Some(String::from_utf8_lossy(location).into_owned())
}

/// Which host of the run a link leads to, and to what there.
fn leads_to(thread: &Thread, host: usize, target: &str, link: &str) -> Result<(usize, String), FailureCause> {
    let hosts = &thread.plan.hosts;
    let name = hosts.all[host].name.clone();
    let here = Url { https: hosts.https, host: name, port: hosts.port, target: target.to_owned() };
    let there = here.join(link).map_err(|_| FailureCause::Redirect)?;
    let host = hosts.place_of(&there).ok_or(FailureCause::Redirect)?;
    Ok((host, there.target))
}
