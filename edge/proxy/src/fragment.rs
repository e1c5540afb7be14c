//! One fragment of a page: the request that its include stands for, and what it brings. It goes through the same cache
//! as a visitor's own request would, with his cookies, so that what is his is fetched for him alone. Never asks a host
//! that no site here serves, never the same fragment inside of itself.

use crate::address::resolve;
use crate::asked::{Asked, understand};
use crate::came::Came;
use crate::exchange::{Exchange, NoResponse};
use crate::fetch::{Attempts, Outgoing};
use crate::fill::{Own, is_error};
use crate::obtain::{Forwarded, Got, Inquiry};
use crate::page::{Content, Held, Page};
use crate::place::{Place, route};
use crate::stop::Stop;
use crate::stream::{Stream, collect};
use crate::template::{
    PAGE_BYTES_MAX, fetch_readable, is_encoded, is_page, is_stored_encoded, plan_of, stored_plan,
};
use crate::thread::{Scratch, Thread, View};
use bytes::Bytes;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use tentpole_cache::{Looked, Object};
use tentpole_esi::Include;
use tentpole_freshness::Trouble;
use tentpole_http1::{self as http1, Parsed, split_authority};
use tentpole_message::{Name, RequestHead, ResponseHead};
use tentpole_model::{Assembly, AssemblyFault, Bypass, Method, Priority, Refused, Why};
use tentpole_runtime::deadline::Deadline;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Fragments of one page that are fetched at the same time.
const PARALLEL_MAX: usize = 16;
/// Fragments of one page, those in fragments counted: an address and its alternative are two.
const FRAGMENTS_MAX: u16 = 256;
/// Fragments in fragments: the page's own are the first level.
const LEVELS_MAX: usize = 4;
/// Bytes of a fragment that are held while those before it are not all delivered; the rest then comes at the visitor's
/// pace.
const WINDOW_BYTES: u64 = 256 * 1024;

/// What all fragments of a page share.
pub struct Around {
    /// The thread that it is on.
    pub thread: Rc<Thread>,
    /// Pinned for the whole page: its pieces are of one structure.
    pub view: Rc<View>,
    /// Where the visitor comes from, and the proxies between him and us.
    came: Came,
    via: Vec<u8>,
    /// The rank of the page, which is its fragments' too.
    priority: Priority,
    /// His fields that go along, and those that do only to his own host.
    lines: Vec<u8>,
    own_lines: Vec<u8>,
    host: Vec<u8>,
    permits: Arc<Semaphore>,
    tally: Cell<Assembly>,
}

/// Where a page or fragment stands, and in which others.
pub struct Chain {
    key: Vec<u8>,
    host: Vec<u8>,
    target: Vec<u8>,
    level: usize,
    above: Option<Rc<Chain>>,
}

/// What takes an include's place.
pub enum Fragment {
    /// What is stored.
    Object(Arc<Object>),
    /// What was fetched: its beginning, and where the rest comes from if it is long.
    Body {
        /// The beginning, or all of it.
        chunks: Vec<Bytes>,
        /// The rest.
        rest: Option<Stream>,
        /// The beginning's bytes on the Ledger.
        held: Held,
    },
    /// A page with fragments of its own.
    Page(Page),
}

/// An include whose first look-up has been made.
pub struct Begun {
    ask: Ask,
    looked: Looked,
    _permit: OwnedSemaphorePermit,
}

/// The request for a fragment, with what it means.
struct Ask {
    scratch: Box<Scratch>,
    asked: Asked,
    place: Place,
    chain: Rc<Chain>,
}

impl Around {
    /// For a page that this request asks for.
    pub fn new(
        thread: &Rc<Thread>,
        view: Rc<View>,
        request: &RequestHead,
        came: Came,
        via: &[u8],
        priority: Priority,
    ) -> Rc<Self> {
        let (mut lines, mut own_lines) = (Vec::new(), Vec::new());
        let is_own = |id| matches!(id, Name::Cookie | Name::Authorization);
        http1::write_fields(&mut lines, &request.fields, |field| stays_behind(field.id) || is_own(field.id));
        http1::write_fields(&mut own_lines, &request.fields, |field| !is_own(field.id));
        Rc::new(Self {
            thread: thread.clone(),
            view,
            came,
            priority,
            via: via.to_vec(),
            lines,
            own_lines,
            host: http1::host(request).unwrap_or_default().to_vec(),
            permits: Arc::new(Semaphore::new(PARALLEL_MAX)),
            tally: Cell::default(),
        })
    }

    /// What was asked for so far, and what failed.
    pub fn tally(&self) -> Assembly {
        self.tally.get()
    }

    /// Counts a fragment that is left out.
    fn failed(&self, fault: AssemblyFault) {
        let mut tally = self.tally.get();
        tally.failed += 1;
        tally.fault.get_or_insert(fault);
        self.tally.set(tally);
    }

    fn another(&self) -> Result<(), AssemblyFault> {
        let mut tally = self.tally.get();
        if tally.fragments >= FRAGMENTS_MAX {
            return Err(AssemblyFault::TooManyFragments);
        }
        tally.fragments += 1;
        self.tally.set(tally);
        Ok(())
    }
}

/// What of the page's request does not go along: what it says of its own body, of the copy that the visitor has, and
/// which codings he accepts: a fragment is read by us.
fn stays_behind(id: Name) -> bool {
    use Name::{AcceptEncoding, ContentEncoding, ContentLocation, ContentType, Expect, Host, Range};
    use Name::{IfMatch, IfModifiedSince, IfNoneMatch, IfRange, IfUnmodifiedSince};
    matches!(
        id,
        AcceptEncoding
            | ContentEncoding
            | ContentLocation
            | ContentType
            | Expect
            | Host
            | Range
            | IfMatch
            | IfModifiedSince
            | IfNoneMatch
            | IfRange
            | IfUnmodifiedSince
    )
}

impl Chain {
    /// The page itself.
    pub fn page(scratch: &Scratch) -> Rc<Self> {
        let host = http1::host(&scratch.request).unwrap_or_default().to_vec();
        Rc::new(Self {
            key: scratch.key.clone(),
            host,
            target: scratch.target.clone(),
            level: 0,
            above: None,
        })
    }

    fn holds(&self, key: &[u8]) -> bool {
        self.key == key || self.above.as_ref().is_some_and(|above| above.holds(key))
    }
}

/// What is at hand of an include without waiting.
pub enum At {
    /// Its place is settled.
    Hand(Option<Fragment>),
    /// It has to be waited for: [`fragment`].
    Way(Next),
}

/// What comes next for an include that has to be waited for.
pub enum Next {
    /// Its address.
    Src,
    /// What its first look-up found.
    Looked(Box<Begun>),
    /// Its other address: the first has had its chance.
    Alt,
}

/// Looks for a fragment without waiting, if one more may be fetched now.
pub fn begin(around: &Rc<Around>, chain: &Rc<Chain>, include: &Include) -> At {
    let Ok(permit) = around.permits.clone().try_acquire_owned() else { return At::Way(Next::Src) };
    let found = look_up(around, chain, &include.src).and_then(|(ask, looked)| match looked {
        Looked::Hit(object) => of_object(around, &ask.chain, object).map(Ok),
        looked => Ok(Err(Begun { ask, looked, _permit: permit })),
    });
    match found {
        Ok(Ok(fragment)) => At::Hand(Some(fragment)),
        Ok(Err(begun)) => At::Way(Next::Looked(Box::new(begun))),
        Err(fault) => {
            around.failed(fault);
            if include.alt.is_some() { At::Way(Next::Alt) } else { At::Hand(None) }
        }
    }
}

/// Fetches a fragment, by its address and then by the other one; `None` when there is nothing to put in.
pub async fn fragment(
    around: Rc<Around>,
    chain: Rc<Chain>,
    include: Include,
    next: Next,
) -> Option<Fragment> {
    let first = match next {
        Next::Looked(begun) => {
            let Begun { ask, looked, _permit } = *begun;
            Some(obtain(&around, ask, looked).await)
        }
        Next::Src => Some(get(&around, &chain, &include.src).await),
        Next::Alt => None,
    };
    match first {
        Some(Ok(fragment)) => return Some(fragment),
        Some(Err(fault)) => around.failed(fault),
        None => {}
    }
    match get(&around, &chain, include.alt.as_ref()?).await {
        Ok(fragment) => Some(fragment),
        Err(fault) => {
            around.failed(fault);
            None
        }
    }
}

async fn get(around: &Rc<Around>, chain: &Rc<Chain>, address: &str) -> Result<Fragment, AssemblyFault> {
    // Nobody closes the semaphore.
    let _permit = around.permits.acquire().await;
    let (ask, looked) = look_up(around, chain, address)?;
    obtain(around, ask, looked).await
}

fn look_up(around: &Rc<Around>, chain: &Rc<Chain>, address: &str) -> Result<(Ask, Looked), AssemblyFault> {
    let ask = Ask::new(around, chain, address)?;
    let (deadline, mut attempts, mut forwarded) = (Deadline::new(), Attempts::default(), None);
    let looked = ask.inquiry(around, &deadline, &mut attempts, &mut forwarded).look_up();
    looked.map(|looked| (ask, looked)).map_err(fault_of_no)
}

/// Everything after the look-up.
async fn obtain(around: &Rc<Around>, ask: Ask, looked: Looked) -> Result<Fragment, AssemblyFault> {
    let (deadline, mut attempts, mut forwarded) = (Deadline::new(), Attempts::default(), None);
    let mut inquiry = ask.inquiry(around, &deadline, &mut attempts, &mut forwarded);
    let got = match inquiry.obtain(looked).await.map_err(fault_of_no)? {
        // Its content is on disk, too large for memory: it is fetched for this page alone.
        Got::Object { object, .. } if object.place().is_some() => Got::Pass(Bypass::TooLarge),
        got => got,
    };
    match got {
        Got::Object { object, .. } => of_object(around, &ask.chain, object),
        Got::Reader { reader, .. } => {
            let (status, assembles) = (reader.head().status, reader.assembles());
            let is_encoded = is_stored_encoded(&reader.head().lines);
            of_stream(around, &ask.chain, status, is_encoded, assembles, Stream::Fill(reader)).await
        }
        Got::Own(own) => {
            let Own { exchange, response, .. } = *own;
            of_response(around, &ask, exchange, &response).await
        }
        Got::Pass(bypass) => {
            let (mut head, mut response) = (Vec::new(), ResponseHead::new());
            let asking = inquiry.asking();
            asking.write_own_forward(&mut head, asking.asks_as_keyed(bypass));
            let place = ask.place;
            let (stuck, pool) = (inquiry.stuck(), place.pool);
            let outgoing = Outgoing {
                head: &head,
                method: Method::Get,
                pool,
                upgrades: false,
                priority: place.priority,
                abandoned: None,
                stuck,
                content: None,
            };
            let (thread, view) = (&around.thread, around.view.clone());
            let attempts = &mut *inquiry.attempts;
            let fetched = fetch_readable(
                thread,
                view,
                place.caching,
                &outgoing,
                None,
                &mut response,
                attempts,
                &deadline,
            )
            .await;
            let trouble = match &fetched {
                Ok(_) => is_error(response.status).then_some(Trouble::Error),
                Err(_) => Some(Trouble::Silence),
            };
            if let Some(trouble) = trouble
                && let Some(object) = inquiry.stale_if_error(trouble)
            {
                return of_object(around, &ask.chain, object);
            }
            of_response(around, &ask, fetched.map_err(fault_of_no)?, &response).await
        }
    }
}

async fn of_response(
    around: &Rc<Around>,
    ask: &Ask,
    exchange: Box<Exchange>,
    response: &ResponseHead,
) -> Result<Fragment, AssemblyFault> {
    let esi = around.view.prepared.caching(ask.place.caching).esi;
    let (assembles, is_encoded) = (is_page(esi, response), is_encoded(&response.fields));
    let stream = Stream::Own(Some(exchange), around.thread.clone(), Deadline::new());
    of_stream(around, &ask.chain, response.status, is_encoded, assembles, stream).await
}

fn of_object(around: &Rc<Around>, chain: &Rc<Chain>, object: Arc<Object>) -> Result<Fragment, AssemblyFault> {
    usable(object.status(), is_stored_encoded(object.lines()))?;
    if object.place().is_some() {
        return Err(AssemblyFault::Failed);
    }
    match stored_plan(&object)? {
        None => Ok(Fragment::Object(object)),
        Some(plan) => Ok(Fragment::Page(Page::begin(around, chain, Content::Object(object.clone()), plan))),
    }
}

async fn of_stream(
    around: &Rc<Around>,
    chain: &Rc<Chain>,
    status: u16,
    is_encoded: bool,
    assembles: bool,
    mut stream: Stream,
) -> Result<Fragment, AssemblyFault> {
    let bytes_max = if assembles { PAGE_BYTES_MAX } else { WINDOW_BYTES };
    let collected = collect(&mut stream, bytes_max).await;
    // After it was read: the connection can serve again.
    usable(status, is_encoded)?;
    let (chunks, is_whole) = collected.map_err(|_| AssemblyFault::Failed)?;
    let held = Held::new(around.thread.shared.ledger.clone(), stream.held(&chunks));
    if !assembles {
        return Ok(Fragment::Body { chunks, rest: (!is_whole).then_some(stream), held });
    }
    if !is_whole {
        return Err(AssemblyFault::PageTooLarge);
    }
    match plan_of(&chunks)? {
        None => Ok(Fragment::Body { chunks, rest: None, held }),
        Some(plan) => {
            Ok(Fragment::Page(Page::begin(around, chain, Content::Chunks { chunks, _held: held }, &plan)))
        }
    }
}

/// Whether a response can take an include's place. 204 is nothing, and meant so.
fn usable(status: u16, is_encoded: bool) -> Result<(), AssemblyFault> {
    match status {
        200 | 204 if is_encoded => Err(AssemblyFault::FragmentEncoded),
        200 | 204 => Ok(()),
        _ => Err(AssemblyFault::Status),
    }
}

impl Ask {
    /// The request for what stands at this address.
    fn new(around: &Around, chain: &Rc<Chain>, address: &str) -> Result<Self, AssemblyFault> {
        around.another()?;
        if chain.level >= LEVELS_MAX {
            return Err(AssemblyFault::TooManyLevels);
        }
        let address = resolve(address, &chain.host, &chain.target).ok_or(AssemblyFault::NoAddress)?;
        let host = address.host;
        let is_his_host = same_host(&host, &around.host);
        let own_lines: &[u8] = if is_his_host { &around.own_lines } else { b"" };
        let mut scratch = Box::<Scratch>::default();
        let mut target = address.target;
        // A path that is not canonical is asked for as it should be: nobody is redirected here.
        let (place, asked) = loop {
            let head = [
                b"GET ",
                &target[..],
                b" HTTP/1.1\r\nHost: ",
                &host,
                b"\r\n",
                &around.lines,
                own_lines,
                b"\r\n",
            ];
            parse(&head.concat(), &mut scratch.request)?;
            let understood = http1::request_framing(&scratch.request)
                .and_then(|framing| understand(&scratch.request, framing));
            let mut asked = understood.map_err(|_| AssemblyFault::Refused)?;
            asked.https = around.came.https;
            let searches = &around.thread.shared.searches;
            match route(&around.view, searches, &mut scratch, &mut asked, &mut Why::new()) {
                Ok(place) => break (Place { priority: around.priority, ..place }, asked),
                Err(Stop::Redirect) if target != scratch.target => target.clone_from(&scratch.target),
                Err(Stop::Refused(Refused::NoSite)) => return Err(AssemblyFault::ForeignHost),
                Err(_) => return Err(AssemblyFault::Refused),
            }
        };
        if chain.holds(&scratch.key) {
            return Err(AssemblyFault::Loop);
        }
        let (key, target) = (scratch.key.clone(), scratch.target.clone());
        let level = chain.level + 1;
        let chain = Rc::new(Chain { key, host, target, level, above: Some(chain.clone()) });
        Ok(Self { scratch, asked, place, chain })
    }

    fn inquiry<'a>(
        &'a self,
        around: &'a Around,
        deadline: &'a Deadline,
        attempts: &'a mut Attempts,
        forwarded: &'a mut Option<Forwarded>,
    ) -> Inquiry<'a> {
        let Scratch { request, target, shared_target, key, cookies, .. } = &*self.scratch;
        let cookies = self.place.cookies.reduced.then_some(&cookies[..]);
        let (thread, view, peer) = (&around.thread, &around.view, around.came.address);
        let via = &around.via[..];
        let (asked, place) = (&self.asked, &self.place);
        Inquiry {
            thread,
            view,
            request,
            target,
            shared_target,
            cookies,
            key,
            asked,
            place,
            peer,
            via,
            deadline,
            attempts,
            forwarded,
        }
    }
}

/// What a visitor's request would have to pass too.
fn parse(head: &[u8], request: &mut RequestHead) -> Result<(), AssemblyFault> {
    let limits = http1::Limits { head_bytes_max: head.len() + 1, ..http1::Limits::default() };
    match http1::parse_request(head, &limits, request) {
        Ok(Parsed::Complete { .. }) => Ok(()),
        _ => Err(AssemblyFault::Refused),
    }
}

/// Whether a browser would send the same cookies there.
fn same_host(one: &[u8], other: &[u8]) -> bool {
    let name = |host| split_authority(host).map(|(name, _)| name);
    matches!((name(one), name(other)), (Some(one), Some(other)) if one.eq_ignore_ascii_case(other))
}

fn fault_of_no(no: NoResponse) -> AssemblyFault {
    match no {
        NoResponse::Failed(_) => AssemblyFault::Failed,
        NoResponse::Refused(_) => AssemblyFault::Refused,
    }
}
