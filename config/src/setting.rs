//! What a setting is: its name, form, default, meaning and an example, said once. The reader, the diagnostics and
//! the reference in `docs/configuration.md` all take it from here, so they cannot disagree.

use crate::problem::Problem;
use toml::Spanned;
use toml::de::DeValue;

/// One setting of a section.
pub(crate) struct Setting<F: Form> {
    /// Its key.
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) form: F,
    /// What holds when it is left out.
    pub(crate) default: Fallback<F::Value>,
    /// One or two sentences for the reference.
    pub(crate) about: &'static str,
    /// A value as written in the file.
    pub(crate) example: &'static str,
}

/// What holds when a setting is left out.
pub(crate) enum Fallback<V: 'static> {
    /// It cannot be.
    Required,
    /// This value.
    Value(fn() -> V),
    /// Nothing; said in words.
    Absent(&'static str),
}

/// A kind of value: how it is read and shown.
pub(crate) trait Form: Sync + 'static {
    /// What it becomes.
    type Value;

    /// What it takes, in words: "a whole number from 1 to 100".
    fn words(&self) -> String;

    /// Reads the value of the setting called `name`.
    fn read(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Wrong>;

    /// Writes a value as it would stand in the file.
    fn show(&self, value: &Self::Value) -> String;

    /// Words that it knows with their meaning, for the reference.
    fn choices(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }

    /// The settings inside it, when it is a table.
    fn inside(&self) -> Option<&'static Section> {
        None
    }
}

/// Why a value cannot be read.
pub(crate) enum Wrong {
    /// It is of another type.
    Type,
    /// This.
    Value(Problem),
}

/// A table of the file and what may stand in it.
pub(crate) struct Section {
    /// As its header is written: `[pool.NAME]`; empty at the top of the file.
    pub(crate) header: &'static str,
    /// For the reference.
    pub(crate) about: &'static str,
    /// A section whose settings may stand here too; the reference describes them there.
    pub(crate) also: Option<&'static Section>,
    /// In the order of the reference.
    pub(crate) settings: &'static [&'static dyn Described],
}

/// A [`Setting`] of whatever form, for lists.
pub(crate) trait Described: Sync {
    fn name(&self) -> &'static str;
    fn form_words(&self) -> String;
    fn default_words(&self) -> Option<String>;
    fn about(&self) -> &'static str;
    fn example(&self) -> &'static str;
    fn choices(&self) -> Vec<(&'static str, &'static str)>;
    fn inside(&self) -> Option<&'static Section>;
}

impl<F: Form> Setting<F> {
    /// Its default.
    ///
    /// # Panics
    /// When it has none: a mistake of this crate, which its tests would meet.
    pub(crate) fn usual(&self) -> F::Value {
        match self.default {
            Fallback::Value(value) => value(),
            Fallback::Required | Fallback::Absent(_) => panic!("`{}` has no default", self.name),
        }
    }
}

impl<F: Form> Described for Setting<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn form_words(&self) -> String {
        self.form.words()
    }

    /// `None` when the setting is required.
    fn default_words(&self) -> Option<String> {
        match &self.default {
            Fallback::Required => None,
            Fallback::Value(value) => Some(format!("`{}`", self.form.show(&value()))),
            Fallback::Absent(words) => Some((*words).to_owned()),
        }
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn example(&self) -> &'static str {
        self.example
    }

    fn choices(&self) -> Vec<(&'static str, &'static str)> {
        self.form.choices()
    }

    fn inside(&self) -> Option<&'static Section> {
        self.form.inside()
    }
}

impl Section {
    /// The names of the settings that may stand in it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        let also = self.also.map_or(&[][..], |also| also.settings);
        self.settings.iter().chain(also).map(|setting| setting.name())
    }
}

#[cfg(test)]
mod tests {
    use crate::top::sections;
    use std::collections::HashSet;

    #[test]
    fn every_section_is_in_the_reference() {
        let listed: HashSet<&str> = sections().iter().map(|section| section.header).collect();
        assert_eq!(listed.len(), sections().len());
        for setting in sections().iter().flat_map(|section| section.settings) {
            if let Some(inside) = setting.inside() {
                assert!(listed.contains(inside.header), "{} is not listed", inside.header);
            }
        }
        for also in sections().iter().filter_map(|section| section.also) {
            assert!(listed.contains(also.header), "{} is not listed", also.header);
        }
    }

    #[test]
    fn names_within_a_section_differ() {
        for section in sections() {
            let names: HashSet<&str> = section.names().collect();
            assert_eq!(names.len(), section.names().count(), "{}", section.header);
        }
    }

    #[test]
    fn every_setting_is_described_in_whole_sentences() {
        for setting in sections().iter().flat_map(|section| section.settings) {
            assert!(setting.about().ends_with('.') && setting.about().len() > 10, "{}", setting.name());
        }
    }

    /// Each example stands once in its section of a file that is otherwise right, and is accepted.
    #[test]
    fn every_example_is_accepted() {
        let pool = "endpoints = [\"http://127.0.0.1:3900\"]";
        for section in sections() {
            for setting in section.settings {
                let line = format!("{} = {}", setting.name(), setting.example());
                let with = |head: &str, rest: &str| {
                    let rest: String = rest.lines().filter(|l| !l.starts_with(setting.name())).collect();
                    format!("[pool.app]\n{pool}\n{head}\n{line}\n{rest}\n")
                };
                let text = match section.header {
                    "the top of the file" if setting.name() == "pool" => line.clone(),
                    "the top of the file" => format!("{line}\n[pool.app]\n{pool}\n"),
                    "[pool.NAME]" if matches!(setting.name(), "endpoints" | "fleet") => {
                        format!("[pool.app]\n{line}\n")
                    }
                    "[pool.NAME.fleet]" if setting.name() == "run" => format!("[pool.app.fleet]\n{line}\n"),
                    "[pool.NAME.fleet]" => format!("[pool.app.fleet]\nrun = \"app {{port}}\"\n{line}\n"),
                    "[pool.NAME]" if setting.name() == "files" => {
                        format!("[pool.app]\nroot = \"/var/www/site\"\n{line}\n")
                    }
                    "[pool.NAME]" => format!("[pool.app]\n{pool}\n{line}\n"),
                    "endpoints = [{ … }]" if setting.name() == "url" => {
                        format!("[[pool.app.endpoints]]\n{line}\n")
                    }
                    "endpoints = [{ … }]" => {
                        format!("[[pool.app.endpoints]]\nurl = \"http://a\"\n{line}\n")
                    }
                    "[pool.NAME.health]" => with("[pool.app.health]", "path = \"/\""),
                    "[site.NAME.route.cache]" => {
                        format!(
                            "[pool.app]\n{pool}\n[[site.shop.route]]\npath = \"/\"\n[site.shop.route.cache]\n{line}\n"
                        )
                    }
                    "[filter.NAME]" => {
                        let action = match setting.name() {
                            "requests" | "per" | "burst" | "by" | "ipv6_bits" => {
                                "action = \"limit\"\nrequests = 9"
                            }
                            "difficulty" | "lifetime" => "action = \"challenge\"",
                            _ => "action = \"deny\"",
                        };
                        let rest: Vec<_> = action
                            .lines()
                            .filter(|line| !line.starts_with(&format!("{} =", setting.name())))
                            .collect();
                        format!("[pool.app]\n{pool}\n[filter.a]\n{line}\n{}\n", rest.join("\n"))
                    }
                    "[staff]" if setting.name() == "header" => with("[staff]", "secret = \"env:STAFF\""),
                    "[visitors]" if setting.name() == "require_certificate" => {
                        with("[tls]\nlisten = \":8443\"\n[visitors]", "")
                    }
                    "[tls]" => with("[tls]", "listen = \":8443\""),
                    "[[tls.certificate]]" => {
                        let other = if setting.name() == "key" { "chain" } else { "key" };
                        with(
                            "[tls]\nlisten = \":8443\"\n[[tls.certificate]]",
                            &format!("{other} = \"a.pem\""),
                        )
                    }
                    "[pool.NAME.object_store]" => {
                        let rest = ["bucket = \"shop\"", "region = \"eu\""]
                            .into_iter()
                            .filter(|line| !line.starts_with(setting.name()))
                            .collect::<Vec<_>>()
                            .join("\n");
                        format!("[pool.app]\n{pool}\n[pool.app.object_store]\n{line}\n{rest}\n")
                    }
                    "[pool.NAME.files]" => {
                        format!("[pool.app]\nroot = \"/var/www/site\"\n[pool.app.files]\n{line}\n")
                    }
                    "[cache.assets]" if setting.name() == "host" => with("[cache.assets]", "paths = \"/a\""),
                    "[cache.assets]" => with("[cache.assets]", "host = \"https://a\""),
                    "[pool.NAME.sticky]" => with("[pool.app.sticky]", "cookie = \"backend\""),
                    "[visitors]" => with("[visitors]", "trusted = \"10.0.0.5\""),
                    "[cache.disk]" => with("[cache.disk]", "directory = \"/var/cache/tentpole\""),
                    "[[site.NAME.route]]" => with("[[site.shop.route]]", "path = \"/\""),
                    "[content_network.NAME]" => {
                        let (kind, id) = match setting.name() {
                            "distribution" | "access_key_id" | "secret_access_key" | "session_token"
                            | "tags" => ("cloudfront", "distribution"),
                            "zone" => ("cloudflare", "zone"),
                            _ => ("fastly", "service"),
                        };
                        let sites = "[site.shop]\npool = \"app\"";
                        let rest: String = [format!("kind = \"{kind}\""), format!("{id} = \"a\"")]
                            .into_iter()
                            .filter(|line| !line.starts_with(setting.name()))
                            .collect::<Vec<_>>()
                            .join("\n");
                        format!("[pool.app]\n{pool}\n{sites}\n[content_network.a]\n{line}\n{rest}\n")
                    }
                    // It is read at once.
                    "[room.NAME]" if setting.name() == "template" => continue,
                    "[room.NAME]" => {
                        let rest = if setting.name() == "active" { "" } else { "active = 300" };
                        format!(
                            "[pool.app]\n{pool}\n[site.shop]\npool = \"app\"\n[room.sale]\n{line}\n{rest}\n"
                        )
                    }
                    header => with(&header.replace("pool.NAME", "pool.app").replace("NAME", "shop"), ""),
                };
                let read = crate::parse("tentpole.toml", &text);
                assert!(read.is_ok(), "{line}\n{}", read.unwrap_err());
            }
        }
    }
}
