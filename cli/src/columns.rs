//! Values of the admin API as words and in columns, for commands that show them. Knows nothing of what they mean.

use serde_json::Value;
use std::fmt::Write;

/// A value in words; control characters never reach the terminal.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().filter(|c| !c.is_control()).collect(),
        other => other.to_string(),
    }
}

/// Columns side by side: the first two to the left, the numbers to the right.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let _ = match column {
                0 | 1 => write!(line, " {cell:<width$}", width = width(column)),
                _ => write!(line, "  {cell:>width$}", width = width(column)),
            };
            if column == 0 {
                line.push(' ');
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
