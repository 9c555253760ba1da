//! The file transfer stream of one channel, read packet by packet (draft-ietf-secsh-filexfer-02, version 3, with the
//! extensions of OpenSSH's `PROTOCOL`).
//!
//! ```text
//! client bytes -> frame -> packet -> core.next_client -> Ask -> (names resolved on the target) -> judged -> gate
//! target bytes -> frame -> answer -> core.next_target -> what may be released to the client, and what ended
//! ```
//!
//! Promises: no request reaches the target that was not read whole, named in `packet.rs` and then judged, or that does
//! not belong to a handle whose opening was judged; names are judged as the target resolves them, and the packet that is
//! sent names what was judged, not what was typed; what is under way is bounded. No input or output happens here.
//! Does not promise that nobody changes a name between its resolution and its use: inside this channel the order is kept
//! (`core.rs`), but another channel or another login of the target can move things. Version 3 has no way to open a file
//! below a directory that is held, so this window cannot be closed from here, only be kept short.
//! The decoders are our own: the library's turn names that are not UTF-8 into other names, ignore what follows a packet's
//! last field and fields' flags that they do not know, and so would have judged something else than what is sent.
//! Held by: the tests beside each module, `fixtures/sftp/*.tsv`, and [`fuzz_sftp`].

mod answer;
mod back;
mod content;
mod core;
mod extension;
mod fault;
mod frame;
mod fuzz;
mod handles;
mod judged;
mod packet;
mod read;
mod refusal;
mod steps;
#[cfg(test)]
pub(crate) mod tests;
mod uses;
mod wanted;
mod wire;

pub(crate) use self::{
    content::Content,
    core::Sftp,
    fault::StreamFault,
    judged::{Found, Judged, Place, Resolved, Unresolved},
    refusal::words,
    steps::{Action, Back, Ended, Of},
    wanted::{Base, Touch, Wanted, text},
};
pub use fuzz::fuzz_sftp;
