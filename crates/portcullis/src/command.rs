//! The client commands, one file each.

pub(crate) mod approvals;
pub(crate) mod check;
pub(crate) mod connect;
pub(crate) mod connections;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod exchange;
pub(crate) mod explain;
pub(crate) mod login;
pub(crate) mod policy;
pub(crate) mod provider;
pub(crate) mod secrets;
pub(crate) mod sessions;
pub(crate) mod ssh_ca;
pub(crate) mod token;
