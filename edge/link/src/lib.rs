//! The edge's end of the link to the control plane.
