//! Instances as processes of this machine. What is asked for goes to the keeper over a bounded outbox; what came of it is
//! heard from the keeper.

use crate::cpu::CpuTimes;
use crate::ports::Ports;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tentpole_model::link::{FromControl, ToControl};
use tentpole_model::{Instance, InstanceId, Launch, Provider, ProviderError};
use tentpole_runtime::clock;
use tokio::sync::mpsc;

/// Words for the keeper that may wait. It reads at once unless it hangs; then words are lost, and counted.
pub const OUTBOX_MAX: usize = 4_096;
/// In a launch, what becomes the instance's port.
const PORT: &str = "{port}";

/// Makes instances as processes of this machine.
#[derive(Debug)]
pub struct LocalProvider {
    outbox: mpsc::Sender<FromControl>,
    inner: Mutex<Inner>,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    instances: BTreeMap<InstanceId, Instance>,
    ports: Ports,
    cpu: CpuTimes,
    next: u64,
}

impl LocalProvider {
    /// A provider that knows these instances already (from [`ToControl::Start`]). What arrives at the receiver has to be
    /// sent to the keeper, in its order; while it is not, at most [`OUTBOX_MAX`] words wait.
    pub fn new(instances: Vec<Instance>) -> (Arc<Self>, mpsc::Receiver<FromControl>) {
        let (outbox, receiver) = mpsc::channel(OUTBOX_MAX);
        let next = 1 + instances.iter().map(|instance| instance.id.0).max().unwrap_or(0);
        let instances = instances.into_iter().map(|instance| (instance.id, instance)).collect();
        let inner = Inner { instances, ports: Ports::of_this_machine(), cpu: CpuTimes::default(), next };
        (Arc::new(Self { outbox, inner: Mutex::new(inner), lost: AtomicU64::new(0) }), receiver)
    }

    /// Takes over what the keeper says of instances; other words mean nothing here.
    pub fn heard(&self, word: &ToControl) {
        let mut inner = self.lock();
        match word {
            ToControl::Started { id, pid } => {
                if let Some(instance) = inner.instances.get_mut(id) {
                    instance.pid = Some(*pid);
                }
            }
            ToControl::Exited { id, how } => {
                inner.cpu.forget(*id);
                if let Some(instance) = inner.instances.get_mut(id) {
                    instance.ended = Some(how.clone());
                }
            }
            ToControl::Start { .. }
            | ToControl::Link
            | ToControl::LinkBeside
            | ToControl::Upgrading(_)
            | ToControl::Upgraded { .. }
            | ToControl::Restarted { .. }
            | ToControl::End => {}
            ToControl::Prepare(_) | ToControl::Commit(_) | ToControl::Reloaded { .. } => {}
        }
    }

    /// Words that found no room in the outbox: the keeper did not read for long.
    pub fn words_lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn say(&self, word: FromControl) -> Result<(), ProviderError> {
        self.outbox.try_send(word).map_err(|_| {
            self.lost.fetch_add(1, Ordering::Relaxed);
            ProviderError::Gone
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Each change is whole before anything can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider for LocalProvider {
    fn start(&self, pool: &str, slot: u32, launch: &Launch) -> Result<Instance, ProviderError> {
        let now = clock::now();
        let mut inner = self.lock();
        let Inner { instances, ports, next, .. } = &mut *inner;
        let taken =
            |port| instances.values().any(|other| other.ended.is_none() && other.address.port() == port);
        let port = ports.give(now, taken).ok_or(ProviderError::NoPort)?;
        let instance = Instance {
            id: InstanceId(*next),
            pool: pool.to_owned(),
            slot,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            pid: None,
            started_unix_ms: now.unix_us() / 1_000,
            launch: Some(launch.mark()),
            mark: String::new(),
            ended: None,
        };
        let launch = with_port(launch, port);
        self.say(FromControl::StartInstance { instance: instance.clone(), launch })?;
        *next += 1;
        instances.insert(instance.id, instance.clone());
        Ok(instance)
    }

    fn instances(&self) -> Vec<Instance> {
        self.lock().instances.values().cloned().collect()
    }

    fn cpu_time(&self, id: InstanceId) -> Option<Duration> {
        let mut inner = self.lock();
        let Inner { instances, cpu, .. } = &mut *inner;
        let instance = instances.get(&id).filter(|instance| instance.ended.is_none())?;
        cpu.of(id, instance.pid?)
    }

    fn mark(&self, id: InstanceId, mark: &str) {
        let mut inner = self.lock();
        let Some(instance) = inner.instances.get_mut(&id).filter(|instance| instance.mark != mark) else {
            return;
        };
        if self.say(FromControl::Mark { id, mark: mark.to_owned() }).is_ok() {
            instance.mark = mark.to_owned();
        }
    }

    fn terminate(&self, id: InstanceId) {
        // A lost word is counted; whoever waits for the end asks again, or kills.
        let _ = self.say(FromControl::Terminate(id));
    }

    fn kill(&self, id: InstanceId) {
        let _ = self.say(FromControl::Kill(id));
    }

    fn forget(&self, id: InstanceId) {
        let mut inner = self.lock();
        let ended = inner.instances.get(&id).is_some_and(|instance| instance.ended.is_some());
        if ended && self.say(FromControl::Forget(id)).is_ok() {
            inner.instances.remove(&id);
        }
    }
}

fn with_port(launch: &Launch, port: u16) -> Launch {
    let replace = |text: &String| text.replace(PORT, &port.to_string());
    Launch {
        run: launch.run.iter().map(replace).collect(),
        directory: launch.directory.clone(),
        env: launch.env.iter().map(|(name, value)| (name.clone(), replace(value))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        let text = str::to_owned;
        Launch {
            run: ["serve", "--listen=127.0.0.1:{port}", "{port}{port}"].map(text).into(),
            directory: None,
            env: vec![(text("URL"), text("http://localhost:{port}/")), (text("{port}"), text("as it is"))],
        }
    }

    #[test]
    fn an_instance_gets_a_port_a_number_and_its_launch_goes_to_the_keeper() {
        let (provider, mut outbox) = LocalProvider::new(Vec::new());
        let first = provider.start("shop", 0, &launch()).unwrap();
        let second = provider.start("shop", 1, &launch()).unwrap();
        assert_eq!((first.id, second.id), (InstanceId(1), InstanceId(2)));
        assert_ne!(first.address.port(), second.address.port());
        let port = first.address.port();
        let Ok(FromControl::StartInstance { instance, launch }) = outbox.try_recv() else { panic!() };
        assert_eq!(instance, first);
        assert_eq!(launch.run, ["serve", &format!("--listen=127.0.0.1:{port}"), &format!("{port}{port}")]);
        assert_eq!(launch.env[0].1, format!("http://localhost:{port}/"));
        assert_eq!(launch.env[1], ("{port}".into(), "as it is".into()));
        assert_eq!(provider.instances(), [first, second]);
    }

    #[test]
    fn what_the_keeper_says_shows_in_the_table() {
        let (provider, mut outbox) = LocalProvider::new(Vec::new());
        let id = provider.start("shop", 0, &launch()).unwrap().id;
        provider.heard(&ToControl::Started { id, pid: 42 });
        assert_eq!(provider.instances()[0].pid, Some(42));
        // Not before its end: the keeper would keep what nobody remembers.
        provider.forget(id);
        assert_eq!(provider.instances().len(), 1);
        provider.heard(&ToControl::Exited { id, how: "exit status 1".into() });
        assert_eq!(provider.instances()[0].ended.as_deref(), Some("exit status 1"));
        assert_eq!(provider.cpu_time(id), None);
        provider.forget(id);
        assert!(provider.instances().is_empty());
        outbox.try_recv().unwrap();
        assert_eq!(outbox.try_recv(), Ok(FromControl::Forget(id)));
        assert!(outbox.try_recv().is_err());
    }

    #[test]
    fn a_new_provider_goes_on_with_the_instances_of_the_old_one() {
        let (old, _outbox) = LocalProvider::new(Vec::new());
        old.start("shop", 0, &launch()).unwrap();
        let kept = old.start("shop", 1, &launch()).unwrap();
        old.mark(kept.id, "draining");
        let (new, mut outbox) = LocalProvider::new(old.instances());
        assert_eq!(new.instances()[1].mark, "draining");
        assert_eq!(new.start("shop", 2, &launch()).unwrap().id, InstanceId(3));
        outbox.try_recv().unwrap();
        new.mark(kept.id, "draining");
        assert!(outbox.try_recv().is_err(), "nothing has changed");
        new.terminate(kept.id);
        new.kill(kept.id);
        assert_eq!(outbox.try_recv(), Ok(FromControl::Terminate(kept.id)));
        assert_eq!(outbox.try_recv(), Ok(FromControl::Kill(kept.id)));
    }

    #[test]
    fn without_a_keeper_nothing_starts() {
        let (provider, outbox) = LocalProvider::new(Vec::new());
        drop(outbox);
        assert_eq!(provider.start("shop", 0, &launch()), Err(ProviderError::Gone));
        assert!(provider.instances().is_empty());
        provider.kill(InstanceId(1));
        assert_eq!(provider.words_lost(), 2);
    }

    #[test]
    fn a_keeper_that_does_not_read_costs_bounded_memory() {
        let (provider, mut outbox) = LocalProvider::new(Vec::new());
        (0..OUTBOX_MAX as u64 + 5).for_each(|id| provider.kill(InstanceId(id)));
        assert_eq!(provider.words_lost(), 5);
        assert_eq!(std::iter::from_fn(|| outbox.try_recv().ok()).count(), OUTBOX_MAX);
    }
}
