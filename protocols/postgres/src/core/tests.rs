//! The core without sockets: a gate over an in-memory record, and a server that keeps PostgreSQL's rules.

mod analysed;
mod breach;
mod copying;
mod holding;
mod ledger;
mod limits;
mod masking;
mod outcomes;
mod previews;
mod rig;
mod server;
mod splitting;
mod transactions;

pub(crate) use rig::gate;
