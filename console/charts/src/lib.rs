//! Charts as SVG, drawn in the browser: one set for console and reports. Only the text of a script and of a style
//! sheet: no state, no dependency, nothing fetched. How they are called stands at the head of `charts.js`.

/// A classic script that defines the global `Charts`. Works under `script-src 'self'`; holds no `</script`, so that
/// a page may also carry it inline.
pub const SCRIPT: &str = include_str!("charts.js");

/// The style sheet for it: light and dark, by the system or by `[data-theme]`. Holds no `</style`.
pub const STYLE: &str = include_str!("charts.css");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_can_carry_both_inline() {
        for end in ["</script", "</style", "<!--", "]]>"] {
            assert!(!SCRIPT.to_lowercase().contains(end), "{end}");
            assert!(!STYLE.to_lowercase().contains(end), "{end}");
        }
    }

    #[test]
    fn the_script_writes_text_as_text_and_calls_nobody() {
        for forbidden in ["innerHTML", "insertAdjacentHTML", "eval(", "fetch(", "import(", "XMLHttpRequest"] {
            assert!(!SCRIPT.contains(forbidden), "{forbidden}");
        }
        let names = SCRIPT.matches("http").count();
        assert_eq!(names, 1, "the one address is the name of SVG");
        assert!(!STYLE.contains("url("));
    }

    #[test]
    fn every_class_that_the_script_gives_is_styled_or_a_container() {
        const CONTAINERS: [&str; 3] = ["chart-clip", "chart-tone", "chart-"];
        let classes = SCRIPT.split(|c: char| !(c.is_alphanumeric() || c == '-'));
        for class in classes.filter(|word| word.starts_with("chart-")) {
            let class = class.trim_end_matches('-');
            let container = CONTAINERS.contains(&class);
            assert!(container || STYLE.contains(&format!(".{class}")), "{class} has no style");
        }
    }

    #[test]
    fn they_stay_small_because_every_report_carries_them() {
        assert!(SCRIPT.len() < 24 * 1024, "{} bytes", SCRIPT.len());
        assert!(STYLE.len() < 8 * 1024, "{} bytes", STYLE.len());
    }
}
