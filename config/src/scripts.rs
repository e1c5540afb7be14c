//! `[pool.NAME.scripts]`: what runs at endpoints that speak FastCGI. Looks at no file.

use crate::forms::{Shaped, Text};
use crate::problem::Problem;
use crate::report::Place;
use crate::setting::{Fallback, Section, Setting};
use crate::table::{At, Table};
use tentpole_model::{Endpoint, Files, Scheme, Scripts};
use toml::de::DeValue;

pub(crate) static SECTION: Section = Section {
    header: "[pool.NAME.scripts]",
    also: None,
    about: "What runs at endpoints that speak FastCGI, such as php-fpm's. A path that names a `.php` file below the pool's \
            `root` runs that file; every other that is no file there goes to the front controller.",
    settings: &[&ROOT, &INDEX, &FRONT, &NEVER_BELOW],
};

static ROOT: Setting<Text> = Setting {
    name: "root",
    form: Text { what: "a directory's path in quotes" },
    default: Fallback::Absent("the pool's `root`"),
    about: "Where the application finds what the pool's `root` is for Tentpole: in a container that is often another path. \
            Without a `root` of the pool Tentpole sees no files: then a path that ends in `.php` is a script, wherever no \
            folder before it has a dot in its name.",
    example: "\"/var/www/html\"",
};

static INDEX: Setting<Text> = Setting {
    name: "index",
    form: Text { what: "a script's name in quotes" },
    default: Fallback::Absent("`\"index.php\"`"),
    about: "The script of a folder: it runs for a path that ends in `/`, where it is there.",
    example: "\"index.php\"",
};

static FRONT: Setting<Text> = Setting {
    name: "front",
    form: Text { what: "a script's path below `root` in quotes, or \"none\"" },
    default: Fallback::Absent("`\"/index.php\"`"),
    about: "The front controller: it runs for every path that is neither a script nor a file. With `\"none\"` those are a 404.",
    example: "\"/index.php\"",
};

static NEVER_BELOW: Setting<Shaped> = Setting {
    name: "never_below",
    form: Shaped { what: "a list of folders in quotes", inside: None },
    default: Fallback::Absent("none"),
    about: "Folders below `root` in which nothing runs, whatever it is called: where visitors upload to.",
    example: "[\"/wp-content/uploads\"]",
};

/// Folders of `never_below`.
const FOLDERS_MAX: usize = 100;

/// What the pool's FastCGI endpoints run; `None` where it has none of them.
pub(crate) fn read(
    pool: &Table<'_>,
    setting: &Setting<Shaped>,
    endpoints: &[Endpoint],
    files: &mut Option<Files>,
) -> Option<Scripts> {
    let seen_at = files.as_ref().map(|files| files.root.clone());
    let table = pool.table(setting);
    let speaking = endpoints.iter().filter(|endpoint| endpoint.scheme == Scheme::FastCgi).count();
    let said = table.as_ref().map(|table| typed(table)).unwrap_or_default();
    if let (Some(table), 0, false) = (&table, speaking, endpoints.is_empty()) {
        table.tell(Problem::ScriptsUnused {}, table.place());
    }
    let root = said.root.or_else(|| Some(seen_at.as_ref()?.to_str()?.to_owned()));
    // A pool without any is told of where pools are looked at as a whole.
    let root = root.filter(|_| speaking > 0)?;
    let root = root.trim_end_matches('/').to_owned();
    if let Some(files) = files {
        guard(files, &said.scripts);
    }
    Some(Scripts { root, seen_at, ..said.scripts })
}

/// Sees to it that scripts are not sent as files, whatever `files` says, and that their folders are known to have an index.
fn guard(files: &mut Files, scripts: &Scripts) {
    if !files.deny.iter().any(|ending| ending == "php") {
        files.deny.push("php".to_owned());
    }
    if !files.index.contains(&scripts.index) {
        files.index.push(scripts.index.clone());
    }
}

/// What was typed.
#[derive(Default)]
struct Typed {
    root: Option<String>,
    scripts: Scripts,
}

fn typed(table: &Table<'_>) -> Typed {
    let refused = |typed: &At<String>, name: &'static str, meant: &str| {
        let problem = Problem::ScriptPath { name, typed: typed.value.clone(), meant: meant.to_owned() };
        table.tell(problem, &typed.place);
    };
    let usual = Scripts::default();
    let root = table.optional(&ROOT);
    if let Some(typed) = root.as_ref().filter(|typed| !is_plain(&typed.value)) {
        refused(typed, ROOT.name, "/var/www/html");
    }
    let index = table.optional(&INDEX);
    if let Some(typed) =
        index.as_ref().filter(|typed| typed.value.contains('/') || !is_plain(&format!("/{}", typed.value)))
    {
        refused(typed, INDEX.name, &usual.index);
    }
    let front = table.optional(&FRONT);
    if let Some(typed) = front.as_ref().filter(|typed| typed.value != "none" && !is_plain(&typed.value)) {
        refused(typed, FRONT.name, "/index.php");
    }
    Typed {
        root: root.map(|typed| typed.value),
        scripts: Scripts {
            index: index.map_or(usual.index, |typed| typed.value),
            front: match front {
                Some(typed) if typed.value == "none" => None,
                Some(typed) => Some(typed.value),
                None => usual.front,
            },
            never_below: folders(table),
            ..Scripts::default()
        },
    }
}

fn folders(table: &Table<'_>) -> Vec<String> {
    let Some(value) = table.raw(&NEVER_BELOW) else { return Vec::new() };
    let DeValue::Array(items) = value.get_ref() else {
        table.wrong_type(&NEVER_BELOW, value);
        return Vec::new();
    };
    if items.len() > FOLDERS_MAX {
        let problem =
            Problem::TooMany { what: "folders in never_below", count: items.len(), most: FOLDERS_MAX };
        table.tell(problem, &Place::Bytes(value.span()));
    }
    let folder = |item: &toml::Spanned<DeValue<'_>>| match item.get_ref() {
        DeValue::String(folder) if is_plain(&format!("/{}", folder.trim_matches('/'))) => {
            Some(folder.to_string())
        }
        DeValue::String(folder) => {
            let typed = At::new(folder.to_string(), Place::Bytes(item.span()));
            let meant = "/wp-content/uploads".to_owned();
            let problem = Problem::ScriptPath { name: NEVER_BELOW.name, typed: typed.value, meant };
            table.tell(problem, &typed.place);
            None
        }
        _ => {
            table.wrong_item(&NEVER_BELOW, item);
            None
        }
    };
    items.iter().take(FOLDERS_MAX).filter_map(folder).collect()
}

/// A path from a slash on, that no part of makes another one.
fn is_plain(path: &str) -> bool {
    let parts_are = |path: &str| path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    path.strip_prefix('/').is_some_and(|below| parts_are(below.strip_suffix('/').unwrap_or(below)))
        && !path.bytes().any(|byte| byte < b' ' || matches!(byte, b'\\' | 0x7f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_never_files() {
        let mut files = Files { deny: vec!["bak".to_owned()], ..Files::at("/srv") };
        guard(&mut files, &Scripts::default());
        assert_eq!(files.deny, ["bak", "php"]);
        assert_eq!(files.index, ["index.html", "index.php"]);
    }

    #[test]
    fn a_path_means_one_place() {
        for path in ["/index.php", "/a/b.php", "/var/www/", "/ä b"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["", "/", "index.php", "//x", "/a//b", "/../x", "/a/./b", "/a\0", "/a\\b", "/a//"] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
