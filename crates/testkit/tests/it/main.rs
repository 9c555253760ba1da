//! Tests of the test kit, and of the house's shape: which crate may import which, and under which licences.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may fail loudly; clippy's own exception covers the test functions but not what they call"
)]

mod conform;
mod house;
mod idp;
mod imports;
mod postgres;
mod process;
mod wire;
