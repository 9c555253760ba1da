//! The core without sockets: a gate over an in-memory record, and a server that keeps PostgreSQL's rules.

mod breach;
mod copying;
mod holding;
mod limits;
mod masking;
mod outcomes;
mod rig;
mod server;
mod splitting;

pub(crate) use rig::gate;
