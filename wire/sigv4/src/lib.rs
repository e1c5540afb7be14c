//! AWS Signature Version 4 ("Signature Version 4 signing process", AWS General Reference) for one request without a query:
//! every field that is given is signed. HMAC is RFC 2104. Pure: knows no clock, no socket and not where keys are kept.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The hash of no content.
pub const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Bytes of SHA-256's block.
const BLOCK_BYTES: usize = 64;

/// The key that signs.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    /// What it is called.
    pub id: &'a str,
    /// It.
    pub secret: &'a str,
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The method.
    pub method: &'a str,
    /// The path in canonical form, as it is asked for: see [`write_path`].
    pub path: &'a str,
    /// Names in lower case and values without white space around them, in the order of their names.
    pub fields: &'a [(&'a str, &'a str)],
    /// The [`hash`] of the content.
    pub content: &'a str,
    /// Now: see [`basic_time`].
    pub time: &'a str,
    /// Where the service is.
    pub region: &'a str,
    /// Its name: `s3`.
    pub service: &'a str,
}

impl Signed<'_> {
    /// The value of `Authorization`.
    pub fn authorization(&self, key: &Key<'_>) -> String {
        let Self { method, path, fields, content, time, region, service } = self;
        let names = fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = fields.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let request = format!("{method}\n{path}\n\n{lines}\n{names}\n{content}");
        let day = time.get(..8).unwrap_or_default();
        let scope = format!("{day}/{region}/{service}/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(request.as_bytes()));
        let parts = [day, region, service, "aws4_request"];
        let secret = format!("AWS4{}", key.secret).into_bytes();
        let signing = parts.iter().fold(secret, |key, part| hmac(&key, part.as_bytes()).to_vec());
        let signature = hex(&hmac(&signing, to_sign.as_bytes()));
        let id = key.id;
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }
}

/// SHA-256 in lower-case hexadecimal digits.
pub fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Writes a path in canonical form: what it says, percent-decoded, with all but letters, digits, `-._~` and `/` encoded
/// anew. A `%` that encodes nothing is itself.
pub fn write_path(out: &mut String, path: &[u8]) {
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        let byte = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                rest = &after[2..];
                (high * 16 + low) as u8
            }
            _ => {
                rest = after;
                first
            }
        };
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing into a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// Seconds since 1970 in ISO 8601's basic format, in UTC: `20150830T123600Z`.
pub fn basic_time(unix_seconds: u64) -> String {
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK_BYTES];
    if key.len() > BLOCK_BYTES {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_that_of_rfc_4231() {
        // Test cases 1, 2 and 6.
        let case = |key: &[u8], message: &[u8]| hex(&hmac(key, message));
        assert_eq!(
            case(&[0x0b; 20], b"Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            case(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            case(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn the_signature_is_that_of_the_published_test_suite() {
        // "get-vanilla" and "post-vanilla" of AWS's Signature Version 4 test suite.
        let key = Key { id: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
        let signed = |method| Signed {
            method,
            path: "/",
            fields: &[("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")],
            content: EMPTY,
            time: "20150830T123600Z",
            region: "us-east-1",
            service: "service",
        };
        let begin = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature=";
        assert_eq!(
            signed("GET").authorization(&key),
            format!("{begin}5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
        );
        assert_eq!(
            signed("POST").authorization(&key),
            format!("{begin}5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b")
        );
    }

    #[test]
    fn a_get_of_an_object_is_signed_as_the_documentation_shows() {
        // "GET Object" in "Signature Calculations for the Authorization Header", Amazon S3 API Reference.
        let key = Key { id: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };
        let signed = Signed {
            method: "GET",
            path: "/test.txt",
            fields: &[
                ("host", "examplebucket.s3.amazonaws.com"),
                ("range", "bytes=0-9"),
                ("x-amz-content-sha256", EMPTY),
                ("x-amz-date", "20130524T000000Z"),
            ],
            content: EMPTY,
            time: "20130524T000000Z",
            region: "us-east-1",
            service: "s3",
        };
        let expect = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        assert!(signed.authorization(&key).ends_with(expect), "{}", signed.authorization(&key));
        assert_eq!(hash(b""), EMPTY);
    }

    #[test]
    fn time_is_written_as_aws_reads_it() {
        for (seconds, expect) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_440_938_160, "20150830T123600Z"),
            (1_735_689_599, "20241231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(basic_time(seconds), expect);
        }
    }

    #[test]
    fn a_path_is_encoded_once_and_alike_however_it_came() {
        for (path, expect) in [
            ("/a/b.png", "/a/b.png"),
            ("/a%20b", "/a%20b"),
            ("/a b+c", "/a%20b%2Bc"),
            ("/%61~(1)", "/a~%281%29"),
            ("/k%c3%a4se", "/k%C3%A4se"),
            ("/100%", "/100%25"),
            ("/%zz", "/%25zz"),
        ] {
            let mut out = String::new();
            write_path(&mut out, path.as_bytes());
            assert_eq!(out, expect);
        }
    }
}
