//! Reads a route's pattern into the segments that it matches, in canonical form, so that `/straße` matches what a
//! browser sends for it. Refuses what would never match or would not mean what it seems to.

use crate::canonical::push_segment;
use crate::error::PatternFault;

/// Segments of a pattern at most; deeper paths match by a prefix.
pub const DEPTH_MAX: usize = 32;

/// A pattern, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// In order; a trailing slash is an empty literal at the end.
    pub segments: Vec<Segment>,
    /// It ends in `/*`, which is not among the segments.
    pub is_prefix: bool,
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Exactly these bytes, in canonical form.
    Literal(Vec<u8>),
    /// `{name}`: any segment that is not empty.
    Parameter,
}

impl Pattern {
    /// Reads a pattern of a site that merges slashes or does not.
    pub fn parse(text: &str, merge_slashes: bool) -> Result<Self, PatternFault> {
        let path = text.strip_prefix('/').ok_or(PatternFault::NotAbsolute)?;
        if path.contains(['?', '#']) {
            return Err(PatternFault::Query);
        }
        let mut pattern = Self { segments: Vec::new(), is_prefix: false };
        let mut names = Vec::new();
        let mut rest = Some(path);
        while let Some(here) = rest {
            let (segment, after) = match here.split_once('/') {
                Some((segment, after)) => (segment, Some(after)),
                None => (here, None),
            };
            rest = after;
            if segment.is_empty() && after.is_some() && (merge_slashes || pattern.segments.is_empty()) {
                continue;
            }
            if segment == "*" && after.is_none() {
                pattern.is_prefix = true;
            } else if let Some(name) = parameter(segment)? {
                if names.contains(&name) {
                    return Err(PatternFault::ParameterTwice);
                }
                names.push(name);
                pattern.segments.push(Segment::Parameter);
            } else {
                pattern.segments.push(literal(segment)?);
            }
        }
        if pattern.segments.len() > DEPTH_MAX { Err(PatternFault::TooDeep) } else { Ok(pattern) }
    }

    /// Whether it ends in a slash.
    pub fn ends_in_slash(&self) -> bool {
        !self.is_prefix && matches!(self.segments.last(), Some(Segment::Literal(bytes)) if bytes.is_empty())
    }
}

/// The name in `{name}`; `None` when the segment is a literal.
fn parameter(segment: &str) -> Result<Option<&str>, PatternFault> {
    if segment.contains('*') {
        return Err(PatternFault::Star);
    }
    let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let Some(name) = inner else {
        return if segment.contains(['{', '}']) { Err(PatternFault::Brace) } else { Ok(None) };
    };
    if name.contains(['{', '}']) {
        return Err(PatternFault::Brace);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(PatternFault::ParameterName);
    }
    Ok(Some(name))
}

fn literal(segment: &str) -> Result<Segment, PatternFault> {
    let mut bytes = Vec::with_capacity(segment.len());
    push_segment(segment.as_bytes(), &mut bytes).map_err(|_| PatternFault::Escape)?;
    match &*bytes {
        b"." | b".." => Err(PatternFault::DotSegment),
        _ => Ok(Segment::Literal(bytes)),
    }
}
