//! How many visitors a room lets in: what is said, or what healthy endpoints carry.

/// What a room keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Visitors inside at once.
    pub active_max: Option<u32>,
    /// Visitors who come in within any 60 s.
    pub entries_per_minute: Option<u32>,
}

/// What is said of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Visitors inside at once.
    pub active_max: Option<u32>,
    /// Visitors who come in within a minute.
    pub entries_per_minute: Option<u32>,
    /// Visitors that one endpoint carries.
    pub visitors_per_endpoint: Option<u32>,
}

/// The limits while so many endpoints of the room's pool get traffic. What is not said follows from what they carry: so many
/// visitors are inside at once, and a house that is empty fills within a minute.
pub fn limits(told: Told, healthy: u32) -> Limits {
    let carried = told.visitors_per_endpoint.map(|each| each.saturating_mul(healthy));
    let active_max = told.active_max.or(carried);
    Limits { active_max, entries_per_minute: told.entries_per_minute.or(active_max) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_endpoints_carry_half_of_the_visitors() {
        let room = Told { visitors_per_endpoint: Some(75), ..Told::default() };
        let four = limits(room, 4);
        assert_eq!(four, Limits { active_max: Some(300), entries_per_minute: Some(300) });
        let two = limits(room, 2);
        assert_eq!(two, Limits { active_max: Some(150), entries_per_minute: Some(150) });
    }

    #[test]
    fn what_is_said_counts() {
        let room =
            Told { visitors_per_endpoint: Some(75), active_max: Some(1_000), entries_per_minute: Some(60) };
        assert_eq!(limits(room, 1), Limits { active_max: Some(1_000), entries_per_minute: Some(60) });
        let only_entries = Told { entries_per_minute: Some(60), ..Told::default() };
        assert_eq!(limits(only_entries, 1), Limits { active_max: None, entries_per_minute: Some(60) });
    }
}
