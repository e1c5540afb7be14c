//! `Accept-Language`, reduced to one of the languages that an application has (RFC 4647 section 3.4, lookup).

/// Ranges of one request that are looked at.
const RANGES_MAX: usize = 64;

/// The language of `available` (its default first) that suits a visitor best, by all lines of his
/// `Accept-Language`; `None` when there is none to choose from. Ranges of weight 0 ask for nothing, and `*` for the
/// default.
pub fn lookup<'l, 'a>(available: &'l [String], lines: impl Iterator<Item = &'a [u8]>) -> Option<&'l str> {
    let default = available.first()?;
    let ranges = lines.flat_map(|line| line.split(|&byte| byte == b',')).take(RANGES_MAX);
    let mut best: Option<(u16, &str)> = None;
    for (range, weight) in ranges.filter_map(weighted) {
        // The first of those with the greatest weight.
        if weight > best.map_or(0, |(weight, _)| weight)
            && let Some(language) = find(available, range)
        {
            best = Some((weight, language));
        }
    }
    Some(best.map_or(default, |(_, language)| language))
}

/// A range and its weight in thousandths (RFC 9110 section 12.4.2); what cannot be read weighs nothing.
fn weighted(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let range = parts.next().filter(|range| !range.is_empty())?;
    let weight = parts.find_map(|parameter| match parameter {
        [b'q' | b'Q', rest @ ..] => rest.trim_ascii_start().strip_prefix(b"=").map(<[u8]>::trim_ascii),
        _ => None,
    });
    Some((range, weight.map_or(1_000, thousandths)))
}

fn thousandths(weight: &[u8]) -> u16 {
    let (whole, fraction) = match weight.iter().position(|&byte| byte == b'.') {
        Some(at) => (&weight[..at], &weight[at + 1..]),
        None => (weight, &[][..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    match whole {
        b"1" => 1_000,
        b"0" => {
            (0..3).fold(0, |sum, at| sum * 10 + fraction.get(at).map_or(0, |digit| u16::from(digit - b'0')))
        }
        _ => 0,
    }
}

/// The language that is the range, or the longest beginning of it that is one.
fn find<'l>(available: &'l [String], mut range: &[u8]) -> Option<&'l str> {
    loop {
        let same = |language: &&String| language.as_bytes().eq_ignore_ascii_case(range);
        if let Some(language) = available.iter().find(same) {
            return Some(language);
        }
        range = &range[..range.iter().rposition(|&byte| byte == b'-')?];
        // A single letter only introduces what follows it.
        if let [shorter @ .., b'-', _] = range {
            range = shorter;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(available: &[&str], lines: &[&str]) -> Option<String> {
        let available: Vec<String> = available.iter().map(|&language| language.to_owned()).collect();
        lookup(&available, lines.iter().map(|line| line.as_bytes())).map(str::to_owned)
    }

    fn of_shop(line: &str) -> String {
        found(&["en", "de", "fr-CH", "zh-Hant"], &[line]).unwrap()
    }

    #[test]
    fn a_range_finds_the_longest_beginning_of_itself() {
        assert_eq!(of_shop("de-AT,de;q=0.9,en;q=0.8"), "de");
        assert_eq!(of_shop("zh-Hant-CN-x-private1-private2"), "zh-Hant");
        assert_eq!(of_shop("FR-ch"), "fr-CH");
        assert_eq!(of_shop("zh-Hant-x"), "zh-Hant");
    }

    #[test]
    fn a_range_never_finds_what_is_longer_than_itself() {
        assert_eq!(of_shop("fr, de;q=0.5"), "de");
        assert_eq!(of_shop("zh"), "en");
    }

    #[test]
    fn weights_decide_and_then_the_order() {
        assert_eq!(of_shop("en;q=0.8, de;q=0.9"), "de");
        assert_eq!(of_shop("de, en"), "de");
        assert_eq!(of_shop("en;q=0.9, de;q=0.9"), "en");
        assert_eq!(of_shop("de;q=0, fr-CH;q=0.001"), "fr-CH");
        assert_eq!(of_shop("de;q=0"), "en");
        assert_eq!(of_shop("de;q=x, fr-CH;q=0.1"), "fr-CH");
        assert_eq!(of_shop("de;q=2, fr-CH;q=0.1"), "fr-CH");
        assert_eq!(of_shop("fr-CH ; q = 0.25 , de;Q=0.250"), "fr-CH");
    }

    #[test]
    fn nothing_that_suits_is_the_default() {
        for line in ["", "*", "es", "*;q=0.5", ",,", ";q=1", "-", "d"] {
            assert_eq!(of_shop(line), "en", "{line}");
        }
        assert_eq!(found(&["de"], &[]), Some("de".to_owned()));
        assert_eq!(found(&[], &["de"]), None);
        assert_eq!(found(&["en", "de"], &["es", "de"]), Some("de".to_owned()), "lines are one list");
    }
}
