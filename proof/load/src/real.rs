//! Real visitors while a site is loaded: how they fare by the figures of the Tentpole that serves them, in which requests of a
//! load test are counted apart (by their mark). Judged by the objectives of the run. Ends nothing itself.

use crate::plan::Plan;
use crate::probe::probe;
use crate::result::{Objectives, Spared};
use crate::url::Url;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;
use tentpole_runtime::clock::{self, Instant};

/// How often the figures are asked for.
pub const ASK_EVERY: Duration = Duration::from_millis(250);
/// Shortest and longest time that is judged: a second says enough where many come.
const WINDOW_MIN: Duration = Duration::from_secs(1);
const WINDOW_MAX: Duration = Duration::from_secs(10);
/// Fewer visitors than this say nothing.
const VISITORS_MIN: u64 = 10;
/// Time for one answer.
const TIMEOUT: Duration = Duration::from_millis(700);
/// Answers that may fail one after another.
const FAILED_MAX: u32 = 4;
const BYTES_MAX: u64 = 16 << 20;

/// Counters at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Finished requests.
    requests: u64,
    /// With a status of 500 and above.
    failed: u64,
    /// Those with a mark.
    load: u64,
    load_failed: u64,
    /// Requests that took no longer than so many µs, by that.
    within: BTreeMap<u64, u64>,
    load_within: BTreeMap<u64, u64>,
}

impl Figures {
    /// Reads Prometheus' text; what is not wanted is skipped.
    fn parse(text: &str) -> Self {
        let mut figures = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let value = value.parse::<f64>().unwrap_or(0.0) as u64;
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            let label = |wanted: &str| {
                let at = labels.split(',').find_map(|label| label.trim_end_matches('}').strip_prefix(wanted));
                at.map(|text| text.trim_matches('"'))
            };
            let bound =
                || label("le=").and_then(|le| le.parse::<f64>().ok()).map(|s| (s * 1e6).round() as u64);
            match name {
                "tentpole_responses_total" => {
                    figures.requests += value;
                    if label("class=") == Some("5xx") {
                        figures.failed += value;
                    }
                }
                "tentpole_load_requests_total" => figures.load = value,
                "tentpole_load_requests_failed_total" => figures.load_failed = value,
                "tentpole_request_duration_seconds_bucket" => {
                    if let Some(bound) = bound() {
                        *figures.within.entry(bound).or_default() += value;
                    }
                }
                "tentpole_load_request_duration_seconds_bucket" => {
                    if let Some(bound) = bound() {
                        figures.load_within.insert(bound, value);
                    }
                }
                _ => {}
            }
        }
        figures
    }

    fn visitors(&self) -> u64 {
        self.requests.saturating_sub(self.load)
    }

    fn visitors_failed(&self) -> u64 {
        self.failed.saturating_sub(self.load_failed)
    }

    /// Visitors' requests that took no longer than the next bound at or above so many ms; `None` when there is none.
    fn visitors_within(&self, ms: f64) -> Option<(u64, u64)> {
        let (bound, all) = self.within.range((ms * 1_000.0) as u64..).next()?;
        Some((*bound, all.saturating_sub(self.load_within.get(bound).copied().unwrap_or(0))))
    }
}

/// Why visitors suffered between two moments, in words; `None` when they did not, or were too few to say.
fn suffered(before: &Figures, now: &Figures, objectives: &Objectives) -> Option<String> {
    let visitors = now.visitors().saturating_sub(before.visitors());
    if visitors < VISITORS_MIN {
        return None;
    }
    let failed = now.visitors_failed().saturating_sub(before.visitors_failed());
    let share = failed as f64 / visitors as f64;
    if let Some(limit) = objectives.errors_share.filter(|limit| share >= *limit) {
        // As one writes them: 0.07 × 100 is a little more than 7.
        let (share, limit) = ((share * 1e4).round() / 1e2, (limit * 1e8).round() / 1e6);
        return Some(format!("{share} % of {visitors} visitors' requests failed (wanted under {limit} %)"));
    }
    let limits = [("median", 0.5, objectives.p50_ms), ("p99", 0.99, objectives.p99_ms)];
    for (name, quantile, limit) in limits {
        let Some(limit) = limit else { continue };
        let (Some((bound, now_within)), Some((_, then_within))) =
            (now.visitors_within(limit), before.visitors_within(limit))
        else {
            continue;
        };
        let slow = visitors.saturating_sub(now_within.saturating_sub(then_within));
        if slow as f64 > visitors as f64 * (1.0 - quantile) {
            let bound = bound as f64 / 1_000.0;
            return Some(format!(
                "{slow} of {visitors} visitors' requests took longer than {bound:.0} ms ({name} wanted under {limit} ms)"
            ));
        }
    }
    None
}

/// Looks on; says when it is enough.
#[derive(Debug)]
pub struct Onlooker {
    url: Url,
    objectives: Objectives,
    seen: VecDeque<(Instant, Figures)>,
    failed: u32,
    /// When nobody suffered, the last time that was looked at.
    held: Instant,
}

/// Why a run must end.
#[derive(Clone, Debug, PartialEq)]
pub struct Suffering {
    /// In words.
    pub why: String,
    /// When nobody suffered, the last time that was looked at.
    pub held: Instant,
    /// When it was seen.
    pub seen: Instant,
}

impl Onlooker {
    /// Of a Tentpole's admin API.
    pub fn new(url: &Url, objectives: Objectives) -> Self {
        Self { url: url.clone(), objectives, seen: VecDeque::new(), failed: 0, held: clock::now() }
    }

    /// Asks once; why the run must end, if it must.
    pub fn look(&mut self) -> Option<Suffering> {
        // What is told was so before: the moment at which it was asked for counts.
        let asked = clock::now();
        let why = match ask(&self.url) {
            Ok(figures) => {
                self.failed = 0;
                self.judge(clock::now(), figures)
            }
            // Blind, nobody loads a live site.
            Err(error) => {
                self.failed += 1;
                if self.failed < FAILED_MAX {
                    return None;
                }
                Some(format!("{} does not answer any more: {error}", self.url))
            }
        };
        let Some(why) = why else {
            self.held = asked;
            return None;
        };
        Some(Suffering { why, held: self.held, seen: clock::now() })
    }

    fn judge(&mut self, now: Instant, figures: Figures) -> Option<String> {
        while self.seen.front().is_some_and(|(at, _)| now.since(*at) > WINDOW_MAX) {
            self.seen.pop_front();
        }
        // The shortest time in which enough came.
        let long_enough = self.seen.iter().rev().filter(|(at, _)| now.since(*at) >= WINDOW_MIN);
        let enough = |before: &&(Instant, Figures)| {
            figures.visitors().saturating_sub(before.1.visitors()) >= VISITORS_MIN
        };
        let why = long_enough
            .filter(enough)
            .take(1)
            .find_map(|(_, before)| suffered(before, &figures, &self.objectives));
        self.seen.push_back((now, figures));
        why
    }
}

/// Whether that Tentpole recognises the run's mark: one request is made, and looked for among those of load tests.
///
/// # Errors
/// What to do about it.
pub fn recognises(url: &Url, plan: &Plan) -> Result<(), String> {
    let asked = |error: io::Error| {
        format!(
            "--stop-when: {url} does not answer: {error}. It takes the address of Tentpole's admin API: http://127.0.0.1:9900"
        )
    };
    let before = ask(url).map_err(asked)?.load;
    probe(plan).map_err(asked)?;
    let until = clock::now().after(2 * WINDOW_MIN);
    while clock::now() < until {
        if ask(url).map_err(asked)?.load > before {
            return Ok(());
        }
        std::thread::sleep(ASK_EVERY / 5);
    }
    Err(format!(
        "--stop-when: the Tentpole at {url} does not tell this run's requests from visitors'. Give it the same key: load_key \
         in [staff]; and is it the one that serves {}?",
        plan.url
    ))
}

/// One GET of `/metrics`, by HTTP/1.0 so that the end of the connection is the end of the answer.
fn ask(url: &Url) -> io::Result<Figures> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    let host = if url.host.ends_with("localhost") { "127.0.0.1" } else { &url.host };
    for address in (host, url.port).to_socket_addrs()? {
        let mut stream = match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => stream,
            Err(error) => {
                last = error;
                continue;
            }
        };
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", url.authority())?;
        let mut answer = Vec::new();
        stream.take(BYTES_MAX).read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        if !answer.starts_with("HTTP/1.1 200") || !answer.contains("tentpole_load_requests_total") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "that is no admin API of Tentpole"));
        }
        return Ok(Figures::parse(&answer));
    }
    Err(last)
}

impl Suffering {
    /// How fast the run ended then.
    pub(crate) fn spared(
        &self,
        began: Instant,
        last_request: Option<Instant>,
        waited_for_cpu: Duration,
    ) -> Spared {
        let since_start = |at: Instant| at.since(began).as_secs_f64();
        Spared {
            held_s: since_start(self.held),
            seen_s: since_start(self.seen),
            last_request_s: last_request.map_or(0.0, since_start),
            waited_for_cpu_s: waited_for_cpu.as_secs_f64(),
        }
    }
}

/// How long this process's threads were ready to run and had no core so far: the second figure of `schedstat`. Nothing where the
/// system does not count it.
pub(crate) fn waited_for_cpu() -> Duration {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let of = |text: String| text.split(' ').nth(1).and_then(|ns| ns.parse::<u64>().ok());
    let all =
        threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    Duration::from_nanos(all.filter_map(of).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_micros(s * 1_000_000)
    }

    fn text(all: (u64, u64, u64), load: (u64, u64, u64)) -> Figures {
        // All, failed, within 2.1 s.
        let (good, failed, within) = all;
        Figures::parse(&format!(
            "# TYPE tentpole_responses_total counter\n\
             tentpole_responses_total{{class=\"2xx\",status=\"200\"}} {}\n\
             tentpole_responses_total{{class=\"5xx\",status=\"503\"}} {failed}\n\
             tentpole_request_duration_seconds_bucket{{answered_by=\"cache\",le=\"2.097152\"}} {}\n\
             tentpole_request_duration_seconds_bucket{{answered_by=\"endpoint\",le=\"2.097152\"}} {}\n\
             tentpole_load_requests_total {}\ntentpole_load_requests_failed_total {}\n\
             tentpole_load_request_duration_seconds_bucket{{le=\"2.097152\"}} {}\n",
            good - failed,
            within / 2,
            within - within / 2,
            load.0,
            load.1,
            load.2
        ))
    }

    fn objectives() -> Objectives {
        Objectives { p50_ms: None, p99_ms: Some(2_000.0), errors_share: Some(0.01) }
    }

    fn onlooker() -> Onlooker {
        Onlooker::new(&Url::parse("http://localhost:1").expect("a URL"), objectives())
    }

    #[test]
    fn failures_of_the_load_itself_end_nothing_and_those_of_visitors_do() {
        let mut onlooker = onlooker();
        let none = text((1_000, 0, 1_000), (0, 0, 0));
        assert_eq!(onlooker.judge(at(1), none), None);
        // 2,000 requests of load of which half failed, and 100 visitors who did not.
        assert_eq!(onlooker.judge(at(2), text((3_100, 1_000, 3_100), (2_000, 1_000, 2_000))), None);
        // Then 5 of 100 visitors.
        let why = onlooker.judge(at(3), text((5_200, 2_005, 5_200), (4_000, 2_000, 4_000)));
        assert_eq!(why.as_deref(), Some("5 % of 100 visitors' requests failed (wanted under 1 %)"));
    }

    #[test]
    fn slow_pages_of_visitors_end_it_and_those_of_the_load_do_not() {
        let mut onlooker = onlooker();
        assert_eq!(onlooker.judge(at(1), text((0, 0, 0), (0, 0, 0))), None);
        assert_eq!(
            onlooker.judge(at(2), text((1_100, 0, 600), (1_000, 0, 500))),
            None,
            "500 of load were slow"
        );
        let why = onlooker.judge(at(3), text((1_200, 0, 690), (1_000, 0, 500)));
        let why = why.expect("10 of 100 were slow");
        assert!(why.starts_with("10 of 100 visitors' requests took longer than 2097 ms (p99"), "{why}");
    }

    #[test]
    fn few_visitors_are_judged_over_a_longer_time_and_none_not_at_all() {
        let mut onlooker = onlooker();
        for second in 0..4 {
            // 4 visitors a second, one of whom gets an error.
            let figures = text((second * 4, second, second * 4), (0, 0, 0));
            let why = onlooker.judge(at(second), figures);
            assert_eq!(why.is_some(), second == 3, "{second}: {why:?}");
        }
        let mut nobody = self::onlooker();
        for second in 0..20 {
            assert_eq!(
                nobody.judge(at(second), text((second * 100 + 50, 50, 0), (second * 100 + 50, 50, 0))),
                None
            );
        }
    }
}
