//! Writes the reference of all settings, `docs/configuration.md`, from the settings themselves.

use crate::setting::{Described, Section};
use std::fmt::Write;

/// The reference as Markdown.
pub fn reference() -> String {
    let mut out = String::from(HEAD);
    for section in crate::top::sections() {
        write_section(&mut out, section);
    }
    out
}

const HEAD: &str = "\
<!-- Written from config/src. To renew it: UPDATE_DOCS=1 cargo test -p tentpole-config --test reference -->

# Configuration

Tentpole reads one file, `tentpole.toml`. `tentpole check` tells everything that is wrong with it, and where.
The smallest one:

```toml
[pool.app]
endpoints = [\"http://127.0.0.1:3000\"]
```

`examples/tentpole.toml` shows a whole one with comments.

Durations are a whole number and a unit: `250ms`, `2s`, `5m`, `1h`. Sizes too: `16KiB`, `16MiB`, `1GiB` in steps of
1,024, or `KB`, `MB`, `GB` in steps of 1,000; a bare number is a size in bytes. What is left out has its default.
";

fn write_section(out: &mut String, section: &Section) {
    let header = match section.header.starts_with("the ") {
        true => "Top of the file".to_owned(),
        false => format!("`{}`", section.header),
    };
    let _ = write!(out, "\n## {header}\n\n{}\n", section.about);
    if let Some(also) = section.also {
        let _ = write!(out, "\nAlso takes every setting of `{}`.\n", also.header);
    }
    for setting in section.settings {
        write_setting(out, *setting);
    }
}

fn write_setting(out: &mut String, setting: &dyn Described) {
    let _ = write!(out, "\n### `{}`\n\n{}\n\n", setting.name(), setting.about());
    let _ = writeln!(out, "- Takes {}.", setting.form_words());
    for (word, meaning) in setting.choices() {
        let _ = writeln!(out, "  - `\"{word}\"`: {meaning}");
    }
    let _ = match setting.default_words() {
        Some(words) => writeln!(out, "- Default: {words}."),
        None => writeln!(out, "- Required."),
    };
    if let Some(inside) = setting.inside() {
        let _ = writeln!(out, "- Its settings: `{}` below.", inside.header);
    }
    let _ = writeln!(out, "- Example: `{} = {}`", setting.name(), setting.example());
}
