//! The fields by which an application tags a response, so that it can be purged by what it is about. Read here, and
//! taken out on the way to visitors.

use crate::key::group_tag;
use crate::purging::pool_tag;
use tentpole_cache::Tag;
use tentpole_message::{Field, Fields, Name, ResponseHead};

/// The tags of a response: `Cache-Tag` and `X-Magento-Tags` (commas), `Surrogate-Key` (white space), `xkey` (either), and
/// `X-Pool`, which is one tag. Each as the application writes it.
pub fn tags_of(response: &ResponseHead, key: &[u8]) -> Vec<Tag> {
    let fields = &response.fields;
    let mut tags = Vec::new();
    let mut add = |name, between: fn(u8) -> bool| {
        for value in fields.all(name) {
            let parts = value.split(|&byte| between(byte)).map(<[u8]>::trim_ascii);
            tags.extend(parts.filter(|part| !part.is_empty()).map(Tag::of));
        }
    };
    add(Name::CacheTag, |byte| byte == b',');
    add(Name::XMagentoTags, |byte| byte == b',');
    add(Name::SurrogateKey, |byte| byte == b' ' || byte == b'\t');
    add(Name::Xkey, |byte| matches!(byte, b' ' | b'\t' | b','));
    let pools = fields.all(Name::XPool).filter_map(|pool| std::str::from_utf8(pool).ok());
    tags.extend(pools.map(|pool| Tag::of(pool_tag(pool.trim()).as_bytes())));
    tags.extend(group_tag(key));
    tags
}

/// Whether a response says anything of tags: after a 304 that does not, the stored ones stay.
pub fn names_tags(fields: &Fields) -> bool {
    [Name::CacheTag, Name::XMagentoTags, Name::SurrogateKey, Name::Xkey, Name::XPool]
        .into_iter()
        .any(|name| fields.has(name))
}

/// Whether a field is for caches and not for visitors: tags, and `Surrogate-Control` (Edge Architecture Specification).
pub fn is_for_caches(field: &Field<'_>) -> bool {
    matches!(
        field.id,
        Name::CacheTag
            | Name::XMagentoTags
            | Name::SurrogateKey
            | Name::Xkey
            | Name::XPool
            | Name::SurrogateControl
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(fields: &[(&str, &str)]) -> Vec<Tag> {
        let mut head = ResponseHead::new();
        fields.iter().for_each(|(name, value)| head.fields.push(name.as_bytes(), value.as_bytes()));
        tags_of(&head, b"host\0/")
    }

    fn of(all: &[&str]) -> Vec<Tag> {
        all.iter().map(|tag| Tag::of(tag.as_bytes())).collect()
    }

    #[test]
    fn each_field_has_its_own_separator() {
        assert_eq!(tags(&[("Cache-Tag", "a, b c ,,d")]), of(&["a", "b c", "d"]));
        assert_eq!(
            tags(&[("X-Magento-Tags", "cat_p,cat_p_1,cms_b_a.b")]),
            of(&["cat_p", "cat_p_1", "cms_b_a.b"])
        );
        assert_eq!(tags(&[("surrogate-key", "a  b,c\td")]), of(&["a", "b,c", "d"]));
        assert_eq!(tags(&[("XKEY", "a b"), ("xkey", "c,d")]), of(&["a", "b", "c", "d"]));
        assert_eq!(tags(&[("X-Pool", " release 7 ")]), of(&["X-Pool: release 7"]));
        assert!(tags(&[("Cache-Tags", "a"), ("ETag", "b"), ("Cache-Tag", " ")]).is_empty());
    }

    #[test]
    fn as_many_tags_as_a_large_category_has_are_read() {
        let many: Vec<String> = (0..2_000).map(|number| format!("cat_p_{number}")).collect();
        assert_eq!(tags(&[("X-Magento-Tags", &many.join(","))]).len(), 2_000);
    }
}
