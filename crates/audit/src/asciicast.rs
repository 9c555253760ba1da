//! A session as asciicast v2, which any asciinema player opens: a header line, then one event a line with its time in
//! seconds since the session began.
//!
//! | code | what |
//! |---|---|
//! | `o` | what the client's screen showed: output of the terminal, or of programs with their line ends made the terminal's |
//! | `r` | the terminal's new size, as `COLUMNSxROWS` |
//! | `m` | a decision, an approval, the end: marks that a player can jump to |
//!
//! Where no terminal was drawn on, nothing echoed the commands, so each is written with a `$` before it, and refusals and
//! rows with it. What is written goes through [`Screen`], since a player is a terminal too.
//! Promises: every line is JSON; times never go back, also where an event was recorded behind a later one; nothing is held
//! but the events before the first output, of those at most [`AHEAD`]. Does not promise that two terminals of one session
//! at the same time can be told apart, nor what the record itself was cut short of: it says where.
//! Held by: `tests/it/asciicast.rs`.

use crate::error::AuditError;
use crate::screen::Screen;
use jiff::Timestamp;
use portcullis_model::{Effect, Event, EventBody, Outcome, RecordedColumn};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

/// Events that are looked through for the terminal's size before the header is written.
const AHEAD: usize = 256;

/// The size where no terminal said one.
const SIZE: (u32, u32) = (80, 24);

/// Characters of a command or reason that a mark shows.
const LABEL: usize = 160;

/// Commands that a label is kept of; one is decided as soon as it is received.
const LABELS: usize = 64;

#[derive(Serialize)]
struct Header<'a> {
    version: u8,
    width: u32,
    height: u32,
    timestamp: i64,
    title: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<&'static str, &'a str>,
}

/// Writes the events of one session.
///
/// # Errors
/// The store's and the file's, and that there are no events.
pub fn write(mut events: impl Iterator<Item = Result<Event, AuditError>>, out: impl Write) -> Result<(), AuditError> {
    let mut ahead = Vec::new();
    for event in events.by_ref().take(AHEAD) {
        ahead.push(event?);
        let shows = |event: &Event| {
            matches!(event.body, EventBody::Terminal { .. } | EventBody::Output { .. } | EventBody::Result { .. })
        };
        if ahead.last().is_some_and(shows) {
            break;
        }
    }
    let mut cast = Cast::begin(&ahead, out)?;
    for event in ahead.into_iter().map(Ok).chain(events) {
        cast.event(&event?)?;
    }
    cast.out.flush().map_err(failed)
}

fn failed(source: io::Error) -> AuditError {
    AuditError::File { what: "writing the recording".to_owned(), source }
}

struct Cast<W> {
    out: W,
    began: Timestamp,
    /// Microseconds after the beginning of the newest line.
    reached: i64,
    size: (u32, u32),
    /// Whether anything was shown yet.
    shown: bool,
    /// The terminal that is drawn on, by its command where it has one.
    terminal: Option<Option<u64>>,
    screens: BTreeMap<Arc<str>, Screen>,
    /// The first line of each command that was received and not decided.
    labels: BTreeMap<u64, String>,
}

impl<W: Write> Cast<W> {
    fn begin(ahead: &[Event], mut out: W) -> Result<Self, AuditError> {
        let began = ahead.first().map_or(Timestamp::UNIX_EPOCH, |event| event.at);
        let terminal = ahead.iter().find_map(|event| match &event.body {
            EventBody::Terminal { columns, rows, name, .. } => Some(((*columns, *rows), name.as_deref())),
            _ => None,
        });
        let (size, name) = terminal.unwrap_or((SIZE, None));
        let title = ahead.first().map(title).unwrap_or_default();
        let env = name.map(|name| ("TERM", name)).into_iter().collect();
        let header = Header { version: 2, width: size.0, height: size.1, timestamp: began.as_second(), title, env };
        serde_json::to_writer(&mut out, &header).map_err(io::Error::from).map_err(failed)?;
        out.write_all(b"\n").map_err(failed)?;
        Ok(Self {
            out,
            began,
            reached: 0,
            size,
            shown: false,
            terminal: None,
            screens: BTreeMap::new(),
            labels: BTreeMap::new(),
        })
    }

    fn event(&mut self, event: &Event) -> Result<(), AuditError> {
        self.reached = self.reached.max((event.at.as_microsecond() - self.began.as_microsecond()).max(0));
        match &event.body {
            EventBody::Terminal { command, columns, rows, .. } => {
                let before = self.terminal.replace(*command);
                self.resize((*columns, *rows))?;
                // A terminal begins with an empty screen.
                if before.is_none() && self.shown { self.show("\u{1b}[H\u{1b}[2J") } else { Ok(()) }
            }
            EventBody::Output { stream, text, truncated, .. } => self.output(stream, text, *truncated),
            EventBody::Result { columns, rows, truncated, .. } => self.rows(columns, rows, *truncated),
            EventBody::CommandReceived { command, text, .. } => self.command(*command, text.as_str()),
            EventBody::CommandDecided { command, verdict, told, .. } => {
                self.decision(*command, *verdict, told.as_deref())
            }
            EventBody::CommandSettled { command, outcome, .. } => self.settled(*command, outcome),
            EventBody::ApprovalRequested { command, rule, .. } => {
                self.mark(&format!("command {command}: approval asked for by {rule}"))
            }
            EventBody::ApprovalSettled { command, verdict, voters, .. } => {
                self.mark(&format!("command {command}: {verdict} {}", voters.join(", ")))
            }
            EventBody::GrantGiven { command, voters, until, .. } => {
                self.mark(&format!("command {command}: granted until {until} by {}", voters.join(", ")))
            }
            EventBody::SessionEnded { reason, .. } => self.mark(&format!("session ended: {reason}")),
            EventBody::SessionStarted { .. }
            | EventBody::SessionLogin { .. }
            | EventBody::CommandPrepared { .. }
            | EventBody::Usage { .. }
            | EventBody::Masked { .. }
            | EventBody::GrantEnded { .. }
            | EventBody::AdminChanged { .. }
            | EventBody::PolicyLoaded { .. }
            | EventBody::IdentityRefused { .. } => Ok(()),
        }
    }

    fn resize(&mut self, size: (u32, u32)) -> Result<(), AuditError> {
        if size == self.size {
            return Ok(());
        }
        self.size = size;
        self.line("r", &format!("{}x{}", size.0, size.1))
    }

    fn output(&mut self, stream: &Arc<str>, text: &str, truncated: bool) -> Result<(), AuditError> {
        let drawn = &**stream == "terminal";
        let mut shown = String::new();
        self.screens.entry(Arc::clone(stream)).or_default().push(text, &mut shown);
        if !drawn {
            shown = with_line_ends(&shown);
        }
        let remark = matches!(&**stream, "notice" | "error");
        if remark && !shown.ends_with('\n') {
            shown.push_str("\r\n");
        }
        if truncated {
            shown.push_str("\r\n[the rest is past the limit of the record]\r\n");
        }
        self.show(&shown)
    }

    fn rows(
        &mut self,
        columns: &[RecordedColumn],
        rows: &[Vec<Option<Arc<str>>>],
        truncated: bool,
    ) -> Result<(), AuditError> {
        let mut text = String::new();
        let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
        if !names.is_empty() {
            text.push_str(&format!("{}\n", names.join("\t")));
        }
        for row in rows {
            let cells: Vec<&str> = row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
            text.push_str(&format!("{}\n", cells.join("\t")));
        }
        if truncated {
            text.push_str("[the rest is past the limit of the record]\n");
        }
        self.say(&text)
    }

    fn command(&mut self, command: u64, text: &str) -> Result<(), AuditError> {
        self.labels.insert(command, one_line(text));
        if self.labels.len() > LABELS {
            self.labels.pop_first();
        }
        if self.terminal.is_some() {
            return Ok(());
        }
        self.say(&format!("$ {}\n", text.trim_end()))
    }

    fn decision(&mut self, command: u64, verdict: Effect, told: Option<&str>) -> Result<(), AuditError> {
        let verdict_word = match verdict {
            Effect::Allow => "allow",
            Effect::Hold => "hold",
            Effect::Deny => "deny",
        };
        let label = self.labels.remove(&command).unwrap_or_default();
        let told = told.map(|told| format!(" ({})", one_line(told))).unwrap_or_default();
        self.mark(&format!("command {command}: {verdict_word} {label}{told}"))?;
        if verdict == Effect::Allow || self.terminal.is_some() {
            return Ok(());
        }
        self.say(&format!("[{verdict_word}{told}]\n"))
    }

    fn settled(&mut self, command: u64, outcome: &Outcome) -> Result<(), AuditError> {
        if self.terminal == Some(Some(command)) {
            self.terminal = None;
            let screen = self.screens.remove("terminal").unwrap_or_default();
            return self.show(&format!("{}\r\n", screen.reset()));
        }
        match outcome {
            Outcome::Failed { status, message } if self.terminal.is_none() => {
                self.say(&format!("[failed: {status} {}]\n", message.as_deref().unwrap_or_default()))
            }
            Outcome::Completed { .. }
            | Outcome::Failed { .. }
            | Outcome::Skipped
            | Outcome::Refused { .. }
            | Outcome::Withdrawn
            | Outcome::Abandoned
            | Outcome::Interrupted => Ok(()),
        }
    }

    /// Shows what nobody wrote to the client like this: whole lines, made safe each by itself.
    fn say(&mut self, lines: &str) -> Result<(), AuditError> {
        let mut shown = String::new();
        Screen::default().push(lines, &mut shown);
        self.show(&with_line_ends(&shown))
    }

    fn show(&mut self, text: &str) -> Result<(), AuditError> {
        if text.is_empty() {
            return Ok(());
        }
        self.shown = true;
        self.line("o", text)
    }

    fn mark(&mut self, label: &str) -> Result<(), AuditError> {
        self.line("m", one_line(label).trim_end())
    }

    fn line(&mut self, code: &str, data: &str) -> Result<(), AuditError> {
        let (seconds, micros) = (self.reached / 1_000_000, self.reached % 1_000_000);
        let data = serde_json::to_string(data).map_err(io::Error::from).map_err(failed)?;
        writeln!(self.out, "[{seconds}.{micros:06}, \"{code}\", {data}]").map_err(failed)
    }
}

/// Who, where, and which session.
fn title(first: &Event) -> String {
    let id = first.stream;
    match &first.body {
        EventBody::SessionStarted { principal: Some(principal), connection: Some(connection), .. } => {
            one_line(&format!("{} on {}, session {id}", principal.user, connection.name))
        }
        _ => format!("session {id}"),
    }
}

/// The first line without controls, cut at a sensible length.
fn one_line(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let shown: String = first.chars().filter(|c| !c.is_control()).collect();
    match shown.char_indices().nth(LABEL) {
        Some((at, _)) => format!("{}…", shown.get(..at).unwrap_or_default()),
        None => shown,
    }
}

/// A program without a terminal ends its lines with a line feed alone.
fn with_line_ends(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}
