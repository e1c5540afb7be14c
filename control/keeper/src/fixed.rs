//! What cannot change while Tentpole runs, because it was handed out once: sockets of the admin API, threads, memory,
//! files that are open. Says all of it at once.

use tentpole_model::{Snapshot, TlsSettings};

/// What of `next` needs a new start; `None` when nothing does.
pub(crate) fn differs(now: &Snapshot, next: &Snapshot) -> Option<String> {
    let settings = [
        (now.admin != next.admin, "admin"),
        (now.threads != next.threads, "threads"),
        (tls(now) != tls(next), "[tls]"),
        (now.log != next.log, "[log]"),
        (now.cache.memory_bytes_max != next.cache.memory_bytes_max, "cache.memory"),
        (now.cache.object_bytes_max != next.cache.object_bytes_max, "cache.object"),
        (now.cache.waiters_max != next.cache.waiters_max, "cache.waiters"),
        (now.disk != next.disk, "[cache.disk]"),
    ];
    let names: Vec<_> = settings.into_iter().filter_map(|(differs, name)| differs.then_some(name)).collect();
    let (last, others) = names.split_last()?;
    let list = match others {
        [] => (*last).to_owned(),
        others => format!("{} and {last}", others.join(", ")),
    };
    Some(format!(
        "{list} cannot change while Tentpole runs. Put back what stood there, or end Tentpole and start it again."
    ))
}

/// What was handed out of it: certificates are looked at anew without a reload, and names below `localhost` follow sites.
fn tls(snapshot: &Snapshot) -> TlsSettings {
    TlsSettings { local_names: Vec::new(), ..snapshot.tls.clone() }
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
        assert_eq!(differs(&now, &next), None);
        next.threads = Some(9);
        assert!(differs(&now, &next).unwrap().starts_with("threads cannot change"));
        next.log.access = AccessLog::Json;
        next.cache.memory_bytes_max += 1;
        let all = differs(&now, &next).unwrap();
        assert!(all.starts_with("threads, [log] and cache.memory cannot change"), "{all}");
    }
}
