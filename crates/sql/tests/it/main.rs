//! The reader from outside: tables of texts and their readings, scopes, depth, and properties.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod blocks;
mod bounds;
mod counted;
mod deep;
mod lineage;
mod loss;
mod preview;
mod properties;
mod scopes;
mod shop;
mod tables;
