//! A client that the script runs: to its end, or so far that something else must happen first.
//!
//! Promises: both outputs come in one, in the order in which they were written, as a terminal would show them.
//! Does not promise a time limit: a client that never says what is waited for is a finding too, and whoever runs the script
//! sees which.
//! Held by: the demo's script, in `scripts/test`.

use crate::error::Failure;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

/// A client under way.
pub(super) struct Conversation {
    child: Child,
    said: BufReader<PipeReader>,
}

impl Conversation {
    /// Starts it and gives it all of its input. Blocks.
    pub(super) fn start(mut command: Command, input: &str) -> Result<Self, Failure> {
        let (reader, writer) = std::io::pipe()?;
        command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn().map_err(|error| Failure::refused("a client did not start", error))?;
        // The parent's copies of the pipe end with the command, or reading would never.
        drop(command);
        if let Some(mut stdin) = child.stdin.take() {
            // A client that left early has closed its end; what it said is in the output.
            let _left = stdin.write_all(input.as_bytes());
        }
        Ok(Self { child, said: BufReader::new(reader) })
    }

    /// What it says up to and with the line that has this text, or to its end. Blocks.
    pub(super) fn until(&mut self, text: &str) -> Result<String, Failure> {
        let mut said = Vec::new();
        loop {
            let from = said.len();
            let read = self.said.read_until(b'\n', &mut said)?;
            let line = String::from_utf8_lossy(said.get(from..).unwrap_or_default());
            if read == 0 || line.contains(text) {
                return Ok(String::from_utf8_lossy(&said).into_owned());
            }
        }
    }

    /// What is left of it, and how it ended. Blocks.
    pub(super) fn end(mut self) -> Result<(String, Option<i32>), Failure> {
        let mut said = Vec::new();
        self.said.read_to_end(&mut said)?;
        Ok((String::from_utf8_lossy(&said).into_owned(), self.child.wait()?.code()))
    }
}
