//! Where in a file a setting stands, for who explains a decision by it. Finds what was written and nothing else: what a
//! setting means, and what holds where it is left out, the reader knows.

use crate::report::{Place, Problems};
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The settings of a file that was read.
#[derive(Clone, Debug, Default)]
pub struct Written {
    name: String,
    /// Each setting's way from the top, and its line.
    settings: Vec<(Vec<String>, usize)>,
}

impl Written {
    /// Those of the file at `path`; none when it cannot be read, which its reader tells.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Self::of(&path.display().to_string(), &text)
    }

    /// Those of `text`, the content of a file called `name`.
    pub fn of(name: &str, text: &str) -> Self {
        let problems = Problems::new(name, text);
        let mut written = Self { name: name.to_owned(), settings: Vec::new() };
        if let Ok(file) = DeTable::parse(text) {
            written.walk(&mut Vec::new(), file.get_ref(), &problems);
        }
        written
    }

    /// `tentpole.toml:12`, where a setting stands there: its tables from the top, the items of lists by their index from
    /// 0, then its own name.
    pub fn at(&self, setting: &[&str]) -> Option<String> {
        let (_, line) = self.settings.iter().find(|(way, _)| way.iter().eq(setting))?;
        Some(format!("{}:{line}", self.name))
    }

    fn walk(&mut self, way: &mut Vec<String>, table: &DeTable<'_>, problems: &Problems<'_>) {
        for (key, value) in table {
            way.push(key.get_ref().to_string());
            self.note(way, value, problems.line(&Place::Bytes(key.span())), problems);
            way.pop();
        }
    }

    fn note(
        &mut self,
        way: &mut Vec<String>,
        value: &Spanned<DeValue<'_>>,
        line: usize,
        problems: &Problems<'_>,
    ) {
        self.settings.push((way.clone(), line));
        match value.get_ref() {
            DeValue::Table(table) => self.walk(way, table, problems),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    way.push(index.to_string());
                    self.note(way, item, problems.line(&Place::Bytes(item.span())), problems);
                    way.pop();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_found_by_its_way_from_the_top() {
        let text = "[pool.app]\nendpoints = [\"http://a\"]\n\n[pool.app.timeouts]\nconnect = \"1s\"\n\n\
                    [[site.shop.route]]\npath = \"/a\"\n[[site.shop.route]]\npath = \"/b\"\ncache = { query = { drop = [\n\"x\"] } }\n";
        let written = Written::of("shop.toml", text);
        let at = |way: &str| written.at(&way.split(' ').collect::<Vec<_>>());
        assert_eq!(at("pool app endpoints").as_deref(), Some("shop.toml:2"));
        assert_eq!(at("pool app timeouts connect").as_deref(), Some("shop.toml:5"));
        assert_eq!(at("site shop route 1").as_deref(), Some("shop.toml:9"));
        assert_eq!(at("site shop route 1 path").as_deref(), Some("shop.toml:10"));
        assert_eq!(at("site shop route 1 cache query drop").as_deref(), Some("shop.toml:11"));
        assert_eq!(at("site shop hosts"), None);
        assert_eq!(Written::of("x", "not = toml = at all").at(&["not"]), None);
    }
}
