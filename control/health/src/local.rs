//! Probes of endpoints that are no HTTP over TCP: at a Unix socket, or by FastCGI. Status and content are looked at as
//! everywhere. Decides nothing.

use crate::probe::{self, Bad, at_port};
use crate::secure;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tentpole_fastcgi::{
    Asked, Decoded, Decoder, Limits, Params, Script, ScriptRules, write_begin, write_params, write_stdin_end,
};
use tentpole_message::{RequestHead, ResponseHead};
use tentpole_model::{Endpoint, HealthCheck, Method, PROBE_BODY_MAX, Pool, ProbeMethod, Scheme, Scripts};
use tentpole_runtime::unix;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 64 << 10;

/// Asks an endpoint of this kind as the check says, with these field lines; `None` for one that is asked in the usual way.
/// `authority` is the host that is asked for unless the check names one.
pub(crate) async fn ask(
    pool: &Pool,
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    check: &HealthCheck,
    authority: &str,
    own_lines: &str,
) -> Option<Result<(), Bad>> {
    let time = check.timeout;
    let at_socket = endpoint.unix_socket().is_some();
    if check.connect_only {
        return connect(endpoint, time).await;
    }
    // A path is nothing that a host could be called.
    let authority = if at_socket { "localhost" } else { authority };
    match (endpoint.scheme, &pool.scripts) {
        (Scheme::FastCgi, Some(scripts)) => {
            let addresses: Vec<_> = addresses.iter().map(|address| at_port(*address, check.port)).collect();
            let asked = timeout(time, async {
                converse(dial(endpoint, &addresses).await?, scripts, check, authority, own_lines).await
            });
            Some(asked.await.unwrap_or(Err(Bad::TimedOut(time))))
        }
        (Scheme::Http, _) if at_socket => {
            let asked = timeout(time, async {
                let stream = secure::over(dial(endpoint, &[]).await?, None).await.map_err(Bad::Io)?;
                probe::converse(stream, check, authority, own_lines).await
            });
            match asked.await.unwrap_or(Err(Bad::TimedOut(time))) {
                Ok(stream) => {
                    probe::read_the_rest(stream).await;
                    Some(Ok(()))
                }
                Err(bad) => Some(Err(bad)),
            }
        }
        _ => connect(endpoint, time).await,
    }
}

/// Connects to a Unix socket and closes; `None` for an endpoint that is at none.
pub(crate) async fn connect(endpoint: &Endpoint, time: Duration) -> Option<Result<(), Bad>> {
    endpoint.unix_socket()?;
    let dialed = timeout(time, dial(endpoint, &[])).await.unwrap_or(Err(Bad::TimedOut(time)));
    Some(dialed.map(drop))
}

async fn dial(endpoint: &Endpoint, addresses: &[SocketAddr]) -> Result<TcpStream, Bad> {
    let Some(path) = endpoint.unix_socket() else {
        return TcpStream::connect(addresses).await.map_err(Bad::Io);
    };
    loop {
        match unix::connect(path) {
            // Its queue is full: it is there, and busy.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            dialed => return dialed.map_err(Bad::Io),
        }
    }
}

/// Asks over a connection, and looks at status and content.
async fn converse(
    mut stream: TcpStream,
    scripts: &Scripts,
    check: &HealthCheck,
    authority: &str,
    own_lines: &str,
) -> Result<(), Bad> {
    stream.write_all(&request(scripts, check, authority, own_lines)).await.map_err(Bad::Io)?;
    let method = if check.method == ProbeMethod::Head { Method::Head } else { Method::Get };
    let mut decoder = Decoder::new(method, Limits::default());
    let (mut came, mut content, mut left) = (Vec::with_capacity(4096), Vec::new(), ANSWER_MAX);
    let (mut head, mut has_head) = (ResponseHead::new(), false);
    loop {
        let used = match decoder.decode(&came) {
            Ok(Decoded::Head { used }) => {
                decoder.take_head(&mut head);
                has_head = true;
                if !check.passes(head.status) {
                    return Err(Bad::Status(head.status));
                }
                used
            }
            Ok(Decoded::Data { skip, len }) => {
                content.extend_from_slice(&came[skip..skip + len]);
                skip + len
            }
            Ok(Decoded::NeedMore { used }) => used,
            Ok(Decoded::Done { .. }) if has_head => return lacks(check),
            Ok(Decoded::Done { .. }) | Err(_) => return Err(Bad::NotHttp),
        };
        came.drain(..used);
        match &check.body {
            None if has_head => return Ok(()),
            Some(wanted) if has_head && probe::holds(&content, wanted.as_bytes()) => return Ok(()),
            _ => {}
        }
        if used > 0 && !came.is_empty() {
            continue;
        }
        if left == 0 || content.len() >= PROBE_BODY_MAX {
            return if has_head { lacks(check) } else { Err(Bad::NotHttp) };
        }
        match stream.read_buf(&mut came).await.map_err(Bad::Io)? {
            0 => return Err(Bad::Closed),
            count => left = left.saturating_sub(count),
        }
    }
}

/// The whole content was looked at.
fn lacks(check: &HealthCheck) -> Result<(), Bad> {
    match &check.body {
        Some(wanted) if !wanted.is_empty() => Err(Bad::Lacks(wanted.clone())),
        _ => Ok(()),
    }
}

/// A path that is no script goes to the front controller under its own name: php-fpm knows by that its `ping.path`.
fn request(scripts: &Scripts, check: &HealthCheck, authority: &str, own_lines: &str) -> Vec<u8> {
    let path_and_query = &check.path[..];
    let path = path_and_query.split('?').next().unwrap_or_default();
    let is_script = ScriptRules::default().is_script(path.rsplit('/').next().unwrap_or_default().as_bytes());
    let front = scripts.front.clone().unwrap_or_else(|| format!("/{}", scripts.index));
    let runs = Script::named(if is_script { path } else { &front }).or_else(|| Script::named("/"));
    let mut head = RequestHead::new();
    let method = head.fields.append(check.method.as_str().as_bytes());
    let target = head.fields.append(path_and_query.as_bytes());
    head.set_line(method, target, 1);
    let host = check.host.as_deref().unwrap_or(authority);
    head.fields.push(b"Host", host.as_bytes());
    head.fields.push(b"User-Agent", b"tentpole-probe");
    let own = own_lines.lines().filter_map(|line| line.split_once(':'));
    let own = own.map(|(name, value)| (name, value.trim()));
    let asked = check.fields.iter().map(|(name, value)| (&name[..], &value[..]));
    own.chain(asked).for_each(|(name, value)| head.fields.push(name.as_bytes(), value.as_bytes()));
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |at| at.0);
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut params = Params::new();
    if let Some(script) = &runs {
        params.push_request(
            &Asked {
                head: &head,
                path_and_query: path_and_query.as_bytes(),
                script,
                document_root: scripts.root.as_bytes(),
                content_length: None,
                host: host.as_bytes(),
                server_name: name.as_bytes(),
                visitor: here,
                accepted_at: here,
                server_port: 80,
                is_https: false,
            },
            |_| false,
        );
    }
    // The last of a name counts.
    params.push(b"SCRIPT_NAME", path.as_bytes());
    let mut out = Vec::new();
    write_begin(&mut out, false);
    // A path is far smaller than what may be told.
    write_params(&mut out, params.pairs().unwrap_or_default());
    write_stdin_end(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_testkit::php::Fpm;

    #[tokio::test]
    async fn php_fpm_is_asked_for_its_ping_a_script_or_the_front_controller() {
        let mut fpm = Fpm::start(1, "");
        fpm.write("index.php", "<?php http_response_code($_SERVER['REQUEST_URI'] == '/well?a' ? 204 : 503);");
        fpm.write("up.php", "<?php echo 'up';");
        let endpoint = Endpoint {
            scheme: Scheme::FastCgi,
            host: fpm.socket().to_str().unwrap().to_owned(),
            ..Endpoint::default()
        };
        let root = fpm.root().to_str().unwrap().to_owned();
        let pool = Pool { scripts: Some(Scripts { root, ..Scripts::default() }), ..Pool::default() };
        let time = Duration::from_secs(20);
        let check = |path: &str| HealthCheck { path: path.into(), timeout: time, ..HealthCheck::default() };
        let probed = async |check: HealthCheck| {
            ask(&pool, &endpoint, &[], &check, "ignored", "X-Key: a\r\n").await.unwrap()
        };
        for well in ["/ping", "/up.php", "/well?a"] {
            assert!(probed(check(well)).await.is_ok(), "{well}");
        }
        assert!(matches!(probed(check("/other")).await, Err(Bad::Status(503))));
        assert!(matches!(probed(check("/gone.php")).await, Err(Bad::Status(404))));
        assert!(probed(HealthCheck { statuses: vec![(503, 503)], ..check("/other") }).await.is_ok());
        assert!(connect(&endpoint, time).await.unwrap().is_ok());
        fpm.write(
            "told.php",
            "<?php echo str_repeat('x', 20000), \"$_SERVER[HTTP_HOST] $_SERVER[HTTP_X_KEY] $_SERVER[HTTP_X_PROBE]\";",
        );
        let told = |wanted: &str| HealthCheck {
            body: Some(wanted.into()),
            host: Some("shop.example".into()),
            fields: vec![("X-Probe".into(), "b".into())],
            ..check("/told.php")
        };
        assert!(probed(told("shop.example a b")).await.is_ok());
        let lacks = probed(told("more")).await.unwrap_err();
        assert_eq!(lacks.to_string(), "body lacks \"more\"");
        assert!(probed(HealthCheck { method: ProbeMethod::Head, body: None, ..told("") }).await.is_ok());
        fpm.stop();
        assert!(matches!(probed(check("/ping")).await, Err(Bad::Io(_))));
        assert!(matches!(connect(&endpoint, time).await, Some(Err(Bad::Io(_)))));
        assert!(connect(&Endpoint::default(), time).await.is_none(), "the usual way");
    }

    #[tokio::test]
    async fn status_and_content_are_looked_at_behind_a_unix_socket_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4_096];
                let length = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let answer = match request.starts_with("GET /up HTTP/1.1\r\nHost: localhost\r\n") {
                    true => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                    false => "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let host = path.to_str().unwrap().to_owned();
        let endpoint = Endpoint { host, port: 0, ..Endpoint::default() };
        let check = |path: &str, body: Option<&str>| HealthCheck {
            path: path.into(),
            body: body.map(str::to_owned),
            timeout: Duration::from_secs(20),
            ..HealthCheck::default()
        };
        let pool = Pool::default();
        let probed =
            async |check: HealthCheck| ask(&pool, &endpoint, &[], &check, "unix:/x", "").await.unwrap();
        probed(check("/up", Some("ok"))).await.unwrap();
        assert!(matches!(probed(check("/down", None)).await, Err(Bad::Status(500))));
        assert!(matches!(probed(check("/up", Some("well"))).await, Err(Bad::Lacks(_))));
        probed(HealthCheck { connect_only: true, ..check("/down", None) }).await.unwrap();
        serving.abort();
    }
}
