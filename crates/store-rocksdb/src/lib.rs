//! the embedded store
