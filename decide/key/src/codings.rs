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

/// How much a visitor likes each coding, in thousandths; 0 is refused (RFC 9110 section 12.4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodingWeights {
    /// Brotli.
    pub br: u16,
    /// Zstandard.
    pub zstd: u16,
    /// gzip, also as `x-gzip`.
    pub gzip: u16,
    /// Content that is not coded. 0 too where nothing is said of it: it is acceptable, and liked least.
    pub identity: u16,
}

impl CodingWeights {
    /// From all lines of `Accept-Encoding`. Of what is named twice the last counts, unless one refuses it.
    pub fn of<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let [mut zstd, mut br, mut gzip, mut identity, mut rest] = [None::<u16>; 5];
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
            let weight = parts.find_map(weight).unwrap_or(WEIGHT_MAX);
            *place = Some(if *place == Some(0) { 0 } else { weight });
        }
        let of = |named: Option<u16>| named.or(rest).unwrap_or(0);
        Self { br: of(br), zstd: of(zstd), gzip: of(gzip), identity: identity.unwrap_or(0) }
    }
}

/// The weight of what names none.
const WEIGHT_MAX: u16 = 1000;

/// `q=0.8`, in thousandths; what cannot be read is as good as none.
fn weight(parameter: &[u8]) -> Option<u16> {
    let at = parameter.iter().position(|&byte| byte == b'=')?;
    let (name, value) = (parameter[..at].trim_ascii(), parameter[at + 1..].trim_ascii());
    if !name.eq_ignore_ascii_case(b"q") {
        return None;
    }
    let (whole, fraction) = match value {
        [whole] | [whole, b'.'] => (whole, &b""[..]),
        [whole, b'.', fraction @ ..] => (whole, fraction),
        _ => return None,
    };
    let mut thousandths = match whole {
        b'0' => 0,
        b'1' => WEIGHT_MAX,
        _ => return None,
    };
    let mut worth = 100;
    for digit in fraction {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(digit - b'0') * worth;
        worth /= 10;
    }
    // What is below a thousandth is not nothing (`q=0.0001`), and more than all is all.
    let some = fraction.iter().any(|&digit| digit != b'0');
    Some(thousandths.max(u16::from(some)).min(WEIGHT_MAX))
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

    fn weights(line: &str) -> (u16, u16, u16, u16) {
        let CodingWeights { br, zstd, gzip, identity } = CodingWeights::of([line.as_bytes()].into_iter());
        (br, zstd, gzip, identity)
    }

    #[test]
    fn a_weight_says_how_much_a_coding_is_liked_12_4_2() {
        assert_eq!(weights("gzip, deflate, br, zstd"), (1000, 1000, 1000, 0));
        assert_eq!(weights("br;q=0.8, gzip; Q=1.0, zstd;q=0.805"), (800, 805, 1000, 0));
        assert_eq!(weights("*;q=0.5, br;q=0"), (0, 500, 500, 0));
        assert_eq!(weights("identity;q=1, x-gzip;q=0.001, *;q=0"), (0, 0, 1, 1000));
        assert_eq!(weights("gzip;q=0, gzip"), (0, 0, 0, 0));
        assert_eq!(weights(""), (0, 0, 0, 0));
        assert_eq!(weights("gzip;q=, br;q=2, zstd;q=0.0001"), (1000, 1, 1000, 0));
        assert_eq!(weights("gzip;q=1.9"), (0, 0, 1000, 0));
        assert_eq!(weights("gzip;q=0."), (0, 0, 0, 0));
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
