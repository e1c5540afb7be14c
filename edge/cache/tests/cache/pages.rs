//! Stored pages that are put together: what they are made of is found out once, counted, and survives a 304.

use crate::support::*;
use bytes::Bytes;
use std::sync::Arc;
use tentpole_cache::{Coding, Judged, NewObject, Object};
use tentpole_message::Fields;
use tentpole_runtime::ledger::Account;

fn store_page(edge: &Edge, path: &str, body: &'static [u8]) -> Arc<Object> {
    let request = Fields::new();
    let new = NewObject { assembles: true, ..new_object(&request, &[], None) };
    let (mut filling, mut reader) = edge.get(path).lead().start(new).unwrap();
    assert!(reader.assembles() && reader.whole().is_none());
    filling.append(Bytes::from_static(body));
    let object = filling.finish().stored();
    assert_eq!(read(&mut reader).0, body);
    assert!(Arc::ptr_eq(reader.whole().unwrap(), &object), "whoever read it to its end has the object");
    object
}

#[test]
fn what_a_page_is_made_of_is_found_out_once_and_counted() {
    let edge = Edge::new();
    assert!(
        edge.store("/plain", b"<esi:include src='/a'/>").plan().is_none(),
        "it was not said to be a page"
    );
    let page = store_page(&edge, "/", b"a<esi:include src='/b'/>c");
    let before = edge.ledger.held(Account::Cache);
    let plan = page.plan().unwrap().as_ref().unwrap();
    assert_eq!((plan.includes(), plan.pieces().len()), (1, 3));
    assert!(edge.ledger.held(Account::Cache) >= before + plan.memory_bytes());
    let held = edge.ledger.held(Account::Cache);
    assert!(std::ptr::eq(page.plan().unwrap().as_ref().unwrap(), plan));
    assert_eq!(edge.ledger.held(Account::Cache), held);
    drop(page);
    edge.assert_nothing_is_held();
}

#[test]
fn a_304_keeps_what_a_page_is_made_of() {
    let edge = Edge::new();
    let page = store_page(&edge, "/", b"a<esi:include src='/b'/>c");
    let lead = edge.get_as("/", &Fields::new(), Judged::Revalidate).lead();
    let confirmed = lead.refreshed(&page, confirmed(head(), FACTS));
    assert!(std::ptr::eq(confirmed.plan().unwrap(), page.plan().unwrap()));
}

#[test]
fn a_template_has_no_compressed_form_but_a_page_without_tags_has() {
    let edge = Edge::new();
    assert!(store_page(&edge, "/", b"a<esi:include src='/b'/>c").claim(Coding::Gzip).is_none());
    assert!(store_page(&edge, "/plain", b"abc").claim(Coding::Gzip).is_some());
    // It goes out as it came.
    assert!(store_page(&edge, "/broken", b"a<esi:remove>").claim(Coding::Gzip).is_some());
}
