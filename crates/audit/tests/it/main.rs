//! The record as a whole: recording and group commit, crashes, tampering, exports.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what helps a test may fail loudly too"
)]

mod asciicast;
mod crash;
mod export;
mod file_log;
mod reading;
mod recording;
mod samples;
mod tampering;
