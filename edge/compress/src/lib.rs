//! Compresses text once for each content coding, on threads that give way to everything else. Bounded in what waits and
//! in what it holds; who comes when it is full is sent away and may come again. Knows neither objects nor HTTP but for
//! the names of codings and of what is text.

mod coding;
mod pool;
mod text;

pub use coding::{Coding, NotSmaller};
pub use pool::{BYTES_MAX, Job, Pool, Stats, give_way};
pub use text::{BYTES_MIN, is_text};
