//! The control plane's end of the link to the edge.
