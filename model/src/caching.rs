//! How responses of a route are cached, beyond what the responses themselves say: what makes two requests the same,
//! what may be learned, what is made of a page on its way into the cache. Already checked; decides nothing.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Index of a [`Caching`] in `Snapshot::cachings`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CachingId(pub u16);

/// What a site or a route says about caching. Routes that say the same share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caching {
    /// Whether to find out what may be shared of what says nothing about caching.
    pub learn: Learn,
    /// Query parameters in the key.
    pub query: QueryRules,
    /// Cookies that say nothing about who the visitor is: names, or beginnings of names that end in `*`. They take no
    /// part in any decision, and an endpoint that is asked for something to store does not get them.
    pub cookies_ignored: Vec<String>,
    /// Cookies whose values are part of the key: a group of visitors, not one of them (`X-Magento-Vary`).
    pub cookies_keyed: Vec<String>,
    /// Languages that the application has, the first is its default. `Accept-Language` is reduced to one of them where a
    /// response varies by it (RFC 4647 section 3.4); empty leaves it as it came.
    pub languages: Vec<String>,
    /// `User-Agent` is reduced to `phone`, `tablet`, `desktop` or `robot` where a response varies by it.
    pub devices: bool,
    /// A response that sets a cookie may be stored, without the cookie, when it is cacheable otherwise. Only where a
    /// route says so by name: the application is then trusted to put nothing of a visitor into such pages.
    pub despite_set_cookie: bool,
    /// Visitors may force that the endpoint is asked first (`Cache-Control: no-cache`, `max-age=0`, `Pragma`).
    pub visitors_revalidate: bool,
    /// Visitors' browsers may keep what is shared, as the response says. Otherwise they are told to ask each time, so that
    /// a purge is seen at once and a page of another group of visitors never.
    pub visitors_keep: bool,
    /// How long 404, 405, 410, 414 and 501 are kept when they say nothing themselves; zero leaves them to the standard.
    pub negative: Duration,
    /// How long what is stale may be served while it is fetched anew, when the response says nothing (RFC 5861).
    pub stale_while_revalidate: Duration,
    /// How long what is stale may be served in place of an error, when the response says nothing (RFC 5861).
    pub stale_if_error: Duration,
    /// Pages are put together at the edge (ESI).
    pub esi: Esi,
    /// Links of pages that lead to another host.
    pub assets: Option<Assets>,
    /// Text that is stored is compressed, once for each object and coding.
    pub compress: bool,
    /// Paths of the site, with a `*` at the end for all below, that a successful unsafe request here makes stale.
    pub purges: Vec<String>,
}

/// Whether responses that say nothing about caching are compared to find out what may be shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Learn {
    /// Not looked at.
    Off,
    /// Compared, and told by `tentpole cache advise`.
    #[default]
    Advise,
    /// Applied too, with a short lifetime, until the first contradiction.
    Apply,
}

/// Which query parameters are part of the key. What is not, an endpoint that is asked for something to store does not
/// get either: it cannot answer by what the key does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueryRules {
    /// Only these; `None` is all. Names, or beginnings of names that end in `*`.
    pub keep: Option<Vec<String>>,
    /// Not these.
    pub drop: Vec<String>,
    /// The order of parameters means nothing.
    pub sort: bool,
}

/// Whether pages are put together at the edge (ESI language specification 1.0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Esi {
    /// Never.
    Off,
    /// Where the response asks for it: `Surrogate-Control: content="ESI/1.0"`.
    #[default]
    Asked,
    /// Every page of text, whether it asks or not: what Magento expects of Varnish.
    Always,
}

/// Links of HTML pages that are rewritten so that they lead to another host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Assets {
    /// Scheme and authority, without a slash at the end.
    pub host: String,
    /// Paths of the page's own host, with a `*` at the end for all below; at least one.
    pub paths: Vec<String>,
}

/// The cache on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSettings {
    /// The directory; made when it is not there.
    pub directory: PathBuf,
    /// Bytes that it may hold.
    pub bytes_max: u64,
    /// Bytes of one object.
    pub object_bytes_max: u64,
}

/// Cookies that analytics, advertising and consent banners set in the browser. None of them makes an application show
/// another page.
pub const COOKIES_IGNORED: &[&str] = &[
    "_ga*",
    "_gid",
    "_gat*",
    "_gac_*",
    "_gcl_*",
    "__utm*",
    "_fbp",
    "_fbc",
    "_hj*",
    "_pk_*",
    "_clck",
    "_clsk",
    "_uetsid",
    "_uetvid",
    "_ttp",
    "_pin_unauth",
    "__hstc",
    "__hssc",
    "__hssrc",
    "hubspotutk",
    "ajs_*",
    "mp_*",
    "amplitude_*",
    "__gads",
    "__gpi",
    "_dc_gtm_*",
    "_vwo_*",
    "_scid*",
    "CookieConsent",
    "cookieyes-consent",
    "cookielawinfo-*",
    "cookie_notice_accepted",
    "OptanonConsent",
    "OptanonAlertBoxClosed",
    "euconsent*",
    "eupubconsent*",
    "borlabs-cookie",
    "cmplz_*",
    "moove_gdpr_popup",
    "tarteaucitron",
    "viewed_cookie_policy",
];

impl Default for Caching {
    fn default() -> Self {
        Self {
            learn: Learn::default(),
            query: QueryRules::default(),
            cookies_ignored: COOKIES_IGNORED.iter().map(|&name| name.to_owned()).collect(),
            cookies_keyed: Vec::new(),
            languages: Vec::new(),
            devices: false,
            despite_set_cookie: false,
            visitors_revalidate: true,
            visitors_keep: true,
            negative: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            esi: Esi::default(),
            assets: None,
            compress: true,
            purges: Vec::new(),
        }
    }
}
