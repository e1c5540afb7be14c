//! Which calls tell a content network of purges: as its documentation says, in batches as large as it takes. Builds
//! them; sends nothing, signs nothing.
//!
//! - Fastly: <https://www.fastly.com/documentation/reference/api/purging/>, 256 keys a call.
//! - CloudFront: `CreateInvalidation` 2020-05-31, and "Invalidating content by cache tags" of its developer guide.
//! - Cloudflare: "Purge Cached Content" of its API, 100 operations a call.

use crate::terms::{Told, What};
use serde_json::json;
use tentpole_model::ContentService;

/// Keys in one call to Fastly.
const FASTLY_KEYS_MAX: usize = 256;
/// Bytes of keys in one call to Fastly: they travel in one header field.
const FASTLY_KEY_BYTES_MAX: usize = 8 << 10;
/// Paths and tags in one invalidation; 3,000 may be in progress at a distribution.
const CLOUDFRONT_PATHS_MAX: usize = 1_000;
/// Bytes of a tag that CloudFront takes.
const CLOUDFRONT_TAG_BYTES_MAX: usize = 256;
/// Operations in one call to Cloudflare.
const CLOUDFLARE_OPERATIONS_MAX: usize = 100;
/// Bytes of a tag that Cloudflare takes.
const CLOUDFLARE_TAG_BYTES_MAX: usize = 1_024;

/// One request to an API, without credentials. The method is POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Begins with a slash.
    pub path: String,
    /// Fields beside those of credentials and length.
    pub fields: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// Something of a purge that a content network has no call for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotToldOf(pub String);

/// Purges of one kind, told together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// How many purges.
    pub(crate) purges: u64,
    pub(crate) calls: Vec<Call>,
    pub(crate) not_told: Vec<NotToldOf>,
}

/// The calls that tell of these purges. `reference` is new for each batch: CloudFront knows a repetition by it.
pub(crate) fn plan(service: &ContentService, purges: &[Told], reference: &str) -> Vec<Group> {
    let mut groups: Vec<(Told, Group, Vec<String>)> = Vec::new();
    for told in purges {
        let items = match &told.what {
            What::Url(url) | What::Prefix(url) | What::AnyQuery(url) => vec![url.clone()],
            What::Tags(tags) => tags.clone(),
            What::Hosts(hosts) => hosts.clone(),
            What::Site(name) => vec![name.clone()],
            What::Everything => Vec::new(),
        };
        let kind = std::mem::discriminant(&told.what);
        let alike = |(first, ..): &&mut (Told, Group, Vec<String>)| {
            std::mem::discriminant(&first.what) == kind && first.soft == told.soft
        };
        match groups.iter_mut().find(alike) {
            Some((_, group, all)) => {
                group.purges += 1;
                all.extend(items);
            }
            None => groups.push((told.clone(), Group { purges: 1, ..Group::default() }, items)),
        }
    }
    let mut planned = Vec::new();
    for (at, (first, mut group, mut items)) in groups.into_iter().enumerate() {
        items.sort_unstable();
        items.dedup();
        match service {
            ContentService::Fastly { service, .. } => fastly(&mut group, service, &first, items),
            ContentService::CloudFront { distribution, tags, .. } => {
                let reference = format!("{reference}-{at}");
                cloudfront(&mut group, distribution, *tags, &first, items, &reference);
            }
            ContentService::Cloudflare { zone, .. } => cloudflare(&mut group, zone, &first, items),
        }
        planned.push(group);
    }
    planned
}

impl Group {
    fn call(&mut self, path: String, fields: Vec<(&'static str, String)>, body: String) {
        self.calls.push(Call { path, fields, body });
    }

    fn not_told(&mut self, why: impl Into<String>) {
        self.not_told.push(NotToldOf(why.into()));
    }

    /// Keeps the tags that the content network takes.
    fn takes(&mut self, tags: Vec<String>, takes: impl Fn(&str) -> bool, which: &str) -> Vec<String> {
        let (taken, left): (Vec<_>, Vec<_>) = tags.into_iter().partition(|tag| takes(tag));
        if let Some(first) = left.first() {
            self.not_told(format!(
                "{} of {which}, like {first:?}",
                count(left.len(), "tag is none", "tags are none")
            ));
        }
        taken
    }
}

fn count(number: usize, one: &str, several: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {several}") }
}

fn fastly(group: &mut Group, service: &str, first: &Told, items: Vec<String>) {
    let soft = || if first.soft { vec![("Fastly-Soft-Purge", "1".to_owned())] } else { Vec::new() };
    match &first.what {
        What::Url(_) => {
            for url in items {
                group.call(format!("/purge/{}", encoded(without_scheme(&url))), soft(), String::new());
            }
        }
        What::Tags(_) => {
            let keys =
                group.takes(items, |tag| !tag.contains([' ', '\t']), "Surrogate-Key's, which end at a space");
            for keys in chunks(&keys, FASTLY_KEYS_MAX, FASTLY_KEY_BYTES_MAX) {
                let fields = [soft(), vec![("Surrogate-Key", keys.join(" "))]].concat();
                group.call(format!("/service/{service}/purge"), fields, String::new());
            }
        }
        // Soft is not known for everything there.
        What::Everything => group.call(format!("/service/{service}/purge_all"), Vec::new(), String::new()),
        // It keeps what has another query apart, and has no purge for that.
        What::AnyQuery(_) => {}
        What::Prefix(url) => group.not_told(format!("Fastly has no purge by prefix ({url})")),
        What::Hosts(_) | What::Site(_) => group.not_told(ONLY_WHOLE),
    }
}

const ONLY_WHOLE: &str = "it has no purge of one site among several; give each site a [content_network] of its own, \
                          with `sites`";

fn cloudfront(
    group: &mut Group,
    distribution: &str,
    reads_tags: bool,
    first: &Told,
    items: Vec<String>,
    reference: &str,
) {
    let target = |url: &String| {
        let rest = without_scheme(url);
        let path = rest.find(['/', '?']).map_or("/", |at| &rest[at..]);
        let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
        // A star of the address itself would match anything.
        encoded(&path).replace('*', "%2A")
    };
    let paths: Vec<String> = match &first.what {
        What::Url(_) => items.iter().map(target).collect(),
        What::Prefix(_) => items.iter().map(|url| target(url) + "*").collect(),
        What::AnyQuery(_) => items.iter().map(|url| target(url) + "?*").collect(),
        What::Everything => vec!["/*".to_owned()],
        What::Tags(_) if reads_tags => {
            let is_tag = |tag: &str| {
                (1..=CLOUDFRONT_TAG_BYTES_MAX).contains(&tag.len())
                    && tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
            };
            let tags =
                group.takes(items, is_tag, "CloudFront's: 1 to 256 visible ASCII signs without commas");
            tags.into_iter().map(|tag| format!("#{tag}")).collect()
        }
        What::Tags(_) => {
            group.not_told(
                "the distribution reads no tags. Give it a CacheTagConfig, and tags = true to its [content_network]",
            );
            Vec::new()
        }
        What::Hosts(_) | What::Site(_) => {
            group.not_told(ONLY_WHOLE);
            Vec::new()
        }
    };
    for (at, paths) in paths.chunks(CLOUDFRONT_PATHS_MAX).enumerate() {
        let items: String = paths.iter().map(|path| format!("<Path>{}</Path>", escaped(path))).collect();
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InvalidationBatch \
             xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Paths><Quantity>{}</Quantity><Items>{items}\
             </Items></Paths><CallerReference>{reference}-{at}</CallerReference></InvalidationBatch>",
            paths.len()
        );
        let path = format!("/2020-05-31/distribution/{distribution}/invalidation");
        group.call(path, vec![("Content-Type", "text/xml".to_owned())], body);
    }
}

fn cloudflare(group: &mut Group, zone: &str, first: &Told, items: Vec<String>) {
    let (name, items) = match &first.what {
        What::Url(_) => {
            // An application does not say under which scheme its visitors come.
            let both = |url: &String| {
                let rest = without_scheme(url);
                [format!("https://{rest}"), format!("http://{rest}")]
            };
            ("files", items.iter().flat_map(both).collect())
        }
        What::Prefix(_) => {
            let (prefixes, queries): (Vec<_>, Vec<_>) = items.into_iter().partition(|url| !url.contains('?'));
            if let Some(url) = queries.first() {
                group.not_told(format!("Cloudflare's prefixes have no query ({url})"));
            }
            (
                "prefixes",
                prefixes.iter().map(|url| without_scheme(url).trim_end_matches('/').to_owned()).collect(),
            )
        }
        What::Tags(_) => {
            let is_tag = |tag: &str| {
                (1..=CLOUDFLARE_TAG_BYTES_MAX).contains(&tag.len())
                    && tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
            };
            ("tags", group.takes(items, is_tag, "Cloudflare's: visible ASCII signs without commas"))
        }
        What::Hosts(_) => ("hosts", items),
        What::Everything => {
            let body = json!({ "purge_everything": true });
            return cloudflare_call(group, zone, body);
        }
        // It keeps what has another query apart, and has no purge for that.
        What::AnyQuery(_) => return,
        What::Site(_) => return group.not_told(ONLY_WHOLE),
    };
    for items in items.chunks(CLOUDFLARE_OPERATIONS_MAX) {
        cloudflare_call(group, zone, json!({ name: items }));
    }
}

fn cloudflare_call(group: &mut Group, zone: &str, body: serde_json::Value) {
    let fields = vec![("Content-Type", "application/json".to_owned())];
    group.call(format!("/client/v4/zones/{zone}/purge_cache"), fields, body.to_string());
}

fn without_scheme(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}

/// Percent-encodes what no URL holds as it is; what is encoded already stays.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'!' | b'#'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// For XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Parts of a list, each within a number and bytes with one sign between two.
fn chunks(items: &[String], most: usize, bytes_max: usize) -> Vec<Vec<&str>> {
    let (mut all, mut bytes): (Vec<Vec<&str>>, usize) = (Vec::new(), 0);
    for item in items {
        bytes += item.len() + 1;
        match all.last_mut() {
            Some(chunk) if chunk.len() < most && bytes <= bytes_max => chunk.push(item),
            _ => {
                bytes = item.len() + 1;
                all.push(vec![item]);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::Secret;

    fn secret() -> Secret {
        Secret::Variable("T".into())
    }

    fn fastly() -> ContentService {
        ContentService::Fastly { service: "SVC".into(), token: secret() }
    }

    fn cloudfront(tags: bool) -> ContentService {
        let (key_id, key) = (secret(), secret());
        ContentService::CloudFront { distribution: "DIST".into(), key_id, key, session: None, tags }
    }

    fn cloudflare() -> ContentService {
        ContentService::Cloudflare { zone: "ZONE".into(), token: secret() }
    }

    fn hard(what: What) -> Told {
        Told { what, soft: false }
    }

    fn url(path: &str) -> Told {
        hard(What::Url(format!("http://shop.example{path}")))
    }

    fn tags(all: &[&str]) -> What {
        What::Tags(all.iter().map(|&tag| tag.into()).collect())
    }

    fn calls(service: &ContentService, purges: &[Told]) -> Vec<Call> {
        let groups = plan(service, purges, "ref");
        assert!(groups.iter().all(|group| group.not_told.is_empty()), "{groups:?}");
        groups.into_iter().flat_map(|group| group.calls).collect()
    }

    fn not_told(service: &ContentService, what: What) -> String {
        let groups = plan(service, &[hard(what)], "ref");
        groups.into_iter().flat_map(|group| group.not_told).map(|NotToldOf(why)| why).collect()
    }

    /// What stands between the tags of the body, in order.
    fn paths(call: &Call) -> Vec<&str> {
        call.body.split("<Path>").skip(1).map(|rest| rest.split("</Path>").next().unwrap_or("")).collect()
    }

    #[test]
    fn fastly_takes_256_keys_a_call() {
        let many: Vec<String> = (0..600).map(|number| format!("k{number:03}")).collect();
        let calls = calls(&fastly(), &[hard(What::Tags(many))]);
        let keys: Vec<usize> = calls.iter().map(|call| call.fields[0].1.split(' ').count()).collect();
        assert_eq!(keys, [256, 256, 88]);
        assert!(calls.iter().all(|call| call.path == "/service/SVC/purge" && call.body.is_empty()));
        assert_eq!(calls[0].fields[0].0, "Surrogate-Key");
    }

    #[test]
    fn long_keys_make_smaller_calls_to_fastly() {
        let long: Vec<String> = (0..30).map(|number| format!("{number:0>1000}")).collect();
        let calls = calls(&fastly(), &[hard(What::Tags(long))]);
        assert!(calls.iter().all(|call| call.fields[0].1.len() <= FASTLY_KEY_BYTES_MAX) && calls.len() == 4);
    }

    #[test]
    fn fastly_purges_softly_what_it_can() {
        let soft = |what| calls(&fastly(), &[Told { what, soft: true }]).remove(0);
        assert_eq!(soft(tags(&["a"])).fields[0], ("Fastly-Soft-Purge", "1".into()));
        let page = soft(What::Url("https://shop.example/a b?c=ü".into()));
        assert_eq!(page.path, "/purge/shop.example/a%20b?c=%C3%BC");
        assert_eq!(page.fields, [("Fastly-Soft-Purge", "1".into())]);
        let all = soft(What::Everything);
        assert_eq!((all.path.as_str(), all.fields.len()), ("/service/SVC/purge_all", 0));
    }

    #[test]
    fn what_fastly_has_no_purge_for_is_said() {
        assert!(
            not_told(&fastly(), What::Prefix("http://a/b".into()))
                .contains("no purge by prefix (http://a/b)")
        );
        assert!(not_told(&fastly(), What::Hosts(vec!["a".into()])).contains("of one site among several"));
        assert!(not_told(&fastly(), tags(&["a b"])).contains("like \"a b\""));
        assert_eq!(not_told(&fastly(), What::AnyQuery("http://a/b".into())), "");
    }

    #[test]
    fn cloudfront_invalidates_paths_and_wildcards() {
        let purges = [
            url("/a?b=1&c=2"),
            url("/a*b"),
            hard(What::Prefix("http://shop.example/p/".into())),
            hard(What::AnyQuery("http://shop.example/post/".into())),
            hard(What::Everything),
        ];
        let calls = calls(&cloudfront(false), &purges);
        let all: Vec<&str> = calls.iter().flat_map(paths).collect();
        assert_eq!(all, ["/a%2Ab", "/a?b=1&amp;c=2", "/p/*", "/post/?*", "/*"]);
        assert!(calls.iter().all(|call| call.path == "/2020-05-31/distribution/DIST/invalidation"));
        assert!(calls[0].body.contains("<Quantity>2</Quantity>"), "{}", calls[0].body);
        let mut references: Vec<_> =
            calls.iter().map(|call| call.body.split("CallerReference").nth(1)).collect();
        references.sort_unstable();
        references.dedup();
        assert_eq!(references.len(), calls.len(), "each invalidation has its own");
    }

    #[test]
    fn cloudfront_invalidates_tags_where_the_distribution_reads_them() {
        assert_eq!(paths(&calls(&cloudfront(true), &[hard(tags(&["b", "a", "a"]))])[0]), ["#a", "#b"]);
        assert!(not_told(&cloudfront(true), tags(&["a,b"])).contains("like \"a,b\""));
        assert!(not_told(&cloudfront(false), tags(&["a"])).contains("tags = true"));
    }

    #[test]
    fn cloudflare_takes_100_operations_a_call() {
        let many: Vec<Told> = (0..120).map(|number| url(&format!("/{number:03}"))).collect();
        let calls = calls(&cloudflare(), &many);
        assert_eq!(calls.len(), 3, "each URL under both schemes");
        assert!(
            calls[0].body.starts_with(r#"{"files":["https://shop.example/000","http://shop.example/000","#)
        );
        assert!(calls.iter().all(|call| call.path == "/client/v4/zones/ZONE/purge_cache"));
    }

    #[test]
    fn cloudflare_knows_tags_prefixes_hosts_and_everything() {
        let body = |what| calls(&cloudflare(), &[hard(what)]).remove(0).body;
        assert_eq!(body(tags(&["b", "a"])), r#"{"tags":["a","b"]}"#);
        assert_eq!(body(What::Prefix("http://shop.example/p/".into())), r#"{"prefixes":["shop.example/p"]}"#);
        assert_eq!(body(What::Hosts(vec!["a".into()])), r#"{"hosts":["a"]}"#);
        assert_eq!(body(What::Everything), r#"{"purge_everything":true}"#);
        assert!(not_told(&cloudflare(), What::Prefix("http://a/?b".into())).contains("no query"));
        assert!(not_told(&cloudflare(), tags(&["a b"])).contains("like \"a b\""));
    }

    #[test]
    fn purges_of_a_kind_are_told_together_and_soft_ones_apart() {
        let soft = Told { what: tags(&["c"]), soft: true };
        let groups =
            plan(&cloudflare(), &[hard(tags(&["a"])), url("/"), hard(tags(&["b", "a"])), soft], "ref");
        let told: Vec<(u64, usize)> = groups.iter().map(|group| (group.purges, group.calls.len())).collect();
        assert_eq!(told, [(2, 1), (1, 1), (1, 1)]);
        assert_eq!(groups[0].calls[0].body, r#"{"tags":["a","b"]}"#);
    }
}
