//! One question for addresses and what came back for it, as bytes (RFC 1035). What does not answer the question is not
//! listened to. No sockets.

use crate::trouble::Trouble;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::IpAddr;

/// Aliases (CNAME) that one answer may chain.
pub(crate) const ALIASES_MAX: usize = 8;
/// Addresses of one answer that are read.
pub(crate) const ADDRESSES_MAX: usize = 64;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    name: Name,
    kind: RecordType,
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// In the order in which they stood.
    pub(crate) addresses: Vec<IpAddr>,
    /// The least of all records on the way, in seconds.
    pub(crate) ttl_s: u32,
    /// What the name stands for, where its address was not in the answer.
    pub(crate) alias: Option<String>,
}

/// What is to be made of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Answered(Answer),
    Not(Trouble),
    /// The rest did not fit: to be asked for by TCP.
    Truncated,
    /// Somebody else's, or made up.
    NotOurs,
}

impl Question {
    pub(crate) fn new(name: &str, family: Family) -> Option<Self> {
        let mut name = Name::from_ascii(name).ok()?.to_lowercase();
        name.set_fqdn(true);
        let kind = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        Some(Self { name, kind })
    }

    pub(crate) fn bytes(&self, id: u16) -> Option<Vec<u8>> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(self.name.clone(), self.kind));
        message.to_vec().ok()
    }

    pub(crate) fn read(&self, id: u16, bytes: &[u8]) -> Read {
        let [one, other, flags, ..] = *bytes else { return Read::NotOurs };
        if u16::from_be_bytes([one, other]) != id || flags & 0x80 == 0 {
            return Read::NotOurs;
        }
        let is_cut = flags & 0x02 != 0;
        let Ok(message) = Message::from_vec(bytes) else {
            return if is_cut { Read::Truncated } else { Read::Not(Trouble::Malformed) };
        };
        let is_ours = matches!(message.queries.as_slice(), [query]
            if query.query_type() == self.kind && query.name().eq_ignore_root(&self.name));
        match message.metadata.response_code {
            _ if !is_ours => Read::NotOurs,
            _ if is_cut => Read::Truncated,
            ResponseCode::NoError => match self.follow(&message.answers) {
                Ok(Some(answer)) => Read::Answered(answer),
                Ok(None) => Read::Not(Trouble::NoAddress { negative_ttl_s: negative_ttl(&message) }),
                Err(trouble) => Read::Not(trouble),
            },
            ResponseCode::NXDomain => {
                Read::Not(Trouble::NoSuchName { negative_ttl_s: negative_ttl(&message) })
            }
            code => Read::Not(Trouble::Refused(code.to_str())),
        }
    }

    /// From the name along its aliases to addresses.
    fn follow(&self, records: &[Record]) -> Result<Option<Answer>, Trouble> {
        let mut answer = Answer { addresses: Vec::new(), ttl_s: u32::MAX, alias: None };
        let mut name = &self.name;
        for _ in 0..=ALIASES_MAX {
            let mut alias = None;
            let is_of_name =
                |record: &&Record| record.name.eq_ignore_root(name) && record.dns_class == DNSClass::IN;
            for record in records.iter().filter(is_of_name) {
                let address = match &record.data {
                    RData::A(address) if self.kind == RecordType::A => IpAddr::from(address.0),
                    RData::AAAA(address) if self.kind == RecordType::AAAA => IpAddr::from(address.0),
                    RData::CNAME(target) => {
                        alias = Some((&target.0, record.ttl));
                        continue;
                    }
                    _ => continue,
                };
                if answer.addresses.len() < ADDRESSES_MAX {
                    answer.addresses.push(address);
                    answer.ttl_s = answer.ttl_s.min(record.ttl);
                }
            }
            if !answer.addresses.is_empty() {
                return Ok(Some(answer));
            }
            match alias {
                Some((target, ttl)) => {
                    answer.ttl_s = answer.ttl_s.min(ttl);
                    name = target;
                }
                None if name == &self.name => return Ok(None),
                None => {
                    let text = name.to_lowercase().to_ascii().trim_end_matches('.').to_owned();
                    return Ok(Some(Answer { alias: Some(text), ..answer }));
                }
            }
        }
        Err(Trouble::Aliases)
    }
}

/// How long it counts that there is nothing (RFC 2308 section 5), in seconds.
fn negative_ttl(message: &Message) -> Option<u32> {
    message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(start) => Some(record.ttl.min(start.minimum)),
        _ => None,
    })
}
