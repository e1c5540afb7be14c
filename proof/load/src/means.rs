//! Whether a machine has ports and open files for what is planned, before anything is sent: each virtual user has a connection of his
//! own. Arithmetic over what the system says; what is done about it is the caller's.

use crate::climb::Shape;
use crate::plan::Plan;
use crate::result::Model;

/// Open files of a generator that are no visitor's connection.
const OTHER_FILES: u64 = 64;

/// What a machine has too little of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// What is planned surely comes to that, so it is a mistake.
    Certain(String),
    /// It may come to that: a climb may break before.
    Possible(String),
}

/// The part of a plan that is made on this machine: so many of so many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Threads of this machine.
    pub threads: u32,
    /// All threads; not 0.
    pub of: u32,
}

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self { threads: 1, of: 1 };

    /// Virtual users at once at most. Threads differ by one at most.
    fn users(self, plan: &Plan) -> u64 {
        let all = match plan.model {
            Model::Closed => plan.shape.load_max() as u64,
            Model::Open => u64::from(plan.in_flight_max),
        };
        (all * u64::from(self.threads)).div_ceil(u64::from(self.of.max(1)))
    }
}

/// Whether there are ports.
pub fn ports(plan: &Plan, share: Share) -> Option<Lack> {
    let to = *plan.hosts.all[0].addresses.first()?;
    let (users, most) = (share.users(plan), plan.transport.connections_max(to));
    if users <= most {
        return None;
    }
    let from = plan.transport.sources.len().max(1);
    let says = format!(
        "from {from} address{} this machine can have {most} connections to {to}, and {users} visitors may need one \
         each. Give it more addresses (--from 127.0.0.2,127.0.0.3 or --from 10.0.0.0/28), or widen \
         net.ipv4.ip_local_port_range.",
        if from == 1 { "" } else { "es" }
    );
    // Stages are performed whatever happens.
    match (plan.model, &plan.shape) {
        (Model::Closed, Shape::Stages(_)) => Some(Lack::Certain(says)),
        _ => Some(Lack::Possible(says)),
    }
}

/// Whether there are open files, of so many that the system allows; `None` is unlimited.
pub fn files(plan: &Plan, share: Share, limit: Option<u64>) -> Option<Lack> {
    let users = share.users(plan);
    let limit = limit.filter(|limit| *limit < users + OTHER_FILES)?;
    Some(Lack::Possible(format!(
        "the system allows {limit} open files, so no more visitors than that, and {users} may come; beyond it their \
         requests fail. Raise it with `ulimit -n`."
    )))
}
