//! A crowd: visitors who ask again and again on kept connections while a test does something to what serves them, and who
//! count whatever went wrong. Like a browser, a visitor whose kept connection was closed before any byte of an answer asks
//! once more on a new one; everything else that is not the expected answer is a failure, with its story.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tentpole_testkit::{Answer, Ask, Trouble, Visitor};
use tokio::task::JoinSet;

/// Stories of failures that are kept.
const STORIES_MAX: usize = 20;

/// How one visitor of a crowd behaves.
#[derive(Clone, Debug)]
pub struct Manner {
    /// What is asked for.
    pub target: String,
    /// The `Host`; `None` is the address.
    pub host: Option<String>,
    /// Time between an answer and the next question.
    pub pause: Duration,
    /// Time between two pieces of a body that are read, for a slow client; `None` reads as fast as it can.
    pub slow: Option<Duration>,
}

impl Manner {
    /// Asks for this again and again, without a pause.
    pub fn asking(target: &str) -> Self {
        Self { target: target.to_owned(), host: None, pause: Duration::ZERO, slow: None }
    }
}

/// What a crowd met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Answers with status 200, whole.
    pub good: u64,
    /// Everything else.
    pub failed: u64,
    /// The first failures.
    pub stories: Vec<String>,
    /// Kept connections that had been closed before an answer began.
    pub reconnects: u64,
    /// The longest time that one visitor waited for one good answer.
    pub longest: Duration,
}

/// A crowd at work; ends when dropped.
#[derive(Debug)]
pub struct Crowd {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    visitors: JoinSet<Met>,
}

impl Crowd {
    /// Starts `size` visitors of this manner.
    pub fn start(address: SocketAddr, size: usize, manner: &Manner) -> Self {
        let mut crowd = Self { stop: Arc::default(), good: Arc::default(), visitors: JoinSet::new() };
        crowd.join(address, size, manner);
        crowd
    }

    /// Adds visitors.
    pub fn join(&mut self, address: SocketAddr, size: usize, manner: &Manner) {
        for _ in 0..size {
            self.visitors.spawn(visit(address, manner.clone(), self.stop.clone(), self.good.clone()));
        }
    }

    /// Good answers so far.
    pub fn good(&self) -> u64 {
        self.good.load(Ordering::Relaxed)
    }

    /// Lets everybody finish his request, and says what they met.
    pub async fn ends(mut self) -> Met {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Met::default();
        while let Some(met) = self.visitors.join_next().await {
            let met = met.expect("a visitor does not panic");
            all.good += met.good;
            all.failed += met.failed;
            all.reconnects += met.reconnects;
            all.longest = all.longest.max(met.longest);
            all.stories.extend(met.stories);
        }
        all.stories.truncate(STORIES_MAX);
        all
    }
}

async fn visit(address: SocketAddr, manner: Manner, stop: Arc<AtomicBool>, good: Arc<AtomicU64>) -> Met {
    let mut met = Met::default();
    let mut kept: Option<Visitor> = None;
    let ask = Ask::get(&manner.target);
    while !stop.load(Ordering::Relaxed) {
        let began = tokio::time::Instant::now();
        let mut result = match kept.take() {
            Some(visitor) => once(visitor, &ask, &manner).await,
            None => fresh(address, &ask, &manner).await,
        };
        if matches!(&result, Err((_, reused)) if *reused) {
            met.reconnects += 1;
            result = fresh(address, &ask, &manner).await;
        }
        match result {
            Ok((answer, visitor)) if answer.status == 200 => {
                met.good += 1;
                good.fetch_add(1, Ordering::Relaxed);
                met.longest = met.longest.max(began.elapsed());
                kept = (!answer.closed).then_some(visitor);
            }
            Ok((answer, _)) => met.tell(format!("status {}: {}", answer.status, answer.text())),
            Err((trouble, _)) => met.tell(trouble.to_string()),
        }
        if !manner.pause.is_zero() {
            tokio::time::sleep(manner.pause).await;
        }
    }
    met
}

/// An answer and the connection it came on, or what went wrong and whether a browser would ask again.
type Result<T> = std::result::Result<T, (Trouble, bool)>;

async fn fresh(address: SocketAddr, ask: &Ask, manner: &Manner) -> Result<(Answer, Visitor)> {
    let mut visitor = Visitor::try_connect(address).await.map_err(|trouble| (trouble, false))?;
    if let Some(host) = &manner.host {
        visitor = visitor.host(host);
    }
    once(visitor, ask, manner).await.map_err(|(trouble, _)| (trouble, false))
}

async fn once(mut visitor: Visitor, ask: &Ask, manner: &Manner) -> Result<(Answer, Visitor)> {
    let mut reading = visitor.try_begin(ask).await.map_err(|trouble| {
        let unanswered = match &trouble {
            Trouble::Closed { so_far, .. } => so_far.is_empty(),
            Trouble::Broken { .. } => true,
            _ => false,
        };
        (trouble, unanswered)
    })?;
    if let Some(pause) = manner.slow {
        // Piece by piece: what is not read fills the buffers on the way, up to the application.
        while reading.try_more().await.map_err(|trouble| (trouble, false))? {
            tokio::time::sleep(pause).await;
        }
    }
    let answer = reading.try_rest().await.map_err(|trouble| (trouble, false))?;
    Ok((answer, visitor))
}

impl Met {
    fn tell(&mut self, story: String) {
        self.failed += 1;
        if self.stories.len() < STORIES_MAX {
            self.stories.push(story);
        }
    }
}
