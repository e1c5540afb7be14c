//! Lists of names, some of them beginnings that end in `*`, and how a name is read: percent-decoded or to the letter.

/// Names and beginnings of names as a tree of their bytes: most names that are looked for are none of them, and their first
/// bytes say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// The first is where each name begins.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// Bytes that may follow, and where they lead.
    next: Vec<(u8, u32)>,
    /// A name ends here.
    whole: bool,
    /// Whatever follows, it is one of them.
    beginning: bool,
}

impl Names {
    /// Names; those that end in `*` are beginnings.
    pub(crate) fn new(names: &[String]) -> Self {
        let mut new = Self::default();
        for name in names.iter().map(String::as_bytes) {
            match name.strip_suffix(b"*") {
                Some(beginning) => new.at(beginning).beginning = true,
                None => new.at(name).whole = true,
            }
        }
        new
    }

    /// Whole names to the letter: a `*` is a `*`. The order in which they come does not matter.
    pub(crate) fn exactly(mut names: Vec<Vec<u8>>) -> Self {
        names.sort_unstable();
        let mut new = Self::default();
        names.iter().for_each(|name| new.at(name).whole = true);
        new
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.nodes[..], [Node { next, whole: false, beginning: false }] if next.is_empty())
    }

    /// Whether a name is one of them; `name` gives its bytes as they are meant to be read.
    pub(crate) fn hold(&self, name: impl IntoIterator<Item = u8>) -> bool {
        let mut node = &self.nodes[0];
        for byte in name {
            if node.beginning {
                return true;
            }
            let Some((_, next)) = node.next.iter().find(|(other, _)| *other == byte) else { return false };
            node = &self.nodes[*next as usize];
        }
        node.whole || node.beginning
    }

    /// The node that a name leads to, made if need be.
    fn at(&mut self, name: &[u8]) -> &mut Node {
        let mut node = 0;
        for &byte in name {
            let known = self.nodes[node].next.iter().find(|(other, _)| *other == byte);
            node = match known {
                Some((_, next)) => *next as usize,
                None => {
                    let new = self.nodes.len();
                    self.nodes[node].next.push((byte, new as u32));
                    self.nodes.push(Node::default());
                    new
                }
            };
        }
        &mut self.nodes[node]
    }
}

/// None.
impl Default for Names {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

/// The bytes that a name in a query means: `%XX` is a byte, `+` a space
/// (<https://url.spec.whatwg.org/#urlencoded-parsing>). What is no escape stands for itself.
pub(crate) fn decoded(bytes: &[u8]) -> impl Iterator<Item = u8> + Clone + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let &byte = bytes.get(at)?;
        if byte == b'%'
            && let Some(value) = escaped(bytes.get(at + 1..at + 3))
        {
            at += 3;
            return Some(value);
        }
        at += 1;
        Some(if byte == b'+' { b' ' } else { byte })
    })
}

fn escaped(hex: Option<&[u8]>) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let &[high, low] = hex? else { return None };
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<u8> {
        decoded(text.as_bytes()).collect()
    }

    #[test]
    fn escapes_are_bytes_and_a_plus_is_a_space() {
        assert_eq!(read("utm%5Fsource"), b"utm_source");
        assert_eq!(read("a%2bb+c"), b"a+b c");
        assert_eq!(read("%c3%A4"), "ä".as_bytes());
        for literal in ["%", "%4", "%zz", "%+1", "100%"] {
            assert_eq!(read(literal), literal.replace('+', " ").as_bytes(), "{literal}");
        }
    }

    fn names(all: &[&str]) -> Names {
        Names::new(&all.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn names_are_whole_or_begin() {
        let names = names(&["page", "utm_*", "utm_source", "u*x", "utm_s*", "a"]);
        for name in ["page", "utm_", "utm_source", "utm_zebra", "a", "u*x"] {
            assert!(names.hold(name.bytes()), "{name}");
        }
        for name in ["pages", "pag", "utm", "", "Page", "ut", "b", "utl_x", "utn_x"] {
            assert!(!names.hold(name.bytes()), "{name}");
        }
        assert!(!Names::new(&[]).hold("a".bytes()) && !Names::new(&[]).hold("".bytes()));
        assert!(names.hold(decoded(b"ut%6D%5fsource")) && !names.hold("ut%6D%5fsource".bytes()));
        assert!(names.hold(decoded(b"p%61ge")) && !names.hold(decoded(b"p%62ge")));
    }

    #[test]
    fn a_shorter_beginning_takes_what_a_longer_one_would() {
        let names = names(&["_ga_*", "_ga*", "_gat*", "_gb*"]);
        assert!(["_ga", "_gat", "_ga_1", "_gb"].iter().all(|name| names.hold(name.bytes())));
        assert!(!names.hold("_g".bytes()) && !names.hold("_gc".bytes()));
    }

    #[test]
    fn the_same_names_are_equal_in_any_order() {
        let of = |all: &[&str]| Names::exactly(all.iter().map(|name| name.as_bytes().to_vec()).collect());
        assert_eq!(of(&["a", "b*"]), of(&["b*", "a", "a"]));
        assert_ne!(of(&["a"]), of(&["a", "b"]));
        assert!(of(&["b*"]).hold("b*".bytes()) && !of(&["b*"]).hold("bc".bytes()));
    }

    #[test]
    fn a_star_alone_holds_all() {
        let all = names(&["*", "a"]);
        assert!([&b"a"[..], b"\xff", b"", b"b"].iter().all(|name| all.hold(name.iter().copied())));
    }
}
