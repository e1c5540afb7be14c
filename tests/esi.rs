//! Pages put together at the edge, end to end: switched on by a configuration, seen in the log and the metrics. What is
//! put together and how is tested in `edge/proxy/tests/content/assembling.rs`.

use serde_json::Value;
use tentpole_testkit::{Ask, Origin, Response, Tentpole, Up};
use tentpole_tests::{pool, until};

const BASKET: &str = "<header><esi:include src=\"/part/basket?a=1&amp;b=2\" /></header>";

fn html(body: &str) -> Response {
    Response::ok(body).header("Content-Type", "text/html").header("Cache-Control", "max-age=0, s-maxage=60")
}

/// The latest request for this target, as the admin API tells it.
async fn recorded(tentpole: &Tentpole, target: &str) -> Value {
    let mut found = Value::Null;
    until("the request is recorded", async || {
        let answer = tentpole.admin_visitor().await.get("/api/requests?limit=20").await.expect(200);
        let recorded: Value = serde_json::from_slice(&answer.body).expect("the API answers with JSON");
        let list =
            recorded.as_array().or_else(|| recorded["requests"].as_array()).cloned().unwrap_or_default();
        found = list.into_iter().find(|one| one["target"] == target).unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}

#[tokio::test]
async fn a_page_as_magento_sends_it_is_kept_and_its_basket_is_each_visitors_own() {
    let origin = Origin::start().await;
    origin.on("/").respond(html(BASKET));
    origin.on("/part/basket").respond_with(|seen| {
        assert_eq!(seen.target, "/part/basket?a=1&b=2");
        Response::ok(seen.header("Cookie").unwrap_or("none")).header("Cache-Control", "private")
    });
    let config = pool(&[&origin], "[site.shop]\npool = \"app\"\ncache.esi = \"always\"");
    let tentpole = Up::config(&config).start().await;
    for visitor in ["ann", "ben", "ann"] {
        let cookie = format!("session={visitor}");
        let answer = tentpole.visitor().await.ask(&Ask::get("/").cookie(&cookie)).await.expect(200);
        assert_eq!(answer.text(), format!("<header>{cookie}</header>"));
        assert_eq!(answer.header("Cache-Control"), Some("private, no-cache"));
    }
    assert_eq!(origin.requests_for("/").len(), 1);
    assert_eq!(origin.requests_for("/part/basket").len(), 3);
    let line = recorded(&tentpole, "/").await;
    assert_eq!((&line["fragments"], &line["fragments_failed"]), (&Value::from(1), &Value::from(0)), "{line}");
}

#[tokio::test]
async fn a_fragment_that_fails_is_left_out_and_told_of() {
    let origin = Origin::start().await;
    origin.on("/").respond(html(BASKET).header("Surrogate-Control", "content=\"ESI/1.0\""));
    origin.on("/part/basket").respond(Response::status(500));
    let tentpole = Up::to(&origin.url()).start().await;
    let answer = tentpole.visitor().await.get("/").await.expect(200);
    assert_eq!(answer.text(), "<header></header>");
    let line = recorded(&tentpole, "/").await;
    assert_eq!(line["fragments_failed"], 1, "{line}");
    assert_eq!(line["assembly"], "status", "{line}");
    until("the metrics tell", async || {
        let metrics = tentpole.admin_visitor().await.get("/metrics").await.expect(200).text();
        metrics.contains("\ntentpole_fragments_failed_total 1\n")
            && metrics.contains("\ntentpole_assembly_faults_total{reason=\"status\"} 1\n")
    })
    .await;
}
