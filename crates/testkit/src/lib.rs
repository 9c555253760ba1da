//! The surroundings of a gateway, real ones: PostgreSQL and SSH servers, a certificate authority, an identity provider, a small
//! shop's data, a sample REST API, a scripted model, recording and faking peers, a raw client, and the gateway's own binary.
//! For tests and for the demo, so held to production lints.
//!
//! Promises: nothing started here outlives the process that started it ([`process`]); no fixed ports; no network; what
//! the machine lacks is a reason to skip ([`or_skip`]), never a silent pass.
//! Does not promise speed, except where benchmarks use it ([`relay`]).
//! Held by: `tests/it`, which also holds the house's import directions and licences (`tests/it/imports.rs`).

mod account;
pub mod certificates;
pub mod claude;
pub mod conform;
pub mod crm;
mod error;
pub mod fake;
pub mod gateway;
pub mod http;
pub mod idp;
pub mod ledger;
mod listening;
pub mod postgres;
pub mod process;
mod recorder;
mod relay;
pub mod shop;
pub mod ssh;
pub mod vault;
pub mod wire;

pub use error::TestkitError;
pub use gateway::Gateway;
pub use postgres::Postgres;
pub use recorder::Recorder;
pub use relay::relay;
pub use ssh::Sshd;

/// Sixteen bytes of the system's randomness in hexadecimal: passwords and nonces of throwaway servers.
///
/// # Errors
/// [`TestkitError::Io`].
pub fn random_hex() -> Result<String, TestkitError> {
    use std::io::Read;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(TestkitError::io("read /dev/urandom"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What a test needs; where the machine lacks it, nothing, and the reason is printed.
///
/// # Panics
/// Where it is there and does not work: that is a failure and no reason to skip.
#[expect(clippy::panic, clippy::print_stdout, reason = "it speaks for the test that calls it")]
#[must_use]
pub fn or_skip<T, E: std::borrow::Borrow<TestkitError>>(needed: Result<T, E>) -> Option<T> {
    match needed {
        Ok(needed) => Some(needed),
        Err(error) if error.borrow().is_absence() => {
            println!("skipped: {}", error.borrow());
            None
        }
        Err(error) => panic!("{}", error.borrow()),
    }
}
