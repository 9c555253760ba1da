//! Lists of tools in an answer.
//!
//! Promises: of a list only tools pass that may be called; each is proposed as a command that is only prepared, one after
//! the other, and nothing behind the list is read before the last of them is judged. A list is as long as one page.
//! Held by: `tests/answers.rs` and `tests/record.rs` of the API.

use super::{Answering, NO_MESSAGE, record};
use crate::api::{Part, Unfit, Words};
use crate::json::{Node, Value};
use crate::sse::Event;
use crate::tools;
use portcullis_model::{Command, Digest, Source, Text};

/// Tools on one page of a list.
const TOOLS: usize = 256;

/// A list of tools that is judged.
pub(super) struct Listing {
    event: Event,
    id: String,
    node: Node,
    pub(super) may: Vec<bool>,
}

impl Answering {
    /// Begins to judge a list of tools.
    pub(super) fn list(
        &mut self,
        shell: Event,
        id: String,
        node: Node,
        text: String,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        let tools = node.get("result").and_then(|result| result.get("tools")).ok_or(NO_MESSAGE)?;
        if !matches!(tools.value, Value::Array(_)) {
            return Err(NO_MESSAGE);
        }
        if tools.elements().len() > TOOLS {
            return Err(Unfit("the tool server lists more tools on one page than are read"));
        }
        self.listing = Some(Listing { event: Event { data: text, ..shell }, id, node, may: Vec::new() });
        self.next_tool(words, parts)
    }

    /// Proposes the next tool of the list; after the last one, what is left of the list passes.
    pub(super) fn next_tool(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let Some(listing) = &mut self.listing else { return Ok(()) };
        let result = listing.node.get("result");
        let tools = result.and_then(|result| result.get("tools")).map_or(&[][..], Node::elements);
        while let Some(tool) = tools.get(listing.may.len()) {
            match tool.get("name").and_then(Node::text).filter(|name| tools::is_name(name)) {
                Some(name) => {
                    let digest = Digest::of_parts(&[b"tool on offer\0", name.as_bytes()]);
                    let text = Text::plain(format!("tool on offer: {name}"));
                    let command = Command::new(Source::Tool, text, [tools::offered(name)], digest).preparing();
                    parts.push(Part::Propose(Box::new(command)));
                    return Ok(());
                }
                None => listing.may.push(false),
            }
        }
        let Some(listing) = self.listing.take() else { return Ok(()) };
        let text = self.listed(&listing, words)?;
        record(&text, |words: &mut dyn Words| self.listed(&listing, words).ok(), words);
        self.write(Event { data: String::new(), ..listing.event }, text, parts);
        Ok(())
    }

    /// What is left of a list that was judged.
    fn listed(&self, Listing { event, id, node, may }: &Listing, words: &mut dyn Words) -> Result<String, Unfit> {
        let result = node.get("result").ok_or(NO_MESSAGE)?;
        let result = self.masker(&event.data, words).result(result, Some(may))?;
        Ok(format!(r#"{{"jsonrpc":"2.0",{id}"result":{result}}}"#))
    }
}
