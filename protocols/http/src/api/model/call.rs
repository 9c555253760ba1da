//! A tool call that a model proposes, and what becomes of it.
//!
//! Promises: a call is masked before it is judged, and what is judged, recorded and released is the masked one: what a
//! mask makes of a path or a statement is read like any other. It is one only if its id and names are plain and its input
//! is whole. Secrets of the code in it do not reach the record. What is refused is said in a text of the gateway's.
//! Held by: `tests.rs` and the tests of each API.

use super::{ID, STRANGE, is_word};
use crate::api::{Part, Unfit, Words};
use crate::json::{self, quoted};
use crate::reply;
use crate::tools::{self, ToolTable};
use portcullis_model::{Command, Denial};

/// A call as the model said it.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct Call {
    /// Which kind of call, in the API's word.
    pub(in crate::api) kind: String,
    pub(in crate::api) id: String,
    pub(in crate::api) name: String,
    /// The server of a tool that the provider calls by MCP.
    pub(in crate::api) server: Option<String>,
    pub(in crate::api) input: String,
}

impl Call {
    /// The call as it would be released, read.
    pub(in crate::api) fn ready(self, table: &ToolTable, words: &mut dyn Words) -> Result<Ready, Unfit> {
        let Self { kind, id, name, server, input } = self;
        if id.is_empty() || id.len() > ID || !is_word(&id) {
            return Err(STRANGE);
        }
        // A call without an input is one with none in it.
        let input = if input.is_empty() { "{}".to_owned() } else { input };
        let shown = words.whole(&name);
        let renamed = shown.is_some() || server.as_ref().is_some_and(|server| words.whole(server).is_some());
        let masked = match words.json(&input) {
            Ok(masked) => Some(masked.unwrap_or(input)),
            // What cannot be read is a fault by itself.
            Err(_) => json::read(input.as_bytes()).is_err().then_some(input),
        };
        let (command, input) = match masked {
            Some(input) if !renamed => {
                let full = server.as_ref().map(|server| format!("mcp__{server}__{name}"));
                (tools::call(table, full.as_deref().unwrap_or(&name), Some(&id), &input), input)
            }
            Some(_) | None => (tools::spoilt(&id), String::new()),
        };
        let shown: String = shown.as_ref().unwrap_or(&name).chars().filter(|c| !c.is_control()).take(128).collect();
        let readable = command.fault.is_none();
        Ok(Ready { kind, id, name, server, input, shown, command: Some(Box::new(command)), readable })
    }
}

/// A call that is masked and read: it may be asked about, and released as it is.
#[derive(Debug)]
pub(in crate::api) struct Ready {
    kind: String,
    id: String,
    name: String,
    server: Option<String>,
    input: String,
    /// The name, for people.
    shown: String,
    command: Option<Box<Command>>,
    /// It could be read: no verdict releases what could not.
    readable: bool,
}

impl Ready {
    /// What it would do; it is asked about once.
    pub(in crate::api) fn propose(&mut self) -> Result<Part, Unfit> {
        self.command.take().map(Part::Propose).ok_or(STRANGE)
    }

    /// What is said instead of a call that is refused.
    pub(in crate::api) fn settle(&self, verdict: Result<(), &Denial>) -> Result<(), String> {
        let why = match verdict {
            Ok(()) if self.readable => return Ok(()),
            Ok(()) => "it cannot be read.".to_owned(),
            Err(denial) => reply::refusal_text(denial),
        };
        Err(format!("[portcullis] {} was refused: {why}", self.shown))
    }

    pub(in crate::api) fn kind(&self) -> &str {
        &self.kind
    }

    pub(in crate::api) fn id(&self) -> &str {
        &self.id
    }

    pub(in crate::api) fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::api) fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// The input, masked: what was judged.
    pub(in crate::api) fn input(&self) -> &str {
        &self.input
    }

    /// For the record, with these members first: the input is in the record with the command that the call is.
    pub(in crate::api) fn recorded(&self, about: &str) -> String {
        let (kind, id, name) = (quoted(&self.kind), quoted(&self.id), quoted(&self.name));
        format!(r#"{{{about}"type":{kind},"id":{id},"name":{name}}}"#)
    }
}
