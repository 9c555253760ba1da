//! The whole path in one process: raw clients and real drivers, the gate over an in-memory store, real PostgreSQL
//! servers. A test named `pg_p…` holds the pitfall of that number in the notes.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod basic;
mod catalogue;
mod clients;
mod copy;
mod entry;
mod flow;
mod holding;
mod lifecycle;
mod login;
mod masking;
mod names;
mod previews;
mod record;
mod refusal;
mod roles;
mod scope;
mod speak;
mod world;
