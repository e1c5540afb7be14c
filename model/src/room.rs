//! Waiting rooms: before which paths they stand, and how many they let in.

use crate::{PoolId, SiteId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A waiting room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// The name in the configuration.
    pub name: String,
    /// The site before which it stands.
    pub site: SiteId,
    /// The paths of it: `/exact`, `/prefix/*`; none is all.
    pub paths: Vec<String>,
    /// Whose endpoints carry its visitors.
    pub pool: PoolId,
    /// What one of them carries.
    pub visitors_per_endpoint: Option<u32>,
    /// Visitors inside at once; `None` follows from what endpoints carry.
    pub active_max: Option<u32>,
    /// Visitors who come in within a minute; `None` follows from what endpoints carry.
    pub entries_per_minute: Option<u32>,
    /// After how long without a request a visitor has gone.
    pub session: Duration,
    /// How long one whose turn has come keeps his place.
    pub keeps_place: Duration,
    /// When the doors open, in seconds since 1970: whoever is early takes part in a draw.
    pub opens_unix_s: Option<u64>,
    /// When nobody comes in any more.
    pub closes_unix_s: Option<u64>,
    /// What its page is headed with.
    pub title: Option<String>,
    /// The language of its page; `None` is the visitor's.
    pub language: Option<String>,
    /// Its page, where it is not ours.
    pub template: Option<String>,
}

/// Stands before everything and knows no limit: a beginning for what is put together by hand.
impl Default for Room {
    fn default() -> Self {
        Self {
            name: "room".to_owned(),
            site: SiteId(0),
            paths: Vec::new(),
            pool: PoolId(0),
            visitors_per_endpoint: None,
            active_max: None,
            entries_per_minute: None,
            session: Duration::from_secs(300),
            keeps_place: Duration::from_secs(600),
            opens_unix_s: None,
            closes_unix_s: None,
            title: None,
            language: None,
            template: None,
        }
    }
}

/// What an operator wants of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomOrder {
    /// Its name.
    pub room: String,
    /// What is wanted.
    pub wish: RoomWish,
}

/// What an operator may want of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomWish {
    /// The doors open, whatever the time.
    Open,
    /// Nobody new comes in; those who wait keep their places.
    Close,
    /// There is no room: all come in.
    Off,
    /// The configuration counts again, in all.
    Auto,
    /// Other limits; `None` leaves one as it is.
    Limit {
        /// Visitors inside at once.
        active_max: Option<u32>,
        /// Visitors who come in within a minute.
        entries_per_minute: Option<u32>,
    },
    /// So many come in beyond all limits.
    LetIn(u32),
}
