//! What Tentpole does not start with, and what it says about that.

use std::process::{Command, Output};
use tentpole_testkit::{Origin, Up, binary};

/// Runs `tentpole up` with arguments that it cannot start with.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        Command::new(binary("tentpole")).arg("up").args(arguments).output().expect("it can be run");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(!said.contains("listening on"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    (status.code(), said)
}

#[tokio::test]
async fn an_address_in_use_is_said_and_the_exit_code_is_1() {
    let origin = Origin::start().await;
    let tentpole = Up::to(&origin.url()).start().await;
    // In use by another program, and by another Tentpole, with which the kernel would share it.
    for address in [origin.address(), tentpole.address()] {
        let address = address.to_string();
        let arguments = ["--to", "http://127.0.0.1:1", "--listen", &address, "--admin", "off"];
        let (code, said) = refused(&arguments);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains(&format!("cannot listen on {address}: another program already does")),
            "{said}"
        );
        assert!(said.contains("--listen"), "no cure in: {said}");
    }
    let admin = tentpole.admin().to_string();
    let (code, said) = refused(&["--to", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", &admin]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&admin), "{said}");
    tentpole.ends().await;
}

#[test]
fn an_admin_api_that_others_could_reach_is_refused() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9900"] {
        let (code, said) =
            refused(&["--to", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", address]);
        assert!(matches!(code, Some(1 | 2)), "{code:?}: {said}");
        assert!(said.contains("other machines can reach"), "{address}: {said}");
    }
}

#[tokio::test]
async fn without_an_admin_api_it_serves_all_the_same() {
    let origin = Origin::start().await;
    let free = tentpole_testkit::address::own();
    let mut child = Command::new(binary("tentpole"))
        .args(["up", "--to", &origin.url(), "--listen", &free.to_string(), "--admin", "off"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    tentpole_tests::until("it to listen", async || {
        tentpole_testkit::Visitor::try_connect(free).await.is_ok()
    })
    .await;
    tentpole_testkit::Visitor::connect(free).await.get("/").await.expect(404);
    child.kill().unwrap();
    child.wait().unwrap();
}
