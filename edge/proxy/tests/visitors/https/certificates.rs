//! Which certificate a visitor gets, of how many, when files change, and whose own is asked for.

use super::*;

#[test]
fn each_host_gets_its_own_certificate_and_an_unknown_one_the_first() {
    let authority = Authority::new();
    let certificates = vec![
        authority.signs("a", &["shop.example"]),
        authority.signs("b", &["*.shop.example", "other.example"]),
        authority.signs("c", &["exact.shop.example"]),
    ];
    let of = |files: &CertificateFiles| std::fs::read(&files.chain).unwrap();
    let der = |pem: Vec<u8>| {
        <CertificateDer as rustls::pki_types::pem::PemObject>::from_pem_slice(&pem).unwrap().into_owned()
    };
    let expected: Vec<_> = certificates.iter().map(|files| der(of(files))).collect();
    let (_edge, _, https) = https_edge(certificates, |_| {});
    let client = authority.client(BOTH);
    for (host, which) in [
        ("shop.example", 0),
        ("de.shop.example", 1),
        ("other.example", 1),
        ("exact.shop.example", 2),
        ("OTHER.example", 1),
    ] {
        let mut client = connect(https, &client, host);
        assert!(ask(&mut client, &get(host)).unwrap().ends_with("hello"));
        assert_eq!(client.conn.peer_certificates().unwrap()[0], expected[which], "{host}");
    }
    for unknown in ["nowhere.example", "a.b.shop.example"] {
        let error = ask(&mut connect(https, &client, unknown), &get(unknown)).unwrap_err();
        assert!(error.to_string().contains("not valid for"), "{unknown}: {error}");
    }
}

#[test]
fn without_a_client_certificate_nobody_gets_in() {
    let (front, stranger) = (Authority::new(), Authority::new());
    let shows = |authority: &Authority, signer: &Authority| {
        let files = signer.signs("client", &["front.example"]);
        let pem = |path: &Path| std::fs::read(path).unwrap();
        use rustls::pki_types::pem::PemObject;
        let chain = vec![CertificateDer::from_pem_slice(&pem(&files.chain)).unwrap().into_owned()];
        let key = PrivateKeyDer::from_pem_slice(&pem(&files.key)).unwrap();
        Arc::new(authority.builder(BOTH).with_client_auth_cert(chain, key).unwrap())
    };
    let (edge, asked, https) = https_edge(vec![front.signs("a", &["shop.example"])], |snapshot| {
        snapshot.tls.client_authority = Some(front.folder.path().join("authority.crt"));
    });
    for refused in [front.client(BOTH), front.client(&[&version::TLS12]), shows(&front, &stranger)] {
        assert!(ask(&mut connect(https, &refused, "shop.example"), &get("shop.example")).is_err());
    }
    until("counted", || {
        failed(&edge, HandshakeFault::ClientCertificateMissing) == 2
            && failed(&edge, HandshakeFault::ClientCertificateRefused) == 1
    });
    assert!(edge.get("/a", "").starts_with("HTTP/1.1 403"), "nor in the clear");
    assert!(asked.lock().unwrap().is_empty());
    let shown = shows(&front, &front);
    for _ in 0..2 {
        let answer = ask(&mut connect(https, &shown, "shop.example"), &get("shop.example")).unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
    }
}

#[test]
fn changed_files_are_taken_and_bad_ones_change_nothing() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = old.signs("a", &["shop.example"]);
    let (edge, _, https) = https_edge(vec![files.clone()], |_| {});
    let secure = edge.secure.clone().unwrap();
    let works = |authority: &Authority| {
        ask(&mut connect(https, &authority.client(BOTH), "shop.example"), &get("shop.example")).is_ok()
    };
    let source = secure.certificates().source().clone();
    assert!(works(&old) && !works(&new) && secure.certificates().is_current());

    let renewed = new.signs("a", &["shop.example"]);
    std::fs::copy(&renewed.chain, &files.chain).unwrap();
    assert!(!secure.certificates().is_current());
    let troubles = secure.renew(&source).unwrap();
    assert!(troubles[0].to_string().contains("does not belong to the certificate"), "{troubles:?}");
    assert!(works(&old), "what was read before stays");

    std::fs::copy(&renewed.key, &files.key).unwrap();
    assert_eq!(secure.renew(&source).unwrap(), []);
    assert!(works(&new) && !works(&old) && secure.certificates().is_current());

    // Who watches the metrics sees the end of what is in use.
    let seen = edge.observed.certificates();
    let ends = secure.certificates().ends().map(|(_, _, ends_s)| ends_s).collect::<Vec<_>>();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].host.as_str(), seen[0].ends_s), ("shop.example", ends[0]));
    let page = {
        let mut page = tentpole_observe::exposition::Exposition::new();
        page.edge(&edge.observed);
        page.finish()
    };
    let line = format!(
        "tentpole_tls_certificate_expires_timestamp_seconds{{host=\"shop.example\",file=\"{}\"}} {}\n",
        files.chain.display(),
        ends[0]
    );
    assert!(page.contains(&line), "{page}");

    std::fs::remove_file(&files.chain).unwrap();
    let troubles = secure.renew(&source).unwrap();
    assert!(troubles[0].to_string().contains("no such file"), "{troubles:?}");
    assert!(works(&new));
}

#[test]
fn hundreds_of_certificates_serve_each_its_own_hosts() {
    let authority = Authority::new();
    let hosts = |number: usize| [format!("shop{number}.example"), format!("*.shop{number}.example")];
    let certificates: Vec<_> = (0..300)
        .map(|number| authority.signs(&format!("c{number}"), &hosts(number).each_ref().map(String::as_str)))
        .collect();
    let (_edge, _, https) = https_edge(certificates, |_| {});
    let client = authority.client(BOTH);
    for number in (0..300).step_by(23) {
        for host in [format!("shop{number}.example"), format!("www.shop{number}.example")] {
            // Who gets another one's does not believe it.
            assert!(
                ask(&mut connect(https, &client, &host), &get(&host)).unwrap().ends_with("hello"),
                "{host}"
            );
        }
    }
}

#[test]
fn certificates_that_change_under_load_fail_nobody() {
    let authority = Authority::new();
    let files = authority.signs("a", &["shop.example"]);
    let (edge, _, https) = https_edge(vec![files.clone()], |snapshot| snapshot.threads = Some(2));
    let secure = edge.secure.clone().unwrap();
    let source = secure.certificates().source().clone();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let new_config = authority.client(BOTH);
    let visitors: Vec<_> = (0..4)
        .map(|visitor| {
            let (done, config) = (done.clone(), new_config.clone());
            std::thread::spawn(move || {
                // Half of them stay, and half shake hands each time.
                let mut kept = connect(https, &config, "shop.example");
                let mut served = 0;
                while !done.load(Ordering::Relaxed) || served == 0 {
                    if visitor % 2 == 0 {
                        let request = "GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n";
                        kept.write_all(request.as_bytes()).unwrap();
                        let mut answer = Vec::new();
                        while !answer.ends_with(b"\r\n\r\nhello") {
                            let mut piece = [0; 512];
                            let count = kept.read(&mut piece).unwrap();
                            assert!(count > 0, "a connection ended");
                            answer.extend_from_slice(&piece[..count]);
                        }
                    } else {
                        let answer = ask(&mut connect(https, &config, "shop.example"), &get("shop.example"));
                        assert!(answer.unwrap().ends_with("hello"));
                    }
                    served += 1;
                }
                served
            })
        })
        .collect();
    let mut ends = Vec::new();
    for round in 0..30 {
        let renewed = authority.signs(&format!("r{round}"), &["shop.example"]);
        std::fs::copy(&renewed.chain, &files.chain).unwrap();
        std::fs::copy(&renewed.key, &files.key).unwrap();
        assert_eq!(secure.renew(&source).unwrap(), []);
        let mut client = connect(https, &authority.client(BOTH), "shop.example");
        assert!(ask(&mut client, &get("shop.example")).unwrap().ends_with("hello"));
        ends.push(client.conn.peer_certificates().unwrap()[0].clone());
    }
    done.store(true, Ordering::Relaxed);
    let served: Vec<u32> = visitors.into_iter().map(|visitor| visitor.join().unwrap()).collect();
    assert!(served.iter().all(|served| *served > 0), "{served:?}");
    ends.dedup();
    assert_eq!(ends.len(), 30, "each new certificate was in force at once");
}
