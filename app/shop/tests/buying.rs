//! S4.1: sessions and carts in a store that all instances share; from the cart to an order.

mod support;

use support::{Instance, Visitor, folder};

const HOST: &str = "shop.localhost";
const ADDRESS: &str =
    "name=Zo%C3%A9+M%C3%BCller&email=zoe%40example.org&street=1+High+Street&postcode=SW1A+1AA&city=London";

/// A product that is sold in the market, and a size of it that is in stock.
async fn something(visitor: &mut Visitor, list: &str) -> (String, String) {
    let path = visitor.get(list).await.between("<li class=\"card\"><a href=\"", "\"").to_owned();
    let page = visitor.get(&path).await;
    let product = page.is(200).between("name=\"product\" value=\"", "\"").to_owned();
    let sizes = page.body.split("name=\"size\" value=\"").skip(1);
    let chosen = sizes.filter(|rest| rest.split('>').next().is_some_and(|tag| tag.contains("checked")));
    let size =
        chosen.map(|rest| rest.split('"').next().expect("a value").to_owned()).next().expect("a chosen size");
    (product, size)
}

#[tokio::test]
async fn s4_1_a_cart_is_seen_by_every_instance_and_outlives_the_one_it_was_made_on() {
    let folder = folder();
    let (one, other) = (Instance::start(folder.path()), Instance::start(folder.path()));
    let mut visitor = one.visitor(HOST);
    let (product, size) = something(&mut visitor, "/c/dresses").await;
    assert!(visitor.cookie("shop_session").is_none(), "looking makes no session");

    let added = visitor.post("/cart", &format!("product={product}&size={size}&colour=0&quantity=2")).await;
    assert_eq!(added.is(303).must("location"), "/cart");
    let cookies: Vec<_> = added.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert!(cookies.iter().any(|(_, value)| value.starts_with("shop_session=")
        && value.contains("HttpOnly")
        && value.contains("SameSite=Lax")));
    assert!(
        cookies.iter().any(|(_, value)| value.starts_with("shop_cart=2;") && !value.contains("HttpOnly"))
    );
    assert_eq!(visitor.cookie("shop_session").expect("a session").len(), 32);

    visitor.goes_to(&other);
    visitor.get("/cart/summary").await.says("\"count\":2");
    one.end().await;
    visitor.get("/cart").await.is(200).says("value=\"2\" min=\"1\"");
    visitor.post("/cart", &format!("product={product}&size={size}&quantity=1")).await.is(303);
    visitor.get("/cart/summary").await.says("\"count\":3");
    other.end().await;
}

#[tokio::test]
async fn two_visitors_do_not_see_one_anothers_cart() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let (mut one, mut other) = (shop.visitor(HOST), shop.visitor(HOST));
    let (product, size) = something(&mut one, "/c/bags").await;
    let form = format!("product={product}&size={size}");
    one.post("/cart", &form).await.is(303);
    other.get("/cart/summary").await.says("\"count\":0");
    other.post("/cart", &form).await.is(303);
    assert_ne!(one.cookie("shop_session"), other.cookie("shop_session"));
    one.post("/cart", &form).await.is(303);
    other.get("/cart/summary").await.says("\"count\":1");
    shop.end().await;
}

#[tokio::test]
async fn lines_are_changed_and_removed() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut visitor = shop.visitor(HOST);
    let (product, size) = something(&mut visitor, "/c/hats").await;
    let line = format!("product={product}&size={size}&colour=0");
    visitor.post("/cart", &line).await.is(303);
    visitor.post("/cart/line", &format!("{line}&quantity=4")).await.is(303);
    visitor.get("/cart/summary").await.says("\"count\":4");
    visitor.post("/cart/line", &format!("{line}&quantity=21")).await.is(422);
    visitor.post("/cart/line", &format!("{line}&quantity=0")).await.is(303);
    assert_eq!(visitor.cookie("shop_cart"), Some("0"));
    visitor.get("/cart").await.says("Your cart is empty.");
    shop.end().await;
}

#[tokio::test]
async fn an_order_is_placed_once_and_shown_to_its_visitor_only() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut visitor = shop.visitor(HOST);
    assert_eq!(visitor.get("/checkout").await.is(303).must("location"), "/cart");
    let (product, size) = something(&mut visitor, "/c/coats").await;
    visitor.post("/cart", &format!("product={product}&size={size}")).await.is(303);
    let checkout = visitor.get("/checkout").await;
    checkout.is(200).says("Delivery address");
    let total = checkout.between("<dd class=\"all\">", "<").to_owned();

    // The same click twice makes one order.
    let (first, second) = {
        let mut again = visitor.clone();
        tokio::join!(
            visitor.post("/checkout", ADDRESS),
            async move { again.post("/checkout", ADDRESS).await }
        )
    };
    let places = [first.is(303).must("location"), second.is(303).must("location")];
    let order = places.iter().find(|place| place.starts_with("/order/ML-")).expect("an order was placed");
    assert!(places.contains(&"/cart"), "{places:?}");

    let thanks = visitor.get(order).await;
    thanks.is(200).says("Zoé Müller").says("SW1A 1AA").says(&total);
    visitor.get("/cart").await.says("Your cart is empty.");
    let stranger = shop.visitor(HOST).get(order).await;
    assert_eq!(stranger.is(404).must("cache-control"), "private, no-store");
    shop.end().await;
}

#[tokio::test]
async fn wrong_fields_are_marked_kindly_and_what_was_typed_stays() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut visitor = shop.visitor("laden.localhost");
    let (product, size) = something(&mut visitor, "/c/kleider").await;
    visitor.post("/cart", &format!("product={product}&size={size}")).await.is(303);
    let reply = visitor.post("/checkout", "name=%3CAda%3E&email=ada&street=&postcode=123&city=").await;
    assert_eq!(reply.is(422).must("cache-control"), "private, no-store");
    for words in
        ["noch nicht nach einer E-Mail", "fünf Ziffern", "ergänzen Sie den Ort", "ergänzen Sie Straße"]
    {
        reply.says(words);
    }
    reply.says("value=\"&#60;Ada&#62;\"");
    assert!(!reply.body.contains("sagen Sie uns Ihren Namen"), "the name was right");
    visitor.get("/cart/summary").await.says("\"count\":1");
    shop.end().await;
}

#[tokio::test]
async fn a_form_from_another_site_changes_nothing() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut visitor = shop.visitor(HOST);
    let (product, size) = something(&mut visitor, "/c/bags").await;
    let form = format!("product={product}&size={size}");
    for headers in [
        [("Origin", "http://evil.example"), ("Accept", "*/*")],
        [("Origin", "null"), ("Accept", "*/*")],
        [("Sec-Fetch-Site", "cross-site"), ("Accept", "*/*")],
    ] {
        let reply = visitor.ask("POST", "/cart", &headers, &form).await;
        reply.is(403).says("did not come from our pages");
        assert!(reply.header("set-cookie").is_none());
    }
    // Behind an edge the visitor's host comes forwarded, and the Host is the endpoint's.
    let behind = [("X-Forwarded-Host", "shop.localhost:8080"), ("Origin", "http://shop.localhost:8080")];
    visitor.ask("POST", "/cart", &behind, &form).await.is(303);
    shop.end().await;
}

#[tokio::test]
async fn what_cannot_be_bought_is_refused() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut visitor = shop.visitor(HOST);
    let (product, size) = something(&mut visitor, "/c/dresses").await;
    for form in [
        "product=0".to_owned(),
        "product=99999".to_owned(),
        "product=x".to_owned(),
        String::new(),
        format!("product={product}&size=99"),
        format!("product={product}&size={size}&colour=9"),
        format!("product={product}&size={size}&quantity=0"),
        format!("product={product}&size={size}&quantity=21"),
        format!("product={product}&size={size}&quantity=-1"),
    ] {
        let reply = visitor.post("/cart", &form).await;
        reply.is(422).says("could not read that");
        assert!(reply.header("set-cookie").is_none(), "{form}");
    }
    visitor.post("/cart", &"x=1&".repeat(4_000)).await.is(413);
    assert!(visitor.cookie("shop_session").is_none());
    shop.end().await;
}

#[tokio::test]
async fn a_cart_holds_fifty_lines_and_says_so() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut visitor = shop.visitor(HOST);
    let mut held = 0;
    for product in 1.. {
        // Size 2 is a middle one and in stock; bags, scarves and hats have only size 0.
        let category = (product - 1) % 17;
        let size = if category >= 14 { 0 } else { 2 };
        let reply = visitor.post("/cart", &format!("product={product}&size={size}")).await;
        match reply.status {
            303 if reply.must("location") == "/cart?full" => break,
            303 => held += 1,
            // Not in this market's assortment.
            422 => {}
            other => panic!("{other}: {}", reply.body),
        }
        assert!(held <= 50, "{held} lines");
    }
    assert_eq!(held, 50);
    visitor.get("/cart?full").await.is(200).says("Your cart is full");
    visitor.get("/cart/summary").await.says("\"count\":50");
    shop.end().await;
}

#[tokio::test]
async fn an_instance_that_ends_finishes_at_once_with_idle_connections_open() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut kept = tokio::net::TcpStream::connect(shop.address).await.expect("it listens");
    kept.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it reads");
    let mut head = [0; 15];
    kept.read_exact(&mut head).await.expect("it answers");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let started = tokio::time::Instant::now();
    shop.end().await;
    assert!(started.elapsed() < tentpole_shop::GRACE, "it waited for an idle connection");
    let mut rest = Vec::new();
    kept.read_to_end(&mut rest).await.expect("the connection was closed in order");
}

#[tokio::test]
async fn a_session_that_somebody_made_up_never_becomes_a_visitors_own() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut visitor = shop.visitor(HOST);
    let (product, size) = something(&mut visitor, "/c/bags").await;
    let made_up = "00000000000000000000000000000001";
    let planted = format!("shop_session={made_up}");
    let own = format!("http://{HOST}:{}", shop.address.port());
    let headers = [("Cookie", planted.as_str()), ("Origin", own.as_str())];
    for (path, form) in [("/cart", "quantity=1"), ("/cart/line", "quantity=3")] {
        let form = format!("product={product}&size={size}&{form}");
        let reply = shop.visitor(HOST).ask("POST", path, &headers, &form).await;
        reply.is(303);
        assert!(!reply.headers.iter().any(|(_, value)| value.contains(made_up)), "{:?}", reply.headers);
    }
    let mut attacker = shop.visitor(HOST);
    attacker.ask("GET", "/cart/summary", &headers[..1], "").await.says("\"count\":0");
    // Nor does the session of one market begin one in another.
    visitor.post("/cart", &format!("product={product}&size={size}")).await.is(303);
    let known = visitor.cookie("shop_session").expect("a session").to_owned();
    let mut abroad = shop.visitor("laden.localhost");
    let (product, size) = something(&mut abroad, "/c/taschen").await;
    let carried = format!("shop_session={known}");
    let form = format!("product={product}&size={size}");
    let reply = abroad.ask("POST", "/cart", &[("Cookie", &carried)], &form).await;
    assert!(!reply.must("set-cookie").contains(&known));
    visitor.get("/cart/summary").await.says("\"count\":1");
    shop.end().await;
}

#[tokio::test]
async fn cookies_that_came_over_https_stay_there() {
    let folder = folder();
    let shop = Instance::start(folder.path());
    let mut visitor = shop.visitor(HOST);
    let (product, size) = something(&mut visitor, "/c/bags").await;
    let form = format!("product={product}&size={size}");
    let reply = visitor.ask("POST", "/cart", &[("X-Forwarded-Proto", "https")], &form).await;
    let cookies: Vec<_> = reply.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert_eq!(cookies.len(), 2);
    assert!(cookies.iter().all(|(_, cookie)| cookie.ends_with("; Secure")), "{cookies:?}");
    shop.end().await;
}
