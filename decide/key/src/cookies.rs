//! The cookies of a request: which of them say nothing, which name a group of visitors, and which may say who the
//! visitor is. What cannot be read in one way only counts as identity (RFC 6265 section 5.4 and 4.2.1).

use crate::names::{Names, decoded};

/// Bytes of all keyed cookies of one request together.
pub const KEYED_BYTES_MAX: usize = 1024;

/// Which cookies count for what.
#[derive(Debug)]
pub struct CookieRules {
    ignored: Names,
    /// To the letter, in the order of the configuration.
    keyed: Vec<Box<[u8]>>,
}

/// What a request's cookies come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cookies {
    /// Some cookie may say who the visitor is.
    pub personal: bool,
    /// What is to be told an endpoint is not what came, and was written.
    pub reduced: bool,
}

/// Why a request's cookies name no group: keyed cookies are longer than [`KEYED_BYTES_MAX`] together, or there is
/// something that an application could take for one where we do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclear;

/// One cookie of a line.
#[derive(Clone, Copy)]
struct Pair<'a> {
    /// Name and value as they came, without white space around them.
    whole: &'a [u8],
    /// Empty when there is no `=`.
    name: &'a [u8],
    value: &'a [u8],
}

impl CookieRules {
    /// Compiles the rules: names, of the ignored also beginnings that end in `*`. A keyed cookie is not ignored,
    /// whatever the other list says.
    pub fn new(ignored: &[String], keyed: &[String]) -> Self {
        Self {
            ignored: Names::new(ignored),
            keyed: keyed.iter().map(|name| name.as_bytes().into()).collect(),
        }
    }

    /// Whether there are keyed cookies.
    pub fn key_some(&self) -> bool {
        !self.keyed.is_empty()
    }

    /// Sorts the cookies of all `Cookie` lines of a request. Into `told` goes what an endpoint is told when its answer
    /// may be stored, if that is not what came: keyed cookies first, in the order of the rules, then those that
    /// remain, as they came. Into `key` goes what belongs into the key. Both are appended to.
    ///
    /// # Errors
    /// When it cannot be said which group the visitor belongs to. What was appended means nothing then.
    pub fn sort<'a>(
        &self,
        lines: impl Iterator<Item = &'a [u8]> + Clone,
        told: &mut Vec<u8>,
        key: &mut Vec<u8>,
    ) -> Result<Cookies, Unclear> {
        let pairs = || lines.clone().flat_map(pairs);
        let quoted = lines.clone().any(|line| line.contains(&b'"'));
        if quoted && pairs().any(|pair| !pair.is_quoted_well()) {
            // Where quotes do not close, applications disagree on where a cookie ends.
            return if self.key_some() {
                Err(Unclear)
            } else {
                Ok(Cookies { personal: true, reduced: false })
            };
        }
        let told_at = told.len();
        let mut cookies = Cookies::default();
        let (mut keyed, mut ignored) = (false, false);
        // Those of the first ones that remain, so that nothing is asked twice.
        let mut remaining = 0_u64;
        for (number, pair) in pairs().enumerate() {
            match () {
                () if self.keys(pair.name) => keyed = true,
                () if self.keyed.iter().any(|name| is_taken_for(pair.name, name)) => return Err(Unclear),
                () if self.ignores(pair) => ignored = true,
                () if self.hides_in(pair.whole) || self.hides_unnamed(pair) => return Err(Unclear),
                () => {
                    cookies.personal = true;
                    remaining |= 1_u64.checked_shl(number as u32).unwrap_or(0);
                }
            }
        }
        if keyed {
            let key_at = key.len();
            for name in &self.keyed {
                pairs().filter(|pair| *pair.name == **name).for_each(|pair| append(key, key_at, pair));
            }
            if key.len() - key_at > KEYED_BYTES_MAX {
                return Err(Unclear);
            }
            told.extend_from_slice(&key[key_at..]);
        }
        cookies.reduced = keyed || ignored;
        if cookies.reduced && cookies.personal {
            let remains = |(number, pair): &(usize, Pair<'_>)| match number {
                0..64 => remaining >> number & 1 == 1,
                _ => !self.keys(pair.name) && !self.ignores(*pair),
            };
            pairs().enumerate().filter(remains).for_each(|(_, pair)| append(told, told_at, pair));
        }
        Ok(cookies)
    }

    fn keys(&self, name: &[u8]) -> bool {
        self.keyed.iter().any(|keyed| **keyed == *name)
    }

    /// Whether there is a keyed cookie in it for an application that takes commas or white space for separators as well
    /// (RFC 2109 allowed commas; Python's `http.cookies` splits at blanks).
    fn hides_in(&self, whole: &[u8]) -> bool {
        if self.keyed.is_empty() || !whole.iter().any(|&byte| is_separator(byte)) {
            return false;
        }
        let named = |piece: &[u8]| {
            let name = &piece[..piece.iter().position(|&byte| byte == b'=')?];
            let name = name.trim_ascii_end();
            let begins = name.iter().rposition(|&byte| is_separator(byte))? + 1;
            Some(self.keyed.iter().any(|keyed| is_taken_for(&name[begins..], keyed)))
        };
        let mut rest = whole;
        while !rest.is_empty() {
            if named(rest) == Some(true) {
                return true;
            }
            let equals = rest.iter().position(|&byte| byte == b'=').unwrap_or(rest.len() - 1);
            rest = &rest[equals + 1..];
        }
        false
    }

    /// Whether a cookie without a name is a keyed one for an application that overlooks a leading `=`, or reads a name alone
    /// as one without a value.
    fn hides_unnamed(&self, pair: Pair<'_>) -> bool {
        if !pair.name.is_empty() {
            return false;
        }
        let begins = pair.whole.iter().position(|&byte| byte != b'=' && !is_separator(byte));
        let rest = &pair.whole[begins.unwrap_or(pair.whole.len())..];
        let name = rest.split(|&byte| byte == b'=').next().unwrap_or_default();
        self.keyed.iter().any(|keyed| is_taken_for(name, keyed))
    }

    fn ignores(&self, pair: Pair<'_>) -> bool {
        !pair.name.is_empty() && self.ignored.hold(pair.name.iter().copied())
    }
}

impl Pair<'_> {
    /// No quotation mark, or one at each end of the value.
    fn is_quoted_well(&self) -> bool {
        let inside = match self.value {
            [b'"', inside @ .., b'"'] => inside,
            value => value,
        };
        !inside.contains(&b'"') && !self.name.contains(&b'"')
    }
}

/// The cookies of one line (RFC 6265 section 4.2.1), however they are written.
fn pairs(mut line: &[u8]) -> impl Iterator<Item = Pair<'_>> + Clone {
    std::iter::from_fn(move || {
        while !line.is_empty() {
            let equals = line.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(line.len());
            let named = line.get(equals) == Some(&b'=');
            let value_at = if named { equals + 1 } else { 0 };
            let length = line[equals..].iter().position(|&byte| byte == b';');
            let end = length.map_or(line.len(), |length| equals + length);
            let (piece, rest) = line.split_at(end);
            line = rest.get(1..).unwrap_or_default();
            let whole = piece.trim_ascii();
            if !whole.is_empty() {
                let name = if named { piece[..equals].trim_ascii_start() } else { &[] };
                let value = piece[value_at..].trim_ascii_end();
                return Some(Pair { whole, name, value: if named { value } else { whole } });
            }
        }
        None
    })
}

/// Whether an application may take a cookie of this name for the keyed one, though it is another to the letter: PHP
/// reads `.` and space as `_`, `a[b]` as `a`, and used to decode `%61`; some ignore case or white space.
fn is_taken_for(name: &[u8], keyed: &[u8]) -> bool {
    let folded = |name| {
        let bytes = decoded(<[u8]>::trim_ascii(name));
        bytes.map(|byte| if b".[ ".contains(&byte) { b'_' } else { byte.to_ascii_lowercase() })
    };
    let outer = decoded(name).position(|byte| byte == b'[').unwrap_or(usize::MAX);
    folded(name).eq(folded(keyed)) || folded(name).take(outer).eq(folded(keyed))
}

fn is_separator(byte: u8) -> bool {
    byte == b',' || byte.is_ascii_whitespace()
}

fn append(out: &mut Vec<u8>, from: usize, pair: Pair<'_>) {
    if out.len() > from {
        out.extend_from_slice(b"; ");
    }
    out.extend_from_slice(pair.whole);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(ignored: &[&str], keyed: &[&str]) -> CookieRules {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        CookieRules::new(&own(ignored), &own(keyed))
    }

    /// What it comes to, what an endpoint is told, what goes into the key.
    fn sorted(rules: &CookieRules, lines: &[&str]) -> Result<(Cookies, String, String), Unclear> {
        let (mut told, mut key) = (Vec::new(), Vec::new());
        let cookies = rules.sort(lines.iter().map(|line| line.as_bytes()), &mut told, &mut key)?;
        Ok((cookies, String::from_utf8(told).unwrap(), String::from_utf8(key).unwrap()))
    }

    fn cookies(personal: bool, reduced: bool) -> Cookies {
        Cookies { personal, reduced }
    }

    #[test]
    fn what_carries_no_identity_is_no_cookie_at_all() {
        let analytics = rules(&["_ga*", "consent"], &[]);
        let (found, told, key) = sorted(&analytics, &["_ga=GA1.2; consent=yes;_ga_X=1"]).unwrap();
        assert_eq!((found, told.as_str(), key.as_str()), (cookies(false, true), "", ""));
        assert_eq!(sorted(&analytics, &[]).unwrap().0, cookies(false, false));
        assert_eq!(sorted(&analytics, &["", " ; ;"]).unwrap().0, cookies(false, false));
    }

    #[test]
    fn one_that_may_say_who_it_is_remains_as_it_came() {
        let analytics = rules(&["_ga*"], &[]);
        let (found, told, _) = sorted(&analytics, &["_ga=1; sid=a=b; _gab=2", "lang=de"]).unwrap();
        assert_eq!((found, told.as_str()), (cookies(true, true), "sid=a=b; lang=de"));
        assert_eq!(sorted(&analytics, &["sid=1"]).unwrap().0, cookies(true, false), "nothing was left out");
        for another in ["_ga", "=_ga", "_GA=1", "x_ga=1"] {
            assert_eq!(sorted(&analytics, &[another]).unwrap().0, cookies(true, false), "{another}");
        }
    }

    #[test]
    fn keyed_cookies_go_into_the_key_in_the_order_of_the_rules() {
        let groups = rules(&["_ga*"], &["group", "currency"]);
        let one = sorted(&groups, &["currency=EUR; _ga=1; group=vip"]).unwrap();
        let other = sorted(&groups, &["group=vip", "currency=EUR"]).unwrap();
        assert_eq!((one.0, one.1.as_str()), (cookies(false, true), "group=vip; currency=EUR"));
        assert_eq!((one.1.clone(), one.2.clone()), (other.1, other.2));
        assert_eq!(one.2, one.1);
        let (found, told, key) = sorted(&groups, &["sid=1; group=a; group=b"]).unwrap();
        assert_eq!((found, told.as_str()), (cookies(true, true), "group=a; group=b; sid=1"));
        assert_eq!(key, "group=a; group=b", "which of them counts only the application knows");
    }

    #[test]
    fn a_cookie_that_an_application_could_take_for_a_keyed_one_names_no_group() {
        let groups = rules(&[], &["my_group"]);
        for taken in ["my.group", "my group", "My_Group", "my%5fgroup", "my_group[x]", "my_group%5Bx%5D"] {
            assert_eq!(sorted(&groups, &[&format!("{taken}=vip")]), Err(Unclear), "{taken}");
        }
        for other in ["my_group2", "amy_group", "group", "my-group", "a=my_group,b"] {
            assert_eq!(sorted(&groups, &[&format!("{other}=vip")]).unwrap().2, "", "{other}");
        }
    }

    #[test]
    fn a_keyed_cookie_behind_what_only_some_take_for_a_separator_names_no_group() {
        let groups = rules(&["_ga"], &["group"]);
        for hidden in
            ["a=b, group=vip", "a=b,group=vip", "a=b group=vip", "a=\"b\",\tGROUP =vip", "a,group=vip"]
        {
            assert_eq!(sorted(&groups, &[hidden]), Err(Unclear), "{hidden}");
            assert_eq!(sorted(&groups, &["sid=1", hidden]), Err(Unclear), "{hidden}");
        }
        // What no endpoint is told, none can read so; what the key holds, it may.
        assert_eq!(
            sorted(&groups, &["_ga=1, group=vip"]).unwrap(),
            (cookies(false, true), String::new(), String::new())
        );
        assert_eq!(sorted(&groups, &["group=a, group=b"]).unwrap().2, "group=a, group=b");
        for plain in ["a=b c, d", "a=group", "a=x group", "a=the group, b=c"] {
            assert_eq!(sorted(&groups, &[plain]).unwrap().2, "", "{plain}");
        }
    }

    #[test]
    fn a_keyed_cookie_that_hides_its_name_names_no_group() {
        let groups = rules(&["_ga"], &["group"]);
        for hidden in
            ["=group=vip", "==group=vip", "= group=vip", "=GROUP=vip", "group", "=group", "=group[x]=vip"]
        {
            assert_eq!(sorted(&groups, &[hidden]), Err(Unclear), "{hidden}");
            assert_eq!(sorted(&groups, &["sid=1", hidden]), Err(Unclear), "{hidden}");
        }
        for plain in ["=", "=a", "a", "=groups=vip", "groups"] {
            assert_eq!(sorted(&groups, &[plain]).unwrap().0, cookies(true, false), "{plain}");
        }
    }

    #[test]
    fn keyed_cookies_are_bounded() {
        let groups = rules(&[], &["group"]);
        let long = |length: usize| format!("group={}", "x".repeat(length - "group=".len()));
        assert!(sorted(&groups, &[&long(KEYED_BYTES_MAX)]).is_ok());
        assert_eq!(sorted(&groups, &[&long(KEYED_BYTES_MAX + 1)]), Err(Unclear));
    }

    #[test]
    fn where_quotes_do_not_close_every_cookie_is_identity() {
        let analytics = rules(&["_ga*"], &[]);
        for line in ["a=\"x; _ga=1; y\"", "_ga=\"x", "_ga=x\"y", "_ga=\"x; sid=1; y\""] {
            assert_eq!(
                sorted(&analytics, &[line]).unwrap(),
                (cookies(true, false), String::new(), String::new())
            );
            assert_eq!(sorted(&rules(&["_ga*"], &["g"]), &[line]), Err(Unclear), "{line}");
        }
        assert_eq!(sorted(&analytics, &["_ga=\"x y\""]).unwrap().0, cookies(false, true));
        assert_eq!(sorted(&rules(&[], &["g"]), &["g=\"a\""]).unwrap().2, "g=\"a\"");
    }

    #[test]
    fn very_many_cookies_are_sorted_like_few() {
        let line: Vec<String> =
            (0..200).map(|number| format!("{}{number}=x", ["_ga", "sid"][number % 2])).collect();
        let (found, told, _) = sorted(&rules(&["_ga*"], &[]), &[&line.join("; ")]).unwrap();
        assert_eq!(found, cookies(true, true));
        let remain: Vec<&str> =
            line.iter().map(String::as_str).filter(|pair| pair.starts_with("sid")).collect();
        assert_eq!(told, remain.join("; "));
    }

    #[test]
    fn what_is_keyed_is_not_ignored() {
        assert_eq!(sorted(&rules(&["my*"], &["my_group"]), &["my_group=a"]).unwrap().2, "my_group=a");
    }
}
