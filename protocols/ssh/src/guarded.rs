//! The guarded session: the gateway is the shell's prompt, and each complete command line is judged before it runs.
//!
//! The gateway owns line editing ([`Editor`], or [`Plain`] where there is no terminal), puts lines together until they
//! are a whole command ([`Assembly`]), and runs each command as an exec channel of its own, with the directory, the
//! variables and the status that the commands before it left ([`Session`]). It tells the target all of these with every
//! line, so nothing that the target prints can make what runs differ from what was judged. [`Dialogue`] puts these
//! together for one channel.
//!
//! Promises: values in, values out; no I/O and no clock. A line holds no control character, and what is shown of it is
//! all of it. What outlives a line: the directory, variables, the status; nothing else of a shell does.
//! Does not promise that background jobs live on under a terminal: they end with their line's.
//! Held by: `fixtures/guarded/*.tsv`, the tests beside each module, which run the real bash and sh, and [`fuzz_guarded`].
//!
//! [`Editor`]: editor::Editor
//! [`Plain`]: plain::Plain
//! [`Assembly`]: assembly::Assembly
//! [`Session`]: session::Session
//! [`Dialogue`]: dialogue::Dialogue

pub(crate) mod assembly;
pub(crate) mod dialogue;
pub(crate) mod editor;
mod fuzz;
mod history;
mod keys;
mod line;
pub(crate) mod plain;
mod quote;
mod screen;
mod script;
mod search;
pub(crate) mod session;
mod shown;
pub(crate) mod trailer;
pub(crate) mod word;

pub use fuzz::fuzz_guarded;
