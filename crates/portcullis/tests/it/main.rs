//! End-to-end tests: the built binary between real clients and a real PostgreSQL server.
//!
//! Each test has a database with the sample shop and a gateway of its own ([`surroundings::Shop`]), so tests run side by
//! side and a surprise in a gateway's log belongs to one test. Clients and versions that the machine lacks are skipped
//! with a reason; `scripts/test` fetches what can be fetched. With `PORTCULLIS_DIRECT=1` the same clients run straight
//! against PostgreSQL, which shows that the tests themselves are right.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may fail loudly; clippy's own exception covers the test functions but not what they call"
)]

mod approvals;
mod conditions;
mod conform;
mod conform_http;
mod conform_ssh;
mod drivers;
mod exchange;
mod grants;
mod http;
mod http_models;
mod http_sessions;
mod login;
mod login_device;
mod login_ssh;
mod masking_drivers;
mod masking_grammar;
mod masking_record;
mod masking_reload;
mod masking_secrets;
mod masking_shapes;
mod masking_tools;
mod max_rows;
mod notifications;
mod pg_tools;
mod policy;
mod previews;
mod psql;
mod raw;
mod raw_names;
mod record;
mod respond_async;
mod rust_drivers;
mod scram;
mod sdks;
mod session_roles;
mod ssh;
mod ssh_authority;
mod ssh_bundles;
mod ssh_clients;
mod ssh_edges;
mod ssh_flow;
mod ssh_forwards;
mod ssh_guarded;
mod ssh_made;
mod ssh_refusals;
mod ssh_revoked;
mod ssh_talk;
mod standing_secrets;
mod surroundings;
mod terminal;
mod tokens;
mod vault;
mod vault_server;
mod waiting;
mod websocket;
