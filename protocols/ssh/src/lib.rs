//! SSH through the gate.
//!
//! A client's connection ends here: its keys, channels and windows are the gateway's own, and so are those towards the
//! target. What a client asks for on a channel (a command, a shell, a file operation) is read (`classify.rs`), judged
//! (the gate) and only then asked of the target, under a credential that the client never sees.
//!
//! ```text
//! client -> russh -> frame -> core -> gate -> own | upstream -> russh -> target
//! target -> russh -> frame -> core -> answer | reply -> downstream -> russh -> client
//! ```

mod answer;
mod classify;
mod core;
mod error;
mod files;
mod frame;
mod guarded;
mod inbox;
mod lines;
mod listener;
mod login;
mod own;
mod pagers;
mod reply;
mod scp;
mod serve;
mod sftp;
mod upstream;
mod wire;

pub use error::{Error, Result, Side};
pub use guarded::fuzz_guarded;
pub use login::device::{DeviceLogin, DeviceLogins, Unfinished};
pub use login::target::Destination;
pub use scp::fuzz_scp;
pub use serve::{Settings, Ssh};
pub use sftp::fuzz_sftp;
