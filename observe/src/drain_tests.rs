//! Tests of the drain thread with real rings, threads and files.

use super::*;
use crate::observed::{RECENT_MAX, Recorder};
use crate::record::Texts;
use crate::testing::{names, why_that_was_retried};
use std::fs;
use std::path::Path;
use std::process::Command;
use tentpole_model::{End, LogSettings, Refused, Why};

fn start(access: AccessLog, file: Option<&Path>) -> (Arc<Observed>, Recorder, Drain) {
    let observed = Observed::new(&LogSettings { access, file: file.map(Path::to_owned) });
    let (_metrics, recorder) = observed.register();
    let drain = Drain::start(observed.clone(), names()).unwrap();
    (observed, recorder, drain)
}

fn request(recorder: &mut Recorder, target: &str) {
    let why = why_that_was_retried();
    let texts =
        Texts { method: b"GET", host: b"shop.example", target: target.as_bytes(), ..Texts::default() };
    let texts = recorder.wants_texts(&why).then_some(texts);
    recorder.record(&why, texts.as_ref());
}

/// Waits until `is_so`; the tests only wait for what must happen.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = clock::now().after(Duration::from_secs(20));
    while !is_so() {
        assert!(clock::now() < until, "never: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

fn recent(observed: &Observed) -> Vec<String> {
    let mut targets = Vec::new();
    observed.recent(usize::MAX, |record| {
        let texts = record.texts.unwrap_or_default();
        targets.push(String::from_utf8_lossy(texts.target).into_owned());
    });
    targets
}

#[test]
fn every_request_before_the_stop_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let (_observed, mut recorder, drain) = start(AccessLog::Json, Some(&path));
    for n in 0..3_000 {
        request(&mut recorder, &format!("/{n}"));
    }
    drain.stop();
    let log = fs::read_to_string(&path).unwrap();
    let targets: Vec<_> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["target"].to_string())
        .collect();
    assert_eq!(targets, (0..3_000).map(|n| format!("\"/{n}\"")).collect::<Vec<_>>());
}

#[test]
fn a_log_that_was_moved_away_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let (_observed, mut recorder, drain) = start(AccessLog::Combined, Some(&path));
    request(&mut recorder, "/before");
    eventually("the first line", || fs::read_to_string(&path).is_ok_and(|log| log.contains("/before")));
    let moved = folder.path().join("access.log.1");
    fs::rename(&path, &moved).unwrap();
    eventually("a new file", || path.exists());
    request(&mut recorder, "/after");
    drain.stop();
    assert!(fs::read_to_string(&path).unwrap().contains("/after"));
    assert!(!fs::read_to_string(&moved).unwrap().contains("/after"));
}

#[test]
fn a_full_disk_drops_lines_and_counts_them() {
    let (observed, mut recorder, drain) = start(AccessLog::Json, Some(Path::new("/dev/full")));
    for n in 0..10 {
        request(&mut recorder, &format!("/{n}"));
    }
    drain.stop();
    assert_eq!(observed.log_counts.lines_dropped.load(Ordering::Relaxed), 10);
    assert!(observed.log_counts.errors.load(Ordering::Relaxed) >= 1);
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_requests_nor_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Open for both, so that opening for writing does not wait for a reader.
    let reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let (observed, mut recorder, drain) = start(AccessLog::Json, Some(&path));
    let long = "x".repeat(2_000);
    eventually("dropped lines", || {
        (0..100).for_each(|_| request(&mut recorder, &long));
        observed.log_counts.lines_dropped.load(Ordering::Relaxed) > 0
    });
    eventually("the recent list goes on", || recent(&observed).len() == RECENT_MAX);
    // Comes back, with lines that nobody has read.
    drain.stop();
    drop(reader);
}

#[test]
fn without_a_log_the_last_requests_are_kept_newest_first() {
    let (observed, mut recorder, drain) = start(AccessLog::Off, None);
    request(&mut recorder, "/first");
    request(&mut recorder, "/second");
    drain.stop();
    assert_eq!(recent(&observed), ["/second", "/first"]);
}

#[test]
fn under_load_failures_are_not_crowded_out_of_the_recent_list() {
    let (observed, mut recorder, drain) = start(AccessLog::Off, None);
    // As if no drain came by: more than the thread's share.
    for n in 0..10_000 {
        request(&mut recorder, &format!("/{n}"));
    }
    let end = End::Refused(Refused::QueueFull);
    let refused = Why { end, status: 503, ..why_that_was_retried() };
    assert!(recorder.wants_texts(&refused));
    recorder.record(&refused, Some(&Texts { target: b"/refused", ..Texts::default() }));
    drain.stop();
    let recent = recent(&observed);
    assert!(recent.len() <= RECENT_MAX);
    assert_eq!(recent[0], "/refused");
    assert_eq!(observed.records_dropped(), 0);
}

#[test]
fn the_recent_list_is_ordered_over_all_threads() {
    let observed = Observed::new(&LogSettings::default());
    let (_metrics, mut first) = observed.register();
    let (_metrics, mut second) = observed.register();
    let at = |recorder: &mut Recorder, seconds: u64, target: &str| {
        let why = Why { arrived_unix_us: seconds * 1_000_000, ..Why::new() };
        recorder.record(&why, Some(&Texts { target: target.as_bytes(), ..Texts::default() }));
    };
    at(&mut first, 1, "/1");
    at(&mut first, 3, "/3");
    at(&mut second, 2, "/2");
    at(&mut second, 4, "/4");
    Drain::start(observed.clone(), names()).unwrap().stop();
    assert_eq!(recent(&observed), ["/4", "/3", "/2", "/1"]);
}

#[test]
fn a_log_that_cannot_be_opened_is_an_error_at_the_start() {
    let observed =
        Observed::new(&LogSettings { access: AccessLog::Json, file: Some("/nonexistent/access.log".into()) });
    assert_eq!(Drain::start(observed, names()).unwrap_err().kind(), io::ErrorKind::NotFound);
}
