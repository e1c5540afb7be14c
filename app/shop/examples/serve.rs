//! Runs one instance of the shop: `serve [address] [data folder]`. To try it: `serve 127.0.0.1:8080 shop-data`,
//! then <http://shop.localhost:8080>, <http://laden.localhost:8080>, <http://boutique.localhost:8080>.

use std::process::ExitCode;

use tentpole_shop::{Options, run};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let listen = words.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let data = words.next().unwrap_or_else(|| "shop-data".to_owned());
    let Ok(listen) = listen.parse() else {
        eprintln!("{listen} is not an address; one looks like 127.0.0.1:8080");
        return ExitCode::from(2);
    };
    match Options::bind(listen, data).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
