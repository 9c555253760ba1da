//! A command: what a client asked for, as it was read.

use crate::catalogue::Catalogue;
use crate::fields::Fields;
use crate::lineage::{Bound, Lineage, Place};
use crate::operation::{Action, Operation};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// SHA-256 over the exact bytes that were judged and, when allowed, forwarded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of these parts one behind the other.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    /// Written at once: a digest is in every recorded command, and formatting byte by byte costs more than hashing it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
        f.write_str(std::str::from_utf8(&hex).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        // As it is written, and no other way: a digest that has two spellings is two values to whoever compares texts.
        if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(serde::de::Error::custom("a digest is 64 hexadecimal digits"));
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(serde::de::Error::custom)?;
            *byte = u8::from_str_radix(pair, 16).map_err(serde::de::Error::custom)?;
        }
        Ok(Self(bytes))
    }
}

/// Where a command came from. Neutral: no protocol's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// SQL text.
    Sql,
    /// A shell command line.
    Shell,
    /// A file operation.
    File,
    /// A request to reach another host.
    Forward,
    /// An HTTP request.
    Request,
    /// A tool call proposed by a model.
    Tool,
    /// A protocol message that carries no text.
    Message,
}

/// The recorded text of a command, with every secret in it already replaced. The original is not kept anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(Arc<str>);

impl Text {
    /// What stands in the record for a secret.
    pub const REDACTED: &'static str = "'[redacted]'";

    /// A text with no secret in it.
    #[must_use]
    pub fn plain(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text with each of these byte ranges replaced by [`Text::REDACTED`]. Ranges may touch and overlap; one that
    /// does not lie on character borders redacts the whole text, since a half-read secret must not be printed.
    #[must_use]
    pub fn redacted(text: &str, secrets: &[Range<usize>]) -> Self {
        if secrets.is_empty() {
            return Self(text.into());
        }
        let redacted = secrets.iter().map(|range| (range.clone(), Self::REDACTED.into())).collect();
        Self::replaced(text, redacted)
    }

    /// The text with each of these byte ranges replaced by what stands beside it. Of ranges that overlap, what begins
    /// first is said and all of them are gone; one that does not lie on character borders redacts the whole text.
    #[must_use]
    pub fn replaced(text: &str, mut parts: Vec<(Range<usize>, Arc<str>)>) -> Self {
        parts.sort_by_key(|(range, _)| (range.start, range.end));
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for (range, shown) in parts {
            if range.end <= at {
                continue;
            }
            if range.start >= at {
                let Some(kept) = text.get(at..range.start) else { return Self(Self::REDACTED.into()) };
                out.push_str(kept);
                out.push_str(&shown);
            }
            at = range.end;
        }
        let Some(rest) = text.get(at..) else { return Self(Self::REDACTED.into()) };
        out.push_str(rest);
        Self(out.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One parameter bound to a command, as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Parameter {
    /// The type's name as the system calls it, or its number.
    #[serde(rename = "type")]
    pub type_name: Arc<str>,
    /// The value in text form; a value that has none in hexadecimal behind `\x`; `None` for NULL.
    pub value: Option<Arc<str>>,
}

/// Why a reader refused a text by itself, before any rule. Such a command's one operation is `unknown`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The target system's grammar rejects it.
    Syntax {
        /// The grammar's own message.
        message: Arc<str>,
        /// Where, in characters from 1.
        position: Option<u32>,
    },
    /// It names an object that a fresh catalogue does not have.
    Missing {
        /// The system's own message.
        message: Arc<str>,
        /// Where, in characters from 1.
        position: Option<u32>,
    },
    /// It can be read two ways, is not text, or holds what may not be read at all.
    Ambiguous {
        /// What is ambiguous, and how to write it.
        message: Arc<str>,
    },
    /// It is larger, deeper or longer than the reader accepts.
    TooLarge {
        /// Which limit.
        message: Arc<str>,
    },
    /// The kind of request is never forwarded.
    Unsupported {
        /// What, and what to use instead.
        message: Arc<str>,
    },
}

impl Fault {
    /// What is wrong, in words a client may read.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Syntax { message, .. }
            | Self::Missing { message, .. }
            | Self::Ambiguous { message }
            | Self::TooLarge { message }
            | Self::Unsupported { message } => message,
        }
    }
}

/// Where a command's values come from and go, statement by statement, and what it was read from. What a session may see
/// of it depends on who asks, so the gate joins it with the masks in force.
#[derive(Clone)]
pub struct Followed {
    /// The catalogue that column numbers are of.
    pub catalogue: Arc<Catalogue>,
    /// One for each statement of the text.
    pub statements: Arc<[Arc<Lineage>]>,
    text: Arc<str>,
    secrets: Arc<[Range<usize>]>,
}

impl Followed {
    /// The statements of this text, whose secrets are these ranges of it, read against this catalogue.
    #[must_use]
    pub fn new(
        catalogue: Arc<Catalogue>,
        statements: impl Into<Arc<[Arc<Lineage>]>>,
        text: Arc<str>,
        secrets: impl Into<Arc<[Range<usize>]>>,
    ) -> Self {
        Self { catalogue, statements: statements.into(), text, secrets: secrets.into() }
    }

    /// Every constant and parameter that may be a value of a column.
    pub fn bound(&self) -> impl Iterator<Item = &Bound> {
        self.statements.iter().flat_map(|statement| &statement.bound)
    }

    /// The text without its secrets and without the constants that `hide` gives something else for.
    #[must_use]
    pub fn text(&self, hide: &dyn Fn(&Bound, &str) -> Option<Arc<str>>) -> Text {
        let mut parts: Vec<(Range<usize>, Arc<str>)> =
            self.secrets.iter().map(|range| (range.clone(), Text::REDACTED.into())).collect();
        for bound in self.bound() {
            if let Place::Text(range) = &bound.place
                && let Some(shown) = hide(bound, self.text.get(range.clone()).unwrap_or_default())
            {
                parts.push((range.clone(), shown));
            }
        }
        Text::replaced(&self.text, parts)
    }
}

impl fmt::Debug for Followed {
    /// The text may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed")
            .field("catalogue", &self.catalogue.epoch())
            .field("statements", &self.statements)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Followed {
    fn eq(&self, other: &Self) -> bool {
        self.catalogue.epoch() == other.catalogue.epoch()
            && self.statements == other.statements
            && self.text == other.text
    }
}

impl Eq for Followed {}

/// How far what a target says of a command tells how many rows it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It tells of all of them.
    Whole,
    /// There are none: it only prepares or explains.
    Nothing,
    /// It tells of those that the command itself writes; more may be written behind them.
    Outer {
        /// By what, as half a sentence.
        why: Arc<str>,
    },
    /// It does not tell.
    Not {
        /// Why, as half a sentence.
        why: Arc<str>,
    },
}

impl Counted {
    /// It does not tell.
    #[must_use]
    pub fn not(why: impl Into<Arc<str>>) -> Self {
        Self::Not { why: why.into() }
    }
}

/// A command, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Where it came from.
    pub source: Source,
    /// What is recorded of its text.
    pub text: Text,
    /// What it would do; never empty.
    operations: Arc<[Operation]>,
    /// Over the exact bytes.
    pub digest: Digest,
    /// The values bound to it.
    pub parameters: Vec<Parameter>,
    /// Set where the reader itself refused it.
    pub fault: Option<Fault>,
    /// The ordinal of the command that prepared it, where one did.
    pub prepared_by: Option<u64>,
    /// Over what else changes its meaning (role, search path, resolved objects, directory, environment): an approval is
    /// bound to it. `None` where nothing does.
    pub context: Option<Digest>,
    /// The home of the login that it runs as, where its protocol knows it: what `~` stands for in rules.
    pub home: Option<Arc<str>>,
    /// Where its values come from and go, where its reader followed them.
    pub followed: Option<Followed>,
    /// The values of its body, where it is a request that can have one.
    pub fields: Option<Arc<Fields>>,
    /// Why it is sent, in the words that came with it.
    pub reason: Option<Arc<str>>,
    /// Whether its target tells how many rows it wrote.
    pub counted: Counted,
    writes: bool,
    prepares: bool,
}

impl Command {
    /// A command that would do these operations; no operation at all is read as `unknown`.
    #[must_use]
    pub fn new(source: Source, text: Text, operations: impl Into<Arc<[Operation]>>, digest: Digest) -> Self {
        let mut operations: Arc<[Operation]> = operations.into();
        if operations.is_empty() {
            operations = Arc::new([Operation::unknown()]);
        }
        let writes = operations.iter().any(|op| op.action != Action::Session && !op.only_reads());
        Self {
            source,
            text,
            operations,
            digest,
            parameters: Vec::new(),
            fault: None,
            prepared_by: None,
            context: None,
            home: None,
            followed: None,
            fields: None,
            reason: None,
            counted: Counted::not("what it writes is not counted in rows"),
            writes,
            prepares: false,
        }
    }

    /// A command that its reader refused.
    #[must_use]
    pub fn faulty(source: Source, text: Text, fault: Fault, digest: Digest) -> Self {
        Self { fault: Some(fault), ..Self::new(source, text, [Operation::unknown()], digest) }
    }

    /// The same with parameters.
    #[must_use]
    pub fn with_parameters(mut self, parameters: Vec<Parameter>) -> Self {
        self.parameters = parameters;
        self
    }

    /// The same with the values of its body.
    #[must_use]
    pub fn with_fields(mut self, fields: Fields) -> Self {
        self.fields = Some(Arc::new(fields));
        self
    }

    /// The same, known to change data or to make changes lasting although its operations alone do not say so
    /// (COMMIT): its record must be durable before it is forwarded.
    #[must_use]
    pub const fn writing(mut self, writes: bool) -> Self {
        self.writes |= writes;
        self
    }

    /// The same, only prepared now and run by later commands: it changes nothing by itself, is recorded as
    /// `command.prepared` when it is allowed, and every run of it is a command of its own.
    #[must_use]
    pub const fn preparing(mut self) -> Self {
        self.prepares = true;
        self
    }

    /// Whether it is only prepared.
    #[must_use]
    pub const fn prepares(&self) -> bool {
        self.prepares
    }

    /// What it would do; never empty.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operations, shared.
    #[must_use]
    pub fn shared_operations(&self) -> Arc<[Operation]> {
        Arc::clone(&self.operations)
    }

    /// Whether it can change anything: if so its record is durable before it is forwarded, otherwise before its first
    /// result byte is released (DESIGN 2, "Durability").
    #[must_use]
    pub const fn can_write(&self) -> bool {
        self.writes && !self.prepares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redacted_text_never_shows_the_secret() {
        let sql = "ALTER ROLE a PASSWORD 'hunter2' VALID UNTIL 'x'";
        let at = sql.find("'hunter2'").unwrap();
        let text = Text::redacted(sql, std::slice::from_ref(&(at..at + 9)));
        assert_eq!(text.as_str(), "ALTER ROLE a PASSWORD '[redacted]' VALID UNTIL 'x'");
        let overlapping = Text::redacted(sql, &[at..at + 4, at + 2..at + 9]);
        assert!(!overlapping.as_str().contains("hunter"));
        let off_border = Text::redacted("p é q", std::slice::from_ref(&(3..4)));
        assert_eq!(off_border.as_str(), Text::REDACTED);
        let outside = Text::redacted("short", std::slice::from_ref(&(2..99)));
        assert_eq!(outside.as_str(), Text::REDACTED);
    }

    #[test]
    fn constants_of_hidden_columns_are_not_in_the_recorded_text() {
        use crate::lineage::ColumnId;
        let text: Arc<str> = "SELECT 1 FROM t WHERE ssn = '123-45' AND id = 7".into();
        let (ssn, id) = (ColumnId { relation: 9, number: 2 }, ColumnId { relation: 9, number: 1 });
        let place = |part: &str| {
            let at = text.find(part).unwrap();
            Place::Text(at..at + part.len())
        };
        let bound = vec![
            Bound { column: ssn, place: place("'123-45'") },
            Bound { column: id, place: place("7") },
            Bound { column: ssn, place: Place::Parameter(1) },
        ];
        let statement = Arc::new(Lineage { bound, ..Lineage::default() });
        let followed = Followed::new(Arc::new(Catalogue::unknown()), [statement], Arc::clone(&text), []);
        let hide = |bound: &Bound, _: &str| (bound.column == ssn).then(|| Arc::from("'[hidden]'"));
        assert_eq!(followed.text(&hide).as_str(), "SELECT 1 FROM t WHERE ssn = '[hidden]' AND id = 7");
        assert!(!format!("{followed:?}").contains("123-45 AND"), "the text is not printed");
    }

    #[test]
    fn no_operations_is_unknown_and_unknown_counts_as_a_write() {
        let command = Command::new(Source::Sql, Text::plain(""), [], Digest::of(b""));
        assert_eq!(command.operations(), [Operation::unknown()]);
        assert!(command.can_write());
        let quiet = Command::new(Source::Sql, Text::plain("show x"), [Operation::session()], Digest::of(b""));
        assert!(!quiet.can_write());
        assert!(quiet.writing(true).can_write());
    }

    #[test]
    fn a_digest_reads_back() {
        let digest = Digest::of_parts(&[b"a", b"b"]);
        assert_eq!(digest, Digest::of(b"ab"));
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        assert!(serde_json::from_str::<Digest>("\"zz\"").is_err());
        for other in ["+f", "FF", "-0", " 1", "zz"] {
            let other = format!("\"{other}{}\"", "0".repeat(62));
            assert!(serde_json::from_str::<Digest>(&other).is_err(), "{other}");
        }
    }
}
