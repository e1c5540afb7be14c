//! What is written is read back as it was, whatever way its bytes arrive.

mod drive;

use drive::{Bad, End, Pairs, Pieces, requests, responses};
use proptest::collection::vec;
use proptest::prelude::*;
use tentpole_http1::*;
use tentpole_message::{Fields, Name};
use tentpole_model::Method;

/// A message to write.
#[derive(Clone, Debug)]
struct Message {
    start: Start,
    fields: Pairs,
    content: Content,
}

#[derive(Clone, Debug)]
enum Start {
    Request { method: String, target: String },
    Response { status: u16, reason: String },
}

#[derive(Clone, Debug)]
enum Content {
    None,
    Length(Vec<u8>),
    Chunks(Vec<Vec<u8>>, Pairs),
}

impl Content {
    fn framing(&self) -> Framing {
        match self {
            Self::None => Framing::None,
            Self::Length(bytes) => Framing::Length(bytes.len() as u64),
            Self::Chunks(..) => Framing::Chunked,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Length(bytes) => bytes.clone(),
            Self::Chunks(chunks, _) => chunks.concat(),
        }
    }

    fn trailers(&self) -> Pairs {
        if let Self::Chunks(_, trailers) = self { trailers.clone() } else { Vec::new() }
    }
}

/// The bytes of one message.
fn write(message: &Message, out: &mut Vec<u8>) {
    match &message.start {
        Start::Request { method, target } => write_request_line(out, method.as_bytes(), target.as_bytes()),
        Start::Response { status, reason } => write_status_line(out, *status, reason.as_bytes()),
    }
    write_fields(out, &to_fields(&message.fields), |_| false);
    write_framing(out, message.content.framing());
    out.extend_from_slice(b"\r\n");
    match &message.content {
        Content::None => {}
        Content::Length(bytes) => out.extend_from_slice(bytes),
        Content::Chunks(chunks, trailers) => {
            for chunk in chunks {
                write_chunk_start(out, chunk.len());
                out.extend_from_slice(chunk);
                out.extend_from_slice(CHUNK_END);
            }
            write_last_chunk(out, Some(&to_fields(trailers)));
        }
    }
}

fn to_fields(pairs: &Pairs) -> Fields {
    let mut fields = Fields::new();
    pairs.iter().for_each(|(name, value)| fields.push(name, value));
    fields
}

/// What was read but the framing, which was written for it.
fn without_framing(fields: Pairs) -> Pairs {
    let is_framing =
        |name: &[u8]| matches!(Name::from_bytes(name), Name::ContentLength | Name::TransferEncoding);
    fields.into_iter().filter(|(name, _)| !is_framing(name)).collect()
}

fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let known =
        prop::sample::select(vec!["Accept", "cookie", "Cache-Control", "x-Forwarded-For", "ETag", "VIA"]);
    let name = prop_oneof![known.prop_map(String::from), "[A-Za-z!#$%&'*+.^_`|~0-9-]{1,24}"].prop_filter(
        "one of those that are not written",
        |name| {
            let id = Name::from_bytes(name.as_bytes());
            !id.is_hop_by_hop() && !matches!(id, Name::ContentLength | Name::Host | Name::Expect)
        },
    );
    let byte = prop_oneof![8 => b' '..=b'~', 1 => Just(b'\t'), 1 => 0x80_u8..];
    // The white space around a value is no part of it.
    let value = vec(byte, 0..40).prop_map(|value| value.trim_ascii().to_vec());
    (name.prop_map(String::into_bytes), value)
}

fn trailer() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    field().prop_filter("a name that may come late", |(name, _)| {
        matches!(Name::from_bytes(name), Name::Other | Name::Etag)
    })
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        Just(Content::None),
        vec(any::<u8>(), 0..200).prop_map(Content::Length),
        (vec(vec(any::<u8>(), 1..40), 0..6), vec(trailer(), 0..4))
            .prop_map(|(chunks, trailers)| Content::Chunks(chunks, trailers)),
    ]
}

fn request() -> impl Strategy<Value = Message> {
    let method = prop_oneof![
        prop::sample::select(vec!["GET", "HEAD", "POST", "DELETE", "OPTIONS"]).prop_map(String::from),
        "[A-Z!#$%&'*+.^_`|~0-9-]{1,32}",
    ]
    .prop_filter("those that are refused", |method| method != "CONNECT" && method != "TRACE");
    let target = prop_oneof![
        "/[!-\"$-~]{0,60}",
        "http://[a-z]{1,9}(\\.[a-z]{1,9}){0,2}(:[1-9][0-9]{0,3})?(/[!-\"$-~]{0,9})?"
    ];
    (method, target, vec(field(), 0..12), content()).prop_map(|(method, target, mut fields, content)| {
        fields.insert(fields.len() / 2, (b"Host".to_vec(), b"shop.example:8080".to_vec()));
        Message { start: Start::Request { method, target }, fields, content }
    })
}

fn response() -> impl Strategy<Value = Message> {
    let status = (200_u16..=999).prop_filter("those without content", |status| ![204, 304].contains(status));
    let content = content()
        .prop_filter("one that ends before the connection", |content| !matches!(content, Content::None));
    (status, "([!-~]([ -~]{0,20}[!-~])?)?", vec(field(), 0..12), content).prop_map(
        |(status, reason, fields, content)| Message {
            start: Start::Response { status, reason },
            fields,
            content,
        },
    )
}

/// Places to cut, ascending.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        vec(1_usize..1500, 0..20).prop_map(|mut cuts| {
            cuts.sort_unstable();
            cuts
        }),
        Just((1..4000).collect()),
    ]
}

proptest! {
    #[test]
    fn requests_are_read_as_they_were_written(written in vec(request(), 1..4), cuts in cuts()) {
        let mut bytes = Vec::new();
        written.iter().for_each(|message| write(message, &mut bytes));
        let (read, end) = requests(Pieces::new(&bytes, &cuts), &Limits::default());
        prop_assert_eq!(end, End::Clean);
        prop_assert_eq!(read.len(), written.len());
        for (read, written) in read.into_iter().zip(written) {
            let Start::Request { method, target } = &written.start else { unreachable!() };
            prop_assert_eq!(read.method, method.as_bytes());
            prop_assert_eq!(read.target, target.as_bytes());
            prop_assert_eq!(read.framing, written.content.framing());
            prop_assert_eq!(read.body, written.content.bytes());
            prop_assert_eq!(read.trailers, written.content.trailers());
            prop_assert_eq!(without_framing(read.fields), written.fields);
        }
    }

    #[test]
    fn responses_are_read_as_they_were_written(written in vec(response(), 1..4), cuts in cuts()) {
        let mut bytes = Vec::new();
        written.iter().for_each(|message| write(message, &mut bytes));
        let (read, end) = responses(Pieces::new(&bytes, &cuts), &Limits::default(), Method::Get);
        prop_assert_eq!(end, End::<Bad>::Clean);
        prop_assert_eq!(read.len(), written.len());
        for (read, written) in read.into_iter().zip(written) {
            let Start::Response { status, reason } = &written.start else { unreachable!() };
            prop_assert_eq!(read.status, *status);
            if !reason.is_empty() {
                prop_assert_eq!(read.reason, reason.as_bytes());
            }
            prop_assert_eq!(read.framing, written.content.framing());
            prop_assert_eq!(read.body, written.content.bytes());
            prop_assert_eq!(read.trailers, written.content.trailers());
            prop_assert_eq!(without_framing(read.fields), written.fields);
        }
    }

    #[test]
    fn bytes_of_any_kind_never_panic_and_are_read_alike(
        bytes in vec(prop_oneof![any::<u8>(), prop::sample::select(b"\r\n \t:;=\"0a5GET/HP1.".to_vec())], 0..300),
        cuts in cuts(),
    ) {
        let limits = Limits::default();
        prop_assert_eq!(requests(Pieces::new(&bytes, &cuts), &limits), requests(Pieces::new(&bytes, &[]), &limits));
        prop_assert_eq!(
            responses(Pieces::new(&bytes, &cuts), &limits, Method::Get),
            responses(Pieces::new(&bytes, &[]), &limits, Method::Get)
        );
    }
}
