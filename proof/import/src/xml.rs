//! An XML file as a tree, bounded in size, depth and number; no document types, no entities but the five that XML has.
//! Knows no plan.

use crate::Wrong;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Elements within elements.
const DEPTH_MAX: usize = 100;
/// Elements at most.
const ELEMENTS_MAX: usize = 1_000_000;

/// One element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Vec<(String, String)>,
    /// All text directly in it.
    pub text: String,
    /// The elements in it.
    pub children: Vec<Element>,
    /// The line it begins in.
    pub line: usize,
}

impl Element {
    /// An attribute's value; nothing when it is not there.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Reads a file. Its outermost element comes back.
///
/// # Errors
/// Where it is no XML, or larger than is read.
pub fn read(text: &str) -> Result<Element, Wrong> {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    (config.check_end_names, config.expand_empty_elements) = (true, false);
    // Line of a place, counted on from the last one asked for.
    let (mut counted, mut line) = (0, 1);
    let mut line_at = |place: u64| {
        let place = usize::try_from(place).unwrap_or(usize::MAX).min(text.len());
        if place > counted {
            line += text.as_bytes()[counted..place].iter().filter(|byte| **byte == b'\n').count();
            counted = place;
        }
        line
    };
    let mut open: Vec<Element> = vec![Element::default()];
    let mut elements = 0;
    loop {
        let began = line_at(reader.buffer_position());
        let event = reader.read_event();
        let wrong = |says: String| Wrong::at(began, says);
        let event = event.map_err(|error| {
            wrong(format!("this is not XML: {error}. Save the plan anew with the program that made it."))
        })?;
        match event {
            Event::Start(_) | Event::Empty(_) if elements >= ELEMENTS_MAX => {
                return Err(wrong(format!("more than {ELEMENTS_MAX} elements.")));
            }
            Event::Start(start) => {
                if open.len() > DEPTH_MAX {
                    return Err(wrong(format!("elements lie more than {DEPTH_MAX} deep in one another.")));
                }
                elements += 1;
                open.push(element(&start, began)?);
            }
            Event::Empty(start) => {
                elements += 1;
                let element = element(&start, began)?;
                last(&mut open).children.push(element);
            }
            Event::End(_) => {
                // The reader has compared names, so there is one to close.
                if open.len() > 1
                    && let Some(closed) = open.pop()
                {
                    last(&mut open).children.push(closed);
                }
            }
            Event::Text(piece) => {
                last(&mut open).text.push_str(&String::from_utf8_lossy(piece.as_ref()));
            }
            Event::CData(piece) => {
                last(&mut open).text.push_str(&String::from_utf8_lossy(piece.as_ref()));
            }
            Event::GeneralRef(name) => {
                let known = match name.resolve_char_ref() {
                    Ok(Some(c)) => Some(c),
                    Ok(None) => predefined(name.as_ref()),
                    Err(_) => None,
                };
                let Some(c) = known else {
                    let name = String::from_utf8_lossy(name.as_ref()).into_owned();
                    return Err(wrong(format!("the entity &{name}; is not read; write the text itself.")));
                };
                last(&mut open).text.push(c);
            }
            Event::DocType(_) => {
                return Err(wrong("a document type (<!DOCTYPE …>) is not read; take it out.".to_owned()));
            }
            Event::Eof => break,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
        }
    }
    if open.len() > 1 {
        let unclosed = &open[open.len() - 1];
        return Err(Wrong::at(
            unclosed.line,
            format!("<{}> is never closed: is the file whole?", unclosed.name),
        ));
    }
    match open.pop().and_then(|whole| whole.children.into_iter().next()) {
        Some(root) => Ok(root),
        None => Err(Wrong::at(0, "there is no element in this file; is it an XML file?")),
    }
}

fn last(open: &mut [Element]) -> &mut Element {
    let at = open.len() - 1;
    &mut open[at]
}

fn element(start: &BytesStart<'_>, line: usize) -> Result<Element, Wrong> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let wrong = |says: String| Wrong::at(line, format!("an attribute cannot be read: {says}."));
        let attribute = attribute.map_err(|error| wrong(error.to_string()))?;
        let value = attribute.unescape_value().map_err(|error| wrong(error.to_string()))?;
        attributes.push((String::from_utf8_lossy(attribute.key.as_ref()).into_owned(), value.into_owned()));
    }
    let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
    Ok(Element { name, attributes, text: String::new(), children: Vec::new(), line })
}

fn predefined(name: &[u8]) -> Option<char> {
    match name {
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"amp" => Some('&'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tree_with_texts_attributes_and_lines_is_read() {
        let tree = read(
            "<?xml version=\"1.0\"?>\n<a x=\"1 &amp; 2\">\n<b>one &lt;&#65;<![CDATA[<c>]]></b><c/></a>\n",
        )
        .expect("XML");
        assert_eq!((tree.name.as_str(), tree.attribute("x"), tree.line), ("a", "1 & 2", 2));
        assert_eq!((tree.children[0].text.as_str(), tree.children[0].line), ("one <A<c>", 3));
        assert_eq!(tree.children[1].name, "c");
    }

    #[test]
    fn what_is_no_plan_is_refused_with_its_line() {
        let wrong = |text: &str| read(text).expect_err("wrong").to_string();
        assert!(wrong("<a>\n<b></a>").starts_with("2: this is not XML"), "{}", wrong("<a>\n<b></a>"));
        assert_eq!(wrong("<a>\n<b>"), "2: <b> is never closed: is the file whole?");
        assert!(wrong("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>").contains("a document type"));
        assert!(wrong("<a>\n&b;</a>").contains("the entity &b; is not read"));
        assert!(wrong("plain").contains("there is no element"));
        assert!(wrong(&"<a>".repeat(5_000)).contains("more than 100 deep"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[<>/&;!\\[\\]a-c\"= \n#x1-3]{0,80}") {
            let _ = read(&text);
        }
    }
}
