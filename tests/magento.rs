//! `examples/magento`: an origin that sends what a stock Magento 2 sends in its Varnish mode (`Magento_PageCache`), and
//! purges as its `PurgeCache` does.

use tentpole_testkit::{Answer, Ask, Origin, Response, Seen, Tentpole, Up};

const EXAMPLE: &str = include_str!("../examples/magento/tentpole.toml");
/// As Magento answers a page that is for everybody.
const PUBLIC: &str = "max-age=86400, public, s-maxage=86400";

/// A page for everybody of the visitor's group, with a new session for whoever has none.
fn page(body: &str, tags: &str, seen: &Seen) -> Response {
    let group = seen.cookie("X-Magento-Vary").unwrap_or("nobody");
    let page = Response::ok(format!("<html>{body} for {group}</html>"))
        .header("Content-Type", "text/html; charset=UTF-8")
        .header("Cache-Control", PUBLIC)
        .header("Pragma", "cache")
        .header("Expires", "Sat, 01 Jan 2050 00:00:00 GMT")
        .header("X-Magento-Tags", tags);
    match seen.cookie("PHPSESSID") {
        Some(_) => page,
        None => page.header("Set-Cookie", "PHPSESSID=of-one-visitor; path=/; HttpOnly; SameSite=Lax"),
    }
}

/// Magento's endpoint, and Tentpole before it.
async fn shop() -> (Origin, Tentpole) {
    let origin = Origin::start().await;
    origin.on("/health_check.php").respond(Response::ok(""));
    let many: String = (0..2_000).map(|number| format!(",cat_p_{}", 10_000 + number)).collect();
    origin.on("/").respond_with(|seen| page("home", "store,cms_b,FPC", seen));
    origin.on("/shoe.html").respond_with(|seen| page("shoe", "cat_c_3,cat_p,cat_p_7,store,FPC", seen));
    origin.on("/sale.html").respond_with(move |seen| page("sale", &format!("cat_c_9{many}"), seen));
    let personal =
        Response::ok("account").header("Cache-Control", "max-age=0, must-revalidate, no-cache, no-store");
    origin.on("/customer/account/").respond(personal);
    let style = Response::ok("body{}").header("Cache-Control", "max-age=31536000, public");
    origin.on("/static/version1/style.css").respond(style);
    let with_menu = "<esi:include src=\"http://shop.example/page_cache/block/esi/blocks/menu/\" />shoes";
    origin.on("/shoes.html").respond_with(move |seen| page(with_menu, "cat_c_3", seen));
    let menu = Response::ok("<nav>menu</nav>")
        .header("Content-Type", "text/html")
        .header("Cache-Control", "max-age=3600, public, s-maxage=3600")
        .header("X-Magento-Tags", "cat_c,block_menu");
    origin.on("/page_cache/block/esi/blocks/menu/").respond(menu);
    let text = EXAMPLE.replace("http://127.0.0.1:8080", &origin.url());
    assert_ne!(text, EXAMPLE);
    let tentpole = Up::config(&text).start().await;
    (origin, tentpole)
}

async fn get(tentpole: &Tentpole, path: &str, cookie: &str) -> Answer {
    tentpole.visitor().await.host("shop.example").ask(&Ask::get(path).cookie(cookie)).await.expect(200)
}

/// As `PurgeCache` sends it: to the edge by address, with that as `Host`.
async fn purge(tentpole: &Tentpole, pattern: &str) -> String {
    let ask = Ask::new("PURGE", "/").header("Host", "127.0.0.1").header("X-Magento-Tags-Pattern", pattern);
    tentpole.visitor().await.ask(&ask).await.expect(200).text()
}

#[tokio::test]
async fn pages_are_shared_and_sessions_are_not() {
    let (origin, tentpole) = shop().await;
    let first = get(&tentpole, "/", "").await;
    assert!(first.header("Set-Cookie").is_some_and(|cookie| cookie.contains("of-one-visitor")), "{first:?}");
    let second = get(&tentpole, "/?utm_source=mail&gclid=1", "PHPSESSID=2").await;
    assert!(second.is_hit() && second.header("Set-Cookie").is_none(), "{second:?}");
    for answer in [&first, &second] {
        assert_eq!(answer.header("X-Magento-Tags"), None);
        assert_eq!(
            answer.header("Cache-Control"),
            Some("max-age=0, must-revalidate, no-cache"),
            "for browsers"
        );
        assert_eq!((answer.header("Pragma"), answer.header("Expires")), (None, None));
    }
    assert_eq!(origin.requests_for("/").len(), 1);
    let style = get(&tentpole, "/static/version1/style.css", "").await;
    assert_eq!(style.header("Cache-Control"), Some("max-age=31536000, public"));
}

#[tokio::test]
async fn groups_of_visitors_have_pages_of_their_own() {
    let (origin, tentpole) = shop().await;
    for (cookie, group) in [("", "nobody"), ("X-Magento-Vary=vip", "vip"), ("X-Magento-Vary=trade", "trade")]
    {
        let first = get(&tentpole, "/shoe.html", cookie).await;
        assert!(!first.is_hit() && first.text().contains(&format!("for {group}<")), "{first:?}");
        let second = get(&tentpole, "/shoe.html", &format!("PHPSESSID=2; {cookie}")).await;
        assert!(second.is_hit() && second.text() == first.text(), "{second:?}");
    }
    origin
        .on("/")
        .respond_with(|seen| page("hello, vip", "store", seen).header("Set-Cookie", "X-Magento-Vary=vip"));
    let moved = get(&tentpole, "/", "PHPSESSID=1").await;
    assert_eq!(moved.header("Set-Cookie"), Some("X-Magento-Vary=vip"));
    let other = get(&tentpole, "/", "PHPSESSID=2").await;
    assert!(!other.is_hit(), "what moves its visitor to another group is stored for neither: {other:?}");
}

#[tokio::test]
async fn personal_pages_are_never_stored() {
    let (origin, tentpole) = shop().await;
    for _ in 0..2 {
        assert!(!get(&tentpole, "/customer/account/", "PHPSESSID=1").await.is_hit());
    }
    assert_eq!(origin.requests_for("/customer/account/").len(), 2);
}

#[tokio::test]
async fn a_saved_product_takes_its_pages_along_in_all_groups_and_no_others() {
    let (_origin, tentpole) = shop().await;
    for path in ["/", "/shoe.html", "/sale.html"] {
        get(&tentpole, path, "").await;
        assert!(get(&tentpole, path, "").await.is_hit(), "{path}");
    }
    get(&tentpole, "/shoe.html", "X-Magento-Vary=vip").await;
    let removed = purge(&tentpole, "((^|,)cat_p_7(,|$))|((^|,)cat_p_8(,|$))").await;
    assert_eq!(removed, "{\"objects\":2,\"fills\":0,\"soft\":false}\n");
    assert!(!get(&tentpole, "/shoe.html", "").await.is_hit());
    assert!(get(&tentpole, "/", "").await.is_hit() && get(&tentpole, "/sale.html", "").await.is_hit());
    let last_of_many = purge(&tentpole, "((^|,)cat_p_11999(,|$))").await;
    assert!(last_of_many.starts_with("{\"objects\":1,"), "the last of 22 KB of tags: {last_of_many}");
    assert!(purge(&tentpole, ".*").await.starts_with("{\"objects\":2,"));
    assert!(!get(&tentpole, "/", "").await.is_hit());
}

#[tokio::test]
async fn a_menu_is_put_into_its_pages_and_purged_by_itself() {
    let (origin, tentpole) = shop().await;
    for _ in 0..2 {
        let page = get(&tentpole, "/shoes.html", "").await;
        assert_eq!(page.text(), "<html><nav>menu</nav>shoes for nobody</html>", "{page:?}");
    }
    let menu = "/page_cache/block/esi/blocks/menu/";
    assert_eq!((origin.requests_for("/shoes.html").len(), origin.requests_for(menu).len()), (1, 1));
    assert!(purge(&tentpole, "((^|,)block_menu(,|$))").await.starts_with("{\"objects\":1,"));
    get(&tentpole, "/shoes.html", "").await;
    assert_eq!((origin.requests_for("/shoes.html").len(), origin.requests_for(menu).len()), (1, 2));
}
