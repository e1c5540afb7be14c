//! Which time-out must be longer than which, one function a rule, each with the sentence why. What is as it comes is never
//! wrong.

use crate::words::said;
use crate::{Learned, Warning};
use std::time::Duration;
use tentpole_model::{ATTEMPTS_MAX, ContentService, Fleet, HealthCheck, Pool, Snapshot};

/// How long the commonest balancers in front keep an unused connection: AWS's application balancers and nginx.
const FRONT_KEEPS: Duration = Duration::from_secs(60);
/// Who waits where nothing stands in front.
const BROWSERS: &str = "browsers";
/// After how long browsers give a page up that says nothing.
const BROWSERS_WAIT: Duration = Duration::from_secs(300);
/// Longer than this nobody should wait to learn that endpoints are gone.
const GONE_MAX: Duration = Duration::from_secs(15);

/// Everything that is wrong.
pub(crate) fn warnings(snapshot: &Snapshot, learned: &[Learned]) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut warn = |of: &str, text: Option<String>| {
        found.extend(text.map(|text| Warning { of: of.to_owned(), text }));
    };
    warn("visitors", front_keeps_longer(snapshot));
    for pool in &snapshot.pools {
        let of = format!("pool {}", pool.name);
        warn(&of, cut_at_the_end(snapshot, pool));
        warn(&of, waits_longer_than_an_answer_takes(snapshot, pool));
        warn(&of, longer_than_anybody_waits(snapshot, pool));
        warn(&of, long_until_others_are_asked(pool));
        warn(&of, connecting_takes_longer_than_answering(pool));
        if let Some(check) = &pool.health {
            warn(&of, probes_overlap(check));
            warn(&of, probes_wait_longer_than_visitors(pool, check));
        }
        if let Some(fleet) = &pool.fleet {
            warn(&of, cut_when_an_instance_leaves(pool, fleet));
            warn(&of, killed_at_once(fleet));
        }
        warn(&of, endpoints_close_first(pool, learned));
    }
    found
}

/// Whether requests can wait for an endpoint of the pool.
pub(crate) fn has_queue(pool: &Pool) -> bool {
    pool.adaptive.is_some()
        || pool.endpoints.iter().any(|one| one.requests_max.is_some() || one.connections_max.is_some())
}

/// S2.4 from the other side: whoever reuses connections must close them first.
fn front_keeps_longer(snapshot: &Snapshot) -> Option<String> {
    let something_in_front = !snapshot.front.trusted.is_empty() || !snapshot.content_networks.is_empty();
    let idle = snapshot.visitors.idle_time;
    (something_in_front && idle <= FRONT_KEEPS).then(|| {
        format!(
            "Tentpole closes an unused connection after {} (idle_time), and most of what stands in front keeps one for {}: \
             it sends requests into connections that are just closing, and answers a few with 502. Set idle_time above \
             what the front keeps, 75 s for example.",
            said(idle),
            said(FRONT_KEEPS)
        )
    })
}

fn cut_at_the_end(snapshot: &Snapshot, pool: &Pool) -> Option<String> {
    let (drain, first_byte) = (snapshot.visitors.drain_time, pool.timeouts.first_byte);
    (drain * 2 < first_byte).then(|| {
        format!(
            "an answer may take {} (first_byte), but when Tentpole ends requests have {} (drain_time): slow ones are cut at \
             each restart. Raise drain_time, or lower first_byte to what your slowest page takes.",
            said(first_byte),
            said(drain)
        )
    })
}

fn waits_longer_than_an_answer_takes(snapshot: &Snapshot, pool: &Pool) -> Option<String> {
    let (wait, times) = (snapshot.cache.wait_max, &pool.timeouts);
    let whole = times.connect + times.first_byte;
    (snapshot.cache.memory_bytes_max > 0 && wait > whole).then(|| {
        format!(
            "visitors wait up to {} for a page that another is being fetched (the cache's wait), but the fetch itself is \
             given up after {} (connect and first_byte). Set the cache's wait below that.",
            said(wait),
            said(whole)
        )
    })
}

/// The whole time until Tentpole answers with an error of its own, against that of whoever asks it.
fn longer_than_anybody_waits(snapshot: &Snapshot, pool: &Pool) -> Option<String> {
    let queue = if has_queue(pool) { pool.queue.wait_max } else { Duration::ZERO };
    let whole = queue + pool.timeouts.connect * attempts(pool) + pool.timeouts.first_byte;
    let networks = snapshot.content_networks.iter().map(|network| waits(&network.service));
    let (who, waits) = networks.min_by_key(|(_, waits)| *waits).unwrap_or((BROWSERS, BROWSERS_WAIT));
    let verb = if who == BROWSERS { "wait" } else { "waits" };
    let longer = if who == BROWSERS { String::new() } else { format!(", or let {who} wait longer") };
    (whole > waits).then(|| {
        format!(
            "a request may take {} until Tentpole gives up (queue, connections and first_byte together), but \
             {who} {verb} by default no longer than {}: visitors get an error from there, while Tentpole could have served a stale \
             page or said when to come back. Lower first_byte or the queue's wait{longer}.",
            said(whole),
            said(waits)
        )
    })
}

/// How long a content network waits for the first byte unless it is told otherwise, by its documentation.
fn waits(service: &ContentService) -> (&'static str, Duration) {
    match service {
        ContentService::Fastly { .. } => ("Fastly", Duration::from_secs(15)),
        ContentService::CloudFront { .. } => ("CloudFront", Duration::from_secs(30)),
        ContentService::Cloudflare { .. } => ("Cloudflare", Duration::from_secs(100)),
    }
}

fn long_until_others_are_asked(pool: &Pool) -> Option<String> {
    let (connect, attempts) = (pool.timeouts.connect, attempts(pool));
    let whole = connect * attempts;
    (whole > GONE_MAX).then(|| {
        format!(
            "an endpoint that is gone costs a visitor {} (connect), and up to {attempts} are tried: {} until he learns of it. \
             Within one network a connection stands within milliseconds; set connect to 2 s.",
            said(connect),
            said(whole)
        )
    })
}

fn connecting_takes_longer_than_answering(pool: &Pool) -> Option<String> {
    let times = &pool.timeouts;
    (times.connect > times.first_byte).then(|| {
        format!(
            "a connection may take {} (connect), the answer only {} (first_byte): set connect below it.",
            said(times.connect),
            said(times.first_byte)
        )
    })
}

fn probes_overlap(check: &HealthCheck) -> Option<String> {
    (check.timeout > check.interval).then(|| {
        format!(
            "a probe may take {} (health.timeout) and the next is due {} after it: an endpoint that says nothing is found \
             out late. Set the timeout below the interval.",
            said(check.timeout),
            said(check.interval)
        )
    })
}

/// The chain of S1.4 begins with time-outs that disagree about what "slow" is.
fn probes_wait_longer_than_visitors(pool: &Pool, check: &HealthCheck) -> Option<String> {
    let first_byte = pool.timeouts.first_byte;
    (check.timeout > first_byte).then(|| {
        format!(
            "a probe may take {} (health.timeout), a visitor's request {} (first_byte): the endpoint passes its probes while \
             every visitor's answer is cut off, failed requests take it out, and a probe brings it back. Set first_byte above \
             the slowest page, and health.timeout below it.",
            said(check.timeout),
            said(first_byte)
        )
    })
}

fn cut_when_an_instance_leaves(pool: &Pool, fleet: &Fleet) -> Option<String> {
    let first_byte = pool.timeouts.first_byte;
    (fleet.drain_time * 2 < first_byte).then(|| {
        format!(
            "an answer may take {} (first_byte), but an instance that leaves is ended after {} (fleet.drain_time): slow \
             requests are cut whenever the fleet shrinks. Raise drain_time, or lower first_byte.",
            said(first_byte),
            said(fleet.drain_time)
        )
    })
}

fn killed_at_once(fleet: &Fleet) -> Option<String> {
    fleet.stop_time.is_zero().then(|| {
        "instances are killed in the moment of their SIGTERM (fleet.stop_time): what they write at their end is lost. Give \
         them some seconds."
            .to_owned()
    })
}

/// S2.4: endpoints close what Tentpole still holds for usable. One sentence for all of a pool, with the first to close.
fn endpoints_close_first(pool: &Pool, learned: &[Learned]) -> Option<String> {
    let idle = pool.timeouts.idle;
    let of_pool = learned.iter().filter(|learned| learned.pool == pool.name && learned.idle <= idle);
    let first = of_pool.clone().min_by_key(|learned| learned.idle)?;
    let others = match of_pool.count() - 1 {
        0 => String::new(),
        1 => " (another one of the pool is too early as well)".to_owned(),
        number => format!(" ({number} others of the pool are too early as well)"),
    };
    Some(format!(
        "{} closes unused connections after {}{others}, and Tentpole would keep them for {} (idle): requests would meet closing \
         connections. Tentpole has learned that and stops in time; let endpoints keep them longer than {} and connections are \
         reused more, or set idle below {}.",
        first.authority,
        said(first.idle),
        said(idle),
        said(idle),
        said(first.idle)
    ))
}

/// How many endpoints one request may try.
fn attempts(pool: &Pool) -> u32 {
    pool.endpoints.len().clamp(1, ATTEMPTS_MAX) as u32
}
