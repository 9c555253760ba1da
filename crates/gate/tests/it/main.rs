//! The gate over an in-memory store with faults: entry, asking, holding, durability, answers.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails loudly")]

mod answer;
mod asking;
mod budgets;
mod durability;
mod entry;
mod granting;
mod holding;
mod json;
mod leaving;
mod limits;
mod masking;
mod races;
mod reasons;
mod text;
mod world;
