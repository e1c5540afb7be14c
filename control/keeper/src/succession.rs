//! The keeper's two ends of a hand-over (`hand_over.rs`): packs all that it has for another program, and goes on with what
//! one has left.

use crate::KeeperParts;
use crate::child::{Event, Who};
use crate::hand_over::{HandOver, TakenOver};
use crate::instances::{Instances, InstancesState};
use crate::keeper::{Keeper, Phase, own_program};
use crate::part::{Part, PartState};
use crate::reload::Reloading;
use crate::state::StateDirectory;
use crate::upgrade::{self, Leaving, Upgrading, unix_ms};
use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use tentpole_model::PROTOCOL;
use tentpole_runtime::notice;
use tokio::sync::mpsc;

/// How long what was said may take to be written before another program goes on.
const SAID_MAX: Duration = Duration::from_millis(200);

impl Keeper {
    /// A keeper that goes on with what another program left.
    pub(crate) fn take_over(
        parts: KeeperParts,
        taken: TakenOver,
        reloading: Reloading,
        events: mpsc::Sender<Event>,
    ) -> io::Result<Self> {
        let KeeperParts { program, tell, .. } = parts;
        let TakenOver { document, mut descriptors, came_back } = taken;
        let missing = || io::Error::other("a descriptor was not handed over");
        let lock = descriptors.pop_front().ok_or_else(missing)?;
        let mut listeners = Vec::with_capacity(document.listeners.len());
        for &count in &document.listeners {
            let mut of_thread = Vec::with_capacity(count);
            for _ in 0..count {
                of_thread.push(TcpListener::from(descriptors.pop_front().ok_or_else(missing)?));
            }
            listeners.push(of_thread);
        }
        let admin = match document.admin {
            true => Some(TcpListener::from(descriptors.pop_front().ok_or_else(missing)?)),
            false => None,
        };
        let mut keeper = Self {
            version_tried: document.version_tried,
            file: document.file.clone(),
            reloading,
            upgrading: Upgrading::new(own_program()),
            state: StateDirectory::adopt(document.state.clone(), document.temporary, lock),
            program,
            tell,
            listeners,
            admin,
            strangers: document.strangers.clone(),
            edge: Part::new(Who::Edge),
            next: None,
            leaving: Vec::new(),
            control: Part::new(Who::Control),
            instances: Instances::new(document.open_files),
            open_files: document.open_files,
            untold: document.untold.clone(),
            phase: Phase::Serving,
            connections: None,
            cut: None,
            events,
        };
        if came_back {
            keeper.upgrading.own = document.program.clone();
        }
        let (version, reloads) = (document.version.clone(), document.reloads.clone());
        keeper.adopt(document, descriptors)?;
        match came_back {
            true => keeper.hand_over_failed("the new program could not read what it was given".into()),
            false => keeper.has_taken_over(version),
        }
        reloads.into_iter().for_each(|by| keeper.wish(by));
        Ok(keeper)
    }

    /// Takes over the children.
    fn adopt(&mut self, document: HandOver, mut channels: VecDeque<OwnedFd>) -> io::Result<()> {
        let events = self.events.clone();
        let mut adopt = |state: PartState| {
            let channel = if state.child.is_some() { channels.pop_front() } else { None };
            Part::adopt(Who::Edge, state, channel, &events)
        };
        self.edge = adopt(document.edge)?;
        self.next = if document.next.child.is_some() { Some(adopt(document.next)?) } else { None };
        let mut since = document.leaving_since_unix_ms.into_iter();
        for (state, time) in document.leaving {
            let since_unix_ms = since.next().unwrap_or_else(unix_ms);
            self.leaving.push(Leaving::new(adopt(state)?, time, since_unix_ms));
        }
        let control = if document.control.child.is_some() { channels.pop_front() } else { None };
        self.control = Part::adopt(Who::Control, document.control, control, &events)?;
        self.instances = Instances::adopt(self.open_files, document.instances, &mut channels, &events)?;
        self.upgrading.by = document.by;
        self.upgrading.counts = document.upgrades;
        document.heard.into_iter().for_each(|event| self.heard(event));
        // Whose end came while nobody could take notice.
        self.take_notice();
        Ok(())
    }

    /// What is handed over, without the children.
    pub(crate) fn document(&self) -> HandOver {
        HandOver {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            program: self.upgrading.own.clone(),
            file: self.file.clone(),
            version_tried: self.version_tried,
            state: self.state.path().to_owned(),
            temporary: self.state.is_temporary(),
            listeners: self.listeners.iter().map(Vec::len).collect(),
            admin: self.admin.is_some(),
            read_again: self.reloading.file(),
            open_files: self.open_files,
            edge: PartState::default(),
            next: PartState::default(),
            leaving: Vec::new(),
            leaving_since_unix_ms: Vec::new(),
            upgrades: self.upgrading.counts,
            control: PartState::default(),
            instances: InstancesState::default(),
            untold: self.untold.clone(),
            heard: Vec::new(),
            strangers: self.strangers.clone(),
            by: self.upgrading.by.clone(),
            reloads: self.reloading.wishes_of_nobody(),
        }
    }

    /// Becomes another program. Returns only when that was not possible: then all is as before, and who wished for it has
    /// been told.
    pub(crate) async fn hand_over(
        &mut self,
        program: &Path,
        heard: &mut mpsc::Receiver<Event>,
    ) -> io::Result<()> {
        let mut document = self.document();
        // A child that speaks at this moment must find somebody who listens, or it could not be told to stop.
        let channels = {
            let packing = self.pack(&mut document);
            let mut packing = std::pin::pin!(packing);
            let mut late = Vec::new();
            let channels = loop {
                tokio::select! {
                    biased;
                    Some(event) = heard.recv() => late.push(event),
                    channels = &mut packing => break channels,
                }
            };
            while let Ok(event) = heard.try_recv() {
                late.push(event);
            }
            (channels, late)
        };
        let (channels, late) = channels;
        document.heard = late;
        let why = {
            let mut all = vec![self.state.lock().as_fd()];
            all.extend(self.listeners.iter().flatten().map(AsFd::as_fd));
            all.extend(self.admin.as_ref().map(AsFd::as_fd));
            all.extend(channels.iter().map(AsFd::as_fd));
            notice::finish(SAID_MAX);
            upgrade::become_program(program, &document, &all)
        };
        self.leaving.clear();
        self.adopt(document, channels.into())?;
        self.hand_over_failed(why);
        Ok(())
    }

    /// Lets go of all children. Returns their channels, in the order of [`HandOver`].
    async fn pack(&mut self, document: &mut HandOver) -> Vec<OwnedFd> {
        let mut channels = Vec::new();
        let (state, channel) = self.edge.pack().await;
        document.edge = state;
        channels.extend(channel);
        if let Some(next) = &mut self.next {
            let (state, channel) = next.pack().await;
            document.next = state;
            channels.extend(channel);
        }
        for leaving in &mut self.leaving {
            let (time, since_unix_ms) = (leaving.time_left(), leaving.since_unix_ms);
            let (state, channel) = leaving.part.pack().await;
            document.leaving.push((state, time));
            document.leaving_since_unix_ms.push(since_unix_ms);
            channels.extend(channel);
        }
        let (state, channel) = self.control.pack().await;
        document.control = state;
        channels.extend(channel);
        let (state, shims) = self.instances.pack().await;
        document.instances = state;
        channels.extend(shims);
        channels
    }
}
