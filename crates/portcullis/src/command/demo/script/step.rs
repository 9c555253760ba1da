//! One step of the script: what is typed, what must be seen of it, and how it must end.
//!
//! Promises: both outputs of a command are read as a terminal would show them; a step that is not as it says is counted
//! and told, and the script goes on, so that one run shows everything that is wrong.
//! Does not promise a time limit: a step that never ends is a finding too, and whoever runs the script sees which.
//! Held by: the demo's script, in `scripts/test`.

use super::Play;
use crate::error::Failure;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// One step of the script.
pub(super) struct Step<'a> {
    pub(super) title: &'a str,
    /// As a person would type it.
    pub(super) typed: String,
    pub(super) command: Command,
    pub(super) input: String,
    /// Every one of these must be in the output.
    pub(super) expect: &'a [&'a str],
    /// None of these may be.
    pub(super) never: &'a [&'a str],
    pub(super) ends: Ends,
}

/// How a command must end.
#[derive(Clone, Copy)]
pub(super) enum Ends {
    Well,
    Badly,
    /// With this status.
    With(i32),
}

impl Ends {
    fn is(self, status: Option<i32>) -> bool {
        match self {
            Self::Well => status == Some(0),
            Self::Badly => status != Some(0),
            Self::With(wanted) => status == Some(wanted),
        }
    }
}

impl Play<'_> {
    /// Plays it; what it printed.
    pub(super) async fn step(&mut self, step: Step<'_>) -> Result<String, Failure> {
        self.played += 1;
        println!("\n── {}. {}\n", self.played, step.title);
        println!("$ {}", step.typed);
        let Step { command, input, expect, never, ends, .. } = step;
        let (output, status) = tokio::task::spawn_blocking(move || execute(command, &input))
            .await
            .map_err(|error| Failure::refused("a step", error))??;
        println!("{}", output.trim_end());
        match status {
            Some(0) => {}
            Some(status) => println!("(exit status {status})"),
            None => println!("(ended by a signal)"),
        }
        self.verdict("as it must be", &judge(&output, ends.is(status), expect, never));
        Ok(output)
    }

    /// Says what is so, or what is wrong with it.
    pub(super) fn verdict(&mut self, so: &str, wrong: &[String]) {
        if wrong.is_empty() {
            println!("✓ {so}");
        } else {
            self.wrong += 1;
            wrong.iter().for_each(|wrong| println!("✗ {wrong}"));
        }
    }
}

/// Runs it with both outputs in one pipe. Blocks.
fn execute(mut command: Command, input: &str) -> Result<(String, Option<i32>), Failure> {
    let (mut reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().map_err(|error| Failure::refused("a client did not start", error))?;
    // The parent's copies of the pipe end with the command, or reading would never.
    drop(command);
    if let Some(mut stdin) = child.stdin.take() {
        // A client that left early has closed its end; what it said is in the output.
        let _left = stdin.write_all(input.as_bytes());
    }
    let mut output = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut output)?;
    Ok((String::from_utf8_lossy(&output).into_owned(), child.wait()?.code()))
}

fn judge(output: &str, ended_right: bool, expect: &[&str], never: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    if !ended_right {
        wrong.push("it ended with the wrong status".to_owned());
    }
    wrong.extend(expect.iter().filter(|text| !output.contains(**text)).map(|text| format!("`{text}` is not there")));
    wrong.extend(never.iter().filter(|text| output.contains(**text)).map(|text| format!("`{text}` must not be there")));
    wrong
}
