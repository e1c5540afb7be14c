//! The disk's place in the way of a request: asked by whoever leads a fill before an endpoint is, and given what was
//! stored. What is found there becomes an object in memory again; a large one leaves its content on disk. Never waits
//! long for a disk, and never fails a visitor because of one.

use crate::learn;
use crate::obtain::Inquiry;
use crate::prepare::Prepared;
use crate::purge::host_of;
use crate::thread::Shared;
use bytes::Bytes;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tentpole_cache::{
    Brought, Cache, Content, Elsewhere, FillReader, Finished, Lead, Object, Selector, Tag, Vary,
};
use tentpole_disk::{Disk, Found, HeldBody, Meta, NewObject, Purge, Purging, Standing, StoredBody, Writing};
use tentpole_freshness::{RequestFacts, StoredFacts, Use};
use tentpole_message::StoredHead;
use tentpole_model::{Caching, CachingId, Purged};
use tentpole_runtime::clock;

/// How long a look-up on disk, or one of its parts, may take; then it is a miss. Deadlines are late by up to a sweep.
const READ_MAX: Duration = Duration::from_millis(250);
/// What is kept must be of use for so long, in seconds.
const USEFUL_MIN: u64 = 10;
/// What a 304 confirmed is written anew only if it lasts so long: else the next who asks has it confirmed again.
const CONFIRMED_MIN: u64 = 60;

/// What came of asking the disk.
pub enum Revived {
    /// This, and it may be served.
    Object(Arc<Object>),
    /// It is in memory now: look up again.
    Again,
    /// Nothing: fetch.
    Nothing(Lead),
}

/// Asks the disk for what is wanted. Those who wait for the lead wait for this too.
pub async fn revive(inquiry: &Inquiry<'_>, mut lead: Lead) -> Revived {
    let shared = &inquiry.thread.shared;
    let Some(disk) = &shared.disk else { return Revived::Nothing(lead) };
    if let Some(stale) = lead.stale.take_if(|stale| !is_there(stale)) {
        shared.cache.forget(&stale);
    }
    // What is in memory is at least as new.
    if lead.stale.is_some() {
        return Revived::Nothing(lead);
    }
    let key = inquiry.key;
    let Some(found) = find(inquiry, disk).await else { return Revived::Nothing(lead) };
    let Some(content) = content(inquiry, disk, &found).await else { return Revived::Nothing(lead) };
    let now = inquiry.asked.now;
    let is_fresh =
        !found.purged_softly && found.meta.facts.may_use(&RequestFacts::PLAIN_GET, now) == Use::Fresh;
    let meta = &found.meta;
    let tags: Vec<Tag> = meta.tags.iter().map(|tag| Tag::from_bytes(tag.to_le_bytes())).collect();
    let brought = Brought {
        head: StoredHead { lines: meta.head.clone(), status: meta.status },
        facts: meta.facts,
        vary: vary_of(meta),
        etag: meta.etag.clone(),
        last_modified: meta.last_modified.clone(),
        tags: &tags,
        content,
        assembles: meta.assembles,
        purged_softly: found.purged_softly,
        for_all: is_fresh,
    };
    let object = match lead.bring_back(brought) {
        Ok(object) => object,
        Err(lead) => return Revived::Nothing(lead),
    };
    // A purge is in force on disk first and in memory then: one that did not find it in memory is seen here.
    let standing = disk.standing(key, &found);
    if standing == Standing::Gone || (standing == Standing::Stale && !found.purged_softly) {
        shared.cache.forget(&object);
        return Revived::Again;
    }
    match object.facts().may_use(&inquiry.asked.facts, now) {
        Use::Fresh | Use::StaleAccepted if is_fresh => Revived::Object(object),
        _ => Revived::Again,
    }
}

/// The newest that answers for the request.
async fn find(inquiry: &Inquiry<'_>, disk: &Disk) -> Option<Found> {
    let prepared = &inquiry.view.prepared;
    let site = site_of(prepared, disk, inquiry.key)?;
    let rules = rules_of(prepared, disk, inquiry.place.caching);
    let mut looking = pin!(disk.look_up(inquiry.key, inquiry.asked.now));
    inquiry.deadline.set_in(READ_MAX);
    let found = inquiry.deadline.guard(|context| looking.as_mut().poll(context)).await.ok()?;
    let presented = inquiry.presented();
    // A site that was renamed could not be purged by its name; by other rules it may have been somebody's own.
    let is_ours = |meta: &Meta| meta.site == site && meta.rules == rules && vary_of(meta).matches(presented);
    found.into_iter().find(|found| is_ours(&found.meta))
}

/// The content as memory will hold it; `None` when it cannot be read.
async fn content(inquiry: &Inquiry<'_>, disk: &Disk, found: &Found) -> Option<Content> {
    let snapshot = &inquiry.view.prepared.snapshot;
    let bytes = found.body.bytes();
    if bytes > snapshot.cache.object_bytes_max.min(snapshot.cache.memory_bytes_max) {
        let place: Arc<StoredBody> = Arc::new(found.body.clone());
        let cost = place.cost();
        return Some(Content::Elsewhere(Elsewhere { place, bytes, cost }));
    }
    if let Some(whole) = &found.whole {
        let pieces = if whole.is_empty() { Vec::new() } else { vec![whole.clone()] };
        return Some(Content::Pieces(pieces));
    }
    // All of it before anybody gets a byte: what turns out to be damaged is fetched instead.
    let held = found.body.hold()?;
    let mut pieces = Vec::with_capacity(held.parts());
    for part in 0..held.parts() {
        let mut reading = disk.read(&held, part);
        inquiry.deadline.set_in(READ_MAX);
        let read = inquiry.deadline.guard(|context| pin!(&mut reading).poll(context)).await;
        let Ok(Some(piece)) = read else {
            disk.forget(inquiry.key);
            return None;
        };
        pieces.extend((!piece.is_empty()).then_some(piece));
    }
    Some(Content::Pieces(pieces))
}

/// What selects a stored response.
pub fn vary_of(meta: &Meta) -> Vary {
    Vary::restored(meta.vary.iter().map(|(name, value)| (&**name, value.as_deref())))
}

fn site_of(prepared: &Prepared, disk: &Disk, key: &[u8]) -> Option<u64> {
    let site = prepared.table.site(host_of(key))?;
    Some(disk.name(prepared.site(site).name.as_bytes()))
}

/// The hash of the rules that keep visitors apart and cookies out: what was stored without them may be shared by more
/// than it is for. What else says which requests are the same need not be in it, for an endpoint was told no more than
/// the key holds.
fn rules_of(prepared: &Prepared, disk: &Disk, caching: CachingId) -> u64 {
    let Caching { cookies_keyed, despite_set_cookie, visitors_keep, esi, assets, .. } =
        prepared.caching(caching);
    let mut rules = format!("{cookies_keyed:?} {despite_set_cookie} {visitors_keep} {esi:?}");
    if let Some(assets) = assets {
        // A page whose links lead to where they no longer should is no page any more.
        rules += &format!(" {assets:?}");
    }
    disk.name(rules.as_bytes())
}

/// Whether an object's content can be read, wherever it is kept.
pub fn is_there(object: &Object) -> bool {
    stored_body(object).is_none_or(StoredBody::is_there)
}

/// Where on disk an object's content is, if it is there.
pub fn stored_body(object: &Object) -> Option<&StoredBody> {
    object.place().and_then(|place| place.downcast_ref())
}

/// A content that was found on disk, kept readable while it is sent.
pub fn hold(object: &Object) -> Option<HeldBody> {
    stored_body(object)?.hold()
}

/// An object's content turned out to be gone or damaged.
pub fn lost(shared: &Shared, object: &Arc<Object>) {
    shared.cache.forget(object);
    shared.disk.iter().for_each(|disk| disk.forget(object.key()));
}

/// Where what is stored belongs: hashes of its site's name and of its rules.
#[derive(Clone, Copy)]
struct Belongs {
    site: u64,
    rules: u64,
}

/// What is to be kept on disk of a response that is fetched.
pub struct ForDisk {
    disk: Arc<Disk>,
    /// The purges that came before the fetch.
    sequence: u64,
    belongs: Belongs,
    key: Bytes,
    /// Set while the content does not go into memory.
    through: Option<(Meta, Option<Writing>)>,
}

impl ForDisk {
    /// To be called before an endpoint is asked; `None` without a disk.
    pub fn begin(shared: &Shared, prepared: &Prepared, caching: CachingId, key: &[u8]) -> Option<Self> {
        let disk = shared.disk.clone()?;
        let site = site_of(prepared, &disk, key)?;
        let belongs = Belongs { site, rules: rules_of(prepared, &disk, caching) };
        Some(Self {
            sequence: disk.sequence(),
            belongs,
            key: Bytes::copy_from_slice(key),
            through: None,
            disk,
        })
    }

    /// Whether a response of this length is too large for memory and not for the disk.
    pub fn takes_through(
        &self,
        length: Option<u64>,
        assembles: bool,
        cache: &Cache,
        facts: &StoredFacts,
    ) -> bool {
        let fits = |length| length > cache.object_bytes_max() && length <= self.disk.object_bytes_max();
        !assembles && length.is_some_and(fits) && is_worth_it(facts, USEFUL_MIN)
    }

    /// The response begins. One that may turn out to be too large for memory is remembered.
    pub fn begins(&mut self, reader: &FillReader, through: bool) {
        // A page to be put together must be whole in memory.
        let may_be = through || (reader.length().is_none() && !reader.assembles());
        if may_be && is_worth_it(reader.facts(), USEFUL_MIN) {
            let meta = Meta {
                facts: *reader.facts(),
                status: reader.head().status,
                head: reader.head().lines.clone(),
                etag: reader.etag().cloned(),
                last_modified: reader.last_modified().cloned(),
                vary: selecting(reader.vary()),
                tags: reader.tags().iter().map(number_of).collect(),
                site: self.belongs.site,
                rules: self.belongs.rules,
                assembles: false,
            };
            self.through = Some((meta, through.then(|| self.disk.begin())));
        }
    }

    /// A piece arrived, or all up to here turned out to be too large for memory.
    pub fn arrived(&mut self, piece: &Bytes, until_now: Option<Vec<Bytes>>) {
        let Some((_, writing)) = &mut self.through else { return };
        match (writing.as_mut(), until_now) {
            (Some(writing), _) => {
                writing.append(piece.clone());
            }
            (None, Some(pieces)) => {
                let mut begun = self.disk.begin();
                pieces.into_iter().all(|piece| begun.append(piece));
                *writing = Some(begun);
            }
            (None, None) => {}
        }
    }

    /// Whether what nobody reads is worth fetching to its end.
    pub fn is_writing(&self) -> bool {
        matches!(&self.through, Some((_, Some(_))))
    }

    /// It is whole.
    pub fn finished(self, finished: &Finished, cache: &Cache) {
        let Self { disk, sequence, key, through, .. } = self;
        match (finished, through) {
            (Finished::Stored(object), _) => keep(&disk, object, self.belongs, sequence, USEFUL_MIN),
            (Finished::NotStored(_), Some((meta, Some(writing)))) => {
                if writing.finish(NewObject { key: key.clone(), meta, sequence }) {
                    // It can be found from now on: nobody need go past the cache for it.
                    cache.clear_mark(&cache.key(&key));
                }
            }
            (Finished::NotStored(_), _) => disk.forget(&key),
        }
    }

    /// What was stored still holds.
    pub fn confirmed(self, object: &Arc<Object>) {
        let Self { disk, sequence, belongs, .. } = self;
        match stored_body(object) {
            Some(body) if is_worth_it(&object.facts(), CONFIRMED_MIN) => {
                let meta = meta_of(object, belongs);
                disk.write_again(
                    NewObject { key: Bytes::copy_from_slice(object.key()), meta, sequence },
                    body,
                );
            }
            None if is_worth_it(&object.facts(), CONFIRMED_MIN) => {
                keep(&disk, object, belongs, sequence, CONFIRMED_MIN);
            }
            _ => {}
        }
    }

    /// The endpoint's answer is not shared: what lies there no longer says what it would.
    pub fn not_shared(self) {
        self.disk.forget(&self.key);
    }
}

fn keep(disk: &Disk, object: &Arc<Object>, belongs: Belongs, sequence: u64, useful_min: u64) {
    let facts = object.facts();
    if object.is_softly_purged() || !is_worth_it(&facts, useful_min) {
        return disk.forget(object.key());
    }
    let key = Bytes::copy_from_slice(object.key());
    let new = NewObject { key, meta: meta_of(object, belongs), sequence };
    disk.write(new, object.chunks().to_vec());
}

/// A guess does not outlive the process: what was learned meanwhile would be forgotten. And what is of no use soon is not
/// worth a write.
pub fn is_worth_it(facts: &StoredFacts, seconds: u64) -> bool {
    let stale = facts.stale_while_revalidate.max(facts.stale_if_error);
    let left = (u64::from(facts.lifetime) + u64::from(stale))
        .saturating_sub(facts.age(clock::coarse().unix_seconds()));
    !facts.heuristic && !facts.no_cache && facts.lifetime > 0 && left >= seconds
}

/// What is to be known of an object, for another edge that serves the same Snapshot. As it was when it was stored: a soft
/// purge is not in it.
pub fn meta_to_give(object: &Object) -> Meta {
    Meta { facts: object.own_facts(), ..meta_of(object, Belongs { site: 0, rules: 0 }) }
}

fn meta_of(object: &Object, belongs: Belongs) -> Meta {
    let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    Meta {
        facts: object.facts(),
        status: object.status(),
        head: Bytes::copy_from_slice(object.lines()),
        etag: copy(object.etag()),
        last_modified: copy(object.last_modified()),
        vary: selecting(object.vary()),
        tags: object.tags().map(|tag| number_of(&tag)).collect(),
        site: belongs.site,
        rules: belongs.rules,
        assembles: object.assembles(),
    }
}

fn selecting(vary: &Vary) -> Vec<(Bytes, Option<Bytes>)> {
    let copy = Bytes::copy_from_slice;
    vary.selecting().map(|(name, value)| (copy(name), value.map(copy))).collect()
}

fn number_of(tag: &Tag) -> u64 {
    u64::from_le_bytes(tag.to_bytes())
}

/// Purges on disk and then in memory, in this order: see [`revive`]. In force when it returns, and safe from a crash when
/// what it returns is done. `site` is the one that the selector's tests are about.
pub fn purge_both(
    shared: &Shared,
    selector: &Selector,
    site: Option<&str>,
    soft: bool,
) -> (Purged, Option<Purging>) {
    let purging = shared.disk.as_ref().map(|disk| {
        let mut whats = Vec::new();
        name(selector, site.map(|site| disk.name(site.as_bytes())), &mut whats);
        disk.purge(&whats, soft)
    });
    let purged = shared.cache.purge_selected(selector, soft);
    learn::tell_purged(&shared.observations, selector);
    (purged, purging)
}

/// What a selector names, in the disk's words: a test of keys is that of the site, and everything where none is named.
fn name<'a>(selector: &'a Selector, site: Option<u64>, whats: &mut Vec<Purge<'a>>) {
    match selector {
        Selector::Key(key) => whats.push(Purge::Key(key)),
        Selector::Prefix(prefix) => whats.push(Purge::Prefix(prefix)),
        Selector::Where(_) => whats.push(site.map_or(Purge::All, Purge::Site)),
        Selector::Tags { tags, within } => {
            let site = site.filter(|_| within.is_some());
            let tags = tags.all().iter().map(number_of);
            whats.extend(tags.map(|tag| site.map_or(Purge::Tag(tag), |site| Purge::TagOfSite(tag, site))));
        }
        Selector::Any(each) => each.iter().for_each(|one| name(one, site, whats)),
        Selector::All => whats.push(Purge::All),
    }
}
