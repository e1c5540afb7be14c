//! The part of the cache that outlives a restart: objects on disk, bounded in bytes. Never gives out a torn object,
//! and never one that was purged.
