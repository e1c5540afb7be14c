//! One question and what came back for it, as bytes (RFC 1035). An answer that is not to this question is none; chains
//! of aliases are followed within it, up to a bound. No sockets.

use crate::trouble::Trouble;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::IpAddr;

/// Aliases (CNAME) that one answer may chain, and that may be asked for one after the other.
pub(crate) const ALIASES_MAX: usize = 8;
/// Addresses or targets of one answer that are read.
const RECORDS_MAX: usize = 64;

/// What is asked of a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    name: Name,
    kind: Kind,
}

/// What kind of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// IPv4 addresses (A).
    V4,
    /// IPv6 addresses (AAAA).
    V6,
    /// Targets of a service (SRV).
    Service,
}

/// What a name server said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) services: Vec<Service>,
    /// Seconds that it counts: the least of all records on the way to it.
    pub(crate) ttl_s: u32,
    /// Where to go on asking: the name is an alias, and what it stands for was not in the answer.
    pub(crate) alias: Option<String>,
}

/// One target of a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) priority: u16,
    pub(crate) weight: u16,
}

/// What is to be made of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// They answer the question.
    Answered(Answer),
    /// They do, but not with what was asked for.
    Not(Trouble),
    /// They do, but the rest did not fit: ask by TCP.
    Truncated,
    /// They are for somebody else, or made up.
    NotOurs,
}

impl Question {
    /// `None` for what no name server could know. Every name is taken as it is, without search domains.
    pub(crate) fn new(name: &str, kind: Kind) -> Option<Self> {
        let mut name = Name::from_ascii(name).ok()?.to_lowercase();
        name.set_fqdn(true);
        Some(Self { name, kind })
    }

    /// As bytes. `id` must be one that nobody can guess.
    pub(crate) fn bytes(&self, id: u16) -> Option<Vec<u8>> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(self.name.clone(), self.kind.record()));
        message.to_vec().ok()
    }

    /// What these bytes are to this question.
    pub(crate) fn read(&self, id: u16, bytes: &[u8]) -> Read {
        let [one, other, flags, ..] = *bytes else { return Read::NotOurs };
        let is_response = flags & 0x80 != 0;
        if u16::from_be_bytes([one, other]) != id || !is_response {
            return Read::NotOurs;
        }
        // The question goes first, so that a message that was cut short still has it.
        let truncated = flags & 0x02 != 0;
        let Ok(message) = Message::from_vec(bytes) else {
            return if truncated { Read::Truncated } else { Read::Not(Trouble::Malformed) };
        };
        if !self.is_asked_by(&message) {
            return Read::NotOurs;
        }
        if truncated {
            return Read::Truncated;
        }
        match message.metadata.response_code {
            ResponseCode::NoError => match self.follow(&message.answers) {
                Ok(Some(answer)) => Read::Answered(answer),
                Ok(None) => Read::Not(Trouble::NoRecords { negative_ttl_s: negative_ttl(&message) }),
                Err(trouble) => Read::Not(trouble),
            },
            ResponseCode::NXDomain => {
                Read::Not(Trouble::NoSuchName { negative_ttl_s: negative_ttl(&message) })
            }
            code => Read::Not(Trouble::Refused(code.to_str())),
        }
    }

    fn is_asked_by(&self, message: &Message) -> bool {
        let [query] = message.queries.as_slice() else { return false };
        query.query_type() == self.kind.record()
            && query.query_class() == DNSClass::IN
            && query.name().eq_ignore_root(&self.name)
    }

    /// From the name that was asked for along its aliases to what was asked for.
    fn follow(&self, records: &[Record]) -> Result<Option<Answer>, Trouble> {
        let mut answer = Answer { ttl_s: u32::MAX, ..Answer::default() };
        let mut name = &self.name;
        for _ in 0..=ALIASES_MAX {
            let of_name = || {
                let same = |record: &&Record| record.name.eq_ignore_root(name);
                records.iter().filter(same).filter(|record| record.dns_class == DNSClass::IN)
            };
            let mut alias = None;
            for record in of_name() {
                match &record.data {
                    RData::CNAME(target) => alias = Some((&target.0, record.ttl)),
                    data => {
                        if answer.take(self.kind, data) {
                            answer.ttl_s = answer.ttl_s.min(record.ttl);
                        }
                    }
                }
            }
            if !answer.addresses.is_empty() || !answer.services.is_empty() {
                return Ok(Some(answer));
            }
            match alias {
                Some((target, ttl)) => {
                    answer.ttl_s = answer.ttl_s.min(ttl);
                    name = target;
                }
                None if name == &self.name => return Ok(None),
                None => return Ok(Some(Answer { alias: Some(text(name)), ..answer })),
            }
        }
        Err(Trouble::Aliases)
    }
}

impl Answer {
    /// Takes what was asked for; whether it was that.
    fn take(&mut self, kind: Kind, data: &RData) -> bool {
        let room = self.addresses.len() + self.services.len() < RECORDS_MAX;
        match (kind, data) {
            (Kind::V4, RData::A(address)) if room => self.addresses.push(address.0.into()),
            (Kind::V6, RData::AAAA(address)) if room => self.addresses.push(address.0.into()),
            (Kind::Service, RData::SRV(service)) if room => self.services.push(Service {
                host: text(&service.target),
                port: service.port,
                priority: service.priority,
                weight: service.weight,
            }),
            _ => return false,
        }
        true
    }
}

impl Kind {
    fn record(self) -> RecordType {
        match self {
            Self::V4 => RecordType::A,
            Self::V6 => RecordType::AAAA,
            Self::Service => RecordType::SRV,
        }
    }
}

/// Without the dot at its end, lower case; the root is empty.
fn text(name: &Name) -> String {
    name.to_lowercase().to_ascii().trim_end_matches('.').to_owned()
}

/// How long it counts that there is nothing (RFC 2308 section 5), in seconds.
fn negative_ttl(message: &Message) -> Option<u32> {
    message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(start) => Some(record.ttl.min(start.minimum)),
        _ => None,
    })
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
