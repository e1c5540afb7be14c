//! Words that are looked for in a field's value, in whatever case: one pass over the value for all of them. Allocates
//! nothing when it looks.

/// Words, in small letters, sorted by how they begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    words: Box<[Box<[u8]>]>,
    /// For each byte: which of `words` begin with it, from and to.
    begins: Box<[(u16, u16); 256]>,
    /// An empty word is among them: a value without anything in it.
    nothing: bool,
}

impl Words {
    /// At most 65,535 of them.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all: Vec<Box<[u8]>> =
            words.into_iter().map(|word| word.to_ascii_lowercase().into_bytes().into()).collect();
        all.sort();
        all.dedup();
        all.truncate(usize::from(u16::MAX));
        let nothing = all.first().is_some_and(|word| word.is_empty());
        let mut begins = Box::new([(0, 0); 256]);
        for (at, word) in all.iter().enumerate() {
            let Some(&first) = word.first() else { continue };
            let (from, to) = &mut begins[usize::from(first)];
            if *to == 0 {
                *from = at as u16;
            }
            *to = at as u16 + 1;
        }
        Self { words: all.into(), begins, nothing }
    }

    /// Whether one of them stands in `text`; the empty word only in one that is nothing but white space.
    pub fn are_in(&self, text: &[u8]) -> bool {
        if self.nothing && text.trim_ascii().is_empty() {
            return true;
        }
        text.iter().enumerate().any(|(at, byte)| {
            let (from, to) = self.begins[usize::from(byte.to_ascii_lowercase())];
            self.words[usize::from(from)..usize::from(to)].iter().any(|word| {
                text[at..].get(..word.len()).is_some_and(|piece| piece.eq_ignore_ascii_case(word))
            })
        })
    }

    /// Whether the empty word is among them.
    pub fn take_nothing(&self) -> bool {
        self.nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_found_in_whatever_case_and_wherever_they_stand() {
        let words = Words::new(["curl/", "Bot", "b"]);
        for text in ["curl/8.5", "Mozilla (compatible; ROBOT/1)", "xbx", "bo"] {
            assert!(words.are_in(text.as_bytes()), "{text}");
        }
        for text in ["", "curl", "Mozilla/5.0", "  "] {
            assert!(!words.are_in(text.as_bytes()), "{text}");
        }
        let nothing = Words::new(["", "x"]);
        assert!(
            nothing.are_in(b" ") && nothing.are_in(b"") && !nothing.are_in(b"a") && nothing.take_nothing()
        );
    }

    proptest! {
        #[test]
        fn one_pass_finds_what_a_search_for_each_word_finds(
            words in proptest::collection::vec("[a-cA-C/]{1,4}", 0..8), text in "[a-cA-C/ ]{0,24}",
        ) {
            let expected = words.iter().any(|word| text.to_ascii_lowercase().contains(&word.to_ascii_lowercase()));
            let words = Words::new(words.iter().map(String::as_str));
            prop_assert_eq!(words.are_in(text.as_bytes()), expected);
        }
    }
}
