//! The reader from outside: tables of texts and their readings, the corpus of cases, agreement with bash, properties.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails loudly, and says what it skipped"
)]

mod agreement;
mod complete;
mod corpus;
mod hidden;
mod properties;
mod scopes;
mod tables;
