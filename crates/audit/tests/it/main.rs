//! The record as a whole: recording and group commit, crashes, tampering, exports.

mod crash;
mod export;
mod file_log;
mod reading;
mod recording;
mod samples;
mod tampering;
