//! A program is started, understood and ended. A script takes the place of `tentpole`, so that this holds whatever
//! the real one does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use tentpole_testkit::{Origin, Response, Up, binary};

const NOWHERE: &str = "127.0.0.1:1";

fn stand_in(up: Up, address: &str, exit: &str) -> Up {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand-in");
    up.binary(&script).variable("STAND_IN_ADDRESS", address).variable("STAND_IN_EXIT", exit)
}

#[tokio::test]
async fn its_addresses_are_read_and_it_is_ended_in_order() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("behind"));
    let up = Up::config("# empty\n").argument("--threads").argument("1");
    let mut tentpole = stand_in(up, &origin.address().to_string(), "0").start().await;
    assert_eq!((tentpole.address(), tentpole.admin()), (origin.address(), origin.address()));
    tentpole.says("--threads 1").await;
    assert!(tentpole.said().contains("up --admin 127.0.0.1:0 --listen 127.0.0.1:0 /"));
    assert_eq!(fs::read_to_string(tentpole.dir().join("tentpole.toml")).expect("there"), "# empty\n");
    assert_eq!(tentpole.visitor().await.get("/").await.text(), "behind");
    tentpole.ends().await;
}

#[tokio::test]
#[should_panic(expected = "without \"listening on http://\"; it said:\nport taken")]
async fn what_it_said_is_shown_when_it_ends_too_early() {
    stand_in(Up::to("http://127.0.0.1:1"), NOWHERE, "0").variable("STAND_IN_FAILS", "1").start().await;
}

#[tokio::test]
#[should_panic(expected = "it ended with exit status: 7")]
async fn an_unclean_end_fails_the_test() {
    stand_in(Up::to("http://127.0.0.1:1"), NOWHERE, "7").start().await.ends().await;
}

#[tokio::test]
async fn it_does_not_outlive_the_test() {
    let tentpole = stand_in(Up::to("http://127.0.0.1:1"), NOWHERE, "0").start().await;
    let process = PathBuf::from(format!("/proc/{}", tentpole.pid()));
    assert!(process.exists());
    drop(tentpole);
    assert!(!process.exists());
}

#[test]
fn a_program_of_the_workspace_is_built_beside_the_test() {
    // `./check` names the programs to all tests; here it is asked what happens when nobody does.
    if env::var_os("TENTPOLE_TESTKIT_BIN").is_some() {
        let mut again = Command::new(env::current_exe().expect("the test has a path"));
        again.args(["--exact", "a_program_of_the_workspace_is_built_beside_the_test"]);
        let again = again.env_remove("TENTPOLE_TESTKIT_BIN").output().expect("it runs");
        assert!(again.status.success(), "{again:?}");
        return;
    }
    let path = binary("tentpole-testkit");
    let said = Command::new(&path).arg("--version").output().expect("it runs");
    assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).starts_with("tentpole-testkit "));
    assert_eq!(binary("tentpole-testkit"), path);
}
