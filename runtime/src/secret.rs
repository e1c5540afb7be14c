//! Reads a secret from where the configuration says it is. Never shows one.

use tentpole_model::{Secret, SecretField};

/// Bytes of a secret at most.
const BYTES_MAX: u64 = 64 << 10;

/// Reads it, without the white space around it.
///
/// # Errors
/// When it is not there, empty or no text; in words, with the place and never the secret.
pub fn read(secret: &Secret) -> Result<String, String> {
    let (place, text) = match secret {
        Secret::Variable(name) => {
            let place = format!("the environment variable {name}");
            let text = std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => format!("{place} is not set"),
                std::env::VarError::NotUnicode(_) => format!("{place} is not text"),
            })?;
            (place, text)
        }
        Secret::File(path) => {
            let place = format!("the file {}", path.display());
            let text = read_file(path).map_err(|error| format!("{place} cannot be read: {error}"))?;
            (place, text)
        }
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("{place} is empty"));
    }
    Ok(text.to_owned())
}

/// Reads it for a field of HTTP, which takes visible characters and spaces.
///
/// # Errors
/// As [`read`], and when it has another character in it.
pub fn read_for_field(secret: &Secret) -> Result<String, String> {
    let text = read(secret)?;
    match text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        true => Ok(text),
        false => Err("it holds a character that no field takes, such as a line's end".to_owned()),
    }
}

/// Fields with secrets in them, as lines. What cannot be read is left out: whoever serves with it says so.
pub fn lines(fields: &[SecretField]) -> String {
    let line =
        |field: &SecretField| Some(format!("{}: {}\r\n", field.name, read_for_field(&field.value).ok()?));
    fields.iter().filter_map(line).collect()
}

fn read_file(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_text_is_the_secret_without_its_line_end() {
        let file = std::env::temp_dir().join(format!("tentpole-secret-{}", std::process::id()));
        std::fs::write(&file, " s3cret\n").unwrap();
        assert_eq!(read(&Secret::File(file.clone())), Ok("s3cret".to_owned()));
        std::fs::write(&file, "one\r\nHost: two\n").unwrap();
        assert!(read_for_field(&Secret::File(file.clone())).unwrap_err().contains("character"));
        std::fs::write(&file, "\n").unwrap();
        assert!(read(&Secret::File(file.clone())).unwrap_err().ends_with("is empty"));
        std::fs::remove_file(&file).unwrap();
        assert!(read(&Secret::File(file)).unwrap_err().contains("cannot be read: "));
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let missing = Secret::Variable("TENTPOLE_NO_SUCH_SECRET".into());
        assert_eq!(
            read(&missing).unwrap_err(),
            "the environment variable TENTPOLE_NO_SUCH_SECRET is not set"
        );
    }
}
