//! What learning costs a proxied request: CPU time of the edge's data thread and of the learner's, by the kernel's own
//! count, without learning and with it, in turns. The page of 10 KiB says nothing about caching.

#![allow(clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Running, edge, endpoint};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use tentpole_learn::{Answer, Dims, Learner, Observation, Trait, Who};
use tentpole_model::Learn;
use tentpole_proxy::LearningLimits;
use tentpole_runtime::clock;

const ROUNDS: usize = 10;
const REQUESTS: usize = 10_000;
const BODY_BYTES: usize = 10 << 10;

fn main() {
    let (off, advise) = (Round::new(Learn::Off), Round::new(Learn::Advise));
    let mut took = [Vec::new(), Vec::new()];
    off.run();
    advise.run();
    for _ in 0..ROUNDS {
        took[0].push(off.run());
        took[1].push(advise.run());
    }
    let [off, advise] = took.map(|mut all| {
        all.sort_by(f64::total_cmp);
        (all[0], all[ROUNDS / 2], all[ROUNDS - 1])
    });
    let row = |name: &str, (least, median, most): (f64, f64, f64)| {
        println!("{name:<18} {median:6.2} us CPU a request ({least:.2} to {most:.2})");
    };
    row("learn = \"off\"", off);
    row("learn = \"advise\"", advise);
    println!("difference of the medians: {:+.1} %", (advise.1 / off.1 - 1.0) * 100.0);
    one_answer();
}

/// What one answer costs that is looked at: the least of many turns, which other programs disturb least.
fn one_answer() {
    let body = vec![b'x'; BODY_BYTES];
    let keys = RandomState::new();
    let hashing = least(|| {
        let mut hasher = keys.build_hasher();
        hasher.write(black_box(&body));
        black_box(hasher.finish());
    });
    let mut learner = Learner::new(LearningLimits::default());
    let mut number = 0;
    let learning = least(|| {
        number += 1;
        black_box(learner.observe(&observation(number)));
    });
    println!("hashing 10 KiB     {hashing:6.2} us");
    println!("taking it in       {learning:6.2} us (twelve pages, in three languages)");
}

/// Microseconds.
fn least(mut turn: impl FnMut()) -> f64 {
    const TURNS: u64 = 200;
    let mut best = u64::MAX;
    for _ in 0..500 {
        let began = clock::now();
        (0..TURNS).for_each(|_| turn());
        best = best.min(clock::now().since(began).as_nanos() as u64);
    }
    best as f64 / 1_000.0 / TURNS as f64
}

fn observation(number: u64) -> Observation {
    let language = Trait { exact: (number % 3) as u32 + 1, class: (number % 3) as u16 + 1 };
    Observation {
        sent_ms: number * 50,
        done_ms: number * 50 + 20,
        url: number % 12,
        key: format!("shop.example\0/product/{}", number % 12).into_bytes().into(),
        route: 0,
        apply: true,
        visitor: number % 97,
        who: Who::Nobody,
        traits: [language, Trait::default(), Trait::default()],
        stripped: false,
        answer: Answer::Page { hash: 1, coding: 0, storable: true, found: true, needs: Dims::NONE },
        took_us: 1_000,
        weight: 1,
        served: 0,
    }
}

struct Round {
    edge: Running,
    /// Names of threads are alike in both edges: their numbers are not.
    threads: Vec<String>,
}

impl Round {
    fn new(learn: Learn) -> Self {
        let body = "x".repeat(BODY_BYTES);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {BODY_BYTES}\r\n\r\n{body}"
        );
        let (address, _asked) = endpoint(move |_| answer.clone());
        let before = edge_threads();
        let edge = edge(address, |snapshot| snapshot.cachings[0].learn = learn);
        // A thread has its name once it runs.
        edge.get("/page", "");
        let threads = edge_threads().into_iter().filter(|thread| !before.contains(thread)).collect();
        Self { edge, threads }
    }

    /// Microseconds of CPU time for each request.
    fn run(&self) -> f64 {
        let mut connection = TcpStream::connect(self.edge.address).unwrap();
        let before = self.cpu_ns();
        let mut buffer = vec![0; 64 << 10];
        for _ in 0..REQUESTS {
            let request =
                b"GET /page HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
            connection.write_all(request).unwrap();
            let mut length = 0;
            loop {
                length += connection.read(&mut buffer[length..]).unwrap();
                let end = buffer[..length].windows(4).position(|four| four == b"\r\n\r\n");
                if end.is_some_and(|end| length >= end + 4 + BODY_BYTES) {
                    break;
                }
            }
        }
        (self.cpu_ns() - before) as f64 / 1_000.0 / REQUESTS as f64
    }

    fn cpu_ns(&self) -> u64 {
        let used = |thread: &String| {
            let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap();
            text.split(' ').next().unwrap().parse::<u64>().unwrap()
        };
        self.threads.iter().map(used).sum()
    }
}

/// Threads of edges in this process.
fn edge_threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |thread: &String| {
        std::fs::read_to_string(format!("/proc/self/task/{thread}/comm")).unwrap_or_default()
    };
    let all = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
    all.filter(|thread| name(thread).starts_with("edge-")).collect()
}
