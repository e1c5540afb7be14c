//! `Accept-Encoding`, reduced to which of the codings that the web serves are acceptable (RFC 9110 section 12.5.3).
//! How much each is liked does not count: a cache serves what it has.

/// Which content codings a visitor accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Codings {
    /// Zstandard (RFC 8878).
    pub zstd: bool,
    /// Brotli (RFC 7932).
    pub br: bool,
    /// gzip (RFC 1952), also as `x-gzip`.
    pub gzip: bool,
    /// Content that is not coded is refused (`identity;q=0`, `*;q=0`).
    pub only_coded: bool,
}

/// By [`Codings::index`]: the three codings, twice.
const WRITTEN: [&str; 16] = [
    "identity",
    "gzip",
    "br",
    "br, gzip",
    "zstd",
    "zstd, gzip",
    "zstd, br",
    "zstd, br, gzip",
    "identity;q=0",
    "gzip, identity;q=0",
    "br, identity;q=0",
    "br, gzip, identity;q=0",
    "zstd, identity;q=0",
    "zstd, gzip, identity;q=0",
    "zstd, br, identity;q=0",
    "zstd, br, gzip, identity;q=0",
];

impl Codings {
    /// From all lines of `Accept-Encoding`. Without one, none is accepted: the RFC would allow any, and clients that
    /// do not ask cannot decode.
    pub fn accepted<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let [mut zstd, mut br, mut gzip, mut identity, mut rest] = [None::<bool>; 5];
        for member in lines.flat_map(|line| line.split(|&byte| byte == b',')) {
            let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let coding = parts.next().unwrap_or_default();
            let place = match () {
                () if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") => {
                    &mut gzip
                }
                () if coding.eq_ignore_ascii_case(b"br") => &mut br,
                () if coding.eq_ignore_ascii_case(b"zstd") => &mut zstd,
                () if coding.eq_ignore_ascii_case(b"identity") => &mut identity,
                () if coding == b"*" => &mut rest,
                () => continue,
            };
            // Named twice: once refused is refused.
            let accepted = !parts.any(refuses);
            *place = Some(place.unwrap_or(true) && accepted);
        }
        let of = |named: Option<bool>| named.or(rest).unwrap_or(false);
        let only_coded = !identity.or(rest.filter(|accepted| !accepted)).unwrap_or(true);
        Self { zstd: of(zstd), br: of(br), gzip: of(gzip), only_coded }
    }

    /// As a field's value, in one spelling.
    pub fn written(self) -> &'static str {
        WRITTEN[self.index()]
    }

    fn index(self) -> usize {
        let Self { zstd, br, gzip, only_coded } = self;
        usize::from(gzip) | usize::from(br) << 1 | usize::from(zstd) << 2 | usize::from(only_coded) << 3
    }
}

/// `q=0`, `q=0.0`: a weight of nothing (section 12.4.2).
fn refuses(parameter: &[u8]) -> bool {
    let Some(at) = parameter.iter().position(|&byte| byte == b'=') else { return false };
    let (name, weight) = (parameter[..at].trim_ascii(), parameter[at + 1..].trim_ascii());
    name.eq_ignore_ascii_case(b"q") && !weight.is_empty() && weight.iter().all(|byte| b"0.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(lines: &[&str]) -> &'static str {
        Codings::accepted(lines.iter().map(|line| line.as_bytes())).written()
    }

    #[test]
    fn what_browsers_send_is_one_of_a_few() {
        assert_eq!(accepted(&["gzip, deflate, br, zstd"]), "zstd, br, gzip");
        assert_eq!(accepted(&["gzip, deflate, br"]), "br, gzip");
        assert_eq!(accepted(&["br;q=1.0, gzip;q=0.8, *;q=0.1"]), "zstd, br, gzip");
        assert_eq!(accepted(&["gzip", "BR"]), "br, gzip");
        assert_eq!(accepted(&["x-gzip"]), "gzip");
        assert_eq!(accepted(&["deflate"]), "identity");
    }

    #[test]
    fn who_does_not_ask_gets_what_is_not_coded() {
        assert_eq!(accepted(&[]), "identity");
        assert_eq!(accepted(&[""]), "identity");
        assert_eq!(accepted(&["identity"]), "identity");
    }

    #[test]
    fn a_weight_of_nothing_refuses_12_4_2() {
        assert_eq!(accepted(&["gzip;q=0, br"]), "br");
        assert_eq!(accepted(&["*, gzip; Q = 0.000"]), "zstd, br");
        assert_eq!(accepted(&["gzip;q=0.001"]), "gzip");
        assert_eq!(accepted(&["gzip, gzip;q=0"]), "identity");
        assert_eq!(accepted(&["gzip;q="]), "gzip");
    }

    #[test]
    fn who_refuses_what_is_not_coded_is_apart() {
        assert_eq!(accepted(&["gzip, identity;q=0"]), "gzip, identity;q=0");
        assert_eq!(accepted(&["gzip, *;q=0"]), "gzip, identity;q=0");
        assert_eq!(accepted(&["gzip, *;q=0, identity"]), "gzip");
    }

    #[test]
    fn what_is_written_means_itself() {
        for written in WRITTEN {
            assert_eq!(accepted(&[written]), written);
        }
    }
}
