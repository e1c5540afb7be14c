//! Whoever wants other files than those beneath a pool's root that are for visitors.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{Running, edge};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tentpole_model::{Canonical, Files, RouteCache};

/// Stands in each file that nobody may have.
const SECRET: &str = "TOP-SECRET";

struct House {
    edge: Running,
    /// Held for its files.
    _directory: TempDir,
    root: PathBuf,
}

/// A root with a page, secrets beside it, and secrets in it that are hidden.
fn house() -> House {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("public");
    let put = |path: PathBuf, content: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    };
    put(root.join("index.html"), "home");
    put(root.join("a/b/page.html"), "page");
    put(root.join(".well-known/security.txt"), "contact");
    for hidden in [
        ".env",
        ".git/config",
        ".htaccess",
        "a/.htpasswd",
        ".well-known/.secret",
        "wp-config.php",
        "wp-config.php~",
        "wp-config.php.bak",
        "wp-config.php.1",
        "a/lib.inc",
        "dump.sql",
        "dump.sql.gz",
        ".wp-config.php.swp",
        "#wp-config.php#",
        "INDEX.PHP",
        "config.ini",
        "id.key",
        "debug.log",
    ] {
        put(root.join(hidden), SECRET);
    }
    put(directory.path().join("secret.txt"), SECRET);
    put(directory.path().join("public2/secret.txt"), SECRET);
    let files = Files::at(&root);
    let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let edge = edge(nobody, |snapshot| {
        snapshot.pools[0].endpoints.clear();
        snapshot.pools[0].files = Some(files);
        // Each request looks at the file: what is stored would hide a race.
        snapshot.sites[0].routes[0].cache = RouteCache::Off;
        // What is not canonical comes as far as the files, and is not redirected before.
        snapshot.sites[0].canonical = Canonical::Rewrite;
    });
    House { edge, _directory: directory, root }
}

impl House {
    /// Asks for exactly these bytes.
    fn ask(&self, target: &[u8]) -> Vec<u8> {
        let mut connection = TcpStream::connect(self.edge.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request =
            [b"GET ", target, b" HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"].concat();
        connection.write_all(&request).unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        answer
    }

    fn get(&self, target: &str) -> String {
        String::from_utf8_lossy(&self.ask(target.as_bytes())).into_owned()
    }

    /// Nothing comes of it, and nothing is told.
    fn refuses(&self, target: &[u8]) {
        let answer = String::from_utf8_lossy(&self.ask(target)).into_owned();
        let shown = String::from_utf8_lossy(target);
        assert!(!answer.contains(SECRET), "{shown}\n{answer}");
        let status = answer.get(9..12).unwrap_or_default();
        assert!(matches!(status, "400" | "404" | "414"), "{shown}\n{answer}");
    }

    /// As though there were nothing of this name: the same answer to the letter, but for its date.
    fn is_as_nothing(&self, target: &str) {
        let without_date =
            |answer: String| answer.lines().filter(|line| !line.starts_with("Date: ")).collect::<String>();
        let (answer, nothing) = (self.get(target), self.get("/nothing-of-this-name"));
        assert!(nothing.starts_with("HTTP/1.1 404 "), "{nothing}");
        assert_eq!(without_date(answer), without_date(nothing), "{target}");
    }
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[test]
fn nothing_above_the_root_is_reached_however_it_is_written() {
    let house = house();
    let dots: &[&[u8]] = &[
        b"..",
        b"%2e%2e",
        b"%2E.",
        b".%2e",
        b"%252e%252e",
        b"%25252e%25252e",
        b"..;",
        b"..;x=1",
        b"..%00",
        b"..%20",
        b"...",
        b"....",
        b"%c0%ae%c0%ae",
        b"%e0%80%ae%e0%80%ae",
        b"%uff0e%uff0e",
        b"\xc0\xae\xc0\xae",
        b"..%09",
        b"%ef%bc%8e%ef%bc%8e",
        b".%00.",
        b"..%0d%0a",
    ];
    let slashes: &[&[u8]] = &[
        b"/",
        b"%2f",
        b"%252f",
        b"\\",
        b"%5c",
        b"%255c",
        b"//",
        b"/./",
        b"%c0%af",
        b"%e0%80%af",
        b"/;/",
        b"%00/",
    ];
    for dots in dots {
        for slash in slashes {
            let up = [*dots, *slash].concat();
            for (before, levels) in [(&b"/"[..], 1), (b"/a/b/", 3), (b"/.well-known/", 2), (b"//", 1)] {
                house.refuses(&[before, &up.repeat(levels), b"secret.txt"].concat());
            }
        }
    }
    for target in [
        "/../secret.txt",
        "/..",
        "/../",
        "/a/../../secret.txt",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/../public2/secret.txt",
        "/%2fetc%2fpasswd",
        "/file:///etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "/%00/../secret.txt",
        "/index.html%00.png",
        "/index.html/",
        "/index.html/../../secret.txt",
        "/~root/",
    ] {
        house.refuses(target.as_bytes());
    }
    house.refuses(format!("/{}", "a".repeat(300)).as_bytes());
    house.refuses("/ab".repeat(2_000).as_bytes());
    assert_eq!(body(&house.get("/a/b/page.html")), "page");
}

#[test]
fn what_is_hidden_or_a_source_is_as_though_it_were_not_there() {
    let house = house();
    assert_eq!(body(&house.get("/.well-known/security.txt")), "contact");
    for target in [
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/.git/",
        "/.git",
        "/.htaccess",
        "/a/.htpasswd",
        "/.well-known/.secret",
        "/wp-config.php",
        "/wp-config.php~",
        "/wp-config.php.bak",
        "/wp-config.php.1",
        "/wp-config%2ephp",
        "/wp-config.ph%70",
        "/a/lib.inc",
        "/dump.sql",
        "/dump.sql.gz",
        "/.wp-config.php.swp",
        "/%23wp-config.php%23",
        "/INDEX.PHP",
        "/config.ini",
        "/id.key",
        "/debug.log",
        "/wp-config.php/",
        "/wp-config.php/x.css",
        "/a",
        "/a/",
        "/.well-known",
        "/.well-known/",
    ] {
        house.is_as_nothing(target);
    }
}

#[test]
fn links_lead_nowhere_but_beneath_the_root() {
    let house = house();
    let link = |to: &str, name: &str| symlink(to, house.root.join(name)).unwrap();
    link("a/b/page.html", "inside.html");
    link("a/b", "folder");
    for (to, name) in [
        ("../secret.txt", "up.txt"),
        ("..", "up"),
        ("/etc/passwd", "absolute.txt"),
        ("/", "everything"),
        ("a/../../secret.txt", "around.txt"),
        ("loop.txt", "loop.txt"),
        ("/proc/self/root", "magic"),
        ("/proc/self/fd", "descriptors"),
        ("nothing", "dangling.txt"),
    ] {
        link(to, name);
    }
    // One that leads out and in again is out.
    symlink(house.root.join("index.html"), house.root.join("out-and-in.html")).unwrap();
    assert_eq!(body(&house.get("/inside.html")), "page");
    assert_eq!(body(&house.get("/folder/page.html")), "page");
    for target in [
        "/up.txt",
        "/up/secret.txt",
        "/up/public2/secret.txt",
        "/absolute.txt",
        "/everything/etc/passwd",
        "/around.txt",
        "/loop.txt",
        "/magic/etc/passwd",
        "/descriptors/0",
        "/dangling.txt",
        "/out-and-in.html",
        "/up",
        "/everything/",
    ] {
        house.is_as_nothing(target);
    }
}

#[test]
fn a_link_or_folder_that_is_swapped_during_requests_never_leads_out() {
    let house = house();
    let root = house.root.clone();
    symlink("a", root.join("swapped")).unwrap();
    fs::create_dir(root.join("moving")).unwrap();
    fs::write(root.join("moving/page.html"), "page").unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let outside = root.parent().unwrap().join("outside");
            while !over.load(Ordering::Relaxed) {
                // Inside, outside, inside: each in one step.
                for to in ["../public2", "a"] {
                    let new = root.join("new-link");
                    symlink(to, &new).unwrap();
                    fs::rename(&new, root.join("swapped")).unwrap();
                }
                // A folder that leaves the root while somebody is in it.
                fs::rename(root.join("moving"), &outside).unwrap();
                fs::rename(&outside, root.join("moving")).unwrap();
            }
        });
        let mut came = 0;
        for _ in 0..300 {
            for target in ["/swapped/secret.txt", "/moving/../../secret.txt", "/swapped/../secret.txt"] {
                let answer = house.get(target);
                assert!(!answer.contains(SECRET), "{answer}");
            }
            came += usize::from(body(&house.get("/swapped/b/page.html")) == "page");
            let answer = house.get("/moving/page.html");
            assert!(matches!(&answer[9..12], "200" | "404"), "{answer}");
        }
        over.store(true, Ordering::Relaxed);
        assert!(came > 0, "the link did lead inside at times");
    });
}

#[test]
fn only_regular_files_are_opened() {
    let house = house();
    let fifo = |path: &Path| {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    };
    fifo(&house.root.join("fifo.txt"));
    let _listener = UnixListener::bind(house.root.join("socket.txt")).unwrap();
    fs::create_dir(house.root.join("folder.txt")).unwrap();
    fs::create_dir_all(house.root.join("index/index.html")).unwrap();
    // Needs rights that not everybody has; without them there is no device to ask for.
    let device = house.root.join("device.txt");
    let made = std::process::Command::new("mknod").arg(&device).args(["c", "1", "5"]).output().unwrap();
    assert_eq!(made.status.success(), device.exists());
    for target in
        ["/fifo.txt", "/socket.txt", "/folder.txt", "/folder.txt/", "/index/", "/index", "/device.txt"]
    {
        house.is_as_nothing(target);
    }
    // Nobody has opened the fifo: its other end would not have to wait.
    let writer = rustix::fs::open(
        house.root.join("fifo.txt"),
        rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK,
        rustix::fs::Mode::empty(),
    );
    assert_eq!(writer.unwrap_err(), rustix::io::Errno::NXIO);
}
