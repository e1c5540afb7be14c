//! A value that lies in a block of bytes: where, instead of a copy of its own.

/// Where a value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    /// `u32::MAX` when there is no value.
    length: u32,
}

impl Span {
    /// No value.
    pub(crate) const NONE: Self = Self { start: 0, length: u32::MAX };

    /// Finds a value that lies in a block from some place on.
    pub(crate) fn find(block: &[u8], from: usize, value: Option<&[u8]>) -> Option<Self> {
        let Some(value) = value else { return Some(Self::NONE) };
        let at = match value.len() {
            0 => 0,
            length => block.get(from..)?.windows(length).position(|window| window == value)?,
        };
        Some(Self { start: (from + at) as u32, length: value.len() as u32 })
    }

    /// The same, or puts it at the block's end.
    pub(crate) fn put(block: &mut Vec<u8>, from: usize, value: Option<&[u8]>) -> Self {
        Self::find(block, from, value).unwrap_or_else(|| {
            let (start, value) = (block.len() as u32, value.unwrap_or_default());
            block.extend_from_slice(value);
            Self { start, length: value.len() as u32 }
        })
    }

    /// The value.
    pub(crate) fn of(self, block: &[u8]) -> Option<&[u8]> {
        let start = self.start as usize;
        (self != Self::NONE).then(|| &block[start..start + self.length as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_where_it_is_or_put_behind() {
        let mut block = b"key-1|etag: \"1\"|".to_vec();
        let found = Span::put(&mut block, 6, Some(b"\"1\""));
        assert_eq!((found.of(&block), block.len()), (Some(&b"\"1\""[..]), 16));
        let put = Span::put(&mut block, 6, Some(b"key"));
        assert_eq!((put.of(&block), block.len()), (Some(&b"key"[..]), 19), "before it is not looked");
        let empty = Span::put(&mut block, 6, Some(b""));
        assert_eq!((empty.of(&block), block.len()), (Some(&b""[..]), 19));
        let none = Span::put(&mut block, 6, None);
        assert_eq!((none.of(&block), block.len()), (None, 19));
        assert_eq!(Span::find(&block, 6, Some(b"elsewhere")), None);
    }
}
