//! `root` of a pool and `[pool.NAME.files]`: files that the edge serves by itself.

use crate::forms::{Shaped, Span};
use crate::names::{self, Named};
use crate::pool::ROOT;
use crate::problem::Problem;
use crate::setting::{Fallback, Section, Setting};
use crate::store::is_index;
use crate::table::{At, Table};
use std::path::Path;
use std::time::Duration;
use tentpole_model::Files;

pub(crate) static SECTION: Section = Section {
    header: "[pool.NAME.files]",
    also: None,
    about: "What of the pool's `root` is shown, and what browsers are told of it: `files = { max_age = \"10m\" }`.",
    settings: &[&INDEX, &MAX_AGE, &IMMUTABLE, &DENY],
};

static INDEX: Setting<Shaped> = Setting {
    name: "index",
    form: Shaped { what: "a file's name, or a list of them", inside: None },
    default: Fallback::Absent("`\"index.html\"`"),
    about: "The file behind a path that ends in `/`: the first of these that is there. Nobody gets a list of what is in a \
            folder.",
    example: "[\"index.html\", \"index.htm\"]",
};

static MAX_AGE: Setting<Span> = Setting {
    name: "max_age",
    form: Span::new(Duration::ZERO, Duration::from_secs(365 * 86_400)),
    default: Fallback::Absent("nothing: they guess from when the file was last changed"),
    about: "How long browsers are told to keep a file without asking again. Tentpole itself looks at a file again after a \
            second, whatever is said here.",
    example: "\"10m\"",
};

static IMMUTABLE: Setting<Shaped> = Setting {
    name: "immutable",
    form: Shaped { what: "a path, or a list of them", inside: None },
    default: Fallback::Absent("none"),
    about: "Paths at which a file never changes, because its name does when it does (`app.3f9a2c.js`); with a `*` at the end \
            for all below. Browsers are told to keep these for a year.",
    example: "[\"/assets/*\"]",
};

static DENY: Setting<Shaped> = Setting {
    name: "deny",
    form: Shaped { what: "an ending of names, or a list of them", inside: None },
    default: Fallback::Absent("sources, secrets and copies: see docs/files.md"),
    about: "Files whose names end like this are never sent, as though they were not there; this list takes the place of the \
            usual one. What begins with a dot (but `/.well-known/`) and editors' copies (`a~`, `#a#`) are never sent in any \
            case.",
    example: "[\"php\", \"inc\", \"sql\", \"bak\"]",
};

/// Names in one list.
const NAMES_MAX: usize = 100;

/// What `root` is called in diagnostics that it shares.
const ROOT_CURE: &str = "name the directory, or leave the setting out.";

/// Reads the files of a pool, where it has some.
pub(crate) fn read(pool: &Table<'_>, section: &Setting<Shaped>) -> Option<Files> {
    let files = pool.table(section);
    let Some(root) = pool.optional(&ROOT) else {
        if files.is_some() && pool.raw(&ROOT).is_none() {
            pool.missing(&ROOT);
        }
        return None;
    };
    check_root(&root, pool);
    let usual = Files::at(root.value);
    let Some(files) = files else { return Some(usual) };
    let listed = |setting, read: fn(&str) -> Named| names::read(&files, setting, NAMES_MAX, read);
    Some(Files {
        index: listed(&INDEX, index).unwrap_or(usual.index),
        deny: listed(&DENY, ending).unwrap_or(usual.deny),
        max_age_s: files.optional(&MAX_AGE).map(|age| age.value.as_secs() as u32),
        immutable: listed(&IMMUTABLE, names::immutable_path).unwrap_or(usual.immutable),
        root: usual.root,
    })
}

fn check_root(root: &At<String>, pool: &Table<'_>) {
    let path = Path::new(&root.value);
    let typed = || root.value.clone();
    if root.value.is_empty() {
        pool.tell(Problem::Empty { name: ROOT.name, cure: ROOT_CURE }, &root.place);
    } else if !path.is_absolute() {
        pool.tell(Problem::RootNotAbsolute { typed: typed() }, &root.place);
    } else if !path.is_dir() {
        let there = if path.exists() { "is no directory" } else { "is not there" };
        pool.tell(Problem::RootNotThere { typed: typed(), there }, &root.place);
    }
}

fn index(typed: &str) -> Named {
    match is_index(typed) && !typed.starts_with('.') {
        true => Ok((typed.to_owned(), None)),
        false => Err(Problem::NotAnIndex { typed: typed.to_owned() }),
    }
}

/// With or without its dot.
fn ending(typed: &str) -> Named {
    let bare = typed.strip_prefix('.').unwrap_or(typed);
    match (1..=32).contains(&bare.len())
        && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        true => Ok((bare.to_ascii_lowercase(), None)),
        false => Err(Problem::NotAnEnding { typed: typed.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_and_indexes_are_plain_names() {
        assert_eq!(ending(".PHP").unwrap().0, "php");
        for typed in ["", ".", "a.b", "*.php", "tar.gz"] {
            assert!(ending(typed).is_err(), "{typed}");
        }
        assert!(index("index.php").is_ok());
        for typed in ["", "a/index.html", "..", ".htaccess", "a b"] {
            assert!(index(typed).is_err(), "{typed}");
        }
    }
}
