//! What an application may send, and what it may not; each however its bytes are cut.

mod drive;

use drive::{Answer, STDERR, STDOUT, end, read_however_cut, record, record_of};
use tentpole_fastcgi::{Fault, Limits};
use tentpole_model::{Method, Retry};

fn get(parts: &[Vec<u8>]) -> Answer {
    read_however_cut(&parts.concat(), Method::Get, Limits::default())
}

fn out(content: &[u8]) -> Vec<u8> {
    record(STDOUT, content, (8 - content.len() % 8) as u8 % 8)
}

fn fault(parts: &[Vec<u8>]) -> Fault {
    get(parts).end.expect_err("it must be refused")
}

#[test]
fn an_answer_may_be_spread_over_records() {
    let answer = get(&[
        out(b"Status: 404 Not Found\r\nContent-ty"),
        record(STDERR, b"PHP message: a\nb", 0),
        out(b"pe: text/html\r\n\r\nhe"),
        record(STDOUT, b"llo", 255),
        record(STDERR, b"", 0),
        record(STDOUT, b"", 7),
        end(7, 0),
        b"next".to_vec(),
    ]);
    let head = answer.head.unwrap();
    assert_eq!((head.status, &head.reason[..], head.content_length), (404, &b"Not Found"[..], None));
    assert_eq!(head.fields, [(b"Content-type".to_vec(), b"text/html".to_vec())]);
    assert_eq!(
        (&answer.body[..], &answer.stderr[..], answer.end),
        (&b"hello"[..], &b"PHP message: a\nb"[..], Ok(7))
    );
}

#[test]
fn the_padding_of_the_end_belongs_to_it() {
    let mut bytes = [out(b"\n"), record(STDOUT, b"", 0)].concat();
    bytes.extend(record(drive::END_REQUEST, &[0; 8], 9));
    let answer = read_however_cut(&[&bytes[..], b"\x01"].concat(), Method::Get, Limits::default());
    assert_eq!((answer.end, answer.used), (Ok(0), bytes.len()));
}

#[test]
fn content_that_nobody_may_get_is_left_out() {
    let bytes = [out(b"Content-Length: 99\n\nhello"), end(0, 0)].concat();
    let answer = read_however_cut(&bytes, Method::Head, Limits::default());
    assert_eq!((answer.end, answer.head.unwrap().content_length, answer.body.len()), (Ok(0), Some(99), 0));
    for status in ["204", "304"] {
        let answer = get(&[out(format!("Status: {status}\n\nhello").as_bytes()), end(0, 0)]);
        assert_eq!((answer.end, answer.body.len()), (Ok(0), 0), "{status}");
    }
}

#[test]
fn content_has_the_length_that_the_head_says() {
    let with = |content: &[u8]| get(&[out(b"Content-Length: 5\n\n"), out(content), end(0, 0)]);
    assert_eq!(with(b"hello").end, Ok(0));
    assert_eq!(with(b"hell").end, Err(Fault::TooLittle));
    let too_much = with(b"hello!");
    assert_eq!((too_much.end, &too_much.body[..]), (Err(Fault::TooMuch), &b"hello"[..]));
    let none = get(&[out(b"Content-Length: 0\n\n"), out(b"x"), end(0, 0)]);
    assert_eq!(none.end, Err(Fault::TooMuch));
}

#[test]
fn error_output_is_kept_up_to_its_limit() {
    let limits = Limits { stderr_bytes_max: 10, ..Limits::default() };
    let bytes =
        [record(STDERR, b"1234567", 1), record(STDERR, b"89abcdef", 0), out(b"\n"), end(0, 0)].concat();
    let answer = read_however_cut(&bytes, Method::Get, limits);
    assert_eq!((&answer.stderr[..], answer.stderr_bytes_lost, answer.end), (&b"123456789a"[..], 5, Ok(0)));
}

#[test]
fn an_application_that_does_not_begin_says_why() {
    assert_eq!(fault(&[end(0, 1)]), Fault::CannotMultiplex);
    assert_eq!(fault(&[end(0, 2)]), Fault::Overloaded);
    assert_eq!(fault(&[end(0, 3)]), Fault::UnknownRole);
    assert_eq!(fault(&[end(0, 4)]), Fault::EndRequest);
    assert_eq!(fault(&[out(b"\nbegun"), end(0, 2)]), Fault::EndRequest);
    assert_eq!(fault(&[out(b"half"), end(0, 2)]), Fault::EndRequest);
    assert_eq!(fault(&[record(STDERR, b"died", 0), end(255, 0)]), Fault::NoHead);
    assert_eq!(Fault::Overloaded.retry(), Retry::Unsent);
    assert_eq!(Fault::NoHead.retry(), Retry::Never);
}

#[test]
fn records_that_answer_nothing_are_refused() {
    assert_eq!(fault(&[b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]), Fault::Version(b'H'));
    assert_eq!(fault(&[record_of(2, 1, STDOUT, b"\n", 0)]), Fault::Version(2));
    assert_eq!(fault(&[record_of(1, 2, STDOUT, b"\n", 0)]), Fault::RequestId(2));
    assert_eq!(fault(&[record_of(1, 256, STDOUT, b"\n", 0)]), Fault::RequestId(256));
    assert_eq!(fault(&[record_of(1, 0, 10, b"", 0)]), Fault::Management(10));
    assert_eq!(fault(&[record_of(1, 0, STDOUT, b"\n", 0)]), Fault::Management(STDOUT));
    for kind in [0, 1, 2, 4, 5, 8, 9, 10, 11, 12, 255] {
        assert_eq!(fault(&[record(kind, b"", 0)]), Fault::RecordType(kind));
    }
    assert_eq!(fault(&[out(b"\n"), record(drive::END_REQUEST, &[0; 7], 1)]), Fault::EndRequest);
    assert_eq!(fault(&[out(b"\n"), record(drive::END_REQUEST, &[0; 9], 0)]), Fault::EndRequest);
    for kind in [STDOUT, STDERR] {
        assert_eq!(fault(&[out(b"\n"), record(kind, b"", 0), record(kind, b"x", 0)]), Fault::AfterEnd);
        assert_eq!(fault(&[out(b"\n"), record(kind, b"", 0), record(kind, b"", 0)]), Fault::AfterEnd);
    }
}

#[test]
fn what_ends_early_is_not_whole() {
    let bytes = [out(b"A: b\n\nhello"), record(STDOUT, b"", 0), end(0, 0)].concat();
    for length in 0..bytes.len() {
        let answer = drive::read(&bytes[..length], &[], Method::Get, Limits::default());
        assert_eq!(answer.end, Err(Fault::EarlyEnd), "{length} bytes");
    }
}

#[test]
fn a_head_that_does_not_end_is_refused() {
    let limits = Limits { head_bytes_max: 40, fields_max: 3, ..Limits::default() };
    let read = |parts: &[Vec<u8>]| read_however_cut(&parts.concat(), Method::Get, limits).end;
    assert_eq!(read(&[out(&[b'a'; 30]), out(&[b'a'; 11])]), Err(Fault::HeadTooLarge));
    assert_eq!(read(&[out(b"A: b\nA: b\nA: b\nA: b\n")]), Err(Fault::HeadTooLarge));
    assert_eq!(read(&[out(b"A: b\nA: b\nA: b\n\n"), end(0, 0)]), Ok(0));
    assert_eq!(read(&[out(b"no field\n")]), Err(Fault::Head));
}

#[test]
fn every_fault_is_told_in_words() {
    for fault in [Fault::Version(72), Fault::RequestId(7), Fault::LocalRedirect, Fault::Overloaded] {
        assert!(!fault.label().contains(' ') && fault.to_string().len() > 20, "{fault}");
    }
    assert!(Fault::Version(72).to_string().contains("version 72"));
}
