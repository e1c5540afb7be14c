//! The routes of all sites as one forest: a tree for each site, a node for each segment, a hash map of literals in
//! each node. Visitors choose the paths, so a look-up is bounded: the path is split once and only as deep as
//! patterns go, a segment longer than any literal is not even hashed, and a table in which trying alternatives
//! could take many steps does not compile.

use crate::error::CompileError;
use crate::pattern::{DEPTH_MAX, Pattern, Segment};
use crate::table::Matched;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use tentpole_model::{RouteId, Site};

/// Nodes that one look-up may visit at most.
pub const STEPS_MAX: usize = 256;

/// The routes of all sites.
#[derive(Debug)]
pub struct Paths {
    nodes: Vec<Node>,
    /// One for each site.
    trees: Vec<Tree>,
}

#[derive(Debug)]
struct Tree {
    root: u32,
    /// Segments of its longest pattern.
    depth: usize,
    /// Bytes of its longest literal.
    literal_max: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// A fixed hash: the keys come from the configuration, and a visitor only looks up.
    literals: HashMap<Box<[u8]>, u32, FixedState>,
    /// 0 is none: that node is a root.
    parameter: u32,
    /// The path ends here.
    exact: Option<RouteId>,
    /// It ends here or goes on.
    prefix: Option<RouteId>,
    /// It goes on, and that is swallowed.
    swallow: Option<RouteId>,
    /// It goes on, and that is swallowed, but the slash after this node is kept.
    swallow_after_slash: Option<RouteId>,
}

impl Paths {
    /// Empty.
    pub fn new() -> Self {
        Self { nodes: Vec::new(), trees: Vec::new() }
    }

    /// Adds the next site; its first route is `first`.
    pub fn add_site(&mut self, site: &Site, first: u32) -> Result<(), CompileError> {
        let mut tree = Tree { root: self.add_node(), depth: 0, literal_max: 0 };
        for (index, route) in site.routes.iter().enumerate() {
            let id = RouteId(first + index as u32);
            let pattern = Pattern::parse(&route.path, site.merge_slashes).map_err(|fault| {
                CompileError::BadPattern { site: site.name.clone(), pattern: route.path.clone(), fault }
            })?;
            tree.note(&pattern);
            if let Some(earlier) = self.insert(tree.root, &pattern, id, route.swallow_segments) {
                return Err(CompileError::DuplicatePattern {
                    site: site.name.clone(),
                    first: site.routes[(earlier.0 - first) as usize].path.clone(),
                    second: route.path.clone(),
                });
            }
        }
        let steps = self.steps(tree.root);
        if steps > STEPS_MAX {
            return Err(CompileError::TooAmbiguous { site: site.name.clone(), steps, steps_max: STEPS_MAX });
        }
        self.trees.push(tree);
        Ok(())
    }

    /// The most specific route of the site with this index for a canonical path.
    #[inline]
    pub fn find(&self, site: usize, path: &[u8]) -> Option<Matched> {
        let tree = self.trees.get(site)?;
        let path = Split::new(path, tree.depth)?;
        Search { nodes: &self.nodes, path: &path, literal_max: tree.literal_max }.from(tree.root, 0)
    }

    fn add_node(&mut self) -> u32 {
        self.nodes.push(Node::default());
        (self.nodes.len() - 1) as u32
    }

    /// The route that already has this pattern, if one does.
    fn insert(&mut self, root: u32, pattern: &Pattern, route: RouteId, swallow: bool) -> Option<RouteId> {
        let (mut at, mut before) = (root, root);
        for segment in &pattern.segments {
            before = at;
            at = self.child(at, segment);
        }
        if swallow && pattern.ends_in_slash() {
            self.nodes[before as usize].swallow_after_slash = Some(route);
        } else if swallow && !pattern.is_prefix {
            self.nodes[at as usize].swallow = Some(route);
        }
        let node = &mut self.nodes[at as usize];
        if pattern.is_prefix { node.prefix.replace(route) } else { node.exact.replace(route) }
    }

    fn child(&mut self, parent: u32, segment: &Segment) -> u32 {
        let node = &self.nodes[parent as usize];
        let known = match segment {
            Segment::Literal(bytes) => node.literals.get(&**bytes).copied(),
            Segment::Parameter => Some(node.parameter).filter(|&node| node != 0),
        };
        known.unwrap_or_else(|| {
            let child = self.add_node();
            let node = &mut self.nodes[parent as usize];
            match segment {
                Segment::Literal(bytes) => {
                    node.literals.insert(bytes.as_slice().into(), child);
                }
                Segment::Parameter => node.parameter = child,
            }
            child
        })
    }

    /// Nodes that a look-up from this one visits at most: of the literals one can match, and the parameter is tried
    /// after it.
    fn steps(&self, node: u32) -> usize {
        let node = &self.nodes[node as usize];
        let literal = node.literals.values().map(|&child| self.steps(child)).max().unwrap_or(0);
        let parameter = if node.parameter == 0 { 0 } else { self.steps(node.parameter) };
        literal.saturating_add(parameter).saturating_add(1)
    }
}

impl Tree {
    fn note(&mut self, pattern: &Pattern) {
        self.depth = self.depth.max(pattern.segments.len());
        for segment in &pattern.segments {
            if let Segment::Literal(bytes) = segment {
                self.literal_max = self.literal_max.max(bytes.len());
            }
        }
    }
}

/// A path, split once, as deep as patterns go and one segment further.
struct Split<'a> {
    path: &'a [u8],
    /// Where each segment starts; the one after the last starts behind a slash beyond the end.
    starts: [u32; DEPTH_MAX + 2],
    count: usize,
}

impl<'a> Split<'a> {
    #[inline]
    fn new(path: &'a [u8], depth: usize) -> Option<Self> {
        let beyond = u32::try_from(path.len()).ok()?.checked_add(1)?;
        if path.first() != Some(&b'/') {
            return None;
        }
        let mut split = Self { path, starts: [beyond; DEPTH_MAX + 2], count: 0 };
        for (at, &byte) in path.iter().enumerate() {
            if byte == b'/' {
                split.starts[split.count] = at as u32 + 1;
                split.count += 1;
                if split.count > depth {
                    break;
                }
            }
        }
        Some(split)
    }

    fn start(&self, index: usize) -> usize {
        self.starts[index] as usize
    }

    #[inline]
    fn segment(&self, index: usize) -> &'a [u8] {
        &self.path[self.start(index)..self.start(index + 1) - 1]
    }
}

struct Search<'a> {
    nodes: &'a [Node],
    path: &'a Split<'a>,
    literal_max: usize,
}

impl Search<'_> {
    /// The most specific match below this node, which matched the first `depth` segments: a literal before the
    /// parameter before the prefix, decided at the first segment in which they differ.
    fn from(&self, node: u32, depth: usize) -> Option<Matched> {
        let node = &self.nodes[node as usize];
        if depth == self.path.count {
            return node.exact.or(node.prefix).map(|route| Matched { route, swallowed: None });
        }
        self.deeper(node, depth).or_else(|| self.rest(node, depth))
    }

    #[inline]
    fn deeper(&self, node: &Node, depth: usize) -> Option<Matched> {
        if node.literals.is_empty() && node.parameter == 0 {
            return None;
        }
        let segment = self.path.segment(depth);
        if segment.len() <= self.literal_max
            && let Some(&child) = node.literals.get(segment)
            && let Some(matched) = self.from(child, depth + 1)
        {
            return Some(matched);
        }
        if node.parameter == 0 || segment.is_empty() { None } else { self.from(node.parameter, depth + 1) }
    }

    /// What takes the remaining segments whatever they are.
    fn rest(&self, node: &Node, depth: usize) -> Option<Matched> {
        if let Some(route) = node.prefix {
            return Some(Matched { route, swallowed: None });
        }
        let after_slash = self.path.start(depth);
        let kept =
            |route: Option<RouteId>, length| route.map(|route| Matched { route, swallowed: Some(length) });
        kept(node.swallow_after_slash, after_slash).or_else(|| kept(node.swallow, after_slash - 1))
    }
}
