//! What cannot change while Tentpole runs, because it was handed out once: sockets of the admin API, threads, memory,
//! files that are open. Says all of it at once.

use tentpole_model::Snapshot;

/// As they are called, and their ways from the top of a file.
pub const FIXED: [(&str, &[&str]); 8] = [
    ("admin", &["admin"]),
    ("threads", &["threads"]),
    ("[tls] listen", &["tls", "listen"]),
    ("[log]", &["log"]),
    ("cache.memory", &["cache", "memory"]),
    ("cache.object", &["cache", "object"]),
    ("cache.waiters", &["cache", "waiters"]),
    ("[cache.disk]", &["cache", "disk"]),
];

/// What of `next` needs a new start, and where that stands if it is in the file; `None` when nothing does.
pub(crate) fn differs(now: &Snapshot, next: &Snapshot, places: &[(&'static str, String)]) -> Option<String> {
    let differ = [
        now.admin != next.admin,
        now.threads != next.threads,
        now.tls.listen != next.tls.listen,
        now.log != next.log,
        now.cache.memory_bytes_max != next.cache.memory_bytes_max,
        now.cache.object_bytes_max != next.cache.object_bytes_max,
        now.cache.waiters_max != next.cache.waiters_max,
        now.disk != next.disk,
    ];
    let names = FIXED.iter().zip(differ).filter_map(|((name, _), differs)| differs.then_some(*name));
    let said: Vec<_> = names
        .map(|name| match places.iter().find(|(known, _)| *known == name) {
            Some((_, place)) => format!("{name} ({place})"),
            None => name.to_owned(),
        })
        .collect();
    let (last, others) = said.split_last()?;
    let list = match others {
        [] => last.clone(),
        others => format!("{} and {last}", others.join(", ")),
    };
    Some(format!(
        "{list} cannot change while Tentpole runs. Put back what stood there, or end Tentpole and start it again: an upgrade \
         keeps what is in force."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::{AccessLog, VisitorLimits};

    #[test]
    fn all_that_needs_a_new_start_is_said_at_once() {
        let now = Snapshot::default();
        let mut next = Snapshot {
            listen: vec!["127.0.0.1:1".parse().unwrap()],
            visitors: VisitorLimits { connections_max: 1, ..VisitorLimits::default() },
            ..Snapshot::default()
        };
        assert_eq!(differs(&now, &next, &[]), None);
        // Certificates are files, which the edge reads.
        next.tls.directory = Some("/etc/letsencrypt/live".into());
        assert_eq!(differs(&now, &next, &[]), None);
        next.threads = Some(9);
        assert!(differs(&now, &next, &[]).unwrap().starts_with("threads cannot change"));
        next.log.access = AccessLog::Json;
        next.cache.memory_bytes_max += 1;
        let all = differs(&now, &next, &[]).unwrap();
        assert!(all.starts_with("threads, [log] and cache.memory cannot change"), "{all}");
        let places = [("[log]", "shop.toml:7".to_owned()), ("admin", "shop.toml:1".to_owned())];
        let all = differs(&now, &next, &places).unwrap();
        assert!(all.starts_with("threads, [log] (shop.toml:7) and cache.memory cannot"), "{all}");
    }
}
