//! Instances started and stopped together.
