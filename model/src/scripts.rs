//! What runs at a pool's FastCGI endpoints. Holds paths, reads none. Already checked.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The scripts of an application such as php-fpm's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scripts {
    /// Where they lie for the application, without a slash at the end.
    pub root: String,
    /// Where the same folder is for the edge; `None` is nowhere, and then a path alone says what is a script.
    pub seen_at: Option<PathBuf>,
    /// The script of a folder, for a path that ends in a slash: a name.
    pub index: String,
    /// The script that answers what no other does (the front controller), below the root and with a slash before it.
    pub front: Option<String>,
    /// Folders below the root in which nothing runs, whatever it is called.
    pub never_below: Vec<String>,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            root: String::new(),
            seen_at: None,
            index: "index.php".to_owned(),
            front: Some("/index.php".to_owned()),
            never_below: Vec::new(),
        }
    }
}
