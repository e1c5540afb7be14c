//! Answers as name servers send them, and as nobody should.

use super::*;
use hickory_proto::rr::rdata::{A, CNAME, SOA, SRV};
use std::net::Ipv4Addr;

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn question() -> Question {
    Question::new("app.internal", Kind::V4).unwrap()
}

fn response(records: Vec<Record>) -> Message {
    let mut message = Message::new(7, MessageType::Response, OpCode::Query);
    message.add_query(Query::query(name("app.internal"), RecordType::A));
    message.add_answers(records);
    message
}

fn address(of: &str, last: u8, ttl: u32) -> Record {
    Record::from_rdata(name(of), ttl, RData::A(A(Ipv4Addr::new(10, 0, 0, last))))
}

fn alias(of: &str, to: &str, ttl: u32) -> Record {
    Record::from_rdata(name(of), ttl, RData::CNAME(CNAME(name(to))))
}

fn read(message: &Message) -> Read {
    question().read(7, &message.to_vec().unwrap())
}

fn answered(message: &Message) -> Answer {
    let Read::Answered(answer) = read(message) else { panic!("{:?}", read(message)) };
    answer
}

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

#[test]
fn a_question_is_read_as_it_was_asked() {
    let asked = Message::from_vec(&question().bytes(7).unwrap()).unwrap();
    assert_eq!(asked.metadata.id, 7);
    assert!(asked.metadata.recursion_desired);
    assert!(question().is_asked_by(&asked));
    assert!(Question::new(&"x".repeat(64), Kind::V4).is_none(), "longer than any label");
}

#[test]
fn the_least_ttl_on_the_way_counts() {
    let direct = response(vec![address("app.internal", 1, 60), address("APP.internal", 2, 30)]);
    let answer = answered(&direct);
    assert_eq!((answer.addresses, answer.ttl_s), (vec![ip(1), ip(2)], 30));
    // In any order, and with what is nobody's.
    let chained = response(vec![
        address("three.internal", 3, 60),
        alias("two.internal", "three.internal", 5),
        alias("app.internal", "two.internal", 600),
        address("other.internal", 9, 1),
    ]);
    let answer = answered(&chained);
    assert_eq!((answer.addresses, answer.ttl_s), (vec![ip(3)], 5));
}

#[test]
fn an_alias_without_its_end_is_asked_for_further() {
    let answer = answered(&response(vec![alias("app.internal", "Elsewhere.example", 9)]));
    assert_eq!((answer.alias.as_deref(), answer.ttl_s), (Some("elsewhere.example"), 9));
}

#[test]
fn aliases_in_a_circle_end() {
    let circle =
        response(vec![alias("app.internal", "b.internal", 9), alias("b.internal", "app.internal", 9)]);
    assert_eq!(read(&circle), Read::Not(Trouble::Aliases));
    assert_eq!(read(&response(vec![alias("app.internal", "app.internal", 9)])), Read::Not(Trouble::Aliases));
}

#[test]
fn that_there_is_nothing_is_said_with_how_long_it_counts() {
    let mut nothing = response(Vec::new());
    assert_eq!(read(&nothing), Read::Not(Trouble::NoRecords { negative_ttl_s: None }));
    nothing.metadata.response_code = ResponseCode::NXDomain;
    let start = SOA::new(name("ns.internal"), name("who.internal"), 1, 9, 9, 9, 5);
    nothing.add_authority(Record::from_rdata(name("internal"), 600, RData::SOA(start)));
    assert_eq!(read(&nothing), Read::Not(Trouble::NoSuchName { negative_ttl_s: Some(5) }));
    let mut refused = response(Vec::new());
    refused.metadata.response_code = ResponseCode::ServFail;
    assert!(matches!(read(&refused), Read::Not(Trouble::Refused(_))));
}

#[test]
fn what_does_not_answer_the_question_is_not_listened_to() {
    let good = response(vec![address("app.internal", 1, 60)]);
    let bytes = good.to_vec().unwrap();
    assert_eq!(question().read(8, &bytes), Read::NotOurs, "another id");
    let mut other = good.clone();
    other.queries = vec![Query::query(name("bank.internal"), RecordType::A)];
    assert_eq!(read(&other), Read::NotOurs, "another name");
    other.queries = vec![Query::query(name("app.internal"), RecordType::AAAA)];
    assert_eq!(read(&other), Read::NotOurs, "another kind");
    other.queries.clear();
    assert_eq!(read(&other), Read::NotOurs, "no question");
    let mut question_back = good.clone();
    question_back.metadata.message_type = MessageType::Query;
    assert_eq!(read(&question_back), Read::NotOurs, "a question");
    // An answer for somebody else is not taken along.
    let foreign = response(vec![address("bank.internal", 66, 60)]);
    assert_eq!(read(&foreign), Read::Not(Trouble::NoRecords { negative_ttl_s: None }));
}

#[test]
fn what_was_cut_short_is_asked_for_by_tcp_wherever_it_was_cut() {
    let mut message = response(vec![address("app.internal", 1, 60)]);
    message.metadata.truncation = true;
    let bytes = message.to_vec().unwrap();
    assert_eq!(question().read(7, &bytes), Read::Truncated);
    assert_eq!(question().read(7, &bytes[..bytes.len() - 3]), Read::Truncated);
}

#[test]
fn no_bytes_break_it() {
    let bytes = response(vec![alias("app.internal", "b.internal", 9), address("b.internal", 1, 60)]);
    let bytes = bytes.to_vec().unwrap();
    for cut in 0..bytes.len() {
        let _ = question().read(7, &bytes[..cut]);
        for bit in 0..8 {
            let mut wrong = bytes.clone();
            wrong[cut] ^= 1 << bit;
            let _ = question().read(7, &wrong);
        }
    }
}

#[test]
fn a_service_has_targets_with_ports_priorities_and_weights() {
    let question = Question::new("_http._tcp.shop.internal", Kind::Service).unwrap();
    let mut message = Message::new(7, MessageType::Response, OpCode::Query);
    message.add_query(Query::query(name("_http._tcp.shop.internal"), RecordType::SRV));
    let service = SRV::new(10, 60, 8_080, name("A.shop.internal"));
    message.add_answer(Record::from_rdata(name("_http._tcp.shop.internal"), 3, RData::SRV(service)));
    let Read::Answered(answer) = question.read(7, &message.to_vec().unwrap()) else { panic!() };
    let service = Service { host: "a.shop.internal".into(), port: 8_080, priority: 10, weight: 60 };
    assert_eq!((answer.services, answer.ttl_s), (vec![service], 3));
}
