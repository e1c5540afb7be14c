//! Which site answers for a `Host` value.

mod common;

use common::{site, snapshot};
use proptest::prelude::*;
use tentpole_model::SiteId;
use tentpole_route::{CompileError, Table};

fn table(hosts: &[&[&str]]) -> Result<Table, CompileError> {
    let sites = hosts.iter().enumerate().map(|(index, hosts)| site(&format!("site {index}"), hosts, &["/*"]));
    Table::compile(&snapshot(sites.collect()))
}

#[track_caller]
fn answers(hosts: &[&[&str]], host: &str, expected: Option<u16>) {
    assert_eq!(
        table(hosts).expect("these hosts compile").site(host.as_bytes()),
        expected.map(SiteId),
        "{host}"
    );
}

#[test]
fn a_host_is_found_however_it_is_written() {
    let hosts: &[&[&str]] = &[&["shop.example"], &["other.example"]];
    for host in [
        "shop.example",
        "SHOP.Example",
        "shop.example:8080",
        "shop.example.",
        "Shop.Example.:80",
        "shop.example:",
    ] {
        answers(hosts, host, Some(0));
    }
    answers(hosts, "other.example", Some(1));
}

#[test]
fn a_host_that_nobody_claims_goes_to_the_site_without_hosts() {
    answers(&[&["shop.example"], &[]], "unknown.example", Some(1));
    answers(&[&["shop.example"], &[]], "", Some(1));
    answers(&[&["shop.example"], &[]], "[not an address]", Some(1));
    answers(&[&["shop.example"]], "unknown.example", None);
    answers(&[&["shop.example"]], "xshop.example", None);
}

#[test]
fn a_wildcard_matches_any_depth_below_its_name_and_not_itself() {
    let hosts: &[&[&str]] = &[&["*.shop.example"]];
    answers(hosts, "de.shop.example", Some(0));
    answers(hosts, "a.b.c.DE.shop.example:80", Some(0));
    answers(hosts, "shop.example", None);
    answers(hosts, "xshop.example", None);
}

#[test]
fn an_exact_host_wins_over_a_wildcard_and_the_longest_wildcard_wins() {
    let hosts: &[&[&str]] =
        &[&["*.example"], &["*.shop.example"], &["de.shop.example"], &["*.a.b.c.d.example"]];
    answers(hosts, "x.example", Some(0));
    answers(hosts, "shop.example", Some(0));
    answers(hosts, "fr.shop.example", Some(1));
    answers(hosts, "x.de.shop.example", Some(1));
    answers(hosts, "de.shop.example", Some(2));
    answers(hosts, "x.a.b.c.d.example", Some(3));
    answers(hosts, "x.y.b.c.d.example", Some(0));
}

#[test]
fn an_ipv6_address_is_found_in_any_spelling() {
    let hosts: &[&[&str]] = &[&["::1"], &["[2001:DB8::1]"], &["127.0.0.1"]];
    for host in ["[::1]", "[::1]:8080", "[0:0:0:0:0:0:0:1]"] {
        answers(hosts, host, Some(0));
    }
    answers(hosts, "[2001:db8:0::1]:80", Some(1));
    answers(hosts, "127.0.0.1:80", Some(2));
    answers(hosts, "[127.0.0.1]", None);
}

#[test]
fn names_up_to_255_bytes_are_read_and_longer_ones_belong_to_nobody() {
    let longest = "a.".repeat(126) + "aa";
    let hosts: &[&[&str]] = &[&[&longest], &["*.a"]];
    answers(hosts, &longest, Some(0));
    answers(hosts, &("b.".repeat(127) + "a"), Some(1));
    answers(hosts, &("b.".repeat(128) + "a"), None);
    answers(hosts, &"a".repeat(100_000), None);
}

#[test]
fn two_sites_cannot_claim_the_same_host() {
    let error = table(&[&["shop.example"], &["a.example", "Shop.Example."]]).unwrap_err();
    let expected = CompileError::HostClaimedTwice {
        host: "Shop.Example.".into(),
        first: "site 0".into(),
        second: "site 1".into(),
    };
    assert_eq!(error, expected);
    assert_eq!(error.to_string(), "the sites site 0 and site 1 both claim the host Shop.Example.");
    let error = table(&[&["*.shop.example", "*.shop.example"]]).unwrap_err();
    assert_eq!(error.to_string(), "site site 0 has the host *.shop.example twice");
}

#[test]
fn a_host_and_the_wildcard_of_its_name_are_different_claims() {
    assert!(table(&[&["shop.example"], &["*.shop.example"]]).is_ok());
}

#[test]
fn only_one_site_answers_for_all_other_hosts() {
    let error = table(&[&[], &["shop.example"], &[]]).unwrap_err();
    assert_eq!(error, CompileError::TwoDefaultSites { first: "site 0".into(), second: "site 2".into() });
}

#[test]
fn what_no_visitor_could_send_is_no_host() {
    for host in [
        "",
        ".",
        "a..b",
        "shop.example:80",
        "*.*.example",
        "straße.example",
        "a b",
        "http://a",
        "[::1",
        "*.[::1]",
    ] {
        assert!(matches!(table(&[&[host]]), Err(CompileError::BadHost { .. })), "{host}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered_without_a_panic(host: Vec<u8>) {
        let table = table(&[&["shop.example"], &["*.shop.example"]]).unwrap();
        prop_assert!(table.site(&host).is_none_or(|site| site.0 < 2));
    }

    #[test]
    fn case_port_and_trailing_dot_make_no_difference(labels in prop::collection::vec("[a-z0-9-]{1,8}", 1..5), port: u16, upper: bool) {
        let name = labels.join(".");
        let table = table(&[&[&name]]).unwrap();
        let sent = if upper { name.to_ascii_uppercase() } else { name };
        prop_assert_eq!(table.site(format!("{sent}.:{port}").as_bytes()), Some(SiteId(0)));
    }
}
