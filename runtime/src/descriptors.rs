//! File descriptors: a connection is one, and the system's usual soft limit (1,024) is far below what an edge
//! carries. Raises the soft limit to the hard one; never asks for more rights.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit on open files that is in force; `None` is unlimited.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the limit on open files as far as the system allows and returns it; `None` is unlimited.
pub fn raise_limit() -> Option<u64> {
    let now = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: now.maximum, maximum: now.maximum };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => now.maximum,
        // Without the raise we live with what there is.
        Err(_) => now.current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_limit();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, raised);
        assert_eq!(now.current, now.maximum);
    }
}
