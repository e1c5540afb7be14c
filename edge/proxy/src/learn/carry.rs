//! What was learned, as the bytes in which it goes to the edge that follows ([`crate::refill`]). Reads strictly: what is not
//! exactly that is nothing. Decides nothing.

use super::{Heard, Learning};
use std::sync::mpsc::SyncSender;
use tentpole_learn::{Dims, Memory, Past, ShapeBar, Trait};
use tentpole_runtime::clock;

/// The most that goes over; what is known of further pages stays.
pub const BYTES_MAX: usize = 64 << 20;

/// What was learned, and what the answers were hashed with.
pub struct Carried {
    keys: [u64; 2],
    bars: Vec<ShapeBar>,
    pages: Vec<Memory>,
}

impl Learning {
    /// What is known now, as bytes.
    pub fn carried(&self) -> Vec<u8> {
        let now_ms = super::millis(clock::now());
        let (bars, pages) = {
            let learner = self.learner();
            (learner.shape_bars(now_ms), learner.memories(now_ms))
        };
        Carried { keys: self.keys.get(), bars, pages }.to_bytes()
    }

    /// Goes on with what another edge knew. Nothing of it is taken where something was hashed here already, by other keys.
    pub fn goes_on(&self, bytes: &[u8], observations: &SyncSender<Heard>) {
        let Some(carried) = Carried::from_bytes(bytes) else { return };
        if self.keys.take(carried.keys) {
            // Where it waits for room, visitors do not wait: this is the refill's thread.
            let _ = observations.send(Heard::Carried(Box::new(carried)));
        }
    }

    /// Weighs it anew; returns what changes.
    pub(super) fn recall(&self, carried: &Carried) -> Vec<tentpole_learn::Change> {
        let now_ms = super::millis(clock::now());
        let mut learner = self.learner();
        carried.bars.iter().for_each(|bar| learner.knows_bar(bar, now_ms));
        let pages = carried.pages.iter();
        pages.flat_map(|page| learner.recalls(page, self.hash(&page.key), now_ms)).collect()
    }
}

impl Carried {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.keys.iter().for_each(|key| out.extend(key.to_le_bytes()));
        put_u32(&mut out, self.bars.len());
        for bar in &self.bars {
            out.extend(bar.route.to_le_bytes());
            put_bytes(&mut out, bar.shape.as_bytes());
            out.extend(bar.barred_ms.to_le_bytes());
            out.extend(bar.strikes.to_le_bytes());
        }
        for page in &self.pages {
            let before = out.len();
            put_page(&mut out, page);
            if out.len() > BYTES_MAX {
                out.truncate(before);
                break;
            }
        }
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let keys = [from.u64()?, from.u64()?];
        let bars = (0..from.u32()?).map(|_| from.bar()).collect::<Option<_>>()?;
        let mut pages = Vec::new();
        while !from.0.is_empty() {
            pages.push(from.page()?);
        }
        Some(Self { keys, bars, pages })
    }
}

fn put_u32(out: &mut Vec<u8>, number: usize) {
    out.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, bytes.len());
    out.extend(bytes);
}

fn put_page(out: &mut Vec<u8>, page: &Memory) {
    put_bytes(out, &page.key);
    out.extend(page.route.to_le_bytes());
    out.push(u8::from(page.apply));
    out.extend(page.barred.0.to_le_bytes());
    out.extend(page.barred.1.to_le_bytes());
    out.push(page.vary.bits());
    out.push(page.pinned.0.bits());
    out.extend(page.pinned.1.to_le_bytes());
    out.push(page.ruled.map_or(0, |full| 1 + u8::from(full)));
    put_u32(out, page.answers.len());
    for past in &page.answers {
        for number in [past.sent_ago_ms, past.done_ago_ms, past.hash, past.visitor] {
            out.extend(number.to_le_bytes());
        }
        for Trait { exact, class } in past.traits {
            out.extend(exact.to_le_bytes());
            out.extend(class.to_le_bytes());
        }
        out.push(past.coding);
        out.push(u8::from(past.stripped) | u8::from(past.storable) << 1 | u8::from(past.found) << 2);
        out.push(past.needs.bits());
        out.extend(past.purges.to_le_bytes());
    }
}

/// Reads from the front; `None` when there is not enough.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let count = self.u32()?;
        self.bytes(count as usize)
    }

    fn bar(&mut self) -> Option<ShapeBar> {
        Some(ShapeBar {
            route: self.u32()?,
            shape: std::str::from_utf8(self.long()?).ok()?.to_owned(),
            barred_ms: self.u64()?,
            strikes: self.u32()?,
        })
    }

    fn page(&mut self) -> Option<Memory> {
        Some(Memory {
            key: self.long()?.into(),
            route: self.u32()?,
            apply: self.u8()? != 0,
            barred: (self.u64()?, self.u32()?),
            vary: Dims::from_bits(self.u8()?),
            pinned: (Dims::from_bits(self.u8()?), self.u64()?),
            ruled: self.u8()?.checked_sub(1).map(|full| full != 0),
            answers: (0..self.u32()?).map(|_| self.past()).collect::<Option<_>>()?,
        })
    }

    fn past(&mut self) -> Option<Past> {
        let [sent_ago_ms, done_ago_ms, hash, visitor] = [self.u64()?, self.u64()?, self.u64()?, self.u64()?];
        let mut one = || Some(Trait { exact: self.u32()?, class: self.u16()? });
        let traits = [one()?, one()?, one()?];
        let (coding, flags) = (self.u8()?, self.u8()?);
        let flag = |bit: u8| flags >> bit & 1 != 0;
        let (stripped, storable, found) = (flag(0), flag(1), flag(2));
        let (needs, purges) = (Dims::from_bits(self.u8()?), self.u32()?);
        let ends = Past {
            sent_ago_ms,
            done_ago_ms,
            hash,
            visitor,
            traits,
            coding,
            stripped,
            storable,
            found,
            needs,
            purges,
        };
        Some(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(key: &str, answers: u64) -> Memory {
        let past = |n| Past {
            sent_ago_ms: 100 + n,
            done_ago_ms: n,
            hash: n << 40,
            visitor: n,
            traits: [Trait { exact: 1, class: 2 }, Trait { exact: 3, class: 0 }, Trait::default()],
            coding: 2,
            stripped: n % 2 == 0,
            storable: n % 3 == 0,
            found: true,
            needs: Dims::AGENT,
            purges: 4,
        };
        Memory {
            key: key.as_bytes().into(),
            route: 7,
            apply: true,
            barred: (9, 1),
            vary: Dims::LANGUAGE,
            pinned: (Dims::ACCEPT, 8),
            ruled: Some(answers > 1),
            answers: (0..answers).map(past).collect(),
        }
    }

    #[test]
    fn what_goes_over_arrives_as_it_was_and_what_is_cut_off_is_nothing() {
        let bars = vec![ShapeBar { route: 1, shape: "shop/*".into(), barred_ms: 5, strikes: 2 }];
        let pages = vec![page("a\0/1", 1), page("a\0/2", 24), Memory { ruled: None, ..page("b", 0) }];
        let carried = Carried { keys: [3, 4], bars: bars.clone(), pages: pages.clone() };
        let bytes = carried.to_bytes();
        let came = Carried::from_bytes(&bytes).unwrap();
        assert_eq!((came.keys, came.bars, came.pages), ([3, 4], bars, pages));
        let ends = (0..bytes.len()).filter(|&end| Carried::from_bytes(&bytes[..end]).is_some()).count();
        assert_eq!(ends, 3, "before the first page, and before each other one");
    }

    #[test]
    fn no_bytes_make_it_fail() {
        assert!(Carried::from_bytes(&[0xff; 64]).is_none());
        assert!(Carried::from_bytes(&[]).is_none());
    }
}
