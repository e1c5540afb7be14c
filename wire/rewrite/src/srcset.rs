//! Lists of pictures: `srcset` and `imagesrcset` (HTML, "srcset attributes").

use crate::rules::OfPage;

/// Writes a list with its links rewritten.
pub(crate) fn write(page: &OfPage<'_>, list: &[u8], out: &mut Vec<u8>) {
    let mut rest = list;
    loop {
        let gap = rest.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b',').count();
        out.extend_from_slice(&rest[..gap]);
        rest = &rest[gap..];
        if rest.is_empty() {
            return;
        }
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        let commas = rest[..end].iter().rev().take_while(|byte| **byte == b',').count();
        page.write(&rest[..end - commas], out);
        rest = &rest[end - commas..];
        // Behind a comma comes the next; otherwise what this one is for, up to a comma outside of parentheses.
        let mut depth = 0u32;
        let descriptors = rest.iter().position(|byte| match byte {
            b'(' => {
                depth += 1;
                false
            }
            b')' => {
                depth = depth.saturating_sub(1);
                false
            }
            b',' => depth == 0,
            _ => false,
        });
        let (before, after) = rest.split_at(descriptors.unwrap_or(rest.len()));
        out.extend_from_slice(before);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rules;

    #[test]
    fn each_picture_of_a_list_is_looked_at() {
        let rules = Rules::new("//a", &["/s/*".into()]);
        let page = OfPage { rules: &rules, host: b"h", foreign_base: false };
        for (list, expect) in [
            ("/s/1 1x, /s/2 2x", "//a/s/1 1x, //a/s/2 2x"),
            ("/s/1,/s/2", "//a/s/1,/s/2"),
            ("/s/1, /s/2,", "//a/s/1, //a/s/2,"),
            (" , /s/1 100w,/s/2", " , //a/s/1 100w,//a/s/2"),
            ("/x 1x, /s/2", "/x 1x, //a/s/2"),
            ("/s/1 (a, /s/2) 1x, /s/3", "//a/s/1 (a, /s/2) 1x, //a/s/3"),
            ("", ""),
            (",", ","),
        ] {
            let mut out = Vec::new();
            write(&page, list.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expect, "{list}");
        }
    }
}
