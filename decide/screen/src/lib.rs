//! Which requests are let through, which are too many, and which are refused, by the filters of a configuration. A function
//! of the request, the time and the buckets that it is given. Knows no connection, reads no clock, answers nobody.

mod buckets;
mod heavy;
mod networks;
mod rules;
mod words;

pub use buckets::{Buckets, Rate};
pub use heavy::{Heavy, Refusals};
pub use networks::Networks;
pub use rules::{Condition, Facts, Found, Judge, Lines, Rules, Step, Verdict, client};
pub use words::Words;
