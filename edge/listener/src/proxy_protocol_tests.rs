//! The PROXY protocol: what is read, what is refused, and that no bytes break it.

use super::*;
use proptest::prelude::*;

fn whole(bytes: usize, source: Source) -> Result<Parsed, Malformed> {
    Ok(Parsed::Whole { bytes, source, https: false })
}

fn at(address: &str) -> Source {
    Source::Address(address.parse().unwrap())
}

/// A version 2 header for these bytes behind its length.
fn v2(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = (rest.len() as u16).to_be_bytes();
    [&SIGNATURE[..], &[version_and_command, family], &length, rest].concat()
}

const TCP4: [u8; 12] = [203, 0, 113, 9, 127, 0, 0, 1, 0xdc, 0x04, 0x01, 0xbb];

#[test]
fn version_1_names_the_visitor() {
    let line = b"PROXY TCP4 203.0.113.9 192.0.2.2 56324 443\r\n";
    assert_eq!(parse(line), whole(line.len(), at("203.0.113.9:56324")));
    let six = b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\nGET / HTTP/1.1\r\n";
    assert_eq!(parse(six), whole(36, at("[2001:db8::1]:1")));
    assert_eq!(parse(b"PROXY UNKNOWN\r\n"), whole(15, Source::Unknown));
    assert_eq!(parse(b"PROXY UNKNOWN ffff:: a b c\r\n"), whole(28, Source::Unknown));
}

#[test]
fn version_1_is_read_in_one_way_only() {
    for line in [
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 203.0.113.9 192.0.2.2 1 2\r\n",
        "PROXY  TCP4 203.0.113.9 192.0.2.2 1 2\r\n",
        "PROXY TCP4  203.0.113.9 192.0.2.2 1 2\r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2 1\r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2 01 2\r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2 65536 2\r\n",
        "PROXY TCP4 203.0.113 192.0.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 203.0.113.9 192.0.2.2 1 2\r\n",
        "PROXY UDP4 203.0.113.9 192.0.2.2 1 2\r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2 1 2\nGET / HTTP/1.1\r\n",
        "PROXY \r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(Malformed), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {}", "a".repeat(200));
    assert_eq!(parse(&long.as_bytes()[..106]), Ok(Parsed::Partial));
    assert_eq!(parse(&long.as_bytes()[..107]), Err(Malformed));
}

#[test]
fn version_2_names_the_visitor() {
    assert_eq!(parse(&v2(0x21, 0x11, &TCP4)), whole(28, at("203.0.113.9:56324")));
    let mut six = [0; 36];
    six[15] = 7;
    six[33] = 80;
    assert_eq!(parse(&v2(0x21, 0x21, &six)), whole(52, at("[::7]:80")));
    assert_eq!(parse(&v2(0x21, 0x00, b"")), whole(16, Source::Unknown));
    assert_eq!(parse(&v2(0x21, 0x31, &[0; 216])), whole(232, Source::Unknown));
    assert_eq!(parse(&v2(0x20, 0x11, &TCP4)), whole(28, Source::Balancer), "whatever it says");
    assert_eq!(parse(&v2(0x20, 0x00, b"")), whole(16, Source::Balancer));
}

#[test]
fn version_2_is_read_in_one_way_only() {
    for header in [
        v2(0x11, 0x11, &TCP4),
        v2(0x22, 0x11, &TCP4),
        v2(0x21, 0x12, &TCP4),
        v2(0x21, 0x13, &TCP4),
        v2(0x21, 0x21, &TCP4),
        v2(0x21, 0x11, &TCP4[..11]),
        v2(0x21, 0x11, &[&TCP4[..], &[4]].concat()),
        v2(0x21, 0x11, &[&TCP4[..], &[4, 0, 2, 9]].concat()),
        v2(0x21, 0x11, &[&TCP4[..], &[SSL, 0, 0]].concat()),
        v2(0x21, 0x00, &[0; V2_BYTES_MAX]),
    ] {
        assert_eq!(parse(&header), Err(Malformed), "{header:?}");
    }
}

#[test]
fn a_checksum_that_is_there_must_be_right() {
    assert_eq!(crc32c(b"123456789".iter()), 0xE306_9283, "the check value of CRC-32C");
    let fields = [&TCP4[..], &[4, 0, 1, 0], &[CRC32C, 0, 4, 0, 0, 0, 0], &[5, 0, 0]].concat();
    let mut header = v2(0x21, 0x11, &fields);
    assert_eq!(parse(&header), Err(Malformed));
    let sum = crc32c(header.iter()).to_be_bytes();
    let at = header.len() - 7;
    header[at..at + 4].copy_from_slice(&sum);
    assert_eq!(
        parse(&header),
        whole(header.len(), super::Source::Address("203.0.113.9:56324".parse().unwrap()))
    );
    header[16] ^= 1;
    assert_eq!(parse(&header), Err(Malformed));
}

#[test]
fn tls_in_front_is_https() {
    for (client, https) in [(0x01, true), (0x07, true), (0x00, false), (0x02, false)] {
        let fields = [&TCP4[..], &[SSL, 0, 5, client, 0, 0, 0, 0]].concat();
        let Ok(Parsed::Whole { https: read, .. }) = parse(&v2(0x21, 0x11, &fields)) else { panic!() };
        assert_eq!(read, https, "{client}");
    }
}

proptest! {
    #[test]
    fn no_bytes_break_it_and_none_are_read_that_are_not_there(
        version in any::<bool>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let begun = if version { [&SIGNATURE[..], &[0x21, 0x11, 0], &bytes].concat() } else { bytes };
        if let Ok(Parsed::Whole { bytes, .. }) = parse(&begun) {
            prop_assert!(bytes <= begun.len());
            // What follows changes nothing.
            prop_assert_eq!(parse(&[&begun[..], b"GET"].concat()), parse(&begun));
        }
    }

    #[test]
    fn each_beginning_of_a_header_is_one(source: std::net::SocketAddrV4, second in any::<bool>()) {
        let header = match second {
            true => {
                let port = source.port().to_be_bytes();
                v2(0x21, 0x11, &[&source.ip().octets()[..], &[127, 0, 0, 1], &port, &[0, 80]].concat())
            }
            false => format!("PROXY TCP4 {} 127.0.0.1 {} 80\r\n", source.ip(), source.port()).into_bytes(),
        };
        for end in 0..header.len() {
            prop_assert_eq!(parse(&header[..end]), Ok(Parsed::Partial));
        }
        prop_assert_eq!(parse(&header), whole(header.len(), Source::Address(source.into())));
    }
}
