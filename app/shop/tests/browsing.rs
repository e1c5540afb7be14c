//! S1.1, S2.3: markets by host name, addresses that last, and what caches are told.

mod support;

use support::{Instance, folder};

const MARKETS: [&str; 3] = ["shop.localhost", "laden.localhost", "boutique.localhost"];

#[tokio::test]
async fn s1_1_each_host_is_a_market_with_its_language_currency_and_links() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let port = shop.address.port();
    for (host, lang, word, price) in [
        (MARKETS[0], "en-GB", "Shop by category", "£"),
        (MARKETS[1], "de-DE", "Nach Kategorie", "\u{a0}€"),
        (MARKETS[2], "fr-CH", "Par catégorie", "CHF\u{a0}"),
    ] {
        let page = shop.visitor(host).get("/").await;
        page.is(200).says(&format!("<html lang=\"{lang}\">")).says(word).says(price);
        page.says(&format!("<link rel=\"canonical\" href=\"http://{host}:{port}/\">"));
        for other in MARKETS {
            page.says(&format!("href=\"http://{other}:{port}/\">"));
        }
        let robots = shop.visitor(host).get("/robots.txt").await;
        robots.says(&format!("Sitemap: http://{host}:{port}/sitemap.xml"));
        let sitemap = shop.visitor(host).get("/sitemap.xml").await;
        assert!(sitemap.body.matches("<url>").count() > 1_150, "{host}");
        sitemap.says(&format!("<loc>http://{host}:{port}/p/"));
    }
    let page = shop.visitor("127.0.0.1").get("/").await;
    page.says("<html lang=\"en-GB\">").says(&format!("href=\"http://shop.localhost:{port}/\""));
    shop.end().await;
}

#[tokio::test]
async fn s1_1_assortment_and_prices_differ_between_markets() {
    let folder = folder();
    let store = tentpole_shop::store::Store::open(folder.path()).await.expect("it opens");
    let (mut only_here, mut other_ratio, mut first_ratio) = (0, 0, None);
    for product in 1..=tentpole_shop::catalogue::PRODUCTS {
        let british = store.offer(0, product).await.expect("it answers");
        let german = store.offer(1, product).await.expect("it answers");
        match (british, german) {
            (Some(_), None) => only_here += 1,
            (Some(british), Some(german)) => {
                assert!(
                    german.price % 500 == 495 || german.price % 100 == 95,
                    "{} is no price point",
                    german.price
                );
                let ratio = german.price * 100 / british.price;
                other_ratio += u32::from(first_ratio.is_some_and(|first| first != ratio));
                first_ratio = first_ratio.or(Some(ratio));
            }
            _ => {}
        }
    }
    assert!(only_here > 50, "{only_here} products are sold in one of the two");
    assert!(other_ratio > 500, "prices are one another's conversion");
    store.close().await;
}

#[tokio::test]
async fn the_market_switch_leads_to_the_same_product() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut visitor = shop.visitor(MARKETS[0]);
    let list = visitor.get("/c/dresses").await;
    let path = list.between("<li class=\"card\"><a href=\"", "\"").to_owned();
    let page = visitor.get(&path).await;
    let id = page.between("name=\"product\" value=\"", "\"").to_owned();
    let marker = "hreflang=\"de-DE\" href=\"";
    let german = page.between(marker, "\"").to_owned();
    let german =
        german.strip_prefix(&format!("http://{}:{}", MARKETS[1], shop.address.port())).expect(marker);
    let other = shop.visitor(MARKETS[1]).get(german).await;
    assert_eq!(other.is(200).between("name=\"product\" value=\"", "\""), id);
    shop.end().await;
}

#[tokio::test]
async fn s2_3_every_old_address_leads_to_the_latest_in_one_step() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    shop.visitor(MARKETS[0]).get("/health").await.is(200);
    let database = sqlx::SqlitePool::connect_with(
        sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join(tentpole_shop::store::FILE)),
    )
    .await
    .expect("it opens");
    let old: Vec<(i64, String, String)> = sqlx::query_as(
        "SELECT s.market, s.slug, o.slug FROM slug s JOIN offer o USING (market, product) WHERE s.slug <> o.slug",
    )
    .fetch_all(&database)
    .await
    .expect("it answers");
    assert!(old.len() > 150, "{} old addresses", old.len());
    for (market, old, latest) in old {
        let mut visitor = shop.visitor(MARKETS[market as usize]);
        let reply = visitor.get(&format!("/p/{}", encoded(&old))).await;
        assert_eq!(reply.is(301).must("location"), format!("/p/{}", encoded(&latest)));
    }
    shop.end().await;
}

fn encoded(slug: &str) -> String {
    let letters = slug.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    letters.collect()
}

#[tokio::test]
async fn s2_3_slashes_segments_and_accents_reach_the_product() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut visitor = shop.visitor(MARKETS[2]);
    let sitemap = visitor.get("/sitemap.xml").await;
    let mut slugs = sitemap.body.split("/p/").skip(1).map(|rest| rest.split('<').next().expect("an end"));
    let slug = slugs.find(|slug| slug.contains("%C3%A9")).expect("a slug with é").to_owned();
    visitor.get(&format!("/p/{slug}")).await.is(200);
    let lower = slug.replace("%C3%A9", "%c3%a9");
    visitor.get(&format!("/p/{lower}")).await.is(200);
    for wrong in [
        format!("/p/{slug}/"),
        format!("/p/{slug}/reviews/2"),
        format!("//p//{slug}"),
        format!("/p///{slug}//x"),
        format!("/p/{}", slug.replace("%C3%A9", "e").replace("%C3%AB", "e").replace("%C3%A8", "e")),
    ] {
        let reply = visitor.get(&wrong).await;
        assert_eq!(reply.is(301).must("location"), format!("/p/{slug}"), "{wrong}");
    }
    let reply = visitor.get(&format!("/p/{slug}/?ref=mail")).await;
    assert_eq!(reply.must("location"), format!("/p/{slug}?ref=mail"));
    visitor.get("/c//%C3%A9charpes/").await.is(301);
    assert_eq!(visitor.get("/c/echarpes").await.is(301).must("location"), "/c/%C3%A9charpes");
    shop.end().await;
}

#[tokio::test]
async fn what_is_the_same_for_all_says_how_long_it_may_be_kept_and_sets_no_cookie() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut visitor = shop.visitor(MARKETS[0]);
    let home = visitor.get("/").await;
    let css = home.between("rel=\"stylesheet\" href=\"", "\"").to_owned();
    let script = home.between("<script src=\"", "\"").to_owned();
    let list = visitor.get("/c/coats").await;
    let product = list.between("<li class=\"card\"><a href=\"", "\"").to_owned();
    let picture = list.between("<img src=\"", "\"").to_owned();
    for (path, control, tag) in [
        ("/", "public, max-age=60", "home,market-uk"),
        ("/c/coats", "public, max-age=60", "category-10,market-uk,product-"),
        ("/c/coats?page=2", "public, max-age=60", "category-10,market-uk,product-"),
        ("/sale", "public, max-age=60", "sale,market-uk"),
        (product.as_str(), "public, max-age=60", "product-"),
        ("/search?q=wool", "public, max-age=10", "search,market-uk"),
        (css.as_str(), "public, max-age=31536000, immutable", "assets"),
        (script.as_str(), "public, max-age=31536000, immutable", "assets"),
        (picture.as_str(), "public, max-age=31536000, immutable", "picture,product-"),
        ("/sitemap.xml", "public, max-age=60", "sitemap,market-uk"),
    ] {
        let reply = visitor.get(path).await;
        assert!(reply.is(200).must("cache-control").starts_with(control), "{path}: {:?}", reply.headers);
        assert!(reply.must("cache-tag").starts_with(tag), "{path}: {:?}", reply.headers);
        assert!(reply.header("set-cookie").is_none() && reply.header("x-served-by").is_none(), "{path}");
        assert!(reply.header("vary").is_none(), "{path}");
        let etag = reply.must("etag").to_owned();
        assert!(etag.starts_with('"'), "{etag} is strong");
        let again = visitor.ask("GET", path, &[("If-None-Match", &etag)], "").await;
        assert_eq!(again.is(304).must("etag"), etag);
        assert!(again.body.is_empty());
        visitor.ask("GET", path, &[("If-None-Match", "\"other\"")], "").await.is(200);
    }
    for path in ["/cart", "/cart/summary", "/health"] {
        let reply = visitor.get(path).await;
        assert_eq!(reply.is(200).must("cache-control"), "private, no-store", "{path}");
        assert_eq!(reply.must("x-served-by"), shop.address.port().to_string());
        assert!(reply.header("set-cookie").is_none(), "{path}");
    }
    shop.end().await;
}

#[tokio::test]
async fn two_instances_make_the_same_bytes() {
    let folder = folder();
    let (one, other) = (Instance::start(folder.path()), Instance::start(folder.path()));
    for path in ["/", "/c/taschen", "/search?q=leder"] {
        let headers = [("X-Forwarded-Host", "laden.localhost")];
        let first = one.visitor("127.0.0.1").ask("GET", path, &headers, "").await;
        let second = other.visitor("127.0.0.1").ask("GET", path, &headers, "").await;
        assert_eq!(first.must("etag"), second.must("etag"), "{path}");
    }
    one.end().await;
    other.end().await;
}

#[tokio::test]
async fn a_search_finds_by_name_colour_and_material_and_stays_bounded() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut visitor = shop.visitor(MARKETS[0]);
    visitor.get("/search?q=WOOL+coat").await.is(200).says("wool tailored coat");
    visitor.get("/search?q=zoe").await.is(200).says("Zoé");
    visitor.get("/search").await.is(200).says("What are you looking for?");
    visitor.get("/search?q=qqqq").await.is(200).says("Nothing found");
    visitor.get("/search?q=%22%29+OR+*+NEAR%28%3B--").await.is(200);
    visitor.get(&format!("/search?q={}", "a".repeat(4_000))).await.is(200);
    visitor.get("/search?q=%3Cscript%3E").await.says("&#60;script&#62;");
    visitor.get("/search?q=wool&page=11").await.is(404);
    shop.visitor(MARKETS[1]).get("/search?q=leinen").await.is(200).says("Leinen-");
    shop.end().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_markets_language() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    for (host, words) in
        MARKETS.into_iter().zip(["find this page", "Seite finden wir nicht", "Page introuvable"])
    {
        let mut visitor = shop.visitor(host);
        for path in [
            "/nothing",
            "/p/nothing",
            "/c/nothing",
            "/c/jeans?page=99",
            "/c/jeans?page=0",
            "/img/9999-0-0.v1.svg",
            "/p/",
        ] {
            let reply = visitor.get(path).await;
            assert_eq!(reply.is(404).says(words).must("cache-control"), "public, max-age=10", "{path}");
        }
    }
    let mut visitor = shop.visitor(MARKETS[1]);
    visitor.get("/c/%ff").await.is(400).says("Das konnten wir nicht lesen");
    visitor.get("/sale?page=1&page=2").await.is(400).says("Das konnten wir nicht lesen");
    visitor.ask("POST", "/sale", &[], "").await.is(405).says("Das kann diese Seite nicht");
    shop.end().await;
}

#[tokio::test]
async fn pictures_are_small_and_every_colour_has_one() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut visitor = shop.visitor(MARKETS[0]);
    for view in 0..3 {
        let reply = visitor.get(&format!("/img/18-0-{view}.v1.svg")).await;
        assert_eq!(reply.is(200).must("content-type"), "image/svg+xml");
        assert!(reply.body.len() < 4_096);
    }
    visitor.get("/img/18-9-0.v1.svg").await.is(404);
    visitor.get("/img/18-0-0.v0.svg").await.is(404);
    shop.end().await;
}
