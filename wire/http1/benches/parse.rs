//! What parsing and writing a head costs. `cargo bench -p tentpole-http1`

use divan::{Bencher, black_box};
use tentpole_http1::{
    Limits, keeps_alive_request, parse_request, parse_response, request_framing, split_target, write_field,
    write_fields, write_request_line,
};
use tentpole_message::{RequestHead, ResponseHead};

/// A browser's request: 10 fields.
const REQUEST: &[u8] = b"GET /products/tents/dome-4?colour=green&page=2 HTTP/1.1\r\n\
Host: shop.example\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-GB,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: https://shop.example/products/tents\r\n\
Connection: keep-alive\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; consent=yes\r\n\
Upgrade-Insecure-Requests: 1\r\n\
Priority: u=0, i\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Date: Sat, 21 Nov 2026 10:00:00 GMT\r\n\
Server: application\r\n\
Content-Type: text/html; charset=utf-8\r\n\
Content-Length: 12345\r\n\
Cache-Control: public, max-age=60, stale-while-revalidate=30\r\n\
ETag: \"0123456789abcdef\"\r\n\
Vary: Accept-Encoding\r\n\
X-Request-Id: 0123456789abcdef\r\n\r\n";

/// Shows allocations too: once the buffers have grown there must be none.
#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// The bare parser, to compare with: it checks less and keeps nothing.
#[divan::bench(sample_size = 1_000)]
fn httparse_alone(bencher: Bencher) {
    bencher.bench_local(|| {
        let mut room = [const { std::mem::MaybeUninit::uninit() }; 100];
        let mut request = httparse::Request::new(&mut []);
        black_box(request.parse_with_uninit_headers(black_box(REQUEST), &mut room))
    });
}

/// All checks, and the head filled.
#[divan::bench(sample_size = 1_000)]
fn request(bencher: Bencher) {
    let (limits, mut head) = (Limits::default(), RequestHead::new());
    bencher.bench_local(|| black_box(parse_request(black_box(REQUEST), &limits, &mut head)));
}

/// And everything that an edge asks of it.
#[divan::bench(sample_size = 1_000)]
fn request_and_questions(bencher: Bencher) {
    let (limits, mut head) = (Limits::default(), RequestHead::new());
    bencher.bench_local(|| {
        let parsed = parse_request(black_box(REQUEST), &limits, &mut head);
        let framing = request_framing(&head);
        black_box((parsed, framing, keeps_alive_request(&head), split_target(&head).path_and_query.len()))
    });
}

#[divan::bench(sample_size = 1_000)]
fn response(bencher: Bencher) {
    let (limits, mut head) = (Limits::default(), ResponseHead::new());
    bencher.bench_local(|| black_box(parse_response(black_box(RESPONSE), &limits, &mut head)));
}

/// The request as it goes on to an endpoint.
#[divan::bench(sample_size = 1_000)]
fn write_request(bencher: Bencher) {
    let (mut head, mut out) = (RequestHead::new(), Vec::new());
    parse_request(REQUEST, &Limits::default(), &mut head).expect("a request as it must be");
    bencher.bench_local(|| {
        out.clear();
        write_request_line(&mut out, head.method_bytes(), head.target());
        write_fields(&mut out, &head.fields, |_| false);
        black_box(out.len())
    });
}

/// The fields that an edge writes by itself.
#[divan::bench(sample_size = 1_000)]
fn write_own_fields(bencher: Bencher) {
    let mut out = Vec::new();
    bencher.bench_local(|| {
        out.clear();
        write_field(&mut out, b"Host", black_box(b"shop.example"));
        write_field(&mut out, b"X-Forwarded-Proto", black_box(b"https"));
        write_field(&mut out, b"X-Forwarded-Host", black_box(b"shop.example"));
        black_box(out.len())
    });
}
