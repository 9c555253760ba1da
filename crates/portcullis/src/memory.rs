//! The gateway's memory is nobody else's.
//!
//! Promises: from here on no core of this process is written, to a file or to a program that collects them, whatever the
//! system's settings say, and no other process of the same user reads its memory or its environment, or attaches to it as
//! a debugger. What the gateway starts inherits the limit on cores and nothing else of it.
//! Does not promise anything against the system's administrator, or about memory that is written to a swap device.
//! Held by: `tests/it/standing_secrets.rs`.

use crate::error::Failure;
use rustix::process::{Resource, Rlimit, setrlimit};

/// To be called before anything secret is read, and before there are other threads.
///
/// # Errors
/// [`Failure::Refused`] where the system does not allow it: a gateway that cannot keep its secrets does not start.
pub(crate) fn keep_private() -> Result<(), Failure> {
    let failed = |error| Failure::refused("keep the memory private", error);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(failed)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed)?;
    }
    Ok(())
}
