//! A request that a visitor sends.

/// A request. [`Ask::bytes`] gives it as it is sent.
#[derive(Clone, Debug)]
pub struct Ask {
    pub(crate) method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Body,
    host: bool,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Whole(Vec<u8>),
    Chunked(Vec<Vec<u8>>),
}

impl Ask {
    /// A request with this method and target.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: Vec::new(),
            body: Body::None,
            host: true,
        }
    }

    /// `GET`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// `HEAD`.
    pub fn head(target: &str) -> Self {
        Self::new("HEAD", target)
    }

    /// `POST` with this body.
    pub fn post(target: &str, body: impl AsRef<[u8]>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// Adds a field after those that are there; the same name may come twice. `Host` takes the place of the
    /// visitor's own.
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.host &= !name.eq_ignore_ascii_case("host");
        self.fields.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Adds a `Cookie` field, unless it is empty.
    pub fn cookie(self, cookie: &str) -> Self {
        if cookie.is_empty() { self } else { self.header("Cookie", cookie) }
    }

    /// Sets a body with its `Content-Length`.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Body::Whole(body.as_ref().to_vec());
        self
    }

    /// Sets a chunked body, one chunk for each piece.
    pub fn chunked<B: AsRef<[u8]>>(mut self, pieces: impl IntoIterator<Item = B>) -> Self {
        self.body = Body::Chunked(pieces.into_iter().map(|piece| piece.as_ref().to_vec()).collect());
        self
    }

    /// Leaves out `Host`.
    pub fn without_host(mut self) -> Self {
        self.host = false;
        self
    }

    /// The request as it is sent, with this host unless it names its own.
    pub fn bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let host = self.host.then(|| ("Host".to_owned(), host.to_owned()));
        for (name, value) in host.iter().chain(&self.fields) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            Body::None => {}
            Body::Whole(bytes) => head.push_str(&format!("Content-Length: {}\r\n", bytes.len())),
            Body::Chunked(_) => head.push_str("Transfer-Encoding: chunked\r\n"),
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        match &self.body {
            Body::None => {}
            Body::Whole(body) => bytes.extend_from_slice(body),
            Body::Chunked(pieces) => {
                for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                    bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    bytes.extend_from_slice(piece);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }
}
