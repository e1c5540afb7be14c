//! `tentpole shop`: the demo's shop as one server, which is how `tentpole up` starts each of its instances.

use crate::args::Shop;
use crate::say;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use tentpole_model::STATE_VARIABLE;

/// The folder in the state directory, or here, that the shop's database lies in.
const FOLDER: &str = "shop";
/// The folder when the shop is started by hand.
const FOLDER_BY_HAND: &str = "shop-data";

/// Serves until SIGTERM or Ctrl-C.
pub fn run(typed: &Shop) -> ExitCode {
    let Ok(listen) = typed.listen.parse::<SocketAddr>() else {
        say::error(&format!("--listen {} is not an address like 127.0.0.1:3000.", typed.listen));
        return ExitCode::from(2);
    };
    let served = tentpole_shop::Options::bind(listen, data(typed)).and_then(|options| {
        introduce(&options.listener);
        tentpole_shop::run(options)
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn data(typed: &Shop) -> PathBuf {
    match (&typed.data, std::env::var_os(STATE_VARIABLE)) {
        (Some(folder), _) => folder.clone(),
        (None, Some(state)) => PathBuf::from(state).join(FOLDER),
        (None, None) => FOLDER_BY_HAND.into(),
    }
}

fn introduce(listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        // Nobody reading is no reason not to serve.
        let _ = say::out(&format!("the shop is at http://shop.localhost:{}\n", address.port()));
    }
}
