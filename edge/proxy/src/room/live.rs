//! The rooms of this process. One stands for all data threads, goes on through reloads, and is kept in the state directory,
//! so that a restart loses nobody's place. Where two edges run side by side, a lock on a file there says which of them lets
//! visitors in (`turn.rs`): what one has let in the other one knows before it begins. Decides nothing: `decide/room` does, one visitor after the other.

use crate::room::ticket;
use crate::room::turn::{Turn, Turns};
use crate::sticky::OwnKey;
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use tentpole_model::{Room as Settings, RoomWish};
use tentpole_room::{Chance, Hand, Kept, Kind, Phase, Room, Rules, Status, Ticket, Told, Verdict, limits};
use tentpole_runtime::clock::Instant;
use tentpole_runtime::{clock, notice};

/// How often an edge whose turn has not come looks whether it has.
const TURN_EVERY: Duration = Duration::from_millis(20);
/// How long a visitor is held who comes meanwhile: the edge before may have hung, and is ended after ten seconds.
const TURN_MAX: Duration = Duration::from_secs(12);
/// How often is written down how rooms are. In between come in as many as the last one says (`tentpole_room::Kept::unwritten`).
const WRITTEN_EVERY: Duration = Duration::from_millis(500);
/// How often the log says at most that visitors were held up because it took too long.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// All rooms, by name.
#[derive(Debug)]
pub struct Rooms {
    state: Option<PathBuf>,
    live: Mutex<HashMap<String, Arc<Live>>>,
    turns: Arc<Turns>,
}

/// One room.
#[derive(Debug)]
pub(crate) struct Live {
    name: String,
    file: Option<PathBuf>,
    turns: Arc<Turns>,
    pub(crate) key: hmac::Key,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// `None` until its first visitor: the edge before may still be writing what this one goes on with.
    room: Option<Room>,
    said: Said,
    written: Option<String>,
    /// Why it cannot be written down; then visitors come in all the same.
    fails: Option<String>,
    /// When the log said last that visitors were held up.
    told: Option<Instant>,
    /// Another edge goes on with it.
    left: bool,
}

/// Whether a crash forgets what a room knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// It lasts as long as this process: there is no state directory.
    InMemory,
    /// It is written down.
    Written,
    /// It takes so long to write it down that visitors are held up.
    Late,
    /// It cannot be written down.
    Fails(String),
}

/// What a visitor shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    /// A ticket in a cookie, or none.
    Cookie(Option<Ticket>),
    /// No cookie: his page shows one in a field.
    Page(Ticket),
}

/// What an operator said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    hand: Option<Hand>,
    active_max: Option<u32>,
    entries_per_minute: Option<u32>,
}

impl Rooms {
    /// Rooms that are kept in this directory; without one they last as long as this process.
    pub(crate) fn new(state: Option<PathBuf>) -> Arc<Self> {
        let turns = Arc::new(Turns::new(state.clone()));
        Arc::new(Self { state, live: Mutex::default(), turns })
    }

    /// The room of this name.
    pub(crate) fn live(self: &Arc<Self>, name: &str, own_key: &OwnKey) -> Arc<Live> {
        let live = {
            let mut all = locked(&self.live);
            let make = || Arc::new(Live::new(name, self.state.as_deref(), own_key, self.turns.clone()));
            all.entry(name.to_owned()).or_insert_with(make).clone()
        };
        if self.turns.begin() {
            let rooms = Arc::downgrade(self);
            let started = thread::Builder::new().name("edge-rooms".into()).spawn(move || keep(&rooms));
            if let Err(error) = started {
                notice(format_args!("waiting rooms are not kept over a restart: no thread ({error})"));
            }
        }
        live
    }

    /// Another edge goes on with what is kept: nobody comes in here any more.
    pub(crate) fn leave(&self) {
        self.turns.end(|| self.write(true));
    }

    /// Writes down how rooms are, for the last time.
    pub(crate) fn close(&self) {
        self.leave();
    }

    fn write(&self, is_end: bool) {
        let all: Vec<_> = locked(&self.live).values().cloned().collect();
        all.iter().for_each(|live| live.write(is_end));
    }
}

fn keep(rooms: &Weak<Rooms>) {
    loop {
        let Some(rooms) = rooms.upgrade() else { return };
        let pause = match rooms.turns.now() {
            Turn::Theirs => {
                // What they wrote since it was looked at counts.
                rooms.turns.take(|| locked(&rooms.live).values().for_each(|live| live.begin_anew()));
                TURN_EVERY
            }
            Turn::Ours => {
                rooms.turns.while_ours(|| rooms.write(false));
                WRITTEN_EVERY
            }
            Turn::Over => return,
        };
        drop(rooms);
        thread::sleep(pause);
    }
}

impl Live {
    fn new(name: &str, state: Option<&Path>, own_key: &OwnKey, turns: Arc<Turns>) -> Self {
        // Where the system gives no random numbers there is no key, and no connection either.
        let text = own_key.text().unwrap_or_default();
        let own = hmac::Key::new(HMAC_SHA256, text.as_bytes());
        let derived = hmac::sign(&own, format!("tentpole room\0{name}").as_bytes());
        Self {
            name: name.to_owned(),
            file: state.map(|state| state.join(format!("room-{name}.json"))),
            key: hmac::Key::new(HMAC_SHA256, derived.as_ref()),
            inner: Mutex::default(),
            turns,
        }
    }

    /// Whether it is another edge that lets visitors in, which has not left yet.
    pub(crate) fn is_theirs(&self) -> bool {
        self.turns.now() == Turn::Theirs
    }

    /// Waits until this edge lets visitors in.
    pub(crate) async fn ours(&self) {
        let latest = clock::now().after(TURN_MAX);
        while self.is_theirs() && clock::now() < latest {
            tokio::time::sleep(TURN_EVERY).await;
        }
    }

    /// What a visitor is told; `None` where another edge says that.
    pub(crate) fn ask(&self, settings: &Settings, healthy: u32, shown: Shown) -> Option<Verdict> {
        let mut fresh = [0; 8];
        // Fails only where the system has no random numbers at all: then no two visitors are told apart, and all wait.
        let _ = SystemRandom::new().fill(&mut fresh);
        let (fresh, secret) = (u64::from_le_bytes(fresh), |value| ticket::draw(&self.key, value));
        let chance = Chance { fresh, secret: &secret };
        match shown {
            // Of those who are inside the other edge knows no more than their tickets say.
            Shown::Cookie(Some(ticket)) if self.is_theirs() && ticket.kind == Kind::Inside => {
                let age_s = (clock::now().unix_us() / 1_000_000).saturating_sub(u64::from(ticket.issued_s));
                (age_s < settings.session.as_secs()).then_some(Verdict::Inside(None))
            }
            _ if self.is_theirs() => None,
            Shown::Cookie(ticket) => {
                let is_inside = ticket.is_some_and(|ticket| ticket.kind == Kind::Inside);
                self.with(settings, healthy, |room, now_ms, left| {
                    (!left || is_inside).then(|| room.ask(ticket, now_ms, &chance))
                })
            }
            Shown::Page(ticket) => self.with(settings, healthy, |room, now_ms, left| {
                (!left).then(|| room.ask_without_cookie(ticket, now_ms, &chance))
            }),
        }
    }

    /// Whether whoever comes now comes in, without a place of his own.
    pub(crate) fn is_quiet(&self, settings: &Settings, healthy: u32) -> bool {
        !self.is_theirs() && self.with(settings, healthy, |room, now_ms, _| room.is_quiet(now_ms))
    }

    /// How it is.
    pub(crate) fn status(&self, settings: &Settings, healthy: u32) -> Status {
        let secret = |value| ticket::draw(&self.key, value);
        self.with(settings, healthy, |room, now_ms, _| room.status(now_ms, &secret))
    }

    /// Whether a crash forgets what it knows.
    pub(crate) fn keeping(&self) -> Keeping {
        let inner = locked(&self.inner);
        match &inner.fails {
            _ if self.file.is_none() => Keeping::InMemory,
            Some(why) => Keeping::Fails(why.clone()),
            None if inner.room.as_ref().is_some_and(|room| room.held() > 0) => Keeping::Late,
            None => Keeping::Written,
        }
    }

    /// Does what an operator wants. It is written down before this returns.
    pub(crate) fn obey(&self, settings: &Settings, healthy: u32, wish: &RoomWish) {
        self.turned(settings, healthy, wish);
        self.turns.while_ours(|| self.write(false));
    }

    fn turned(&self, settings: &Settings, healthy: u32, wish: &RoomWish) {
        // It is there from now on.
        self.with(settings, healthy, |_, _, _| ());
        let mut inner = locked(&self.inner);
        let said = &mut inner.said;
        match *wish {
            RoomWish::Open => said.hand = Some(Hand::Open),
            RoomWish::Close => said.hand = Some(Hand::Closed),
            RoomWish::Off => said.hand = Some(Hand::Off),
            RoomWish::Auto => *said = Said::default(),
            RoomWish::Limit { active_max, entries_per_minute } => {
                said.active_max = active_max.or(said.active_max);
                said.entries_per_minute = entries_per_minute.or(said.entries_per_minute);
            }
            RoomWish::LetIn(count) => inner.room.iter_mut().for_each(|room| room.let_in(count)),
        }
        let hand = inner.said.hand;
        inner.room.iter_mut().for_each(|room| room.set_hand(hand));
    }

    fn with<T>(&self, settings: &Settings, healthy: u32, done: impl FnOnce(&mut Room, u64, bool) -> T) -> T {
        let now_ms = clock::now().unix_us() / 1_000;
        let mut inner = locked(&self.inner);
        if inner.room.is_none() {
            let (kept, said) = self.read();
            let rules = rules(settings, healthy, said);
            inner.said = said;
            let mut room = Room::new(rules, said.hand, kept, now_ms);
            if self.file.is_some() {
                room.is_to_be_written();
            }
            inner.room = Some(room);
            // Before its first visitor, so that he need not wait for it. Whoever leaves says so first, under this lock.
            if self.turns.now() == Turn::Ours && !inner.left {
                let page = self.page(&mut inner, false);
                page.into_iter().for_each(|page| self.put(page, |done| done(&mut inner)));
            }
        }
        let rules = rules(settings, healthy, inner.said);
        let left = inner.left;
        let room = inner.room.get_or_insert_with(|| Room::new(rules, None, Kept::default(), now_ms));
        room.set_rules(rules, now_ms);
        done(room, now_ms, left)
    }

    /// Forgets what was read while the turn was another edge's.
    fn begin_anew(&self) {
        locked(&self.inner).room = None;
    }

    fn read(&self) -> (Kept, Said) {
        let nothing = (Kept::default(), Said::default());
        let Some(file) = &self.file else { return nothing };
        let text = match fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return nothing,
            Err(error) => {
                notice(format_args!(
                    "{}: {error}; the waiting room {} begins anew",
                    file.display(),
                    self.name
                ));
                return nothing;
            }
        };
        let value: Value = serde_json::from_slice(&text).unwrap_or_default();
        let number = |key: &str| value[key].as_u64();
        let small = |key: &str| number(key).and_then(|number| u32::try_from(number).ok());
        let Some(issued) = number("issued") else {
            notice(format_args!("{} is damaged; the waiting room {} begins anew", file.display(), self.name));
            return nothing;
        };
        let called = number("called").unwrap_or_default().min(issued);
        let kept = Kept {
            round: small("round").unwrap_or_default(),
            issued,
            given: number("given").unwrap_or(issued),
            called,
            base: number("base").unwrap_or_default().min(called),
            early: number("early").unwrap_or_default(),
            early_from: number("early_from"),
            active: small("active").unwrap_or_default(),
            entries: value["entries"]
                .as_array()
                .map(|all| all.iter().filter_map(entered).collect())
                .unwrap_or_default(),
            extra: small("extra").unwrap_or_default(),
            unwritten: small("unwritten").unwrap_or_default(),
            entered: 0,
        };
        let hand = match value["hand"].as_str() {
            Some("open") => Some(Hand::Open),
            Some("closed") => Some(Hand::Closed),
            Some("off") => Some(Hand::Off),
            _ => None,
        };
        let said =
            Said { hand, active_max: small("active_max"), entries_per_minute: small("entries_per_minute") };
        (kept, said)
    }

    /// Writes it down, if it is another than before.
    fn write(&self, is_end: bool) {
        let page = self.page(&mut locked(&self.inner), is_end);
        page.into_iter().for_each(|page| self.put(page, |done| done(&mut locked(&self.inner))));
    }

    /// What is to be written, if it is another than before.
    fn page(&self, inner: &mut Inner, is_end: bool) -> Option<(Kept, String)> {
        self.file.as_ref()?;
        let Inner { room, said, written, left, .. } = inner;
        // From now on nobody comes in here: what is written is the end.
        *left |= is_end;
        let (room, now_ms) = (room.as_mut()?, clock::now().unix_us() / 1_000);
        let kept = if is_end { room.kept_at_end(now_ms) } else { room.kept(now_ms) };
        let text = json!({
            "round": kept.round,
            "issued": kept.issued,
            "given": kept.given,
            "called": kept.called,
            "base": kept.base,
            "early": kept.early,
            "early_from": kept.early_from,
            "active": kept.active,
            "entries": kept.entries,
            "extra": kept.extra,
            "unwritten": kept.unwritten,
            "hand": said.hand.map(hand_word),
            "active_max": said.active_max,
            "entries_per_minute": said.entries_per_minute,
        })
        .to_string();
        if written.as_ref() == Some(&text) {
            room.is_written(&kept);
            return None;
        }
        Some((kept, text))
    }

    /// Writes it, and lets the room know; `with` holds the lock only then.
    fn put(&self, (kept, text): (Kept, String), with: impl FnOnce(&mut dyn FnMut(&mut Inner))) {
        let Some(file) = &self.file else { return };
        // Whole before it has its name: nobody reads half of it.
        let unfinished = file.with_extension(format!("{}.part", std::process::id()));
        let done = fs::write(&unfinished, &text).and_then(|()| fs::rename(&unfinished, file));
        let error = done.err().map(|error| error.to_string());
        with(&mut |inner| {
            inner.written = error.is_none().then(|| text.clone());
            let Some(room) = &mut inner.room else { return };
            let held = room.held();
            match &error {
                None => room.is_written(&kept),
                Some(_) => room.cannot_be_written(),
            }
            match (&error, &inner.fails) {
                (Some(error), None) => notice(format_args!(
                    "the waiting room {} cannot be written to {}: {error}. Visitors come in as before; should this process \
                     die, the next one does not know who did",
                    self.name,
                    file.display()
                )),
                (None, Some(_)) => {
                    notice(format_args!("the waiting room {} is written down again", self.name))
                }
                (None, None)
                    if held > 0 && inner.told.is_none_or(|at| clock::now().since(at) >= TOLD_EVERY) =>
                {
                    inner.told = Some(clock::now());
                    notice(format_args!(
                        "the waiting room {} let nobody in for a moment: {} was written too late",
                        self.name,
                        file.display()
                    ));
                }
                _ => {}
            }
            inner.fails.clone_from(&error);
        });
    }
}

/// What the room keeps to now.
fn rules(settings: &Settings, healthy: u32, said: Said) -> Rules {
    let told = Told {
        active_max: said.active_max.or(settings.active_max),
        entries_per_minute: said.entries_per_minute.or(settings.entries_per_minute),
        visitors_per_endpoint: settings.visitors_per_endpoint,
    };
    Rules {
        limits: limits(told, healthy),
        session_ms: millis(settings.session),
        keeps_ms: millis(settings.keeps_place),
        opens_ms: settings.opens_unix_s.map(|seconds| seconds * 1_000),
        closes_ms: settings.closes_unix_s.map(|seconds| seconds * 1_000),
    }
}

/// What the edge before wrote of one second: when it was, and how many came in.
fn entered(of: &Value) -> Option<(u64, u32)> {
    Some((of[0].as_u64()?, u32::try_from(of[1].as_u64()?).ok()?))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn hand_word(hand: Hand) -> &'static str {
    match hand {
        Hand::Open => "open",
        Hand::Closed => "closed",
        Hand::Off => "off",
    }
}

/// The word for what the doors are like.
pub(crate) fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Early => "early",
        Phase::Open => "open",
        Phase::Closed => "closed",
        Phase::Over => "over",
        Phase::Off => "off",
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
