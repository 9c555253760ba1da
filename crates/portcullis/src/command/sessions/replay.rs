//! `portcullis sessions replay`: a session as it happened, at the speed at which it happened.
//!
//! What a terminal showed is drawn again, byte for byte but for what [`Screen`] drops; while it is, no line of ours comes
//! between. Everything else is told as `show` tells it, each command with its decision, and the output of programs without
//! a terminal as it came. So a session of SQL plays as lines, one of a shell as its screen, and one of both as both.
//!
//! Promises: however it ends (the record's end, an error, Ctrl-C) the terminal is put right; nothing recorded reaches it
//! but through the filter. Waits only where somebody watches: into a pipe or file it prints at once. Does not promise a
//! right picture on a screen smaller than the recorded one. Held by: the tests below.

use crate::args::GatewayArgs;
use crate::client::Client;
use crate::error::Failure;
use crate::timeline::Timeline;
use hyper::Method;
use jiff::Timestamp;
use portcullis_audit::Screen;
use portcullis_model::{Event, EventBody};
use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How a session is played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) speed: f64,
    /// Seconds; a longer wait is cut to it before it is sped up.
    pub(super) idle_limit: Option<f64>,
    /// The command that it begins with.
    pub(super) command: Option<u64>,
}

impl Pace {
    fn check(&self) -> Result<(), Failure> {
        if !(self.speed.is_finite() && self.speed > 0.0) {
            return Err(Failure::Usage("--speed is a number above 0".to_owned()));
        }
        if self.idle_limit.is_some_and(|limit| !(limit.is_finite() && limit >= 0.0)) {
            return Err(Failure::Usage("--idle-limit is a number of seconds, 0 or more".to_owned()));
        }
        Ok(())
    }

    /// How long to wait where nothing happened for so many seconds.
    fn wait(&self, gap: f64) -> Duration {
        let gap = self.idle_limit.map_or(gap, |limit| gap.min(limit)).max(0.0);
        Duration::try_from_secs_f64(gap / self.speed).unwrap_or(Duration::MAX)
    }
}

pub(super) async fn run(gateway: &GatewayArgs, session: &str, pace: Pace) -> Result<(), Failure> {
    pace.check()?;
    let client = Client::open(gateway).await?;
    let answer = client.ask(Method::GET, &format!("/api/v1/sessions/{session}/events"), None).await?;
    let watched = io::stdout().is_terminal();
    let mut player = Player::new(pace.command);
    let mut due = Instant::now();
    let playing = answer.lines(async |line| {
        let event: Event = serde_json::from_str(line)?;
        let step = player.step(&event);
        if watched {
            due = due.checked_add(pace.wait(step.after)).unwrap_or(due);
            sleep_until(due).await;
        }
        show(&step.text)
    });
    let outcome = tokio::select! {
        played = playing => played,
        _ = tokio::signal::ctrl_c() => {
            // Stopped before its time is not the same as without the command that was asked for.
            player.sought = None;
            Ok(())
        }
    };
    // What went wrong first is told.
    let left = show(&player.leave());
    outcome.and(left)?;
    match player.sought {
        Some(command) => Err(Failure::Refused(format!("there is no command {command} in this session"))),
        None => Ok(()),
    }
}

fn show(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::of_output)
}

/// What to show for one event, and how many seconds after what came before.
struct Step {
    after: f64,
    text: String,
}

struct Player {
    timeline: Timeline,
    before: Option<Timestamp>,
    /// The command to begin with, until it came.
    sought: Option<u64>,
    /// The terminal that is drawn on, by its command where it has one.
    terminal: Option<Option<u64>>,
    screens: HashMap<Arc<str>, Screen>,
    /// Whether a line has begun that is not ours.
    within_line: bool,
    /// Whether what was drawn ends with a carriage return.
    returned: bool,
}

impl Player {
    fn new(sought: Option<u64>) -> Self {
        Self {
            timeline: Timeline::default(),
            before: None,
            sought,
            terminal: None,
            screens: HashMap::new(),
            within_line: false,
            returned: false,
        }
    }

    fn step(&mut self, event: &Event) -> Step {
        let before = self.before.map_or(event.at, |before| before.max(event.at));
        let gap = before.duration_since(self.before.unwrap_or(before)).as_secs_f64();
        self.before = Some(before);
        let skipped = self.sought.is_some();
        if let EventBody::CommandReceived { command, .. } | EventBody::CommandPrepared { command, .. } = &event.body
            && self.sought == Some(*command)
        {
            self.sought = None;
        }
        let text = self.text(event);
        Step { after: if skipped { 0.0 } else { gap }, text }
    }

    fn text(&mut self, event: &Event) -> String {
        // Told even where it is not shown: the clock begins with the session.
        let told = self.timeline.tell(event);
        match &event.body {
            EventBody::Output { stream, text, truncated, .. } if is_raw(stream) => self.drawn(stream, text, *truncated),
            EventBody::Terminal { command, .. } => {
                let begins = self.terminal.replace(*command).is_none();
                if begins { self.line(told) } else { String::new() }
            }
            EventBody::CommandSettled { command, .. } if self.terminal == Some(Some(*command)) => {
                self.leave() + &self.line(told)
            }
            EventBody::SessionEnded { .. } => self.leave() + &self.line(told),
            EventBody::SessionStarted { .. } => told.map(|told| told + "\n").unwrap_or_default(),
            _ if self.terminal.is_some() => String::new(),
            _ => self.line(told),
        }
    }

    /// A line of ours.
    fn line(&mut self, told: Option<String>) -> String {
        let Some(told) = told.filter(|_| self.sought.is_none()) else { return String::new() };
        let ends = if std::mem::take(&mut self.within_line) { "\n" } else { "" };
        format!("{ends}{told}\n")
    }

    /// Output as it came. What a terminal showed before the command that is sought is drawn as well, for the rest is
    /// drawn over it.
    fn drawn(&mut self, stream: &Arc<str>, text: &str, truncated: bool) -> String {
        let screen = &**stream == "terminal";
        let mut shown = String::new();
        self.screens.entry(Arc::clone(stream)).or_default().push(text, &mut shown);
        if screen {
            self.terminal.get_or_insert(None);
            shown = self.as_drawn(&shown);
        } else if self.sought.is_some() {
            return String::new();
        }
        if let Some(last) = shown.chars().next_back() {
            self.within_line = last != '\n';
        }
        if truncated {
            shown.push_str("\r\n… the rest is past the limit of the record\r\n");
            self.within_line = false;
        }
        shown
    }

    /// The terminal that recorded it moved straight down at a line feed; the one that it is played on would return as well.
    fn as_drawn(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            if c == '\n' && !self.returned {
                out.push_str("\u{1b}D");
            } else {
                out.push(c);
            }
            self.returned = c == '\r';
        }
        out
    }

    /// Puts the terminal right, where anything was drawn on it.
    fn leave(&mut self) -> String {
        if self.screens.is_empty() {
            return String::new();
        }
        let reset: String = self.screens.drain().map(|(_, screen)| screen.reset()).collect();
        self.terminal = None;
        self.returned = false;
        let ends = if std::mem::take(&mut self.within_line) { "\r\n" } else { "" };
        format!("{reset}{ends}")
    }
}

/// Whether it is output of programs, and not words about a command.
fn is_raw(stream: &str) -> bool {
    matches!(stream, "terminal" | "stdout" | "stderr")
}

#[cfg(test)]
mod tests;
