//! Command lines in the input of a tool, one or many.
//!
//! Promises: a list is taken for the words of one command line only where a row says so (`argv`), and for a command line each
//! only where a row says that (`lines`). Where nobody says which, what it does is what it does as either, so that no list
//! hides a command among the words of another. Of a text that was read in two ways, or not at all for want of room, the
//! record shows nothing that could be the secret of one of them.
//! Held by: `fixtures/http/tools.tsv`, and `tests.rs` for the record.

use super::facts::Role;
use super::places;
use super::walk::Walk;
use crate::json::{Node, Value};
use portcullis_model::{Action, Object, Operation, Part};
use std::ops::Range;

impl Walk {
    /// A command line. What a list in its place is nobody says: the words of one, or one each. It is read as both.
    pub(super) fn shell(&mut self, node: &Node) {
        match &node.value {
            Value::Array(parts) => {
                if parts.iter().all(|part| part.text().is_some()) {
                    self.words(node, false);
                }
                self.one_by_one(parts, Self::shell);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => self.lines(node),
        }
    }

    /// A command line, or a list of them.
    pub(super) fn lines(&mut self, node: &Node) {
        match &node.value {
            Value::String(text) => self.line(text, node),
            // A list inside of it is no line, and nobody says what else it is.
            Value::Array(lines) => self.one_by_one(lines, Self::shell),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => self.undescribed(node),
        }
    }

    /// The words of a command line, or a command line. `sure` says that they are this and nothing else.
    pub(super) fn words(&mut self, node: &Node, sure: bool) {
        match &node.value {
            Value::String(text) => self.line(text, node),
            Value::Array(words) if sure && self.wrapped(words) => {}
            Value::Array(words) if words.iter().all(|word| word.text().is_some()) => {
                let quote = |word: &Node| format!("'{}'", word.text().unwrap_or_default().replace('\'', r"'\''"));
                let text = words.iter().map(quote).collect::<Vec<_>>().join(" ");
                let secret = self.line_read(&text, node);
                // What is a secret of the words may stand elsewhere in the lines, and what is shown is one of both.
                if !sure && secret {
                    self.conceal(node);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                self.undescribed(node);
            }
        }
    }

    /// Words that only hand a text on, as Codex sends them: `bash -lc TEXT` is the line that a harness gives to its
    /// shell, and `apply_patch TEXT` is the tool of that name.
    fn wrapped(&mut self, words: &[Node]) -> bool {
        let texts: Option<Vec<&str>> = words.iter().map(Node::text).collect();
        match (texts.as_deref(), words.last()) {
            (Some(["bash" | "/bin/bash" | "/usr/bin/bash", "-c" | "-lc", text]), Some(node)) => {
                self.line_read(text, node);
                true
            }
            (Some(["apply_patch", _]), Some(node)) => {
                self.lines_read += 1;
                self.field(Role::Patch, node);
                true
            }
            _ => false,
        }
    }

    /// Each of these. One may leave the directory for those behind it, where one shell runs them all.
    pub(super) fn one_by_one(&mut self, parts: &[Node], read: impl Fn(&mut Self, &Node)) {
        let directory = self.directory.clone();
        for part in parts {
            read(self, part);
            self.directory = None;
        }
        self.directory = directory;
    }

    pub(super) fn line(&mut self, text: &str, node: &Node) {
        self.line_read(text, node);
    }

    /// Reads a command line, and says whether it has a secret in it.
    fn line_read(&mut self, text: &str, node: &Node) -> bool {
        if text.trim().is_empty() {
            return false;
        }
        match self.secrets_of(text) {
            Some(secrets) => {
                self.hide(node, text, &secrets);
                !secrets.is_empty()
            }
            None => {
                self.conceal(node);
                true
            }
        }
    }

    /// The same of a line that stands nowhere as it is read: whoever made it hides what it was made of.
    pub(super) fn line_unshown(&mut self, text: &str) -> bool {
        !text.trim().is_empty() && self.secrets_of(text).is_none_or(|secrets| !secrets.is_empty())
    }

    /// Reads a command line. The places of the secrets in it; `None` where there was no room to read it.
    fn secrets_of(&mut self, text: &str) -> Option<Vec<Range<usize>>> {
        self.lines_read += 1;
        if !self.has_room() {
            return None;
        }
        let patch = handed_patch(text).and_then(|patch| places::patch(patch, self.directory.as_deref()));
        if let Some(operations) = patch {
            // Whether the harness takes it or a program of that name is nobody's to say here.
            let program = Object::Program { name: Part::known("apply_patch"), subcommand: None };
            self.emit([Operation::new(Action::Execute, program)]);
            self.emit(operations);
            return Some(Vec::new());
        }
        let scope = portcullis_shell::Scope { directory: self.directory.clone(), ..portcullis_shell::Scope::unknown() };
        let reading = portcullis_shell::read(text, &scope, &portcullis_shell::Limits::default());
        if let Some(fault) = reading.fault {
            self.fault.get_or_insert(fault);
        }
        self.emit(reading.operations);
        Some(reading.secrets)
    }
}

/// The text that `apply_patch <<'END'` is given, where the line is this alone and the shell takes the text as it stands.
fn handed_patch(line: &str) -> Option<&str> {
    let blanks = [' ', '\t'];
    let behind = line.trim_matches([' ', '\t', '\n']).strip_prefix("apply_patch")?.trim_start_matches(blanks);
    let behind = behind.strip_prefix("<<")?.trim_start_matches(blanks);
    let quote = behind.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (end, body) = behind.strip_prefix(quote)?.split_once(quote)?;
    let text = body.strip_prefix('\n')?.strip_suffix(end)?.strip_suffix('\n')?;
    // The first line that is the word ends it: what follows is another command.
    let ends_once = !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let ends_once = ends_once && !text.split('\n').any(|line| line == end);
    (ends_once && !line.contains(['\r', '\0'])).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_handed_on_only_by_a_line_that_does_nothing_else() {
        for (line, handed) in [
            ("apply_patch <<'EOF'\na\nb\nEOF", Some("a\nb")),
            ("apply_patch <<'EOF'\na\nEOF\n", Some("a")),
            (" apply_patch<< \"PATCH\"\na $(b)\nPATCH", Some("a $(b)")),
            ("apply_patch <<EOF\na\nEOF", None),
            ("apply_patch <<-'EOF'\na\nEOF", None),
            ("apply_patch <<<'EOF'\na\nEOF", None),
            ("apply_patch <<'EOF' | sh\na\nEOF", None),
            ("apply_patch -x <<'EOF'\na\nEOF", None),
            ("apply_patch <<'EOF'\na\nEOF\nrm x", None),
            ("apply_patch <<'EOF'\na\nEOF\nrm x\nEOF", None),
            ("apply_patch <<'EOF'\nEOF\nrm x\nEOF", None),
            ("apply_patch <<'EOF'\na\nxEOF", None),
            ("apply_patch <<''\na\n", None),
            ("apply_patch <<'E F'\na\nE F", None),
            ("apply_patch <<'EOF'\na\r\nEOF", None),
            ("apply_patches <<'EOF'\na\nEOF", None),
            ("x=1 apply_patch <<'EOF'\na\nEOF", None),
            ("cd /srv && apply_patch <<'EOF'\na\nEOF", None),
            ("apply_patch", None),
        ] {
            assert_eq!(handed_patch(line), handed, "{line:?}");
        }
    }
}
