//! The steps over HTTP: one agent with a token, a REST API and a scripted model behind the gateway, curl in front.
//!
//! Promises: every command line shown is the one that is run, but for the files of the demo, which are shown by their
//! names, and the word that keeps a user's own settings of curl out. That something did not reach a service is read in what
//! the service got. Where there is no curl, none of these is played, and the script's last line says why.
//! Held by: itself, in `scripts/test`.

use super::host::unless;
use super::{Ends, Play, Step};
use crate::command::demo::quote::for_shell;
use crate::command::demo::show::ask;
use crate::error::Failure;
use portcullis_testkit::claude::DESTRUCTIVE;
use serde_json::Value;
use std::process::Command;

impl Play<'_> {
    pub(super) async fn http(&mut self) -> Result<(), Failure> {
        if self.demo.services.curl.is_err() {
            return Ok(());
        }
        self.rest().await?;
        self.model().await
    }

    async fn rest(&mut self) -> Result<(), Failure> {
        self.curl(
            "The same agent on a REST API: what is personal comes masked, wherever it stands",
            &["/crm/customers/7"],
            &["Gil Xavier", "\"ssn\":\"[redacted]\"", "\"receipt\":{\"email\":\"[redacted]\"}"],
            &["900-12", "@example"],
        )
        .await?;
        self.curl(
            "What would destroy is refused, as a client of HTTP expects it",
            &["-i", "-X", "DELETE", "/crm/customers/7"],
            &["403", "application/problem+json", "crm/no-deletes", "Ask whoever owns the customer.", "decision"],
            &[],
        )
        .await?;
        self.curl(
            "It pays a refund that is small enough; the amount is read in the body",
            &["-H", "content-type: application/json", "-d", "{\"amount\": 5}", "/crm/refunds"],
            &["\"refund\":\"paid\""],
            &["refused"],
        )
        .await?;
        let (crm, token) = (&self.demo.services.crm, self.demo.tokens.first().map_or("", String::as_str));
        let got = crm.service.ledger();
        let mut wrong = unless(!got.contains("DELETE /"), "the deletion reached the service");
        wrong.extend(unless(got.contains(&crm.key) && got.contains("POST /refunds"), "it did not get its own key"));
        wrong.extend(unless(!token.is_empty() && !got.contains(token), "it got the agent's token"));
        self.verdict("the service got its own key, no token of the agent's, and no deletion", &wrong);
        Ok(())
    }

    async fn model(&mut self) -> Result<(), Failure> {
        let stream = self
            .prompt(
                "A model's answer comes as it came, in its small deltas",
                "How are the orders?",
                &["message_stop"],
                &[],
            )
            .await?;
        let wrong = unless(spoken(&stream).contains("none is lost"), "the deltas are not the answer");
        self.verdict("together they are the model's words", &wrong);
        self.prompt(
            "A command that the model proposes reaches the agent if a rule allows it",
            "Have a look around.",
            &["tool_use", "\"name\":\"Bash\"", "\"stop_reason\":\"tool_use\""],
            &[],
        )
        .await?;
        let stream = self
            .prompt(
                "One that would destroy does not: SQL in a command line in a tool call is SQL, and the tables' rule answers",
                "Please clean up.",
                &["message_stop", "\"stop_reason\":\"end_turn\""],
                &["tool_use", "partial_json"],
            )
            .await?;
        let heard = spoken(&stream);
        println!("the agent reads: {heard}");
        let expected = ["Bash was refused", "no-destruction", "denies drop table ?.orders", "Ask a DBA"];
        let wrong: Vec<String> =
            expected.iter().flat_map(|text| unless(heard.contains(text), &format!("`{text}` is not there"))).collect();
        self.verdict(&format!("words stand where the model said {DESTRUCTIVE}"), &wrong);
        Ok(())
    }

    /// A prompt to the model; its answer's stream.
    async fn prompt(&mut self, title: &str, prompt: &str, expect: &[&str], never: &[&str]) -> Result<String, Failure> {
        let (version, body) = ("anthropic-version: 2023-06-01", ask(prompt));
        let words = ["-N", "-H", "content-type: application/json", "-H", version, "-d", &body, "/claude/v1/messages"];
        self.curl(title, &words, expect, never).await
    }

    /// curl as the agent; the last word is a path of the gateway's.
    async fn curl(&mut self, title: &str, words: &[&str], expect: &[&str], never: &[&str]) -> Result<String, Failure> {
        let (command, typed) = self.curl_command(words)?;
        let step = Step { title, typed, command, input: String::new(), expect, never, ends: Ends::Well };
        self.step(step).await
    }

    /// The same, not yet run, and as a person would type it.
    pub(super) fn curl_command(&self, words: &[&str]) -> Result<(Command, String), Failure> {
        let address = self.demo.running.http.ok_or_else(|| Failure::Refused("no listener for HTTP".to_owned()))?;
        let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        if let Some(path) = words.last_mut() {
            *path = format!("https://{address}{path}");
        }
        let mut command = Command::new("curl");
        // A file of the user's own could change what is asked.
        command.arg("-q").arg("-K").arg(self.demo.config.with_file_name("curlrc")).args(&words);
        let shown: Vec<String> = words.iter().map(|word| for_shell(word)).collect();
        Ok((command, format!("curl -K curlrc {}", shown.join(" "))))
    }
}

/// The text of all deltas.
fn spoken(stream: &str) -> String {
    let deltas = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = deltas.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    events.filter_map(|event| event.pointer("/delta/text")?.as_str().map(str::to_owned)).collect()
}
