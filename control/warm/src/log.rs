//! URLs from an access log: what was asked for most at the last peak. Reads Tentpole's JSON lines, and the common and
//! combined formats of Apache and nginx. Takes only what a visitor may ask for again without doing anything: GET that
//! was answered 200, without a query unless that is wanted, and never what Tentpole itself knew to be one visitor's.

use crate::list::Gathered;
use crate::{Listed, URLS_BYTES_MAX, Url};
use serde::Deserialize;
use std::collections::HashMap;
use std::io::{self, BufRead, Read};

/// Bytes of one line; longer ones are skipped.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Different URLs that are counted at a time.
const COUNTED_MAX: usize = 2_000_000;

/// What is taken from a log.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions<'a> {
    /// Host of lines that name none (the common and combined formats).
    pub base: Option<&'a Url>,
    /// How many URLs, the most asked for first.
    pub top: usize,
    /// URLs with a query too: they may do something (`?add-to-cart=7`).
    pub with_queries: bool,
}

/// A line of Tentpole's own log; whatever else stands in it does not matter here.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    method: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    host: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    target: std::borrow::Cow<'a, str>,
    status: u16,
    #[serde(borrow, default)]
    bypass: Option<std::borrow::Cow<'a, str>>,
}

/// What one line asks for.
enum Asked {
    /// This.
    For(Url),
    /// Nothing that should be asked again.
    Nothing,
    /// It cannot be read, or names no host.
    Unread,
}

/// Reads a log to its end. `Listed::skipped` counts lines that could not be read.
///
/// # Errors
/// When reading fails.
pub fn from_log(mut reader: impl BufRead, options: LogOptions<'_>) -> io::Result<Listed> {
    let mut counts = Counts::new(COUNTED_MAX, URLS_BYTES_MAX);
    let mut gathered = Gathered::default();
    let mut line = Vec::new();
    for number in 1usize.. {
        line.clear();
        if read_line(&mut reader, &mut line)? == 0 {
            break;
        }
        match asked(&line, options) {
            Asked::For(url) => counts.add(url, number),
            Asked::Nothing => {}
            Asked::Unread => {
                gathered.skip(|| format!("line {number} is no line of an access log that is known here"))
            }
        }
    }
    gathered.listed.is_cut = counts.is_cut;
    counts.most(options.top).for_each(|url| gathered.add(url));
    Ok(gathered.listed)
}

/// How often each URL was asked for. When there are too many, each count is lowered by one and what was asked for only
/// once goes (Misra and Gries 1982): whoever asks for a million different ones hides none that many ask for.
struct Counts {
    /// How often, and in which line first.
    by_url: HashMap<Url, (u64, usize)>,
    bytes: usize,
    urls_max: usize,
    bytes_max: usize,
    is_cut: bool,
}

impl Counts {
    fn new(urls_max: usize, bytes_max: usize) -> Self {
        Self { by_url: HashMap::new(), bytes: 0, urls_max, bytes_max, is_cut: false }
    }

    fn add(&mut self, url: Url, line: usize) {
        if let Some((count, _)) = self.by_url.get_mut(&url) {
            *count += 1;
            return;
        }
        if !self.has_room(&url) {
            self.is_cut = true;
            self.by_url.retain(|_, (count, _)| {
                *count -= 1;
                *count > 0
            });
            self.bytes = self.by_url.keys().map(Url::bytes).sum();
        }
        if self.has_room(&url) {
            self.bytes += url.bytes();
            self.by_url.insert(url, (1, line));
        }
    }

    fn has_room(&self, url: &Url) -> bool {
        self.by_url.len() < self.urls_max && self.bytes + url.bytes() <= self.bytes_max
    }

    /// The most asked for first; of equals, the one that came first.
    fn most(self, top: usize) -> impl Iterator<Item = Url> {
        let mut counted: Vec<_> = self.by_url.into_iter().collect();
        counted.sort_unstable_by_key(|(_, (count, first))| (std::cmp::Reverse(*count), *first));
        counted.into_iter().take(top).map(|(url, _)| url)
    }
}

/// One line without its end; what is longer than a line may be is read over. Returns the bytes that were read.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let mut read = reader.take(LINE_BYTES_MAX).read_until(b'\n', line)?;
    if line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
        line.clear();
        read += reader.skip_until(b'\n')?;
    }
    Ok(read)
}

fn asked(line: &[u8], options: LogOptions<'_>) -> Asked {
    let line = line.trim_ascii();
    if line.starts_with(b"{") {
        return serde_json::from_slice::<Line<'_>>(line)
            .map_or(Asked::Unread, |line| from_json(&line, options));
    }
    let (Some(base), Ok(line)) = (options.base, std::str::from_utf8(line)) else { return Asked::Unread };
    // `address - user [time] "GET /path HTTP/1.1" 200 ...`
    let mut quoted = line.splitn(3, '"').skip(1);
    let (Some(request), Some(rest)) = (quoted.next(), quoted.next()) else { return Asked::Unread };
    let mut words = request.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Asked::Unread };
    let Some(status) = rest.split_ascii_whitespace().next().and_then(|word| word.parse().ok()) else {
        return Asked::Unread;
    };
    wanted(method, status, target, options)
        .map_or(Asked::Nothing, |()| base.with_target(target).map_or(Asked::Unread, Asked::For))
}

fn from_json(line: &Line<'_>, options: LogOptions<'_>) -> Asked {
    // What went past the cache would do so again, or is somebody's own.
    if line.bypass.is_some() || wanted(&line.method, line.status, &line.target, options).is_none() {
        return Asked::Nothing;
    }
    let url = Url::parse(&format!("http://{}", line.host)).and_then(|base| base.with_target(&line.target));
    url.map_or(Asked::Unread, Asked::For)
}

fn wanted(method: &str, status: u16, target: &str, options: LogOptions<'_>) -> Option<()> {
    let has_query = target.contains('?');
    (method == "GET" && status == 200 && (options.with_queries || !has_query)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn read(text: &str, with_queries: bool) -> Listed {
        let base = Url::parse("http://shop.example").unwrap();
        let options = LogOptions { base: Some(&base), top: 3, with_queries };
        from_log(BufReader::with_capacity(16, text.as_bytes()), options).unwrap()
    }

    fn urls(listed: &Listed) -> Vec<String> {
        listed.urls.iter().map(Url::to_string).collect()
    }

    #[test]
    fn the_most_asked_for_come_first_in_either_format() {
        let combined = |method: &str, target: &str, status: u16| {
            format!(
                "203.0.113.7 - - [21/Nov/2026:08:00:00 +0000] \"{method} {target} HTTP/1.1\" {status} 5 \"-\" \"x\"\n"
            )
        };
        let mut text = combined("GET", "/b", 200) + &combined("GET", "/a", 200).repeat(2);
        text += &combined("POST", "/cart", 200).repeat(5);
        text += &combined("GET", "/gone", 404).repeat(5);
        text += &combined("GET", "/?add-to-cart=7", 200).repeat(5);
        text += "{\"time\":\"1\",\"method\":\"GET\",\"host\":\"other.example\",\"target\":\"/j\\u00e4\",\"status\":200}\n";
        text +=
            &"{\"method\":\"GET\",\"host\":\"other.example\",\"target\":\"/j\",\"status\":200,\"x\":[]}\n"
                .repeat(3);
        text += "{\"method\":\"GET\",\"host\":\"h\",\"target\":\"/mine\",\"status\":200,\"bypass\":\"set_cookie\"}\n";
        text += "rubbish\n";
        let listed = read(&text, false);
        assert_eq!(
            urls(&listed),
            ["http://other.example/j", "http://shop.example/a", "http://shop.example/b"]
        );
        assert_eq!(listed.skipped, 2, "{:?}", listed.first_skipped);
        assert_eq!(urls(&read(&text, true))[0], "http://shop.example/?add-to-cart=7");
    }

    #[test]
    fn a_flood_hides_nothing_that_many_asked_for() {
        let url = |target: &str| Url::parse("http://shop.example").unwrap().with_target(target).unwrap();
        let each = url("/0000/x").bytes();
        for (urls_max, bytes_max) in [(100, usize::MAX), (usize::MAX, 100 * each)] {
            let mut counts = Counts::new(urls_max, bytes_max);
            for number in 0..2_000 {
                counts.add(url(&format!("/{number:04}/x")), number);
                if number % 20 == 0 {
                    counts.add(url("/popular"), number);
                }
                assert!(counts.by_url.len() <= 100 && counts.bytes <= bytes_max);
            }
            assert!(counts.is_cut);
            assert_eq!(counts.most(1).next(), Some(url("/popular")));
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_one_read() {
        let long = format!("{{\"method\":\"{}\"}}\n", "G".repeat(200_000));
        let good = "{\"method\":\"GET\",\"host\":\"h\",\"target\":\"/\",\"status\":200}";
        let listed = read(&(long + good), false);
        assert_eq!((urls(&listed), listed.skipped), (vec!["http://h/".to_owned()], 1));
    }
}
