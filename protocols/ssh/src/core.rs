//! One session channel, sans-I/O: what a client and a target say, and what becomes of it.
//!
//! ```text
//! Fresh --exec, shell, subsystem--> Reading --ask--> Opening --> Running --> Over
//!   |                                 |  \--hold--> Held --/      ^  |        ^
//!   |                                 \--refuse-----------------------+-------/
//!   \--shell, where it is guarded--> Guarded: each line is read, asked and run like a program, in turn
//! ```
//! Promises: nothing that makes a target do something leaves here but as the gate cleared it; one program a channel
//! (RFC 4254 §6.5); data is taken only while something judged runs, so that what comes early waits in the inbox; a refusal
//! is a text, status 126 and the end of this channel only; however a channel ends, its commands are settled.
//! Does not promise to read texts or to ask the target what names mean: the loop does, and hands back what it found.
//! Held by: `tests/it/conform_ssh.rs`, `ssh.rs` and `ssh_clients.rs` of the binary, with real clients and servers.

mod copy;
mod held;
mod run;
mod shell;
mod transfer;

use crate::classify;
use crate::frame::{FromClient, FromTarget, Size, Terminal, ToClient, ToTarget, Variable};
use crate::guarded::dialogue::Asked;
use crate::guarded::word::Word;
use crate::listener::Under;
use crate::own::{Locale, Own, Passage};
use crate::pagers;
use crate::reply::{self, Ends};
use crate::sftp::{Judged, Wanted};
use bytes::Bytes;
use portcullis_gate::{Cleared, Hold, Permit, Released, Ruling, Session};
use portcullis_model::{ApprovalId, Command, Denial, Outcome, SessionKind};
use portcullis_shell::{Reading, Scope};
use run::{Kind, Run};
use shell::Shell;
use std::sync::Arc;

pub(crate) use copy::CopySide;

/// What is to be done, in this order.
#[derive(Default)]
pub(crate) struct Steps {
    pub(crate) up: Vec<Cleared<ToTarget>>,
    pub(crate) down: Vec<Released<ToClient>>,
    /// Read this and give it back.
    pub(crate) read: Option<ToRead>,
    pub(crate) hold: Option<Hold<ToTarget>>,
    /// The hold is given up: drop it.
    pub(crate) unhold: bool,
    /// Open a channel on the target and say so with [`Core::on_opened`].
    pub(crate) open: bool,
    /// Nothing more comes of this channel.
    pub(crate) end: bool,
}

/// What has to be read, or asked of the target, before it can be judged.
pub(crate) enum ToRead {
    /// A command line, and what the target is sent for it: [`Core::on_read`].
    Exec { line: Bytes, sent: Bytes },
    /// Names of a file transfer: [`Core::on_judged`].
    Files(Box<Wanted>),
    /// The home in which a guarded session starts: [`Core::on_home`].
    Home,
    /// The names in a directory: [`Core::on_names`].
    Names { word: Word, directory: String },
    /// A line of it: [`Core::on_line`].
    Line { asked: Asked, scope: Box<Scope> },
}

enum Phase {
    Fresh,
    Reading,
    /// What waits for people, and its number in the record.
    Held(Kind, u64),
    Opening(Cleared<ToTarget>, Permit, Kind),
    Running(Box<Run>),
    /// A guarded session that was allowed and whose home is asked for.
    Starting(Permit),
    Guarded(Box<Shell>),
    Over,
}

/// The state of one session channel.
pub(crate) struct Core {
    session: Arc<Session>,
    /// The login on the target.
    login: Arc<str>,
    phase: Phase,
    terminal: Option<Terminal>,
    locales: Vec<Locale>,
    variables: Vec<Variable>,
    ended_input: bool,
    /// What the client was told that it waits for.
    awaited: Option<ApprovalId>,
}

impl Core {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        let login = Arc::clone(&session.connection().login);
        let (locales, variables) = (Vec::new(), Vec::new());
        Self {
            session,
            login,
            phase: Phase::Fresh,
            terminal: None,
            locales,
            variables,
            ended_input: false,
            awaited: None,
        }
    }

    /// The target has opened a channel to another host, or one of its own that is taken, under this.
    pub(crate) fn on_connected(&mut self, under: Under) {
        let run = Run::new(&self.session, under, Kind::Forward, None, 0);
        self.phase = Phase::Running(Box::new(run));
    }

    /// Whether the next message of the client can be taken.
    pub(crate) fn wants_client(&self) -> bool {
        match &self.phase {
            Phase::Fresh | Phase::Guarded(_) => true,
            Phase::Running(run) => run.wants_client(),
            Phase::Reading | Phase::Held(..) | Phase::Opening(..) | Phase::Starting(_) | Phase::Over => false,
        }
    }

    fn ends(&self) -> Ends {
        if self.terminal.is_some() { Ends::Terminal } else { Ends::Plain }
    }

    /// A message of the client. `raw` says whether policy gives this principal a shell that is not guarded.
    pub(crate) fn on_client(&mut self, message: FromClient, raw: bool, steps: &mut Steps) {
        match message {
            FromClient::Pty(terminal) => self.terminal = Some(terminal),
            FromClient::Locale(locale) => self.locales.push(locale),
            FromClient::Variable(variable) => self.variables.push(*variable),
            FromClient::Exec(command) => {
                if self.begin() {
                    steps.read = Some(ToRead::Exec { sent: self.sent(&command), line: command });
                }
            }
            FromClient::Shell => {
                if self.begin() {
                    self.take_shell(raw, steps);
                }
            }
            FromClient::Subsystem(name) => {
                if self.begin() {
                    self.take_subsystem(name, steps);
                }
            }
            FromClient::Data(data) => self.take_data(data, steps),
            FromClient::Extended => self.fail("extended data cannot be sent to a program", steps),
            FromClient::Eof => self.take_end_of_input(steps),
            FromClient::Resize(size) => self.take_size(size, steps),
            FromClient::Signal(signal) => {
                if self.runs() {
                    steps.up.push(self.session.pass(Passage::Signal(signal)));
                }
            }
            FromClient::Close => self.on_gone(steps),
        }
    }

    /// What a target is sent for a command: itself, and on a terminal nothing that pages.
    fn sent(&self, command: &Bytes) -> Bytes {
        if self.terminal.is_none() {
            return command.clone();
        }
        let given: Vec<&str> = self.variables.iter().map(|variable| variable.name.as_str()).collect();
        pagers::without_pagers(command, &given)
    }

    /// Whether a program runs on the target's channel.
    fn runs(&self) -> bool {
        match &self.phase {
            Phase::Running(_) => true,
            Phase::Guarded(shell) => shell.runs(),
            Phase::Fresh | Phase::Reading | Phase::Held(..) | Phase::Opening(..) | Phase::Starting(_) | Phase::Over => {
                false
            }
        }
    }

    /// Begins the one program of the channel; false where one has begun.
    fn begin(&mut self) -> bool {
        let fresh = matches!(self.phase, Phase::Fresh);
        if fresh {
            self.phase = Phase::Reading;
        }
        fresh
    }

    fn take_shell(&mut self, raw: bool, steps: &mut Steps) {
        if raw {
            self.ask(ToTarget::Shell, classify::session(SessionKind::Shell), Kind::Program, steps);
            return;
        }
        // Nothing goes to the target for it: its lines do, each asked by itself.
        let pending = self.session.seal(ToTarget::Close, classify::session(SessionKind::Guarded));
        match self.session.ask(pending) {
            Ruling::Forward(_, permit) => {
                self.phase = Phase::Starting(permit);
                steps.read = Some(ToRead::Home);
            }
            Ruling::Refuse(denial) => self.refuse(&denial, steps),
            Ruling::Hold(_) => self.fail("opening a session cannot wait for an approval", steps),
        }
    }

    fn take_subsystem(&mut self, name: String, steps: &mut Steps) {
        let (command, kind) = match name.as_str() {
            "sftp" => (classify::session(SessionKind::Sftp), Kind::files()),
            _ => (classify::subsystem(&name), Kind::Program),
        };
        self.ask(ToTarget::Subsystem(name), command, kind, steps);
    }

    fn take_size(&mut self, size: Size, steps: &mut Steps) {
        let Some(terminal) = &mut self.terminal else { return };
        terminal.size = size;
        match &mut self.phase {
            Phase::Running(run) => {
                run.resized(size);
                steps.up.push(self.session.pass(Passage::Resize(size)));
            }
            Phase::Guarded(_) => self.resize_guarded(size, steps),
            Phase::Fresh | Phase::Reading | Phase::Held(..) | Phase::Opening(..) | Phase::Starting(_) | Phase::Over => {
            }
        }
    }

    fn take_data(&mut self, data: Bytes, steps: &mut Steps) {
        match &mut self.phase {
            Phase::Running(run) => {
                if let Err(denial) = run.on_input(&self.session, data, steps) {
                    self.stop(&denial, steps);
                } else {
                    self.pump(steps);
                }
            }
            Phase::Guarded(_) => self.type_guarded(&data, steps),
            Phase::Fresh | Phase::Reading | Phase::Held(..) | Phase::Opening(..) | Phase::Starting(_) | Phase::Over => {
            }
        }
    }

    fn take_end_of_input(&mut self, steps: &mut Steps) {
        self.ended_input = true;
        match &self.phase {
            Phase::Running(_) => self.pump(steps),
            Phase::Guarded(_) => self.end_guarded_input(steps),
            Phase::Fresh | Phase::Reading | Phase::Held(..) | Phase::Opening(..) | Phase::Starting(_) | Phase::Over => {
            }
        }
    }

    /// A command line was read; `copy` where it starts the copy protocol of old scp.
    pub(crate) fn on_read(&mut self, frame: ToTarget, command: Command, copy: Option<CopySide>, steps: &mut Steps) {
        let kind = copy.map_or(Kind::Program, Kind::copy);
        self.ask(frame, command, kind, steps);
    }

    fn ask(&mut self, frame: ToTarget, command: Command, kind: Kind, steps: &mut Steps) {
        match self.session.ask(self.session.seal(frame, command)) {
            Ruling::Forward(cleared, permit) => self.open(cleared, permit, kind, steps),
            Ruling::Refuse(denial) => self.refuse(&denial, steps),
            Ruling::Hold(hold) => {
                self.tell_held(&hold, steps);
                self.phase = Phase::Held(kind, hold.number());
                steps.hold = Some(hold);
            }
        }
    }

    fn open(&mut self, cleared: Cleared<ToTarget>, permit: Permit, kind: Kind, steps: &mut Steps) {
        self.phase = Phase::Opening(cleared, permit, kind);
        steps.open = true;
    }

    /// The target's channel is open: what was cleared goes there.
    pub(crate) fn on_opened(&mut self, steps: &mut Steps) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Opening(cleared, permit, kind) => {
                let owed = self.prepare(steps);
                for variable in &mut self.variables {
                    if let Some((cleared, permit)) = variable.cleared.take() {
                        steps.up.push(cleared);
                        let outcome = Outcome::Completed { status: "sent".into(), rows: 0, bytes: 0 };
                        self.session.settle(permit, outcome, None);
                    }
                }
                steps.up.push(cleared);
                let run = Run::new(&self.session, Under::Own(permit), kind, self.terminal.as_ref(), owed);
                self.phase = Phase::Running(Box::new(run));
                self.pump(steps);
            }
            Phase::Guarded(shell) => {
                self.phase = Phase::Guarded(shell);
                self.begin_line(steps);
            }
            other @ (Phase::Fresh
            | Phase::Reading
            | Phase::Held(..)
            | Phase::Running(_)
            | Phase::Starting(_)
            | Phase::Over) => self.phase = other,
        }
    }

    /// Terminal and locale of what runs next; how many replies the target will owe.
    fn prepare(&self, steps: &mut Steps) -> usize {
        if let Some(terminal) = &self.terminal {
            steps.up.push(self.session.pass(Passage::Terminal(terminal.clone())));
        }
        for locale in &self.locales {
            steps.up.push(self.session.pass(Passage::Locale(locale.clone())));
        }
        1 + usize::from(self.terminal.is_some())
    }

    /// The target cannot be asked.
    pub(crate) fn on_unreachable(&mut self, why: &'static str, steps: &mut Steps) {
        if let Phase::Guarded(_) = self.phase {
            self.lose_line(why, steps);
            return;
        }
        if let Phase::Opening(_, permit, _) = std::mem::replace(&mut self.phase, Phase::Over) {
            let message = Some(why.into());
            self.session.settle(permit, Outcome::Failed { status: "unreachable".into(), message }, None);
        }
        self.fail(why, steps);
    }

    /// A message of the target.
    pub(crate) fn on_target(&mut self, message: FromTarget, steps: &mut Steps) {
        match &mut self.phase {
            Phase::Running(run) => match run.on_target(message, steps) {
                run::Told::Goes => self.pump(steps),
                run::Told::NotStarted => self.not_started(steps),
                run::Told::Closed => self.finish(steps),
            },
            Phase::Guarded(_) => self.on_line_target(message, steps),
            Phase::Fresh | Phase::Reading | Phase::Held(..) | Phase::Opening(..) | Phase::Starting(_) | Phase::Over => {
            }
        }
    }

    /// Whether what a program wrote is held back until it is quiet.
    pub(crate) fn output_waits(&self) -> bool {
        match &self.phase {
            Phase::Running(run) => run.output_waits(),
            Phase::Guarded(shell) => shell.output_waits(),
            Phase::Fresh | Phase::Reading | Phase::Held(..) | Phase::Opening(..) | Phase::Starting(_) | Phase::Over => {
                false
            }
        }
    }

    /// The program is quiet.
    pub(crate) fn on_quiet(&mut self, steps: &mut Steps) {
        match &mut self.phase {
            Phase::Running(run) => run.on_quiet(steps),
            Phase::Guarded(shell) => shell.on_quiet(steps),
            Phase::Fresh | Phase::Reading | Phase::Held(..) | Phase::Opening(..) | Phase::Starting(_) | Phase::Over => {
            }
        }
    }

    fn not_started(&mut self, steps: &mut Steps) {
        if let Phase::Running(run) = std::mem::replace(&mut self.phase, Phase::Over) {
            run.settle_not_started(&self.session);
        }
        self.fail("the machine behind the gateway does not run this kind of request", steps);
    }

    fn finish(&mut self, steps: &mut Steps) {
        if let Phase::Running(run) = std::mem::replace(&mut self.phase, Phase::Over) {
            run.finish(&self.session, steps);
            self.close(steps);
        }
    }

    /// The running command may not go on.
    fn stop(&mut self, denial: &Denial, steps: &mut Steps) {
        steps.up.push(self.session.own(Own::Close));
        self.phase = Phase::Over;
        self.refuse(denial, steps);
    }

    /// A stream broke its protocol.
    fn break_off(&mut self, why: &str, steps: &mut Steps) {
        steps.up.push(self.session.own(Own::Close));
        self.phase = Phase::Over;
        self.fail(why, steps);
    }

    fn refuse(&mut self, denial: &Denial, steps: &mut Steps) {
        self.end_with(&reply::refused(denial), reply::REFUSED, steps);
    }

    /// Ends the channel for a reason that is nobody's refusal.
    pub(crate) fn fail(&mut self, why: &str, steps: &mut Steps) {
        self.end_with(&reply::failed(why), reply::FAILED, steps);
    }

    fn end_with(&mut self, text: &str, status: u32, steps: &mut Steps) {
        steps.down.push(self.session.say(reply::say(text, self.ends())));
        self.exit(status, steps);
    }

    fn exit(&mut self, status: u32, steps: &mut Steps) {
        steps.down.push(self.session.say(ToClient::ExitStatus(status)));
        steps.down.push(self.session.say(ToClient::Eof));
        self.close(steps);
    }

    fn close(&mut self, steps: &mut Steps) {
        self.phase = Phase::Over;
        steps.down.push(self.session.say(ToClient::Close));
        steps.end = true;
    }

    /// The client has closed a channel to another host behind all that it had to say, which has been sent.
    pub(crate) fn on_left(&mut self, steps: &mut Steps) {
        if let Phase::Running(run) = std::mem::replace(&mut self.phase, Phase::Over) {
            steps.up.push(self.session.own(Own::Close));
            run.finish(&self.session, steps);
        }
        steps.end = true;
    }

    /// The client closed the channel or is gone.
    pub(crate) fn on_gone(&mut self, steps: &mut Steps) {
        if self.runs() {
            steps.up.push(self.session.own(Own::Close));
        }
        // What ran is recorded as interrupted, what was opening too, by being dropped.
        self.phase = Phase::Over;
        steps.end = true;
    }
}

/// What a file transfer asked for was judged: [`Core::on_judged`] in `transfer.rs`.
pub(crate) type JudgedFile = Box<Judged>;
/// A line of a guarded session, read: [`Core::on_line`] in `shell.rs`.
pub(crate) type ReadLine = Box<Reading>;
