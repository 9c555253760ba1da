//! One step of the script: what is typed, what must be seen of it, and how it must end.
//!
//! Promises: a step that is not as it says is counted and told, and the script goes on, so that one run shows everything that
//! is wrong. A command that waits for another step is begun in one and ends in a later one.
//! Held by: the demo's script, in `scripts/test`.

use super::Play;
use super::conversation::Conversation;
use crate::command::demo::blocking;
use crate::error::Failure;
use std::process::Command;

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
        self.entitle(step.title);
        println!("$ {}", step.typed);
        let Step { command, input, expect, never, ends, .. } = step;
        let whole = blocking("a step", move || Conversation::start(command, &input)?.end()).await?;
        Ok(self.ended(whole, expect, never, ends))
    }

    /// Plays it up to the line with this text, or only starts it where there is none to wait for; what it printed so far.
    pub(super) async fn begin(
        &mut self,
        title: &str,
        typed: &str,
        command: Command,
        input: &str,
        until: Option<&'static str>,
    ) -> Result<(Conversation, String), Failure> {
        self.entitle(title);
        println!("$ {typed}");
        let input = input.to_owned();
        let begun = blocking("a step", move || {
            let mut conversation = Conversation::start(command, &input)?;
            let said = until.map_or(Ok(String::new()), |text| conversation.until(text))?;
            Ok((conversation, said))
        });
        let (conversation, said) = begun.await?;
        println!("{}", said.trim_end());
        if let Some(text) = until {
            self.verdict("it waits", &judge(&said, true, &[text], &[]));
        }
        Ok((conversation, said))
    }

    /// The rest of what was begun.
    pub(super) async fn finish(
        &mut self,
        title: &str,
        begun: Conversation,
        expect: &[&str],
        never: &[&str],
        ends: Ends,
    ) -> Result<String, Failure> {
        self.entitle(title);
        let rest = blocking("a step", move || begun.end()).await?;
        Ok(self.ended(rest, expect, never, ends))
    }

    fn entitle(&mut self, title: &str) {
        self.played += 1;
        println!("\n── {}. {title}\n", self.played);
    }

    fn ended(
        &mut self,
        (output, status): (String, Option<i32>),
        expect: &[&str],
        never: &[&str],
        ends: Ends,
    ) -> String {
        println!("{}", output.trim_end());
        match status {
            Some(0) => {}
            Some(status) => println!("(exit status {status})"),
            None => println!("(ended by a signal)"),
        }
        self.verdict("as it must be", &judge(&output, ends.is(status), expect, never));
        output
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

fn judge(output: &str, ended_right: bool, expect: &[&str], never: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    if !ended_right {
        wrong.push("it ended with the wrong status".to_owned());
    }
    wrong.extend(expect.iter().filter(|text| !output.contains(**text)).map(|text| format!("`{text}` is not there")));
    wrong.extend(never.iter().filter(|text| output.contains(**text)).map(|text| format!("`{text}` must not be there")));
    wrong
}
