//! Questions to the edge, which is another process: it may be away, and waiting for it must not hold up what else this
//! thread does. A few at a time.

use crate::State;
use crate::error::ApiError;
use axum::http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tentpole_model::link::{Answer, Question};
use tentpole_model::{EdgeGone, EdgeReport};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Questions that wait for an answer at most; further ones queue. Each holds a thread that names and health need too.
pub(crate) const QUESTIONS_MAX: usize = 4;

/// How long a report of this moment is waited for.
const REPORT_MAX: Duration = Duration::from_millis(500);

/// Asks, and waits until the edge has answered or is known not to.
pub(crate) async fn ask(state: &State, question: Question) -> Result<Answer, ApiError> {
    let Ok(permit) = state.questions.clone().acquire_owned().await else {
        return Err(broke_off()); // Nobody closes the semaphore.
    };
    let edge = state.parts.edge.clone();
    // The permit goes along: a caller that leaves does not end the question.
    let asked = spawn_blocking(move || {
        let _permit = permit;
        edge.ask(question)
    });
    match asked.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(EdgeGone)) => Err(gone()),
        Err(_) => Err(broke_off()),
    }
}

/// What the edge has counted up to this moment, or its last report when that takes too long: who has just sent a request
/// wants to see it counted.
pub(crate) async fn report_now(state: &State) -> Option<Arc<EdgeReport>> {
    let edge = state.parts.edge.clone();
    let asked = async {
        let permit = state.questions.clone().acquire_owned().await.ok()?;
        let asked = spawn_blocking(move || {
            let _permit = permit;
            edge.report_now()
        });
        asked.await.ok().flatten()
    };
    match timeout(REPORT_MAX, asked).await {
        Ok(report) => report,
        Err(_) => state.parts.edge.report(),
    }
}

/// Asks for a text.
pub(crate) async fn ask_text(state: &Arc<State>, question: Question) -> Result<String, ApiError> {
    match ask(state, question).await? {
        Answer::Text(text) => Ok(text),
        Answer::Purged(_) | Answer::Reported => Err(broke_off()),
    }
}

fn gone() -> ApiError {
    let cure = "The edge is being started again; ask again in a second.";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the edge does not answer", cure)
}

/// An answer that does not fit, or none at all: a fault of ours.
pub(crate) fn broke_off() -> ApiError {
    let cure = "This is a fault of ours: standard error says more. Asking again is safe.";
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the question to the edge broke off", cure)
}
