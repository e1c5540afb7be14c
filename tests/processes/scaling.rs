//! Scaling costs no request: instances come and go again and again under load, with kept connections and slow clients; and
//! the shop's carts outlive any of its instances (S4.1).

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tentpole_testkit::process::{children, signal};
use tentpole_testkit::{Ask, Tentpole, Up, Visitor, binary};
use tentpole_tests::crowd::{Crowd, Manner};
use tentpole_tests::{until, until_within};

/// Requests of which none may fail.
const REQUESTS: u64 = 200_000;
/// How long two instances may take to be found needless, one after the other, and to drain.
const SHRINK_MAX: Duration = Duration::from_secs(60);
/// How long a rush may take on a busy machine, until there are more instances, and then until it was served.
const RUSH_MAX: Duration = Duration::from_secs(90);

async fn fleet(tentpole: &Tentpole) -> Value {
    let answer = tentpole.admin_visitor().await.get("/api/fleets").await.expect(200);
    let fleets: Value = serde_json::from_slice(&answer.body).expect("the fleets are JSON");
    fleets["fleets"][0].clone()
}

/// How many instances take traffic.
async fn serving(tentpole: &Tentpole) -> usize {
    let fleet = fleet(tentpole).await;
    let instances = fleet["instances"].as_array().cloned().unwrap_or_default();
    instances.iter().filter(|one| one["phase"] == "serving" || one["phase"] == "warming_up").count()
}

async fn how_many_there_are(tentpole: &Tentpole) -> usize {
    fleet(tentpole).await["instances"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn no_request_of_two_hundred_thousand_fails_while_instances_come_and_go() {
    let program = binary("tentpole-testkit");
    // Who reads slowly still reads what the kernel holds for him long after the edge has sent it: no idle connection is closed here.
    let config = format!(
        "[limits]\nidle_time = \"10m\"\n[pool.app]\n[pool.app.fleet]\nrun = \"{} origin --listen 127.0.0.1:{{port}}\"\nmin = 1\nmax = 3\n\
         requests_target = 8\nscale_in_window = \"2s\"\nslow_start = \"1s\"\nready = \"/count\"\n",
        program.display()
    );
    let tentpole = Up::config(&config).start().await;
    let always = {
        let mut crowd = Crowd::start(tentpole.address(), 2, &Manner::asking("/nocache/1000"));
        let slow = Manner { slow: Some(Duration::from_millis(10)), ..Manner::asking("/nocache/3000000") };
        crowd.join(tentpole.address(), 2, &slow);
        crowd
    };
    let (mut outs, mut ins) = (0, 0);
    let (mut served, mut met_by_rushes) = (0, Vec::new());
    while always.good() + served < REQUESTS || outs < 3 || ins < 3 {
        let rush = Crowd::start(tentpole.address(), 40, &Manner::asking("/slow/10"));
        until_within(RUSH_MAX, "the rush to bring more instances", async || serving(&tentpole).await == 3)
            .await;
        outs += 1;
        // A while under full load, so that the new ones take their share.
        until_within(RUSH_MAX, "the rush to be served", async || rush.good() > 5_000).await;
        let met = rush.ends().await;
        served += met.good;
        met_by_rushes.push(met);
        // Twice a window, and slow clients who finish.
        until_within(SHRINK_MAX, "the fleet to shrink", async || how_many_there_are(&tentpole).await == 1)
            .await;
        ins += 1;
    }
    let met = always.ends().await;
    eprintln!("{outs} times out, {ins} times in; the steady visitors met {met:?}");
    for met in met_by_rushes.iter().chain([&met]) {
        assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
    }
    tentpole.ends().await;
}

/// A visitor with a cart: his session cookie, and what he put in.
struct Shopper {
    cookie: String,
    product: String,
}

/// Puts one product into a new cart, as the page's own form does.
async fn shop(tentpole: &Tentpole, number: usize) -> Shopper {
    let mut visitor = Visitor::connect(tentpole.address()).await.host("shop.localhost");
    let home = visitor.get("/").await.expect(200).text().to_string();
    let links: Vec<&str> =
        home.split("href=\"/p/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let slug = links[number % links.len()].to_owned();
    let page = visitor.get(&format!("/p/{slug}")).await.expect(200).text().to_string();
    let form = form_of(&page);
    let ask = Ask::post("/cart", &form).header("Content-Type", "application/x-www-form-urlencoded");
    let answer = visitor.ask(&ask).await;
    assert_eq!(answer.status, 303, "{form}: {}", answer.text());
    let cookies = answer.all("set-cookie");
    let cookie: Vec<&str> = cookies.filter_map(|cookie| cookie.split(';').next()).collect();
    Shopper { cookie: cookie.join("; "), product: slug }
}

/// The first value of each field of the form that puts a product into the cart.
fn form_of(page: &str) -> String {
    let begin = page.find("action=\"/cart\"").expect("a product page has a form for the cart");
    let form = &page[begin..begin + page[begin..].find("</form>").expect("the form ends")];
    let mut fields: Vec<(String, String)> = Vec::new();
    let attribute = |tag: &str, name: &str| {
        let begin = tag.find(&format!(" {name}=\""))? + name.len() + 3;
        Some(tag[begin..].split('"').next()?.to_owned())
    };
    let mut select = None;
    for tag in form.split('<').skip(1) {
        let named = attribute(tag, "name");
        let field = match (tag.split_whitespace().next(), named) {
            (Some("select"), name) => {
                select = name;
                continue;
            }
            (Some("option"), _) => select.take().zip(attribute(tag, "value")),
            // The size that the page proposes: one that is in stock.
            (Some("input"), Some(_)) if tag.contains("type=\"radio\"") && !tag.contains(" checked") => None,
            (Some("input"), Some(name)) => attribute(tag, "value").map(|value| (name, value)),
            _ => None,
        };
        fields.extend(field.filter(|(name, _)| fields.iter().all(|(known, _)| known != name)));
    }
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    fields.join("&")
}

#[tokio::test]
async fn s4_1_killing_any_instance_loses_no_cart() {
    let mut tentpole =
        Up::demo().argument("--min").argument("2").argument("--max").argument("2").start().await;
    until("both instances to serve", async || serving(&tentpole).await == 2).await;
    let mut shoppers = Vec::new();
    for number in 0..10 {
        shoppers.push(shop(&tentpole, number).await);
    }
    let browse = Manner { host: Some("shop.localhost".to_owned()), ..Manner::asking("/cart") };
    let crowd = Crowd::start(tentpole.address(), 8, &browse);
    for name in ["shop-1", "shop-2"] {
        let instance = fleet(&tentpole).await["instances"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["name"] == name).cloned())
            .unwrap_or_else(|| panic!("no {name}"));
        let (shim, id) = (instance["pid"].as_u64().expect("a pid") as u32, instance["id"].clone());
        for pid in children(shim).into_iter().chain([shim]) {
            signal(pid, Signal::KILL);
        }
        for Shopper { cookie, product } in &shoppers {
            let mut visitor = tentpole.visitor().await.host("shop.localhost");
            let cart = visitor.ask(&Ask::get("/cart").cookie(cookie)).await.expect(200).text().to_string();
            assert!(cart.contains(&format!("/p/{product}")), "{product} is not in the cart any more: {cart}");
        }
        until("another instance in its place", async || {
            let fleet = fleet(&tentpole).await;
            let instances = fleet["instances"].as_array().cloned().unwrap_or_default();
            instances.iter().any(|one| one["name"] == name && one["id"] != id)
                && serving(&tentpole).await == 2
        })
        .await;
    }
    let met = crowd.ends().await;
    assert_eq!(met.failed, 0, "{met:?}");
    assert!(met.good > 100, "{met:?}");
    tentpole.signal(Signal::INT);
    tentpole.until_ended().await;
}
