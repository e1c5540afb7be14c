//! Whether every crate that is compiled here may be: its licence is allowed and its name is not banned. Reads
//! the same `deny.toml` that cargo-deny reads, so the policy is written once and holds where cargo-deny is not
//! installed. Knows OR, AND, WITH and parentheses of SPDX 2.3 annex D; an unreadable expression is a fault.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The part of `deny.toml` that can be held without cargo-deny.
pub struct Policy {
    allowed: Vec<String>,
    banned: Vec<String>,
}

impl Policy {
    /// Reads `licenses.allow` and `bans.deny`. Both must be there: an empty policy would allow by accident.
    pub fn parse(text: &str) -> Self {
        let table = DeTable::parse(text).expect("deny.toml is TOML");
        let named = |value: &Spanned<DeValue<'_>>| {
            let value = value.get_ref();
            let name = value.as_str().or_else(|| value.get("crate")?.get_ref().as_str());
            name.expect("an entry is a name or has a `crate`").to_owned()
        };
        let list = |section: &str, key: &str| -> Vec<String> {
            let listed = table.get_ref().get(section).and_then(|section| section.get_ref().get(key));
            let listed = listed.and_then(|list| list.get_ref().as_array()).expect("a list");
            listed.iter().map(named).collect()
        };
        Policy { allowed: list("licenses", "allow"), banned: list("bans", "deny") }
    }

    /// Every package of `cargo metadata` that the policy refuses.
    pub fn faults(&self, metadata: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        for package in metadata["packages"].as_array().expect("a list of packages") {
            let name = package["name"].as_str().unwrap_or_default();
            let licence = package["license"].as_str().unwrap_or("none named");
            if !self.allows(licence) {
                faults.push(format!("{name} is under {licence}, which deny.toml does not allow"));
            }
            if self.banned.iter().any(|banned| banned == name) {
                faults.push(format!("{name} is banned by deny.toml, which says why"));
            }
        }
        faults
    }

    fn allows(&self, expression: &str) -> bool {
        // Before SPDX, crates wrote a slash for "or".
        let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut at = 0;
        self.any(&words, &mut at) == Some(true) && at == words.len()
    }

    /// `all OR all …`; None where the expression cannot be read.
    fn any(&self, words: &[&str], at: &mut usize) -> Option<bool> {
        let mut allowed = self.all(words, at)?;
        while words.get(*at) == Some(&"OR") {
            *at += 1;
            allowed |= self.all(words, at)?;
        }
        Some(allowed)
    }

    /// `one AND one …`
    fn all(&self, words: &[&str], at: &mut usize) -> Option<bool> {
        let mut allowed = self.one(words, at)?;
        while words.get(*at) == Some(&"AND") {
            *at += 1;
            allowed &= self.one(words, at)?;
        }
        Some(allowed)
    }

    /// A licence, a licence with an exception, or an expression in parentheses.
    fn one(&self, words: &[&str], at: &mut usize) -> Option<bool> {
        let word = *words.get(*at)?;
        *at += 1;
        if word == "(" {
            let allowed = self.any(words, at)?;
            let closed = words.get(*at) == Some(&")");
            *at += 1;
            return closed.then_some(allowed);
        }
        let mut name = word.to_owned();
        if words.get(*at) == Some(&"WITH") {
            name = format!("{word} WITH {}", words.get(*at + 1)?);
            *at += 2;
        }
        Some(self.allowed.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy() -> Policy {
        let text = "[licenses]\nallow = [\"MIT\", \"Zlib\"]\n\
                    [bans]\ndeny = [\"slow\", { crate = \"openssl-sys\", reason = \"one provider\" }]\n";
        Policy::parse(text)
    }

    #[test]
    fn an_expression_is_allowed_when_some_choice_of_it_is() {
        for allowed in
            ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "(GPL-3.0 OR MIT) AND Zlib", "MIT AND Zlib"]
        {
            assert!(policy().allows(allowed), "{allowed}");
        }
        for refused in ["", "GPL-3.0", "MIT AND GPL-3.0", "MIT WITH Something", "(MIT", "MIT MIT", "OR MIT"] {
            assert!(!policy().allows(refused), "{refused}");
        }
    }

    #[test]
    fn a_crate_is_refused_for_its_licence_or_its_name() {
        let packages = json!({ "packages": [
            { "name": "good", "license": "MIT" },
            { "name": "viral", "license": "AGPL-3.0" },
            { "name": "silent", "license": null },
            { "name": "openssl-sys", "license": "MIT" },
        ] });
        let faults = policy().faults(&packages);
        assert_eq!(
            faults,
            [
                "viral is under AGPL-3.0, which deny.toml does not allow",
                "silent is under none named, which deny.toml does not allow",
                "openssl-sys is banned by deny.toml, which says why",
            ]
        );
    }
}
