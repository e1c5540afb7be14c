//! Properties of an element of a plan: `stringProp`, `boolProp`, `intProp`, `elementProp`, `collectionProp`.

use crate::xml::Element;

/// Elements of a `hashTree`, each with the `hashTree` behind it, which holds what is in it.
pub fn pairs(tree: &Element) -> impl Iterator<Item = (&Element, Option<&Element>)> {
    let all = &tree.children;
    let is_tree = |one: &Element| one.name == "hashTree";
    all.iter()
        .enumerate()
        .filter(move |(_, one)| !is_tree(one))
        .map(move |(at, one)| (one, all.get(at + 1).filter(|next| is_tree(next))))
}

/// A property that stands directly in it.
pub fn find<'e>(one: &'e Element, name: &str) -> Option<&'e Element> {
    one.children.iter().find(|child| child.attribute("name") == name)
}

/// Its text; nothing when it is not there.
pub fn text<'e>(one: &'e Element, name: &str) -> &'e str {
    find(one, name).map_or("", |found| &found.text)
}

/// The same for what should be a number: it may stand in any kind of property.
pub fn number<'e>(one: &'e Element, name: &str) -> &'e str {
    text(one, name)
}

/// Whether it is `true`.
pub fn flag(one: &Element, name: &str) -> bool {
    text(one, name).trim() == "true"
}

/// The elements of a collection.
pub fn list<'e>(one: &'e Element, name: &str) -> &'e [Element] {
    find(one, name).map_or(&[], |found| &found.children)
}
