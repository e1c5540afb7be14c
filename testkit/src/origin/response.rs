//! What a scripted origin answers: well-formed responses, and raw steps for everything that is not.

use std::time::Duration;

use tentpole_runtime::clock;

use crate::gate::Gate;

/// One step of a raw script or of a body.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes these bytes, in one write if the socket takes them.
    Send(Vec<u8>),
    /// Waits until the gate is released.
    Wait(Gate),
    /// Waits this long. A gate is better where the time itself is not what is tested.
    Pause(Duration),
    /// Ends the connection in order (FIN), whatever was promised.
    Close,
    /// Breaks the connection (RST).
    Reset,
    /// Says nothing more until the other side closes.
    Hang,
}

impl Step {
    /// [`Step::Send`] from anything with bytes.
    pub fn send(bytes: impl AsRef<[u8]>) -> Self {
        Self::Send(bytes.as_ref().to_vec())
    }

    /// [`Step::Wait`] at this gate.
    pub fn wait(gate: &Gate) -> Self {
        Self::Wait(gate.clone())
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// With its true `Content-Length`.
    Whole(Vec<u8>),
    /// With the `Content-Length` that is claimed, true or not.
    Claimed(u64, Vec<Step>),
    Chunked(Vec<Step>),
    UntilClose(Vec<Step>),
}

/// A response. Gets a `Date` unless it has one or [`Response::without_date`] is called.
#[derive(Clone, Debug)]
pub struct Response {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    trailers: Vec<(String, String)>,
    interim: Vec<(u16, Vec<(String, String)>)>,
    pub(crate) body: Body,
    pub(crate) closes: bool,
    dated: bool,
}

impl Response {
    /// `200 OK` with this body.
    pub fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::status(200).body(body)
    }

    /// A response with this status and an empty body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            trailers: Vec::new(),
            interim: Vec::new(),
            body: Body::Whole(Vec::new()),
            closes: false,
            dated: true,
        }
    }

    /// The same with another status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// `302` to this place.
    pub fn redirect(location: &str) -> Self {
        Self::status(302).header("Location", location)
    }

    /// Adds a field after those that are there; the same name may come twice.
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.fields.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the body, sent at once with its `Content-Length`.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Body::Whole(body.as_ref().to_vec());
        self
    }

    /// Sets the body: `steps`, each [`Step::Send`] as one chunk.
    pub fn chunked(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.body = Body::Chunked(steps.into_iter().collect());
        self
    }

    /// Sets the body: `steps`, ended by closing the connection.
    pub fn until_close(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.body = Body::UntilClose(steps.into_iter().collect());
        self
    }

    /// Sets the body: `steps`, under a `Content-Length` that may be a lie.
    pub fn claiming(mut self, content_length: u64, steps: impl IntoIterator<Item = Step>) -> Self {
        self.body = Body::Claimed(content_length, steps.into_iter().collect());
        self
    }

    /// Adds a field after a chunked body.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends an interim response (103, 102) before this one.
    pub fn preceded_by(mut self, status: u16, fields: &[(&str, &str)]) -> Self {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.interim.push((status, fields));
        self
    }

    /// Says `Connection: close` and does it.
    pub fn closes(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Leaves out the `Date`.
    pub fn without_date(mut self) -> Self {
        self.dated = false;
        self
    }

    /// May this status have a body (RFC 9112 section 6.3)?
    fn may_have_body(&self) -> bool {
        self.status >= 200 && self.status != 204 && self.status != 304
    }

    /// Everything to send, in order, for a request with this method. Neighbouring bytes share one write.
    pub(crate) fn steps(&self, method: &str) -> Vec<Step> {
        let mut steps = vec![Step::Send(self.head())];
        let body = match &self.body {
            _ if method == "HEAD" || !self.may_have_body() => return steps,
            Body::Whole(bytes) => vec![Step::Send(bytes.clone())],
            Body::Claimed(_, steps) | Body::UntilClose(steps) => steps.clone(),
            Body::Chunked(steps) => self.chunks(steps),
        };
        for step in body {
            match (steps.last_mut(), step) {
                // The head and the first piece leave together, as they do from most applications.
                (Some(Step::Send(before)), Step::Send(bytes)) => before.extend_from_slice(&bytes),
                (_, step) => steps.push(step),
            }
        }
        if matches!(self.body, Body::UntilClose(_)) {
            steps.push(Step::Close);
        }
        steps
    }

    fn head(&self) -> Vec<u8> {
        let mut head = String::new();
        let mut write = |line: String| {
            head.push_str(&line);
            head.push_str("\r\n");
        };
        for (status, fields) in &self.interim {
            write(format!("HTTP/1.1 {status} {}", reason(*status)));
            fields.iter().for_each(|(name, value)| write(format!("{name}: {value}")));
            write(String::new());
        }
        write(format!("HTTP/1.1 {} {}", self.status, reason(self.status)));
        if self.dated && !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("date")) {
            let date = clock::http_date(clock::unix_seconds());
            write(format!("Date: {}", String::from_utf8_lossy(&date)));
        }
        self.fields.iter().for_each(|(name, value)| write(format!("{name}: {value}")));
        match &self.body {
            _ if !self.may_have_body() => {}
            Body::Whole(bytes) => write(format!("Content-Length: {}", bytes.len())),
            Body::Claimed(length, _) => write(format!("Content-Length: {length}")),
            Body::Chunked(_) => write("Transfer-Encoding: chunked".to_owned()),
            Body::UntilClose(_) => {}
        }
        if self.closes {
            write("Connection: close".to_owned());
        }
        write(String::new());
        head.into_bytes()
    }

    fn chunks(&self, steps: &[Step]) -> Vec<Step> {
        let chunk = |step: &Step| match step {
            Step::Send(bytes) if bytes.is_empty() => Step::Send(Vec::new()),
            Step::Send(bytes) => {
                let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
                chunk.extend_from_slice(bytes);
                chunk.extend_from_slice(b"\r\n");
                Step::Send(chunk)
            }
            other => other.clone(),
        };
        let mut chunks: Vec<_> = steps.iter().map(chunk).collect();
        let trailers: String =
            self.trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        chunks.push(Step::Send(format!("0\r\n{trailers}\r\n").into_bytes()));
        chunks
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        401 => "Unauthorized",
        404 => "Not Found",
        503 => "Service Unavailable",
        _ => "Scripted",
    }
}
