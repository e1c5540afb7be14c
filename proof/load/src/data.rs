//! Rows of a CSV or JSON file that visitors take, one after the other or any: names and passwords, products, cities.
//! Reads a file whole and once; knows no request.

use crate::arrivals::below;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tentpole_runtime::Random;

/// Bytes of a file at most.
pub const FILE_BYTES_MAX: u64 = 256 << 20;
/// Columns at most.
const COLUMNS_MAX: usize = 64;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rows {
    /// The first line's names, or those of the first object.
    pub names: Vec<String>,
    /// Everything below; each row has as many values as there are names.
    pub rows: Vec<Vec<String>>,
}

/// A file as a journey uses it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Data {
    /// Its number, over all journeys.
    pub number: usize,
    /// Which variable each column goes into; `None` for one that no variable is named after.
    pub variables: Vec<usize>,
    /// Its rows. Never empty.
    #[serde(with = "shared")]
    pub rows: Arc<Vec<Vec<String>>>,
    /// Which row is taken.
    pub take: Take,
    /// Whether a visitor keeps his row, or takes one for each journey.
    pub is_kept: bool,
    /// Whether the first row comes after the last; otherwise a visitor leaves who finds none.
    pub is_endless: bool,
    /// Rows taken so far, by all who share the place.
    #[serde(skip)]
    pub taken: Arc<AtomicUsize>,
    /// Which of the rows are to be taken here, where several generators share them: the n-th of each so many.
    pub share: (usize, usize),
}

/// Rows that several journeys have in common, as they are sent to another generator.
mod shared {
    use super::Arc;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Rows = Arc<Vec<Vec<String>>>;

    pub(super) fn serialize<S: Serializer>(rows: &Rows, to: S) -> Result<S::Ok, S::Error> {
        rows.as_slice().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Rows, D::Error> {
        Vec::deserialize(from).map(Arc::new)
    }
}

/// Which row is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Take {
    /// The next that nobody has taken.
    Next,
    /// The next that this visitor has not taken.
    Own,
    /// Any.
    Random,
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        (self.number, &self.variables, &self.rows, self.take, self.is_kept, self.is_endless)
            == (other.number, &other.variables, &other.rows, other.take, other.is_kept, other.is_endless)
    }
}

impl Data {
    /// The place of a row for a visitor who took `own` before; `None` when there is no more.
    pub fn take(&self, own: &mut usize, random: &mut Random) -> Option<usize> {
        let all = self.rows.len();
        let place = match self.take {
            Take::Random => below(random, all),
            Take::Next => self.taken.fetch_add(1, Relaxed) * self.share.1.max(1) + self.share.0,
            Take::Own => *own,
        };
        *own += 1;
        let place = if self.is_endless { place % all } else { place };
        (place < all).then_some(place)
    }
}

/// Reads a file, named relative to the folder of another one: JSON when it ends in `.json`, else lines of values.
///
/// # Errors
/// What is wrong with it, in words.
pub fn open(
    beside: &str,
    file: &str,
    separator: char,
    columns: &[&str],
    has_quotes: bool,
) -> Result<Rows, String> {
    let path = Path::new(beside).parent().unwrap_or(Path::new("")).join(file);
    let shown = path.display();
    let length =
        std::fs::metadata(&path).map_err(|error| format!("{shown}: this file cannot be read: {error}."))?;
    if length.len() > FILE_BYTES_MAX {
        return Err(format!("{shown}: {} MiB at most are read.", FILE_BYTES_MAX >> 20));
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("{shown}: this file cannot be read: {error}."))?;
    let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
    let rows = if is_json { json(&text) } else { csv(&text, separator, columns, has_quotes) };
    let rows = rows.map_err(|says| format!("{shown}:{says}"))?;
    if rows.rows.is_empty() {
        return Err(format!("{shown}: there is no row in this file."));
    }
    Ok(rows)
}

/// Lines of values (RFC 4180), named by the first line unless `columns` names them.
///
/// # Errors
/// `line: what`.
pub fn csv(text: &str, separator: char, columns: &[&str], has_quotes: bool) -> Result<Rows, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rows = Rows { names: columns.iter().map(|name| (*name).to_owned()).collect(), rows: Vec::new() };
    let (mut line, mut rest) = (1, text);
    while !rest.is_empty() {
        let began = line;
        let (values, after, lines) = record(rest, separator, has_quotes)
            .ok_or_else(|| format!("{began}: a value begins with a quote and nothing ends it."))?;
        (rest, line) = (after, line + lines);
        if values.len() == 1 && values[0].is_empty() {
            continue;
        }
        if rows.names.is_empty() {
            if values.len() > COLUMNS_MAX {
                return Err(format!("{began}: {COLUMNS_MAX} columns at most."));
            }
            rows.names = values.into_iter().map(|name| name.trim().to_owned()).collect();
            continue;
        }
        if values.len() < rows.names.len() {
            return Err(format!(
                "{began}: {} value{} where {} are named ({}).",
                values.len(),
                if values.len() == 1 { "" } else { "s" },
                rows.names.len(),
                rows.names.join(", ")
            ));
        }
        rows.rows.push(values);
    }
    Ok(rows)
}

/// One record: its values, what comes after it, and how many lines it took.
fn record(text: &str, separator: char, has_quotes: bool) -> Option<(Vec<String>, &str, usize)> {
    let (mut values, mut rest, mut lines) = (Vec::new(), text, 1);
    loop {
        let mut value = String::new();
        if let Some(mut inside) = rest.strip_prefix('"').filter(|_| has_quotes) {
            loop {
                let at = inside.find('"')?;
                value.push_str(&inside[..at]);
                inside = &inside[at + 1..];
                match inside.strip_prefix('"') {
                    Some(after) => {
                        value.push('"');
                        inside = after;
                    }
                    None => break,
                }
            }
            lines += value.matches('\n').count();
            rest = inside;
        }
        let end = rest.find([separator, '\n']).unwrap_or(rest.len());
        value.push_str(rest[..end].trim_end_matches('\r'));
        values.push(value);
        let mut after = rest[end..].chars();
        match after.next() {
            Some('\n') | None => return Some((values, after.as_str(), lines)),
            Some(_) => rest = after.as_str(),
        }
    }
}

/// A list of objects whose values are texts, numbers, true or false.
fn json(text: &str) -> Result<Rows, String> {
    use serde_json::Value;
    let wrong = || "1: write a list of objects: [{ \"user\": \"ann\" }, …].".to_owned();
    let whole: Value = serde_json::from_str(text).map_err(|error| format!("{}: {error}.", error.line()))?;
    let Value::Array(all) = whole else { return Err(wrong()) };
    let mut rows = Rows::default();
    for (number, one) in all.iter().enumerate() {
        let Value::Object(one) = one else { return Err(wrong()) };
        if number == 0 {
            rows.names = one.keys().cloned().collect();
        }
        let value = |name: &String| match one.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(plain @ (Value::Number(_) | Value::Bool(_))) => Ok(plain.to_string()),
            _ => Err(format!("1: object {} has no text or number called \"{name}\".", number + 1)),
        };
        rows.rows.push(rows.names.iter().map(value).collect::<Result<_, _>>()?);
    }
    if rows.names.len() > COLUMNS_MAX {
        return Err(format!("1: {COLUMNS_MAX} columns at most."));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read_with_quotes_and_line_ends_in_them() {
        let rows = csv("user,text\r\nann,\"a, \"\"b\"\"\nc\"\r\n\r\nbob,x\n", ',', &[], true).expect("right");
        assert_eq!(rows.names, ["user", "text"]);
        assert_eq!(rows.rows, [["ann", "a, \"b\"\nc"], ["bob", "x"]]);
        let plain = csv("\"ann\";1\n", ';', &["user", "n"], false).expect("right");
        assert_eq!(plain.rows, [["\"ann\"", "1"]]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let wrong = |text| csv(text, ',', &[], true).expect_err("wrong");
        assert_eq!(wrong("a,b\n1,2\n3\n"), "3: 1 value where 2 are named (a, b).");
        assert_eq!(wrong("a,b\n1,\"2\n"), "2: a value begins with a quote and nothing ends it.");
        assert!(json("{}").expect_err("no list").contains("a list of objects"));
        assert!(
            json("[{\"a\":1},{\"b\":1}]")
                .expect_err("no a")
                .contains("object 2 has no text or number called \"a\"")
        );
    }

    #[test]
    fn objects_are_rows() {
        let rows = json("[{\"user\":\"ann\",\"id\":7},{\"user\":\"bob\",\"id\":8}]").expect("right");
        let user = rows.names.iter().position(|name| name == "user").expect("user");
        assert_eq!(rows.rows.iter().map(|row| row[user].as_str()).collect::<Vec<_>>(), ["ann", "bob"]);
    }

    #[test]
    fn rows_are_taken_in_turn_by_all_or_by_each_and_end_or_begin_again() {
        let rows = Arc::new(vec![vec!["a".to_owned()], vec!["b".to_owned()]]);
        let data = |take, is_endless| Data {
            number: 0,
            variables: vec![0],
            rows: rows.clone(),
            take,
            is_kept: false,
            is_endless,
            taken: Arc::default(),
            share: (0, 1),
        };
        let mut random = Random::from_seed(1);
        let mut three = |data: &Data, own: &mut [usize; 2]| -> Vec<Option<String>> {
            let mut take =
                |who: usize| data.take(&mut own[who], &mut random).map(|place| rows[place][0].clone());
            vec![take(0), take(1), take(0)]
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(three(&data(Take::Next, true), &mut [0; 2]), [some("a"), some("b"), some("a")]);
        assert_eq!(three(&data(Take::Next, false), &mut [0; 2]), [some("a"), some("b"), None]);
        assert_eq!(three(&data(Take::Own, false), &mut [0; 2]), [some("a"), some("a"), some("b")]);
        assert!(three(&data(Take::Random, false), &mut [0; 2]).iter().all(Option::is_some));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c\",;\r\n]{0,60}") {
            if let Ok(rows) = csv(&text, ',', &[], true) {
                prop_assert!(rows.rows.iter().all(|row| row.len() >= rows.names.len()));
            }
            let _ = json(&text);
        }
    }
}
