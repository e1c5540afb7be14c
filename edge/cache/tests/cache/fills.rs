//! One fetches, the others read while it arrives.

use crate::support::*;
use bytes::Bytes;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tentpole_cache::{Arrival, Looked, Release, Room, WINDOW_BYTES};
use tentpole_message::Fields;
use tentpole_model::{Bypass, Cause, Failure, Phase, Retry, Side};

#[test]
fn what_was_stored_is_found_again() {
    let edge = Edge::new();
    let stored = edge.store("shop\0/a", b"hello");
    let found = edge.get("shop\0/a").hit();
    assert!(Arc::ptr_eq(&stored, &found));
    assert_eq!(body_of(&found), b"hello");
    assert_eq!((found.body_bytes(), found.key()), (5, &b"shop\0/a"[..]));
    assert!(matches!(edge.get("shop\0/b"), Looked::Lead(_)));
    drop((stored, found));
    edge.assert_nothing_is_held();
}

#[test]
fn a_look_up_and_a_join_leave_one_fetch() {
    let edge = Edge::new();
    let lead = edge.lead("/");
    let mut waiters: Vec<_> = (0..10).map(|_| edge.get("/").joined()).collect();
    assert_eq!(lead.waiters(), 10);
    let request = Fields::new();
    let (mut filling, mut reader) = lead.start(new_object(&request, &[], None)).unwrap();
    filling.append(Bytes::from_static(b"one "));
    let mut readers: Vec<_> = waiters
        .iter_mut()
        .map(|waiter| match arrival(waiter) {
            Arrival::Reader(reader) => reader,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(read(&mut reader), (b"one ".to_vec(), Poll::Pending));
    assert_eq!(read(&mut readers[0]), (b"one ".to_vec(), Poll::Pending));
    filling.append(Bytes::from_static(b"two"));
    assert_eq!(read(&mut reader), (b"two".to_vec(), Poll::Pending));
    filling.finish().stored();
    assert_eq!(read(&mut reader), (vec![], Poll::Ready(Ok(()))));
    assert_eq!(read(&mut readers[0]), (b"two".to_vec(), Poll::Ready(Ok(()))));
    assert_eq!(read(&mut readers[1]), (b"one two".to_vec(), Poll::Ready(Ok(()))));
    assert_eq!(readers[1].bytes_read(), 7);
    let stats = edge.cache.stats();
    assert_eq!((stats.fills_started, stats.joined, stats.fills, stats.objects), (1, 10, 0, 1));
    drop((reader, readers, waiters));
    edge.assert_nothing_is_held();
}

#[test]
fn readers_that_sleep_are_woken_by_what_arrives() {
    let edge = Edge::new();
    let lead = edge.lead("/");
    let mut waiter = edge.get("/").joined();
    let (wakes, request) = (Arc::new(Wakes::default()), Fields::new());
    assert!(waking(&wakes, |context| waiter.poll_arrival(&request, context)).is_pending());
    let (mut filling, _) = lead.start(new_object(&request, &[], None)).unwrap();
    assert_eq!(wakes.count(), 1);
    let Arrival::Reader(mut reader) = arrival(&mut waiter) else { panic!("the head is known") };
    use tentpole_message::BodyStream;
    assert!(waking(&wakes, |context| reader.poll_chunk(context)).is_pending());
    filling.append(Bytes::from_static(b"x"));
    filling.append(Bytes::from_static(b"y"));
    assert_eq!(wakes.count(), 2, "one wake until it looks again");
    assert_eq!(read(&mut reader).0, b"xy");
    assert!(waking(&wakes, |context| reader.poll_chunk(context)).is_pending());
    filling.finish().stored();
    assert_eq!(wakes.count(), 3);
}

#[test]
fn a_visitor_who_leaves_cancels_nothing() {
    let edge = Edge::new();
    let request = Fields::new();
    let (mut filling, reader) = edge.lead("/").start(new_object(&request, &[], None)).unwrap();
    filling.append(Bytes::from_static(b"first "));
    let mut waiter = edge.get("/").joined();
    drop(reader);
    drop(edge.get("/").joined());
    assert_eq!(filling.readers(), 1);
    filling.append(Bytes::from_static(b"second"));
    assert_eq!(room(&mut filling), Poll::Ready(Room::Ready));
    filling.finish().stored();
    let Arrival::Object(object) = arrival(&mut waiter) else { panic!("the object is whole") };
    assert_eq!(body_of(&object), b"first second");
}

#[test]
fn nobody_needs_to_read_for_an_object_to_be_stored() {
    let edge = Edge::new();
    let request = Fields::new();
    let (mut filling, reader) = edge.lead("/").start(new_object(&request, &[], None)).unwrap();
    drop(reader);
    for _ in 0..20 {
        assert_eq!(room(&mut filling), Poll::Ready(Room::Ready));
        filling.append(Bytes::from(content(64 * 1024)));
    }
    filling.finish().stored();
    assert_eq!(edge.get("/").hit().body_bytes(), 20 * 64 * 1024);
}

#[test]
fn an_aborted_fill_fails_its_readers_and_stores_nothing() {
    let edge = Edge::new();
    let request = Fields::new();
    let (mut filling, mut reader) = edge.lead("/").start(new_object(&request, &[], None)).unwrap();
    let mut waiter = edge.get("/").joined();
    filling.append(Bytes::from_static(b"half"));
    drop(filling);
    let (_, end) = read(&mut reader);
    assert_eq!(now(end).unwrap_err().source, Cause::FillAborted);
    let Arrival::GoYourself(Release::Failed(failure)) = arrival(&mut waiter) else {
        panic!("nothing was sent")
    };
    assert_eq!(failure.source, Cause::FillAborted);
    assert!(matches!(edge.get("/"), Looked::Lead(_)));
    drop((reader, waiter));
    edge.assert_nothing_is_held();
}

#[test]
fn a_failing_fetch_may_say_why() {
    let edge = Edge::new();
    let failure = Failure::upstream(Phase::ReadBody, Retry::Never, Cause::TimedOut);
    let request = Fields::new();
    let (filling, mut reader) = edge.lead("/").start(new_object(&request, &[], None)).unwrap();
    filling.failed(failure);
    assert_eq!(read(&mut reader).1, Poll::Ready(Err(failure)));
}

#[test]
fn a_body_of_another_length_than_announced_is_not_stored() {
    for body in [&b"too short"[..], b"much too long"] {
        let edge = Edge::new();
        let request = Fields::new();
        let (mut filling, mut reader) = edge.lead("/").start(new_object(&request, &[], Some(10))).unwrap();
        filling.append(Bytes::from_static(body));
        filling.append(Bytes::new());
        assert_eq!(filling.finish().not_stored(), Bypass::Incomplete);
        assert_eq!(now(read(&mut reader).1).unwrap_err().source, Cause::FillAborted);
        assert!(matches!(edge.get("/"), Looked::Lead(_)));
        drop(reader);
        edge.assert_nothing_is_held();
    }
}

#[test]
fn a_lead_that_is_dropped_lets_one_of_the_others_lead() {
    let edge = Edge::new();
    let lead = edge.lead("/");
    let (mut first, mut second) = (edge.get("/").joined(), edge.get("/").joined());
    drop(lead);
    assert!(matches!(arrival(&mut first), Arrival::GoYourself(Release::Abandoned)));
    assert!(matches!(arrival(&mut second), Arrival::GoYourself(Release::Abandoned)));
    let _lead = edge.lead("/");
    edge.get("/").joined();
}

#[test]
fn a_failed_lead_tells_those_who_wait() {
    let edge = Edge::new();
    let lead = edge.lead("/");
    let mut waiter = edge.get("/").joined();
    let failure = Failure::upstream(Phase::Connect, Retry::Unsent, Cause::TimedOut);
    lead.failed(failure);
    assert!(matches!(arrival(&mut waiter), Arrival::GoYourself(Release::Failed(told)) if told == failure));
}

#[test]
fn nobody_waits_for_what_was_uncacheable_a_moment_ago() {
    let edge = Edge::new();
    let lead = edge.lead("/cart");
    let mut waiter = edge.get("/cart").joined();
    lead.uncacheable(Bypass::SetCookie, Duration::from_secs(600));
    assert!(matches!(arrival(&mut waiter), Arrival::GoYourself(Release::Bypass(Bypass::SetCookie))));
    assert_eq!(edge.get("/cart").bypass(), Bypass::HitForMiss);
    edge.lead("/other").uncacheable(Bypass::Status, Duration::ZERO);
    assert!(matches!(edge.get("/other"), Looked::Lead(_)), "not remembered");
    edge.purge("/cart");
    assert!(matches!(edge.get("/cart"), Looked::Lead(_)), "a purge forgets the marker");
    drop(waiter);
    edge.assert_nothing_is_held();
}

#[test]
fn a_large_object_of_unknown_length_goes_on_within_a_window() {
    let edge = Edge::new();
    let request = Fields::new();
    let (mut filling, mut reader) = edge.lead("/film").start(new_object(&request, &[], None)).unwrap();
    let mut waiter = edge.get("/film").joined();
    let piece = Bytes::from(content(256 * 1024));
    for _ in 0..12 {
        filling.append(piece.clone());
    }
    assert_eq!(edge.get("/film").bypass(), Bypass::HitForMiss, "no newcomers");
    let wakes = Arc::new(Wakes::default());
    assert!(waking(&wakes, |context| filling.poll_room(context)).is_pending());
    let Arrival::Reader(mut second) = arrival(&mut waiter) else { panic!("joined before") };
    assert_eq!(read(&mut reader).0.len(), 12 * 256 * 1024);
    assert_eq!(wakes.count(), 0, "the other has read nothing");
    assert!(waking(&wakes, |context| filling.poll_room(context)).is_pending());
    assert_eq!(read(&mut second).0.len(), 12 * 256 * 1024);
    assert_eq!(wakes.count(), 1);
    assert_eq!(room(&mut filling), Poll::Ready(Room::Ready));
    let held = edge.ledger.held(tentpole_runtime::ledger::Account::Fills);
    assert!(held < WINDOW_BYTES, "what was read is released, but {held} bytes are held");
    drop(second);
    for _ in 0..4 {
        filling.append(piece.clone());
    }
    assert!(waking(&wakes, |context| filling.poll_room(context)).is_pending());
    drop(reader);
    assert_eq!(wakes.count(), 2, "the last to leave wakes the fetch");
    assert_eq!(room(&mut filling), Poll::Ready(Room::NobodyReads));
    assert_eq!(filling.finish().not_stored(), Bypass::TooLarge);
    drop(waiter);
    edge.assert_nothing_is_held();
}

#[test]
fn a_reader_who_holds_up_others_for_too_long_loses_and_one_alone_does_not() {
    let edge = Edge::new();
    let request = Fields::new();
    let (mut filling, mut fast) = edge.lead("/film").start(new_object(&request, &[], None)).unwrap();
    let mut waiter = edge.get("/film").joined();
    let Arrival::Reader(mut slow) = arrival(&mut waiter) else { panic!("the head is known") };
    let piece = Bytes::from(content(256 * 1024));
    for _ in 0..12 {
        filling.append(piece.clone());
    }
    assert!(!filling.leave_behind(), "the fetch has not waited yet");
    let wakes = Arc::new(Wakes::default());
    assert!(waking(&wakes, |context| filling.poll_room(context)).is_pending());
    assert!(!filling.leave_behind(), "both are behind: nobody is held up");
    assert_eq!(read(&mut fast).0.len(), 12 * 256 * 1024);
    assert!(waking(&wakes, |context| filling.poll_room(context)).is_pending());
    assert!(filling.leave_behind());
    let (_, end) = read(&mut slow);
    let Poll::Ready(Err(failure)) = end else { panic!("{end:?}") };
    assert_eq!((failure.side, failure.source), (Side::Visitor, Cause::TimedOut));
    assert_eq!(room(&mut filling), Poll::Ready(Room::Ready));
    filling.append(piece.clone());
    assert_eq!(filling.finish().not_stored(), Bypass::TooLarge);
    assert_eq!(read(&mut fast), (piece.to_vec(), Poll::Ready(Ok(()))));
    drop((slow, fast, waiter));
    edge.assert_nothing_is_held();
}

#[test]
fn a_large_object_is_read_to_its_end_after_its_fetch_has_ended() {
    let edge = Edge::new();
    let request = Fields::new();
    let (mut filling, mut reader) = edge.lead("/film").start(new_object(&request, &[], None)).unwrap();
    let whole = content(3 << 20);
    let mut seen = Vec::new();
    for piece in whole.chunks(300_000) {
        while room(&mut filling).is_pending() {
            seen.extend(read(&mut reader).0);
        }
        filling.append(Bytes::copy_from_slice(piece));
    }
    assert_eq!(filling.finish().not_stored(), Bypass::TooLarge);
    let (rest, end) = read(&mut reader);
    seen.extend(rest);
    assert_eq!(end, Poll::Ready(Ok(())));
    assert!(seen == whole);
}
