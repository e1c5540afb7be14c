//! How endpoints are asked: which one, over which protocol, and what becomes of it when nobody waits any more.

mod common;

#[path = "asking/balancing.rs"]
mod balancing;
#[path = "asking/endpoint_http2.rs"]
mod endpoint_http2;
#[path = "asking/endpoint_servers.rs"]
mod endpoint_servers;
#[path = "asking/endpoint_tls.rs"]
mod endpoint_tls;
#[path = "asking/fastcgi.rs"]
mod fastcgi;
#[path = "asking/forwarding.rs"]
mod forwarding;
#[path = "asking/leaving.rs"]
mod leaving;
#[path = "asking/sticky.rs"]
mod sticky;
#[path = "asking/unix_sockets.rs"]
mod unix_sockets;
