//! A guarded session on a channel: the dialogue's steps, done.
//!
//! Each line is a command of its own: read with what the target says of its names, asked, and run by the target on a
//! channel of its own, with the directory and the variables that the gateway knows. Promises: the target is sent nothing
//! but the judged line's frame and, while its program runs, what the client types; what the gateway itself writes to the
//! screen goes into the record with the program's output.
//! Held by: the tests of `guarded/` for the dialogue, `tests/it/ssh_guarded.rs` of the binary with real terminals.

use super::{Core, Phase, ReadLine, Steps, ToRead};
use crate::answer::Output;
use crate::classify;
use crate::files::Names;
use crate::frame::{FromTarget, Size, ToClient, ToTarget};
use crate::guarded::dialogue::{Asked, Dialogue, Finished, Step};
use crate::guarded::session::{Exit, Nonce, Session as Guarded};
use crate::guarded::word::{Candidate, Word};
use crate::lines;
use crate::own::{Own, Passage};
use crate::reply::{self, STDERR};
use bytes::Bytes;
use portcullis_gate::{Cleared, Permit, Ruling, Settled};
use portcullis_model::{Denial, Outcome};
use portcullis_shell::Reading;
use std::collections::VecDeque;

/// A guarded session.
pub(super) struct Shell {
    dialogue: Dialogue,
    /// Of the session itself.
    permit: Permit,
    /// What the gateway itself writes, for the record.
    screen: Output,
    home: String,
    /// A line that is asked for or held, with what its frame is known by.
    asked: Option<(Reading, Nonce)>,
    /// A line that may run, until its channel is open.
    cleared: Option<(Cleared<ToTarget>, Permit)>,
    /// A channel is on its way; for this line, or for one that was given up.
    opening: bool,
    line: Option<Line>,
}

/// A line that runs.
struct Line {
    permit: Permit,
    output: Output,
    exit: Exit,
    /// Requests whose replies the target still owes, the line's own last.
    owed: usize,
}

impl Shell {
    pub(super) const fn runs(&self) -> bool {
        self.line.is_some()
    }

    pub(super) fn output_waits(&self) -> bool {
        self.screen.waits() || self.line.as_ref().is_some_and(|line| line.output.waits())
    }

    pub(super) fn on_quiet(&mut self, steps: &mut Steps) {
        steps.down.extend(self.screen.pause());
        if let Some(line) = &mut self.line {
            steps.down.extend(line.output.pause());
        }
    }
}

impl Core {
    /// The home in which a guarded session starts; `None` where the target does not say.
    pub(crate) fn on_home(&mut self, home: Option<String>, steps: &mut Steps) {
        let Phase::Starting(permit) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        let Some(home) = home else {
            let message = Some("the target does not say where its home is".into());
            self.session.settle(permit, Outcome::Failed { status: "unreachable".into(), message }, None);
            self.fail("a guarded session needs the target's file service, which does not answer", steps);
            return;
        };
        let name = self.session.connection().name.clone();
        let mut session = Guarded::new(&self.login, name.as_str(), &home);
        for variable in &mut self.variables {
            session.given(&variable.name, &variable.value);
            if let Some((_, permit)) = variable.cleared.take() {
                let outcome = Outcome::Completed { status: "kept".into(), rows: 0, bytes: 0 };
                self.session.settle(permit, outcome, None);
            }
        }
        let screen = Output::of(&self.session, &permit, self.terminal.as_ref());
        let mut dialogue = Dialogue::new(session, self.terminal.as_ref());
        let first = dialogue.start();
        let shell = Shell { dialogue, permit, screen, home, asked: None, cleared: None, opening: false, line: None };
        self.phase = Phase::Guarded(Box::new(shell));
        self.follow_steps(first, steps);
        if self.ended_input {
            self.end_guarded_input(steps);
        }
    }

    pub(super) fn type_guarded(&mut self, data: &[u8], steps: &mut Steps) {
        let Phase::Guarded(shell) = &mut self.phase else { return };
        let todo = shell.dialogue.client(data);
        self.follow_steps(todo, steps);
    }

    pub(super) fn end_guarded_input(&mut self, steps: &mut Steps) {
        let Phase::Guarded(shell) = &mut self.phase else { return };
        let todo = shell.dialogue.client_eof();
        self.follow_steps(todo, steps);
    }

    pub(super) fn resize_guarded(&mut self, size: Size, steps: &mut Steps) {
        let Phase::Guarded(shell) = &mut self.phase else { return };
        if let Some(line) = &mut shell.line {
            line.output.resized(size);
            steps.up.push(self.session.pass(Passage::Resize(size)));
        }
        let todo = shell.dialogue.resize(size);
        self.follow_steps(todo, steps);
    }

    fn follow_steps(&mut self, todo: Vec<Step>, steps: &mut Steps) {
        let mut todo = VecDeque::from(todo);
        while let Some(step) = todo.pop_front() {
            let Phase::Guarded(shell) = &mut self.phase else { return };
            match step {
                Step::Show(bytes) => {
                    shell.screen.said(&bytes);
                    steps.down.push(self.session.say(ToClient::Data(bytes)));
                }
                Step::Say(bytes) => steps.down.push(self.session.say(ToClient::Extended(STDERR, bytes))),
                Step::Judge(asked) => {
                    let scope = Box::new(shell.dialogue.scope());
                    steps.read = Some(ToRead::Line { asked, scope });
                }
                // Names of programs are not listed: what may run is the policy's to say.
                Step::Complete(word) if word.command => todo.extend(shell.dialogue.complete(&word, Vec::new())),
                Step::Complete(word) => {
                    let directory = match word.directory.as_str() {
                        rooted if rooted.starts_with(['/', '~']) => rooted.to_owned(),
                        relative => format!("{}/{relative}", shell.dialogue.directory().trim_end_matches('/')),
                    };
                    steps.read = Some(ToRead::Names { word, directory });
                }
                Step::Withdraw => {
                    shell.asked = None;
                    steps.unhold = true;
                    todo.extend(shell.dialogue.refused());
                }
                Step::Program(bytes) => self.type_to_program(bytes, steps),
                Step::ProgramEof => steps.up.push(self.session.pass(Passage::Eof)),
                Step::End(status) => self.leave(status, steps),
            }
        }
    }

    /// The names in a directory, and how rules call it; `None` where the target does not say.
    pub(crate) fn on_names(&mut self, word: &Word, found: Option<Names>, steps: &mut Steps) {
        let Phase::Guarded(shell) = &mut self.phase else { return };
        if !shell.dialogue.completes(word) {
            return;
        }
        let allowed = found.filter(|(directory, _)| {
            let command = classify::listing(directory, &shell.home);
            match self.session.ask(self.session.seal(ToTarget::Close, command)) {
                Ruling::Forward(_, permit) => {
                    self.session.settle(
                        permit,
                        Outcome::Completed { status: "listed".into(), rows: 0, bytes: 0 },
                        None,
                    );
                    true
                }
                Ruling::Refuse(_) | Ruling::Hold(_) => false,
            }
        });
        let names = allowed.map(|(_, names)| names).unwrap_or_default();
        let candidates = names.into_iter().map(|(name, is_directory)| Candidate { name, is_directory }).collect();
        let todo = shell.dialogue.complete(word, candidates);
        self.follow_steps(todo, steps);
    }

    fn leave(&mut self, status: u8, steps: &mut Steps) {
        if let Phase::Guarded(shell) = std::mem::replace(&mut self.phase, Phase::Over) {
            let outcome = Outcome::Completed { status: format!("exit {status}").into(), rows: 0, bytes: 0 };
            self.session.settle(shell.permit, outcome, None);
        }
        self.exit(u32::from(status), steps);
    }

    fn type_to_program(&mut self, bytes: Bytes, steps: &mut Steps) {
        let Phase::Guarded(shell) = &mut self.phase else { return };
        // What is typed while a line is on its way to the target belongs to nobody yet, and is dropped.
        let Some(line) = &shell.line else { return };
        match self.session.follow(&line.permit, ToTarget::Data(bytes)) {
            Ok(cleared) => steps.up.push(cleared),
            Err(stale) => self.stop(&stale.denial, steps),
        }
    }

    /// A line, read with what the target says.
    pub(crate) fn on_line(&mut self, asked: &Asked, reading: ReadLine, steps: &mut Steps) {
        let Phase::Guarded(shell) = &mut self.phase else { return };
        if !shell.dialogue.waits_for(asked) {
            return;
        }
        let text = asked.text.as_str();
        let nonce = Nonce::new(rand::random());
        // What cannot be framed is asked all the same, so that the record has it, and goes nowhere.
        let frame = shell.dialogue.frame(asked, &reading, &nonce);
        let sent = frame.as_deref().unwrap_or(text.as_bytes());
        let context = [&*self.login, shell.dialogue.directory()];
        let command = lines::command(&reading, text, sent, Some(&shell.home), &context);
        let unframed = frame.as_ref().err().map(ToString::to_string);
        let exec = ToTarget::Exec(frame.unwrap_or_default().into());
        match (self.session.ask(self.session.seal(exec, command)), unframed) {
            (Ruling::Forward(_, permit), Some(why)) => {
                let message = Some(why.as_str().into());
                self.session.settle(permit, Outcome::Failed { status: "unframed".into(), message }, None);
                self.refuse_line(&reply::failed(&why), steps);
            }
            (Ruling::Forward(cleared, permit), None) => {
                shell.asked = Some((*reading, nonce));
                self.clear_line(cleared, permit, steps);
            }
            (Ruling::Refuse(denial), _) => self.deny_line(&denial, steps),
            (Ruling::Hold(hold), None) => {
                shell.asked = Some((*reading, nonce));
                self.tell_held(&hold, steps);
                steps.hold = Some(hold);
            }
            // Dropping the hold withdraws it.
            (Ruling::Hold(_), Some(why)) => self.refuse_line(&reply::failed(&why), steps),
        }
    }

    /// A hold of a line has ended.
    pub(super) fn settle_line(&mut self, settled: Settled<ToTarget>, steps: &mut Steps) {
        match settled {
            Settled::Forward(cleared, permit) => self.clear_line(cleared, permit, steps),
            Settled::Refuse(denial) => self.deny_line(&denial, steps),
        }
    }

    fn clear_line(&mut self, cleared: Cleared<ToTarget>, permit: Permit, steps: &mut Steps) {
        let Phase::Guarded(shell) = &mut self.phase else { return };
        // Without what was asked it was given up meanwhile; dropping the two records that.
        if shell.asked.is_some() {
            shell.cleared = Some((cleared, permit));
            steps.open = !std::mem::replace(&mut shell.opening, true);
        }
    }

    /// The line's channel is open.
    pub(super) fn begin_line(&mut self, steps: &mut Steps) {
        let Phase::Guarded(shell) = &mut self.phase else { return };
        shell.opening = false;
        let (Some((reading, nonce)), Some((cleared, permit))) = (shell.asked.take(), shell.cleared.take()) else {
            // It was given up meanwhile; what was cleared is recorded as interrupted by being dropped.
            steps.up.push(self.session.own(Own::Close));
            return;
        };
        steps.down.extend(shell.screen.pause());
        shell.dialogue.run(reading, &nonce);
        let owed = self.prepare(steps);
        let Phase::Guarded(shell) = &mut self.phase else { return };
        steps.up.push(cleared);
        if self.terminal.is_none() {
            steps.up.push(self.session.pass(Passage::Eof));
        }
        let output = Output::of(&self.session, &permit, self.terminal.as_ref());
        shell.line = Some(Line { permit, output, exit: Exit::Lost, owed });
    }

    /// The line's channel cannot be opened.
    pub(super) fn lose_line(&mut self, why: &'static str, steps: &mut Steps) {
        let Phase::Guarded(shell) = &mut self.phase else { return };
        shell.opening = false;
        if let Some((_, permit)) = shell.cleared.take() {
            let message = Some(why.into());
            self.session.settle(permit, Outcome::Failed { status: "unreachable".into(), message }, None);
        }
        self.refuse_line(&reply::failed(why), steps);
    }

    fn deny_line(&mut self, denial: &Denial, steps: &mut Steps) {
        self.refuse_line(&reply::refused(denial), steps);
    }

    fn refuse_line(&mut self, text: &str, steps: &mut Steps) {
        let ends = self.ends();
        let Phase::Guarded(shell) = &mut self.phase else { return };
        shell.asked = None;
        let words = reply::lines(text, ends);
        shell.screen.said(&words);
        // A terminal shows one stream; a script's reader looks for errors in the other.
        let frame = if self.terminal.is_some() { ToClient::Data(words) } else { ToClient::Extended(STDERR, words) };
        steps.down.push(self.session.say(frame));
        let todo = shell.dialogue.refused();
        self.follow_steps(todo, steps);
    }

    /// What the target says while a line runs.
    pub(super) fn on_line_target(&mut self, message: FromTarget, steps: &mut Steps) {
        let Phase::Guarded(shell) = &mut self.phase else { return };
        let Some(line) = &mut shell.line else { return };
        match message {
            FromTarget::Eof => {}
            FromTarget::Success => line.owed = line.owed.saturating_sub(1),
            // A terminal that the target does not give; the line's own reply is still to come.
            FromTarget::Failure if line.owed > 1 => line.owed -= 1,
            FromTarget::Failure => {
                steps.up.push(self.session.own(Own::Close));
                self.finish_line(steps);
            }
            FromTarget::Data(data) => {
                let shown = shell.dialogue.output(&data);
                if !shown.is_empty() {
                    steps.down.extend(line.output.data(shown));
                }
            }
            FromTarget::Extended(kind, data) => steps.down.extend(line.output.extended(kind, data)),
            FromTarget::ExitStatus(status) => line.exit = Exit::Status(status),
            FromTarget::ExitSignal { signal, .. } => line.exit = Exit::Signal(format!("{signal:?}")),
            FromTarget::Close => self.finish_line(steps),
        }
    }

    fn finish_line(&mut self, steps: &mut Steps) {
        let ends = self.ends();
        let Phase::Guarded(shell) = &mut self.phase else { return };
        let Some(mut line) = shell.line.take() else { return };
        let Finished { rest, steps: todo } = shell.dialogue.finished(&line.exit);
        steps.down.extend(line.output.data(rest));
        steps.down.extend(line.output.end());
        let bytes = line.output.bytes();
        let lost = matches!(line.exit, Exit::Lost);
        let outcome = match line.exit {
            Exit::Status(status) => Outcome::Completed { status: format!("exit {status}").into(), rows: 0, bytes },
            Exit::Signal(signal) => Outcome::Failed { status: format!("signal {signal}").into(), message: None },
            Exit::Lost => Outcome::Failed { status: "no exit status".into(), message: None },
        };
        drop(line.output);
        self.session.settle(line.permit, outcome, None);
        if lost {
            let words =
                reply::lines(&reply::failed("the machine behind the gateway did not run the line to its end"), ends);
            shell.screen.said(&words);
            steps.down.push(self.session.say(ToClient::Data(words)));
        }
        self.follow_steps(todo, steps);
    }
}
