//! What the edge makes of content: pages put together, links rewritten, codings, files, an object store.

mod common;

#[path = "content/assembling.rs"]
mod assembling;
#[path = "content/assets.rs"]
mod assets;
#[path = "content/compression.rs"]
mod compression;
#[path = "content/file_attacks.rs"]
mod file_attacks;
#[path = "content/files.rs"]
mod files;
#[path = "content/object_store.rs"]
mod object_store;
