//! A process that writes and purges is killed at any moment; whoever opens its directory next gets no torn object, none
//! with another one's bytes, and none that was purged.

use crate::common::*;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use tentpole_disk::{Disk, Purge};
use tentpole_runtime::{Ledger, Random};

const ROUNDS: u64 = 60;
const KEYS: u64 = 30;
const BYTES_MAX: u64 = 24 * MIB;
const CHILD: &str = "TENTPOLE_DISK_CHILD";

#[test]
fn nothing_torn_and_nothing_purged_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random::from_seed(7);
    let (mut found, mut first_version) = (0, 1);
    // The highest version of each key of which a purge has answered.
    let mut purged: HashMap<String, u64> = HashMap::new();
    let mut purges = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, format!("{}\n{first_version}\n{round}", directory.path().display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after so many of its words: at any moment of its work, and never before it began.
        let mut words = random.next_u64() % 60 + 2;
        let mut hear = |line: &str| {
            let mut parts = line.split(' ');
            match (parts.next(), parts.next(), parts.next()) {
                (Some("purged"), Some(key), Some(version)) => {
                    purged.insert(key.to_owned(), version.parse().unwrap());
                    purges += 1;
                }
                (Some("put"), Some(version), None) => first_version = version.parse::<u64>().unwrap() + 1,
                _ => {}
            }
        };
        while words > 0 {
            hear(&said.next().expect("the child writes until it is killed").unwrap());
            words -= 1;
        }
        child.kill().unwrap();
        // What it said before it died counts; half a line does not.
        said.map_while(Result::ok).for_each(|line| hear(&line));
        child.wait().unwrap();

        let disk = open(directory.path(), BYTES_MAX);
        for key in (0..KEYS).map(|key| format!("key{key}")) {
            let Some(version) = version(&disk, &key) else { continue };
            found += 1;
            let gone = purged.get(&key).copied().unwrap_or(0);
            assert!(
                version > gone,
                "round {round}: {key} has version {version}, but up to {gone} was purged"
            );
        }
        assert_eq!((disk.stats().damaged, disk.stats().errors), (0, 0), "round {round}");
    }
    assert!(
        found > ROUNDS * 5 && purges > ROUNDS,
        "{found} objects were found, {purges} purges done: too few to mean much"
    );
}

/// The child of the test above; by itself it does nothing.
#[test]
fn writes_until_it_is_killed() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let mut told = told.lines();
    let directory = std::path::PathBuf::from(told.next().unwrap());
    let mut version: u64 = told.next().unwrap().parse().unwrap();
    let mut random = Random::from_seed(told.next().unwrap().parse().unwrap());
    let disk = Disk::open(&settings(&directory, BYTES_MAX), &Ledger::new(1 << 32)).unwrap();
    let say = |words: String| {
        let mut out = std::io::stdout().lock();
        // When nobody listens any more, the end is near anyway.
        let _ = writeln!(out, "{words}").and_then(|()| out.flush());
    };
    loop {
        let key = format!("key{}", (random.next_u64() % KEYS));
        let length = [100, 20_000, 300_000, 900_000][(random.next_u64() % 4) as usize]
            + (random.next_u64() % 1_000) as usize;
        put(&disk, &key, version, length);
        say(format!("put {version}"));
        if random.next_u64().is_multiple_of(6) {
            assert!(disk.purge(&[Purge::Key(key.as_bytes())], false).wait());
            say(format!("purged {key} {version}"));
        }
        version += 1;
    }
}
