//! What one side writes the other reads, whatever way its bytes arrive; and no bytes at all make it panic.

mod drive;

use drive::{STDERR, STDOUT, end, read, record};
use proptest::collection::vec;
use proptest::prelude::*;
use tentpole_fastcgi::*;
use tentpole_model::Method;

/// A piece of one of the two streams.
#[derive(Clone, Debug)]
struct Part {
    is_error: bool,
    bytes: usize,
    padding: u8,
}

fn part() -> impl Strategy<Value = Part> {
    (any::<bool>(), 1..60usize, any::<u8>()).prop_map(|(is_error, bytes, padding)| Part {
        is_error,
        bytes,
        padding: padding % 16,
    })
}

fn field() -> impl Strategy<Value = (String, String)> {
    ("X-[A-Za-z0-9-]{1,12}", "([!-~]([ -~\t]{0,20}[!-~])?)?")
}

/// The records of an answer: its output in pieces as `parts` say, error output between them.
fn records(output: &[u8], errors: &[u8], parts: &[Part]) -> Vec<u8> {
    let (mut output, mut errors, mut bytes) = (output, errors, Vec::new());
    for part in parts {
        let (stream, kind) = if part.is_error { (&mut errors, STDERR) } else { (&mut output, STDOUT) };
        let (now, later) = stream.split_at(part.bytes.min(stream.len()));
        *stream = later;
        if !now.is_empty() {
            bytes.extend(record(kind, now, part.padding));
        }
    }
    for (kind, rest) in [(STDERR, errors), (STDOUT, output)] {
        rest.chunks(60_000).for_each(|rest| bytes.extend(record(kind, rest, 3)));
        bytes.extend(record(kind, b"", 0));
    }
    bytes
}

/// Takes the records of a request apart: type and content.
fn taken_apart(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut records = Vec::new();
    while let [1, kind, 0, 1, high, low, padding, 0, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        records.push((*kind, rest[..length].to_vec()));
        bytes = &rest[length + usize::from(*padding)..];
    }
    assert!(bytes.is_empty(), "all of it is records of request 1");
    records
}

/// The content of a stream, which must end with one empty record.
fn stream(records: &[(u8, Vec<u8>)], kind: u8) -> Vec<u8> {
    let of_kind: Vec<&Vec<u8>> =
        records.iter().filter(|(k, _)| *k == kind).map(|(_, content)| content).collect();
    let empty = of_kind.iter().filter(|content| content.is_empty()).count();
    assert!(empty == 1 && of_kind.last().is_some_and(|last| last.is_empty()), "one empty record, at the end");
    of_kind.into_iter().flatten().copied().collect()
}

fn length(bytes: &mut &[u8]) -> usize {
    let (value, count) = match **bytes {
        [first, b, c, d, ..] if first >= 128 => (u32::from_be_bytes([first & 127, b, c, d]), 4),
        [first, ..] => (u32::from(first), 1),
        [] => panic!("no length"),
    };
    *bytes = &bytes[count..];
    value as usize
}

/// Takes name-value pairs apart.
fn pairs(mut bytes: &[u8]) -> drive::Pairs {
    let mut pairs = Vec::new();
    while !bytes.is_empty() {
        let (name, value) = (length(&mut bytes), length(&mut bytes));
        pairs.push((bytes[..name].to_vec(), bytes[name..name + value].to_vec()));
        bytes = &bytes[name + value..];
    }
    pairs
}

proptest! {
    #[test]
    fn an_answer_is_read_as_it_was_written(
        status in 200..1000u16,
        fields in vec(field(), 0..6),
        body in vec(any::<u8>(), 0..300),
        errors in vec(any::<u8>(), 0..80),
        parts in vec(part(), 0..20),
        line_end in prop_oneof![Just("\n"), Just("\r\n")],
        cuts in vec(1..40usize, 0..40),
    ) {
        let mut output = format!("Status: {status} Some  reason{line_end}");
        fields.iter().for_each(|(name, value)| output += &format!("{name}: {value}{line_end}"));
        output += line_end;
        let output = [output.as_bytes(), &body].concat();
        let bytes = [records(&output, &errors, &parts), end(3, 0)].concat();
        let places: Vec<usize> = cuts.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();

        let answer = read(&bytes, &places, Method::Get, Limits::default());
        prop_assert_eq!(answer.end, Ok(3));
        prop_assert_eq!(answer.used, bytes.len());
        let head = answer.head.unwrap();
        prop_assert_eq!((head.status, &head.reason[..]), (status, &b"Some  reason"[..]));
        let fields: drive::Pairs = fields.into_iter().map(|(n, v)| (n.into_bytes(), v.into_bytes())).collect();
        prop_assert_eq!(head.fields, fields);
        prop_assert_eq!(answer.body, if matches!(status, 204 | 304) { Vec::new() } else { body });
        prop_assert_eq!(answer.stderr, errors);
    }

    #[test]
    fn broken_answers_are_broken_in_the_same_way_however_they_are_cut(
        length in prop_oneof![Just(String::new()), (0..40u32).prop_map(|n| format!("Content-Length: {n}\n"))],
        body in vec(any::<u8>(), 0..40),
        parts in vec(part(), 0..6),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cuts in vec(1..20usize, 0..30),
        is_head in any::<bool>(),
    ) {
        let output = [format!("Status: 200 OK\n{length}A: b\n\n").as_bytes(), &body].concat();
        let mut bytes = [records(&output, b"some errors", &parts), end(0, 0), b"rest".to_vec()].concat();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let limits = Limits { head_bytes_max: 60, fields_max: 4, stderr_bytes_max: 8 };
        let method = if is_head { Method::Head } else { Method::Get };
        let places: Vec<usize> = cuts.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();
        let everywhere: Vec<usize> = (1..bytes.len()).collect();
        let whole = read(&bytes, &[], method, limits);
        prop_assert_eq!(&read(&bytes, &places, method, limits), &whole);
        prop_assert_eq!(&read(&bytes, &everywhere, method, limits), &whole);
    }

    #[test]
    fn a_request_is_written_as_it_is_read(
        told in vec((vec(any::<u8>(), 0..140), vec(any::<u8>(), 0..140)), 0..8),
        long in 0..100_000usize,
        content in vec(vec(any::<u8>(), 0..100), 0..4),
        large in 0..200_000usize,
    ) {
        let mut params = Params::new();
        // Long enough to lie in two records.
        let told = [told, vec![(b"LONG".to_vec(), vec![b'y'; long])]].concat();
        told.iter().for_each(|(name, value)| params.push(name, value));
        let mut bytes = Vec::new();
        write_begin(&mut bytes, true);
        write_params(&mut bytes, params.pairs().unwrap());
        let large = vec![b'x'; large];
        content.iter().chain([&large]).for_each(|piece| write_stdin(&mut bytes, piece));
        write_stdin_end(&mut bytes);
        prop_assert_eq!(bytes.len() % 8, 0);

        let records = taken_apart(&bytes);
        prop_assert_eq!(&records[0], &(1, vec![0, 1, 1, 0, 0, 0, 0, 0]));
        prop_assert_eq!(pairs(&stream(&records, 4)), told);
        prop_assert_eq!(stream(&records, 5), [content.concat(), large].concat());
    }

    #[test]
    fn a_script_is_always_a_file_that_its_path_leads_to(
        path in "(/([a-z.%/]|%2e|%2F|%00|\\.php|x\\.jpg|uploads){0,4}){0,5}",
    ) {
        let rules = ScriptRules { never_below: vec!["/uploads".to_owned()], ..ScriptRules::default() };
        let mut files = Vec::new();
        let found = rules.find(path.as_bytes(), |name| {
            files.push(name.to_vec());
            name.len() % 3 == 0
        });
        for name in &files {
            let segments = name[1..].split(|&byte| byte == b'/');
            for segment in segments {
                let is_plain = !segment.is_empty() && (!segment.starts_with(b".") || segment == b".well-known");
                prop_assert!(is_plain, "no file is looked for that must not be seen: {}", name.escape_ascii());
            }
            prop_assert!(!name.iter().any(|&byte| byte < b' ' || byte == b'\\'));
        }
        if let Found::Script(script) = found {
            prop_assert!(files.contains(&script.name().to_vec()) && script.name().len() % 3 == 0);
            prop_assert!(rules.is_script(script.name()) && !script.name().starts_with(b"/uploads/"));
            prop_assert!(script.path_info().is_empty() || script.path_info().starts_with(b"/"));
        }
    }
}
