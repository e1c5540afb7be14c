//! A purge request on the visitors' port: who may, what it means, and that it is done before it is answered. Never
//! forwarded to an endpoint: one that trusts this edge's address would empty its own cache for anybody.

mod allowed;
mod pattern;
mod wish;

pub use allowed::same;
pub use wish::{is_purge, pool_tag};

use crate::answer;
use crate::asked::Asked;
use crate::deliver::Sent;
use crate::purge::Purger;
use crate::stop::Stop;
use crate::thread::View;
use crate::visit::Visit;
use allowed::{Denied, may_purge};
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tentpole_http1::Framing;
use tentpole_message::RequestHead;
use tentpole_model::{PurgeError, PurgeOrder, PurgeWhat, Purged, PurgedBy, Refused, SiteId};
use tentpole_runtime::{clock, notice};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use wish::Wish;

/// Purges at once; further ones wait.
const AT_ONCE_MAX: usize = 2;
/// How long a purge may wait and take.
const TIME_MAX: Duration = Duration::from_secs(30);
/// What is said when another edge may still serve the old.
const NOT_EVERYWHERE: &str = "it is purged here; another process serves too, for Tentpole is being upgraded, and did not \
                              answer in time. Please purge again in 4 s.";
/// Purges that control has not been told of.
const UNTOLD_MAX: usize = 1_024;

/// What purge requests of all data threads share.
pub struct Purging {
    places: Semaphore,
    /// To whom purges are told that content networks must hear of.
    told: mpsc::Sender<PurgeOrder>,
    /// Whether there are any.
    relays: AtomicBool,
}

impl Purging {
    /// Makes the way to control, which is used while content networks must hear of purges.
    pub fn new(relays: bool) -> (Self, mpsc::Receiver<PurgeOrder>) {
        let (told, telling) = mpsc::channel(UNTOLD_MAX);
        let places = Semaphore::new(AT_ONCE_MAX);
        (Self { places, told, relays: AtomicBool::new(relays) }, telling)
    }

    /// From now on, whether content networks must hear of purges.
    pub fn set_relays(&self, relays: bool) {
        self.relays.store(relays, Ordering::Relaxed);
    }

    /// Whether anybody is told of purges.
    pub fn tells(&self) -> bool {
        self.relays.load(Ordering::Relaxed)
    }

    /// Tells control of a purge that is done. When control is away for long, the newest are lost, and that is said.
    pub fn tell(&self, order: &PurgeOrder) {
        if self.relays.load(Ordering::Relaxed) && self.told.try_send(order.clone()).is_err() {
            notice(format_args!(
                "a purge was not passed on to the content networks: {UNTOLD_MAX} wait already"
            ));
        }
    }
}

impl Visit<'_> {
    /// Serves a purge request: when it is answered, no thread serves the old any more.
    pub(crate) async fn purge(&mut self, view: Rc<View>, asked: Asked) -> Result<Sent, Stop> {
        // Nothing in a body matters: one that is there is not read, and the connection ends.
        self.ignore_body(asked.framing == Framing::None);
        let orders = self.orders(&view)?;
        let soft = orders.iter().all(|order| order.soft);
        let purged = self.carry_out(orders).await?;
        let keep_alive = self.manner.keep_alive && !self.is_ending();
        let manner = answer::Manner { keep_alive, ..self.manner };
        let out = &mut self.scratch.out;
        out.clear();
        answer::purged(out, purged, soft, manner);
        let bytes = self.visitor.write(&mut [IoSlice::new(out)]).await.map_err(Stop::Failed)?;
        Ok(Sent { status: 200, bytes, keep_alive, head_at: clock::coarse() })
    }

    /// What is to be done, when it may be and is understood.
    fn orders(&mut self, view: &View) -> Result<Vec<PurgeOrder>, Stop> {
        let prepared = &view.prepared;
        let head = &self.scratch.request;
        // Of the connection: what a proxy says of somebody behind it gives no right.
        let peer = self.visitor.peer.ip();
        let proxied = self.came.proxied;
        let secret = prepared.purge_secret.as_deref();
        may_purge(&prepared.snapshot.purging, secret, peer, proxied, &head.fields)
            .map_err(|denied| denial(denied, &peer.to_canonical().to_string()))?;
        let host = wish::host_of(head);
        let wish = wish::understand(head, host)
            .map_err(|unclear| Stop::Said(Refused::PurgeUnclear, unclear + "."))?;
        let known = prepared.table.site(host);
        // An application that purges tags may connect by the edge's address: one site needs no name.
        let only = || (prepared.snapshot.sites.len() == 1).then_some(SiteId(0));
        let site = match wish {
            Wish::Urls(_) => known,
            Wish::Tags(_) | Wish::Site => known.or_else(only),
        };
        let site = site.ok_or_else(|| no_site(head))?;
        self.why.site = Some(site);
        self.why.snapshot = prepared.version as u8;
        let name = || prepared.site(site).name.clone();
        Ok(match wish {
            Wish::Urls(orders) => orders,
            Wish::Site => vec![PurgeOrder::hard(PurgeWhat::Site(name()))],
            Wish::Tags(tags) => {
                let order =
                    |(tags, soft)| PurgeOrder { what: PurgeWhat::Tags { site: Some(name()), tags }, soft };
                tags.into_iter().map(order).collect()
            }
        })
    }

    /// Purges on a thread beside, for it may take a while, and this one has visitors to serve.
    async fn carry_out(&mut self, orders: Vec<PurgeOrder>) -> Result<Purged, Stop> {
        let shared = self.thread.shared.clone();
        let work = async {
            let Ok(_place) = shared.purging.places.acquire().await else { return None };
            let purger = Purger { shared: shared.clone() };
            // It goes on when its caller leaves.
            tokio::task::spawn_blocking(move || carry_out(&purger, &orders)).await.ok()
        };
        let mut work = std::pin::pin!(work);
        let deadline = &self.visitor.deadline;
        deadline.set_in(TIME_MAX);
        match deadline.guard(|context| work.as_mut().poll(context)).await {
            Ok(Some(Ok((purged, true)))) => Ok(purged),
            Ok(Some(Ok((_, false)))) => Err(Stop::Said(Refused::PurgeBusy, NOT_EVERYWHERE.to_owned())),
            Ok(Some(Err(error))) => Err(refused(error)),
            Ok(None) | Err(_) => Err(Stop::Refused(Refused::PurgeBusy)),
        }
    }
}

/// Returns also whether all edges that serve have done it.
fn carry_out(purger: &Purger, orders: &[PurgeOrder]) -> Result<(Purged, bool), PurgeError> {
    let mut all = Purged::default();
    for order in orders {
        let Purged { objects, fills } = purger.purge_by(PurgedBy::Request, order)?;
        all.objects += objects;
        all.fills += fills;
        purger.shared.purging.tell(order);
    }
    let company = &purger.shared.company;
    let everywhere =
        !company.is_there() || Handle::current().block_on(company.pass(PurgedBy::Request, orders.to_vec()));
    Ok((all, everywhere))
}

fn denial(denied: Denied, peer: &str) -> Stop {
    match denied {
        Denied::Off => Stop::Refused(Refused::PurgeOff),
        Denied::Secret => {
            Stop::Said(Refused::PurgeDenied, "this is not the secret that purges here.".to_owned())
        }
        Denied::Address => Stop::Said(
            Refused::PurgeDenied,
            format!("{peer} may not purge here. To allow it: [purge] from = [\"{peer}\"] in tentpole.toml."),
        ),
        Denied::Proxied => Stop::Said(
            Refused::PurgeDenied,
            format!(
                "this request came through a proxy, so that {peer} may be anybody. Purge without the proxy, or with \
                 `secret` below [purge] in tentpole.toml."
            ),
        ),
    }
}

fn no_site(head: &RequestHead) -> Stop {
    let host = String::from_utf8_lossy(wish::host_of(head)).into_owned();
    Stop::Said(
        Refused::NoSite,
        format!("no site has the host {host}. Send the Host of the site, or add {host} to its `hosts`."),
    )
}

fn refused(error: PurgeError) -> Stop {
    match error {
        PurgeError::NotAnUrl => Stop::Refused(Refused::Target),
        PurgeError::NoSuchSite => Stop::Refused(Refused::NoSite),
        PurgeError::Tags => Stop::Said(
            Refused::PurgeUnclear,
            "these are more tags than one purge takes; send several.".to_owned(),
        ),
    }
}
