//! `tentpole cache purge`: removes responses from the cache of a running Tentpole, or makes them stale.

use crate::admin_client::{self, AdminError};
use crate::{args, say};
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::process::ExitCode;
use tentpole_config::count;

/// Bytes of tags in one request to the API, which takes 64 KiB.
const TAG_BYTES_MAX: usize = 32 << 10;
/// Tags in one request.
const TAGS_MAX: usize = 1_000;
/// Bytes of a list on standard input.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// Remove responses from the cache, or make them stale
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tentpole cache purge http://shop.example/p/red-shoe\n  tentpole cache purge --prefix http://shop.example/p/ --soft\n  tentpole cache purge --tag cat_p_17 --tag cat_c_3 --site shop\n  changed-products | tentpole cache purge --tag -\n  tentpole cache purge --all\n\nWhen it returns, no visitor gets the old response any more. After --soft it is\nonly served while it is fetched anew."
)]
pub struct Purge {
    /// URLs as visitors see them, query included; `-` reads one a line
    #[arg(value_name = "URL", required_unless_present_any = ["prefix", "tag", "site", "all"])]
    pub urls: Vec<String>,
    /// Every URL that begins with this one; repeat it for several
    #[arg(long, value_name = "URL", conflicts_with = "urls")]
    pub prefix: Vec<String>,
    /// What carries this tag; repeat it for several, `-` reads one a line
    #[arg(long, value_name = "TAG", conflicts_with_all = ["urls", "prefix"])]
    pub tag: Vec<String>,
    /// Everything of this site; with --tag, tags of it alone
    #[arg(long, value_name = "NAME", conflicts_with_all = ["urls", "prefix"])]
    pub site: Option<String>,
    /// Everything
    #[arg(long, conflicts_with_all = ["urls", "prefix", "tag", "site"])]
    pub all: bool,
    /// Make stale: may be served once more while it is fetched anew
    #[arg(long)]
    pub soft: bool,
    #[command(flatten)]
    pub admin: args::Admin,
}

/// One request to the API: what is said of it, and its body.
type Order = (String, Value);

/// Purges in turn and says what was removed. Goes on after what the API refuses.
pub fn run(typed: &Purge) -> ExitCode {
    let orders = admin_client::address(&typed.admin.address)
        .map_err(|error| error.to_string())
        .and_then(|address| Ok((address, orders(typed)?)));
    let (address, orders) = match orders {
        Ok(meant) => meant,
        Err(error) => {
            say::error(&error);
            return ExitCode::from(2);
        }
    };
    if orders.is_empty() {
        say::out("nothing to purge: the list is empty\n");
    }
    let mut code = ExitCode::SUCCESS;
    for (what, body) in orders {
        match purge(address, &body, typed.soft) {
            Ok(removed) => {
                say::out(&format!("{what}: {removed}\n"));
            }
            Err(error) => {
                let refused = matches!(error, AdminError::Refused { .. });
                say::error(&if refused { format!("{what}: {error}") } else { error.to_string() });
                code = ExitCode::FAILURE;
                if !refused {
                    break;
                }
            }
        }
    }
    code
}

/// What is asked of the API, in order.
fn orders(typed: &Purge) -> Result<Vec<Order>, String> {
    let mut orders: Vec<Order> = Vec::new();
    for url in listed(&typed.urls)? {
        is_url(&url)?;
        orders.push((url.clone(), json!({ "url": url })));
    }
    for prefix in &typed.prefix {
        is_url(prefix)?;
        orders.push((format!("{prefix}*"), json!({ "prefix": prefix })));
    }
    let of_site = typed.site.as_ref().map(|site| format!(" of {site}")).unwrap_or_default();
    for tags in batches(listed(&typed.tag)?) {
        let said = match &tags[..] {
            [tag] => format!("tag {tag}{of_site}"),
            tags => format!("{} tags{of_site}", tags.len()),
        };
        let body = match &typed.site {
            Some(site) => json!({ "tags": tags, "site": site }),
            None => json!({ "tags": tags }),
        };
        orders.push((said, body));
    }
    match &typed.site {
        Some(site) if typed.tag.is_empty() => {
            orders.push((format!("everything of {site}"), json!({ "site": site })));
        }
        _ if typed.all => orders.push(("everything".to_owned(), json!({ "all": true }))),
        _ => {}
    }
    if typed.soft {
        for (_, body) in &mut orders {
            body["soft"] = Value::Bool(true);
        }
    }
    Ok(orders)
}

/// What was typed; in place of `-`, the lines of standard input.
fn listed(typed: &[String]) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for one in typed {
        if one != "-" {
            all.push(one.clone());
            continue;
        }
        let mut text = String::new();
        let read = io::stdin().lock().take(LIST_BYTES_MAX + 1).read_to_string(&mut text);
        read.map_err(|error| format!("standard input cannot be read: {error}"))?;
        if text.len() as u64 > LIST_BYTES_MAX {
            return Err("standard input is longer than 64 MiB; purge it in parts, or --all".to_owned());
        }
        all.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
    }
    Ok(all)
}

fn is_url(typed: &str) -> Result<(), String> {
    if typed.contains("://") {
        return Ok(());
    }
    Err(format!("{typed:?} is not a URL; write it as visitors see it, like http://shop.example/p/red-shoe"))
}

/// Parts that one request to the API holds.
fn batches(tags: Vec<String>) -> Vec<Vec<String>> {
    let (mut all, mut bytes) = (Vec::<Vec<String>>::new(), 0);
    for tag in tags {
        bytes += tag.len();
        match all.last_mut() {
            Some(batch) if batch.len() < TAGS_MAX && bytes <= TAG_BYTES_MAX => batch.push(tag),
            _ => {
                bytes = tag.len();
                all.push(vec![tag]);
            }
        }
    }
    all
}

/// What was done, in words.
fn purge(address: SocketAddr, body: &Value, soft: bool) -> Result<String, AdminError> {
    let answer = admin_client::post(address, "/api/purge", body)?;
    let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
    let number = |name: &str| answer[name].as_u64().and_then(|number| usize::try_from(number).ok());
    let (Some(objects), Some(fills)) = (number("objects"), number("fills")) else {
        return Err(AdminError::NotTheApi { address, what: "its answer says nothing of a purge" });
    };
    let done = if soft { "made stale" } else { "removed" };
    Ok(match (objects, fills) {
        (0, 0) => "nothing was stored".to_owned(),
        (objects, 0) => format!("{} {done}", count(objects, "stored response")),
        (objects, fills) => {
            format!("{} {done}, {fills} under way will not be stored", count(objects, "stored response"))
        }
    })
}
