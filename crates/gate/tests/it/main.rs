//! The gate over an in-memory store with faults: entry, asking, holding, durability, answers.

mod answer;
mod asking;
mod durability;
mod entry;
mod holding;
mod world;
