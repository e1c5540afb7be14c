//! Long lines in a terminal: broken between words, what follows below where the words began.

/// Below this width a terminal breaks lines itself.
const COLUMNS_MIN: usize = 40;

/// Adds the line, and its end; without `columns` it stays one.
pub(super) fn write(out: &mut String, line: &str, indent: usize, columns: Option<usize>) {
    let Some(columns) = columns.filter(|&columns| columns >= COLUMNS_MIN.max(2 * indent)) else {
        out.push_str(line);
        out.push('\n');
        return;
    };
    let (mut at, mut rest) = (0, line);
    while !rest.is_empty() {
        // A word with the space before it.
        let blank = rest.len() - rest.trim_start_matches(' ').len();
        let end = rest[blank..].find(' ').map_or(rest.len(), |word| blank + word);
        let (word, behind) = rest.split_at(end);
        let width = word.chars().count();
        if at > indent && at + width > columns {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            let word = word.trim_start_matches(' ');
            out.push_str(word);
            at = indent + word.chars().count();
        } else {
            out.push_str(word);
            at += width;
        }
        rest = behind;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &str, columns: Option<usize>) -> String {
        let mut out = String::new();
        write(&mut out, line, 8, columns);
        out
    }

    #[test]
    fn a_line_goes_on_below_its_words() {
        let line = "  room  stands before sale; who is inside, and who waits  [room.sale, tentpole.toml:6]";
        assert_eq!(
            written(line, Some(40)),
            "  room  stands before sale; who is\n        inside, and who waits\n        [room.sale, tentpole.toml:6]\n"
        );
        // Into a file, and where there is no room for it, it stays one.
        assert_eq!(written(line, None), format!("{line}\n"));
        assert_eq!(written(line, Some(20)), format!("{line}\n"));
        // A word that is too long stands alone.
        let long = format!("  key   {} end", "x".repeat(60));
        assert_eq!(written(&long, Some(40)), format!("  key   {}\n        end\n", "x".repeat(60)));
    }
}
