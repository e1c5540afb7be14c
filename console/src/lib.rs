//! The web page over the admin API: what an event looks like, second by second. Seven files, held by the program;
//! nothing is fetched from elsewhere. Reads the API as any outsider would and changes nothing but what a person asks of a
//! waiting room.

/// The pages, each with its path, its media type and what is in it. To be served with a policy that allows scripts,
/// styles and calls of the same address alone: there is nothing inline.
pub fn pages() -> Vec<(&'static str, &'static str, &'static [u8])> {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    const STYLE: &str = "text/css; charset=utf-8";
    vec![
        ("/", "text/html; charset=utf-8", include_bytes!("index.html")),
        ("/console.css", STYLE, include_bytes!("console.css")),
        ("/console.js", SCRIPT, include_bytes!("console.js")),
        ("/ladder.js", SCRIPT, include_bytes!("ladder.js")),
        ("/notices.js", SCRIPT, include_bytes!("notices.js")),
        ("/charts.css", STYLE, tentpole_charts::STYLE.as_bytes()),
        ("/charts.js", SCRIPT, tentpole_charts::SCRIPT.as_bytes()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str) -> &'static str {
        let (_, _, body) = pages().into_iter().find(|(known, ..)| *known == path).expect(path);
        std::str::from_utf8(body).expect("pages are UTF-8")
    }

    #[test]
    fn every_file_that_the_page_asks_for_is_there_and_of_this_address() {
        let html = page("/");
        let asked = html.split(['"', '\'']).filter(|word| word.ends_with(".js") || word.ends_with(".css"));
        let asked: Vec<_> = asked.collect();
        assert_eq!(asked.len(), 6);
        asked.iter().for_each(|path| assert!(!page(path).is_empty()));
        for path in ["/", "/console.css", "/console.js", "/ladder.js", "/notices.js"] {
            let outside = page(path).replace("http://www.w3.org/2000/svg", "");
            assert!(
                !outside.contains("http:") && !outside.contains("https:"),
                "{path} names another address"
            );
        }
    }

    #[test]
    fn nothing_is_inline_and_no_text_becomes_markup() {
        let html = page("/");
        assert_eq!(html.matches("<script").count(), html.matches("<script src=").count());
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!html.contains(inline), "{inline}");
        }
        let scripts = [page("/console.js"), page("/ladder.js"), page("/notices.js")].concat();
        for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "\"style\""]
        {
            assert!(!scripts.contains(markup), "{markup}");
        }
    }

    #[test]
    fn every_id_that_the_script_looks_for_is_in_the_page() {
        let (html, script) =
            (page("/"), [page("/console.js"), page("/ladder.js"), page("/notices.js")].concat());
        let ids: Vec<_> = script.split("$(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(ids.len() > 5, "{ids:?}");
        for id in ids {
            assert!(html.contains(&format!("id=\"{id}\"")), "no element has the id {id}");
        }
    }

    #[test]
    fn the_page_is_small_enough_for_a_bad_connection() {
        let bytes: usize = pages()
            .iter()
            .filter(|(path, ..)| !path.starts_with("/charts"))
            .map(|(.., body)| body.len())
            .sum();
        assert!(bytes < 59 << 10, "{bytes} bytes without the charts");
    }
}
