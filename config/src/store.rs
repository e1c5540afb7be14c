//! `[pool.NAME.object_store]`: an object store in the place of an application.

use crate::forms::{Text, Word};
use crate::problem::Problem;
use crate::purge;
use crate::setting::{Fallback, Section, Setting};
use crate::table::Table;
use tentpole_model::{Addressing, ObjectStore, Secret};

pub(crate) static SECTION: Section = Section {
    header: "[pool.NAME.object_store]",
    also: None,
    about: "The pool's endpoints are an object store that speaks S3's protocol, asked for the objects of one bucket: \
            `object_store = { bucket = \"shop\", region = \"eu-central-1\" }`. Each request to it is signed (AWS Signature \
            Version 4). Visitors can GET and HEAD objects, whole or in part, and nothing else.",
    settings: &[&BUCKET, &REGION, &KEY_ID, &KEY, &SESSION, &ADDRESSING, &INDEX],
};

static BUCKET: Setting<Text> = Setting {
    name: "bucket",
    form: Text { what: "a bucket's name in quotes" },
    default: Fallback::Required,
    about: "The bucket. The path of a request is the object's name in it.",
    example: "\"shop\"",
};

static REGION: Setting<Text> = Setting {
    name: "region",
    form: Text { what: "a region's name in quotes" },
    default: Fallback::Required,
    about: "Where the bucket is; stores of your own often call it `us-east-1`.",
    example: "\"eu-central-1\"",
};

static KEY_ID: Setting<Text> = Setting {
    name: "access_key_id",
    form: Text { what: SECRET_FORM },
    default: Fallback::Absent("`\"env:AWS_ACCESS_KEY_ID\"`"),
    about: "The id of an access key that may read the bucket's objects. Give it `s3:ListBucket` too, or the store answers 403 \
            for what is not there.",
    example: "\"env:AWS_ACCESS_KEY_ID\"",
};

static KEY: Setting<Text> = Setting {
    name: "secret_access_key",
    form: Text { what: SECRET_FORM },
    default: Fallback::Absent("`\"env:AWS_SECRET_ACCESS_KEY\"`"),
    about: "That key. Read when the edge starts.",
    example: "\"file:/run/secrets/store\"",
};

static SESSION: Setting<Text> = Setting {
    name: "session_token",
    form: Text { what: SECRET_FORM },
    default: Fallback::Absent("`\"env:AWS_SESSION_TOKEN\"`, if it is there"),
    about: "The session token of a temporary key.",
    example: "\"env:AWS_SESSION_TOKEN\"",
};

static ADDRESSING: Setting<Word<Addressing>> = Setting {
    name: "addressing",
    form: Word {
        words: &[
            ("path", Addressing::Path, "`http://store/bucket/object`, which every store takes."),
            (
                "host",
                Addressing::Host,
                "`http://bucket.store/object`; the connection goes to the endpoint all the same.",
            ),
        ],
    },
    default: Fallback::Value(|| Addressing::Path),
    about: "Where the bucket is named.",
    example: "\"host\"",
};

static INDEX: Setting<Text> = Setting {
    name: "index",
    form: Text { what: "an object's name in quotes" },
    default: Fallback::Absent("`\"index.html\"`"),
    about: "The object behind a path that ends in `/`. Nobody gets a list of what is in the bucket.",
    example: "\"index.html\"",
};

const SECRET_FORM: &str = "where it is, in quotes: \"env:NAME\" or \"file:/path\"";

/// Reads the table.
pub(crate) fn read(table: &Table<'_>) -> Option<ObjectStore> {
    let bucket = table.required(&BUCKET);
    let region = table.required(&REGION);
    if let Some(typed) = bucket.as_ref().filter(|typed| !is_bucket(&typed.value)) {
        table.tell(Problem::NotABucket { typed: typed.value.clone() }, &typed.place);
    }
    if let Some(typed) = region.as_ref().filter(|typed| !is_region(&typed.value)) {
        table.tell(Problem::NotAnId { name: REGION.name, typed: typed.value.clone() }, &typed.place);
    }
    let index = table.optional(&INDEX);
    if let Some(typed) = index.as_ref().filter(|typed| !is_index(&typed.value)) {
        table.tell(Problem::NotAnIndex { typed: typed.value.clone() }, &typed.place);
    }
    let secret = |setting, usual: &str| {
        purge::secret(table, setting).unwrap_or_else(|| Secret::Variable(usual.to_owned()))
    };
    let (key_id, key) = (secret(&KEY_ID, "AWS_ACCESS_KEY_ID"), secret(&KEY, "AWS_SECRET_ACCESS_KEY"));
    let session = Some(secret(&SESSION, "AWS_SESSION_TOKEN"));
    Some(ObjectStore {
        bucket: bucket?.value,
        region: region?.value,
        key_id,
        key,
        session,
        addressing: table.value(&ADDRESSING),
        index: index.map_or_else(|| "index.html".to_owned(), |typed| typed.value),
    })
}

/// Amazon S3 User Guide, "Bucket naming rules", in what keeps a name whole in a path and in a host.
fn is_bucket(typed: &str) -> bool {
    let is_end =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (3..=63).contains(&typed.len())
        && is_end(typed.as_bytes().first())
        && is_end(typed.as_bytes().last())
        && !typed.contains("..")
        && typed
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
}

fn is_region(typed: &str) -> bool {
    (1..=64).contains(&typed.len())
        && typed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// A name of one file, which stands in a URL as it is.
pub(crate) fn is_index(typed: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (1..=255).contains(&typed.len()) && typed.bytes().all(is_plain) && !matches!(typed, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_stays_one_name_wherever_it_stands() {
        assert!(["shop", "my-bucket.2", "a1b"].into_iter().all(is_bucket));
        for typed in ["", "ab", "Shop", "a/b", "../a", "a..b", "-ab", "ab-", "a b", "sh%6fp", &"a".repeat(64)]
        {
            assert!(!is_bucket(typed), "{typed}");
        }
        assert!(is_index("index.html") && !is_index("../x") && !is_index("") && !is_index(".."));
        assert!(is_region("eu-central-1") && !is_region("") && !is_region("a/b"));
    }
}
