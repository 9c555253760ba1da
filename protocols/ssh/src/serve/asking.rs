//! What a channel's task waits for beside its two streams: a text that is read, names that the target is asked about, a
//! channel of the target that is opened.
//!
//! Promises: whoever asks ([`Asker`]) is handed back with what was found, so that a channel asks one thing at a time and in
//! order; the target's file service is opened where it is needed first, and a text that names no file asks nothing of it;
//! where the target says nothing, no file is known.
//! Does not promise an end: the target's answers have time limits of their own, and dropping the future gives them up.
//! Held by: `tests/it/ssh.rs` and `ssh_guarded.rs` of the binary.

use crate::core::{CopySide, ToRead};
use crate::files::{Files, Names};
use crate::frame::ToTarget;
use crate::guarded::dialogue::Asked;
use crate::guarded::word::Word;
use crate::lines;
use crate::login::target::{Connecting, PATIENCE};
use crate::sftp::{Judged, Unresolved};
use bytes::Bytes;
use portcullis_model::{Command, Digest, Fault, Operation, Source, Text};
use portcullis_shell::{Limits, Reading, Scope};
use russh::client;
use std::sync::Arc;

/// Texts longer than this are read where they may take their time.
const LONG: usize = 2048;

/// What was under way beside the two streams.
pub(super) enum Done {
    Read(ToTarget, Box<Command>, Option<CopySide>),
    Judged(Box<Judged>),
    Home(Option<String>),
    Names(Word, Option<Names>),
    Line(Asked, Box<Reading>),
    Opened(Box<russh::Channel<client::Msg>>),
    Unreachable(&'static str),
}

/// Who asks the target about its files.
pub(super) struct Asker {
    connecting: Connecting,
    files: Option<Files>,
}

impl Asker {
    pub(super) const fn new(connecting: Connecting) -> Self {
        Self { connecting, files: None }
    }

    /// The channel for questions, opened where it is needed first; `None` where the target answers none.
    async fn files(&mut self) -> Option<&mut Files> {
        if self.files.is_none() {
            let target = self.connecting.clone().await.ok()?;
            match Files::open(&target).await {
                Ok(files) => self.files = Some(files),
                Err(error) => tracing::warn!(%error, "the target says nothing about its files"),
            }
        }
        self.files.as_mut()
    }
}

/// Opens a session channel of the target.
pub(super) async fn open(asker: Asker) -> (Done, Asker) {
    let done = match asker.connecting.clone().await {
        Ok(target) => match tokio::time::timeout(PATIENCE, target.session()).await {
            Ok(Ok(channel)) => Done::Opened(Box::new(channel)),
            Ok(Err(_)) | Err(_) => Done::Unreachable("the machine behind the gateway opens no channel"),
        },
        Err(error) => {
            tracing::warn!(%error, "the target of a channel cannot be reached");
            Done::Unreachable(error.told())
        }
    };
    (done, asker)
}

/// Reads what is to be judged, with the target's help where it names files.
pub(super) async fn read(to_read: ToRead, mut asker: Asker, limits: Limits, login: Arc<str>) -> (Done, Asker) {
    let done = match to_read {
        ToRead::Exec { line, sent } => {
            let (command, copy) = read_exec(&line, &sent, &mut asker, &limits, &login).await;
            Done::Read(ToTarget::Exec(sent), Box::new(command), copy)
        }
        ToRead::Home => Done::Home(asker.files().await.map(|files| files.home().to_owned())),
        ToRead::Names { word, directory } => {
            let found = match asker.files().await {
                Some(files) => files.names(&directory).await,
                None => None,
            };
            Done::Names(word, found)
        }
        ToRead::Line { asked, scope } => {
            let (mut reading, copy, _) = read_text(&asked.text, *scope, &mut asker, &limits).await;
            // What is typed into a line's program is not read as a copy.
            if copy.is_some() {
                reading.operations.push(Operation::unknown());
            }
            Done::Line(asked, Box::new(reading))
        }
        ToRead::Files(wanted) => {
            let judged = match asker.files().await {
                Some(files) => match files.reach(wanted.touches()).await {
                    Ok(resolved) => wanted.judged(&resolved, Some(files.home())),
                    Err(why) => wanted.unresolved(why),
                },
                None => wanted.unresolved(Unresolved::Unasked),
            };
            Done::Judged(Box::new(judged))
        }
    };
    (done, asker)
}

async fn read_exec(
    line: &Bytes,
    sent: &Bytes,
    asker: &mut Asker,
    limits: &Limits,
    login: &Arc<str>,
) -> (Command, Option<CopySide>) {
    let Ok(text) = std::str::from_utf8(line) else {
        let message = "a command line is UTF-8 text".into();
        let shown = Text::plain(String::from_utf8_lossy(line));
        return (Command::faulty(Source::Shell, shown, Fault::Ambiguous { message }, Digest::of(sent)), None);
    };
    let scope = Scope { directory: Some("~".to_owned()), user: Some(login.to_string()), ..Scope::unknown() };
    let (reading, copy, home) = read_text(text, scope, asker, limits).await;
    (lines::command(&reading, text, sent, home.as_deref(), &[login]), copy)
}

/// Reads a text; what copy it starts; and the home, where the target was asked.
async fn read_text(
    text: &str,
    scope: Scope,
    asker: &mut Asker,
    limits: &Limits,
) -> (Reading, Option<CopySide>, Option<String>) {
    let mut reading = if text.len() > LONG {
        tokio::task::block_in_place(|| portcullis_shell::read(text, &scope, limits))
    } else {
        portcullis_shell::read(text, &scope, limits)
    };
    let (mut copy, mut home) = (None, None);
    if lines::asks(&reading) {
        match asker.files().await {
            Some(files) => {
                (reading, copy) = lines::resolve(text, reading, scope, limits, files).await;
                home = Some(files.home().to_owned());
            }
            None => lines::forget(&mut reading),
        }
    }
    if lines::hides_copy(&reading, copy.as_ref()) {
        reading.operations.push(Operation::unknown());
    }
    (reading, copy, home)
}
