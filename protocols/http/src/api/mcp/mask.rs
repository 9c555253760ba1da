//! What of a server's message a client may have.
//!
//! | what | while a mask binds |
//! |---|---|
//! | `structuredContent` | a document of its own: paths begin at it |
//! | text | JSON in it by fields and detectors, also line by line; the rest by detectors; withheld where fields are masked and it holds members of JSON that cannot be read |
//! | images, sounds, blobs, kinds of content that nobody described | left out, with a note in their place; the data of those of a type that the connection names in `opaque` passes |
//! | schemas of tools | their texts by detectors, their examples as documents: a field's name in a schema is no field |
//! | everything else | as part of the message, by fields and detectors |
//!
//! Promises: what passes is built from what was read, numbers as they were written; nothing is passed that a mask could not
//! be carried out on. Results are for their caller alone: `cacheScope` is private and `ttlMs` is 0, masks or none.
//! Held by: `tests.rs`.

use crate::api::rest::{Media, Opaque};
use crate::api::{NotJson, Unfit, Words};
use crate::json::{self, Node, Value, quoted};
use portcullis_gate::has_member;
use std::ops::Range;

const UNMASKED: Unfit = Unfit("what the tool server answered cannot be masked");

/// Members of a schema that hold values (JSON Schema 2020-12, Validation §6.1, §9).
const VALUES: [&str; 4] = ["default", "const", "enum", "examples"];

pub(super) struct Masker<'a> {
    pub(super) text: &'a str,
    pub(super) words: &'a mut dyn Words,
    pub(super) opaque: &'a Opaque,
    /// What the gateway knows of the progress token: no mask changes it.
    pub(super) progress: Option<&'a str>,
}

type Written = Result<String, Unfit>;

impl<'a> Masker<'a> {
    /// As it was written.
    fn raw(&self, node: &Node) -> Result<&'a str, Unfit> {
        self.text.get(node.span.clone()).ok_or(UNMASKED)
    }

    /// An object, each member by its own rule; one that is no object is a document.
    fn object(&mut self, node: &Node, each: &mut dyn FnMut(&mut Self, &str, &Node) -> Written) -> Written {
        if !matches!(node.value, Value::Object(_)) {
            return self.document(node);
        }
        let mut members = Vec::with_capacity(node.members().len());
        for (name, value) in node.members() {
            members.push(format!("{}:{}", quoted(name), each(self, name, value)?));
        }
        Ok(format!("{{{}}}", members.join(",")))
    }

    /// A list, each element by a rule; one that is no list is a document.
    fn list(&mut self, node: &Node, each: &mut dyn FnMut(&mut Self, &Node) -> Written) -> Written {
        if !matches!(node.value, Value::Array(_)) {
            return self.document(node);
        }
        let elements: Result<Vec<String>, Unfit> = node.elements().iter().map(|element| each(self, element)).collect();
        Ok(format!("[{}]", elements?.join(",")))
    }

    /// A document of its own.
    fn document(&mut self, node: &Node) -> Written {
        let raw = self.raw(node)?;
        let masked = self.words.json(raw).map_err(|NotJson| UNMASKED)?;
        Ok(masked.unwrap_or_else(|| raw.to_owned()))
    }

    /// A member, by its name too.
    fn member(&mut self, name: &str, node: &Node) -> Written {
        let raw = self.raw(node)?;
        let wrapped = format!("{{{}:{raw}}}", quoted(name));
        let Some(masked) = self.words.json(&wrapped).map_err(|NotJson| UNMASKED)? else { return Ok(raw.to_owned()) };
        let read = json::read(masked.as_bytes()).map_err(|_| UNMASKED)?;
        match read.members() {
            [(same, value)] if same == name => masked.get(value.span.clone()).map(str::to_owned).ok_or(UNMASKED),
            // The name itself was masked: without it the member means nothing.
            _ => Err(UNMASKED),
        }
    }

    /// A text that somebody reads.
    fn string(&mut self, name: &str, node: &Node) -> Written {
        match node.text() {
            Some(text) => Ok(quoted(&self.shown(text))),
            None => self.member(name, node),
        }
    }

    fn shown(&mut self, text: &str) -> String {
        if !self.words.binds() {
            return text.to_owned();
        }
        if text.trim_start().starts_with(['{', '['])
            && let Ok(masked) = self.words.json(text)
        {
            return masked.unwrap_or_else(|| text.to_owned());
        }
        let read = if self.words.binds_fields() { self.with_documents(text) } else { Some(text.to_owned()) };
        match read {
            Some(text) => self.words.whole(&text).unwrap_or(text),
            None => WITHHELD.to_owned(),
        }
    }

    /// A text with the documents in it masked; `None` where it holds members of a document that cannot be read.
    fn with_documents(&mut self, text: &str) -> Option<String> {
        if let Some((place, masked)) = self.find_document(text) {
            let (before, after) = (text.get(..place.start)?, text.get(place.end..)?);
            let alone = !has_member(before) && !has_member(after);
            return alone.then(|| [before, &masked, after].concat());
        }
        let mut out = String::with_capacity(text.len());
        // What lies between two documents is looked at as one: a name and its colon may be in two lines, also in lines
        // that a document is in.
        let (mut between, mut at) = (0, 0);
        for line in text.split_inclusive('\n') {
            match self.find_document(line) {
                Some((place, masked)) => {
                    if has_member(text.get(between..at + place.start)?) {
                        return None;
                    }
                    out.extend([line.get(..place.start)?, &masked, line.get(place.end..)?]);
                    between = at + place.end;
                }
                None => out.push_str(line),
            }
            at += line.len();
        }
        (!has_member(text.get(between..)?)).then_some(out)
    }

    /// The document in a text: its place, and what is left of it.
    fn find_document(&mut self, text: &str) -> Option<(Range<usize>, String)> {
        for (open, close) in [('{', '}'), ('[', ']')] {
            let Some((start, end)) = text.find(open).zip(text.rfind(close)) else { continue };
            let Some(document) = text.get(start..=end) else { continue };
            let Ok(masked) = self.words.json(document) else { continue };
            return Some((start..start + document.len(), masked.unwrap_or_else(|| document.to_owned())));
        }
        None
    }

    /// The result of a request; of the tools in it only those that may be called.
    pub(super) fn result(&mut self, node: &Node, tools: Option<&[bool]>) -> Written {
        self.object(node, &mut |this, name, value| match name {
            "ttlMs" => Ok("0".to_owned()),
            "cacheScope" => Ok(quoted("private")),
            "structuredContent" => this.document(value),
            "content" => this.list(value, &mut Self::block),
            "contents" => this.list(value, &mut Self::contents),
            "messages" => this.list(value, &mut Self::message),
            "capabilities" => this.object(value, &mut Self::member_of),
            "tools" if tools.is_some() => this.tools(value, tools.unwrap_or_default()),
            _ => this.member(name, value),
        })
    }

    fn member_of(&mut self, name: &str, node: &Node) -> Written {
        self.member(name, node)
    }

    fn tools(&mut self, node: &Node, may: &[bool]) -> Written {
        let mut shown = Vec::new();
        for (tool, _) in node.elements().iter().zip(may).filter(|(_, may)| **may) {
            // A tool whose name or arguments would be masked could not be called by what is left.
            let named = tool.get("name").and_then(Node::text).is_some_and(|name| self.words.whole(name).is_none());
            let schemas = ["inputSchema", "outputSchema"].into_iter().filter_map(|name| tool.get(name));
            if named && schemas.into_iter().all(|schema| self.names_stay(schema)) {
                shown.push(self.object(tool, &mut |this, name, value| match name {
                    "name" => Ok(this.raw(value)?.to_owned()),
                    "inputSchema" | "outputSchema" => this.schema(value),
                    _ => this.member(name, value),
                })?);
            }
        }
        Ok(format!("[{}]", shown.join(",")))
    }

    /// Whether no name in it is masked. Depth is bounded by what was read.
    fn names_stay(&mut self, node: &Node) -> bool {
        node.elements().iter().all(|element| self.names_stay(element))
            && node.members().iter().all(|(name, value)| self.words.whole(name).is_none() && self.names_stay(value))
    }

    fn schema(&mut self, node: &Node) -> Written {
        match &node.value {
            Value::Object(_) => self.object(node, &mut |this, name, value| {
                if VALUES.contains(&name) { this.member(name, value) } else { this.schema(value) }
            }),
            Value::Array(_) => self.list(node, &mut Self::schema),
            Value::String(text) => Ok(self.words.whole(text).map_or_else(|| quoted(text), |masked| quoted(&masked))),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(self.raw(node)?.to_owned()),
        }
    }

    /// A block of content.
    fn block(&mut self, node: &Node) -> Written {
        match node.get("type").and_then(Node::text) {
            Some("text") => self.object(node, &mut |this, name, value| match name {
                "text" => this.string(name, value),
                _ => this.member(name, value),
            }),
            Some("resource") => self.object(node, &mut |this, name, value| match name {
                "resource" => this.contents(value),
                _ => this.member(name, value),
            }),
            Some("resource_link") => self.object(node, &mut Self::member_of),
            Some(_) | None if !self.words.binds() => Ok(self.raw(node)?.to_owned()),
            Some("image" | "audio") if self.may_pass(node) => self.object(node, &mut |this, name, value| match name {
                "data" => Ok(this.raw(value)?.to_owned()),
                _ => this.member(name, value),
            }),
            Some(_) | None => Ok(format!(r#"{{"type":"text","text":{}}}"#, quoted(LEFT_OUT))),
        }
    }

    /// What is in a resource.
    fn contents(&mut self, node: &Node) -> Written {
        let bare = !self.words.binds() || self.may_pass(node);
        let mut left_out = false;
        let written = self.object(node, &mut |this, name, value| match name {
            "text" => this.string(name, value),
            "blob" if bare => Ok(this.raw(value)?.to_owned()),
            "blob" => {
                left_out = true;
                Ok(quoted(""))
            }
            _ => this.member(name, value),
        })?;
        if !left_out {
            return Ok(written);
        }
        // It becomes a resource of text: an empty blob would be taken for the resource.
        let read = json::read(written.as_bytes()).map_err(|_| UNMASKED)?;
        let mut members = vec![format!(r#""text":{}"#, quoted(LEFT_OUT))];
        for (name, value) in read.members().iter().filter(|(name, _)| name != "blob" && name != "text") {
            members.push(format!("{}:{}", quoted(name), written.get(value.span.clone()).ok_or(UNMASKED)?));
        }
        Ok(format!("{{{}}}", members.join(",")))
    }

    /// A message of a prompt.
    fn message(&mut self, node: &Node) -> Written {
        self.object(node, &mut |this, name, value| match (name, &value.value) {
            ("content", Value::Array(_)) => this.list(value, &mut Self::block),
            ("content", _) => this.block(value),
            (_, _) => this.member(name, value),
        })
    }

    /// Whether the connection lets this type pass unread.
    fn may_pass(&self, node: &Node) -> bool {
        let media = node.get("mimeType").and_then(Node::text).and_then(Media::of);
        media.is_some_and(|media| self.opaque.covers(&media))
    }

    /// An error.
    pub(super) fn error(&mut self, node: &Node) -> Written {
        self.object(node, &mut |this, name, value| match name {
            "message" => this.string(name, value),
            "data" => this.document(value),
            _ => this.member(name, value),
        })
    }

    /// What a notification says.
    pub(super) fn params(&mut self, node: &Node) -> Written {
        self.object(node, &mut |this, name, value| match name {
            "progressToken" if this.progress == Some(this.raw(value)?) => Ok(this.raw(value)?.to_owned()),
            "data" if value.text().is_none() => this.document(value),
            "data" | "message" | "reason" => this.string(name, value),
            _ => this.member(name, value),
        })
    }
}

const LEFT_OUT: &str = "[portcullis] left out: masks bind here, and this cannot be read";

const WITHHELD: &str = "[portcullis] withheld: fields are masked, and this holds JSON that cannot be read";
