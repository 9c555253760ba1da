//! The copy protocol of rcp and old scp, started by `exec` of `scp -t PATH` (the target takes files) or `scp -f PATH` (it
//! gives them), read line by line.
//!
//! There is one stream each way. Who has files announces each (`C`, `D`, `E`, `T` lines, then content); who takes them answers
//! each line with a byte. The end at the target trusts the names that a client announces, and follows links in the tree
//! that it reads, so the command line alone does not tell what is touched.
//! Promises: every file and directory that is announced, in either direction, is judged by itself before its line passes
//! (`insert` and `update` of what is put, `read` of what is got); names with `/`, `.`, `..` or control characters never pass;
//! the next line is not passed before the last one was answered, so that both ends and this reading agree on the
//! directory, whatever a client sends ahead. What is refused is skipped and said; the rest goes on.
//! Does not promise anything about what the command line named: that was judged at `exec`. A name can come to mean
//! something else between its judging and its use by the target, since only names can be sent.
//! Held by: `scp/tests.rs` and [`fuzz_scp`].

mod core;
mod fuzz;
mod line;
mod steps;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    core::Scp,
    steps::{ScpAction, ScpSettled, Side},
};
pub use fuzz::fuzz_scp;
