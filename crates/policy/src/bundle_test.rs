//! Tests that a bundle carries: a command, who sends it where, and what must come of it.
//!
//! Promises: a test names rules that exist and have the effect it expects, or the bundle does not load; running one is a
//! pure function of the set, the test, the operations that its command was read into, and the connection.
//! Does not promise anything about masks: what a statement returns takes a catalogue, and there is none here. Nor to read
//! commands: `run:` is SQL, `shell:` a command line, `http:` `METHOD PATH`, `model:` the name of a model, each of the two
//! with its `body:` beside it (`http:` with `upgrade: websocket`, too), `tool:` the name of a tool and its input; the caller reads them, since policy takes readings
//! and never text.
//! Held by: `bundle_test/tests.rs`, and `tests/it/main.rs` for the shipped bundles.

use crate::decide::Case;
use crate::set::PolicySet;
use crate::source::{Fields, Reader, Text};
use crate::yaml::{Entry, Node};
use jiff::Timestamp;
use portcullis_model::{
    Connection, CredentialKind, Decision, Effect, Fields as Body, Name, Operation, Principal, Reason, RuleId, Verdict,
};
use std::fmt;
use std::sync::Arc;

/// The moment of a test that names none: a Monday morning in office hours, 2026-01-05T10:00:00Z.
const DEFAULT_AT: Timestamp = Timestamp::constant(1_767_607_200, 0);

/// The command of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestCommand {
    /// `run:`, SQL.
    Sql(Arc<str>),
    /// `shell:`, a command line.
    Shell(Arc<str>),
    /// `http:`, a method and a path.
    Http {
        /// In capitals.
        method: Arc<str>,
        /// From `/`.
        path: Arc<str>,
        /// `upgrade: websocket`: it opens one, or is said over one.
        upgrade: bool,
    },
    /// `model:`, a request to a model of this name.
    Model(Arc<str>),
    /// `tool:`, a call of a tool, with its input as JSON.
    Tool {
        /// Its name.
        name: Arc<str>,
        /// Its input.
        input: Arc<str>,
    },
}

/// What must come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// `allow`.
    Allow,
    /// `deny`: refused because no rule allows it.
    DenyByDefault,
    /// `deny RULE`: refused, and this deny rule is among those that match.
    Deny(RuleId),
    /// `hold RULE`: held, and this hold rule is among those that match.
    Hold(RuleId),
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::DenyByDefault => f.write_str("deny (no rule)"),
            Self::Deny(rule) => write!(f, "deny {rule}"),
            Self::Hold(rule) => write!(f, "hold {rule}"),
        }
    }
}

/// One test of a bundle.
#[derive(Clone, Debug)]
pub struct PolicyTest {
    /// The file it stands in, as it was named.
    pub file: Arc<str>,
    /// The line it starts on, from 1.
    pub line: usize,
    /// Its bundle.
    pub bundle: Arc<str>,
    /// `as:` who sends the command.
    pub principal: Principal,
    /// `at:` when; 2026-01-05T10:00:00Z where the test does not say.
    pub at: Timestamp,
    /// `on:` the name of the connection.
    pub on: Name,
    /// What is sent.
    pub command: TestCommand,
    /// `body:` of a request: its values.
    pub fields: Option<Arc<Body>>,
    /// What must come of it.
    pub expect: Expectation,
    /// Where `expect` stands, to report a rule that does not exist.
    pub(crate) expect_at: crate::yaml::Place,
}

/// What came of a test.
#[derive(Clone, Debug)]
pub struct TestOutcome {
    /// Whether it is what the test expects.
    pub passed: bool,
    /// What the test expects.
    pub expected: Expectation,
    /// What was decided, with every rule that matched.
    pub decision: Decision,
}

impl fmt::Display for TestOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.passed { "ok" } else { "FAILED" };
        write!(f, "{word}: expected {}, got ", self.expected)?;
        match &self.decision.verdict {
            Verdict::Allow => f.write_str("allow")?,
            Verdict::Hold(_) => f.write_str("hold")?,
            Verdict::Deny(Reason::NoRule { operation }) => write!(f, "deny (no rule allows {operation})")?,
            Verdict::Deny(reason) => write!(f, "deny ({reason})")?,
        }
        let mut matched: Vec<_> = self.decision.matches.iter().map(|one| (&one.rule, one.effect)).collect();
        matched.dedup();
        for (nth, (rule, effect)) in matched.into_iter().enumerate() {
            write!(f, "{}{} {rule}", if nth == 0 { "; matched: " } else { ", " }, effect.word())?;
        }
        Ok(())
    }
}

/// Runs a test: decides its command, read by the caller into `operations` and, where it has them, `fields`, on
/// `connection`.
#[must_use]
pub fn run_test(
    set: &PolicySet,
    test: &PolicyTest,
    operations: &[Operation],
    fields: Option<&Body>,
    connection: &Connection,
) -> TestOutcome {
    let decision = set.decide(&Case {
        principal: &test.principal,
        connection,
        operations,
        home: None,
        fields: fields.or(test.fields.as_deref()),
        at: test.at,
    });
    let matched = |rule: &RuleId, effect| decision.matches.iter().any(|one| one.rule == *rule && one.effect == effect);
    let passed = match (&test.expect, &decision.verdict) {
        (Expectation::Allow, Verdict::Allow) => true,
        (Expectation::DenyByDefault, Verdict::Deny(Reason::NoRule { .. })) => true,
        (Expectation::Deny(rule), Verdict::Deny(_)) => matched(rule, Effect::Deny),
        (Expectation::Hold(rule), Verdict::Hold(_)) => matched(rule, Effect::Hold),
        (
            Expectation::Allow | Expectation::DenyByDefault | Expectation::Deny(_) | Expectation::Hold(_),
            Verdict::Allow | Verdict::Deny(_) | Verdict::Hold(_),
        ) => false,
    };
    TestOutcome { passed, expected: test.expect.clone(), decision }
}

impl PolicyTest {
    /// Reads the test at `path`; every problem is reported.
    pub(crate) fn read(reader: &mut Reader<'_>, bundle: &Arc<str>, node: &Node, path: &str) -> Option<Self> {
        let fields = reader.fields(
            node,
            path,
            &["as", "at", "on", "run", "shell", "http", "model", "tool", "body", "upgrade", "expect"],
        )?;
        let principal = principal(reader, &fields);
        let at = match fields.get("at") {
            Some(entry) => moment(reader, entry, &fields.path_of("at")),
            None => Some(DEFAULT_AT),
        };
        let on = reader.required(&fields, "on");
        let command = command(reader, &fields);
        let body = body(reader, &fields);
        let expect = reader.required(&fields, "expect");
        let expectation = expect.and_then(|text| expectation(reader, bundle, text, &fields.path_of("expect")));
        Some(Self {
            file: reader.file.path.clone(),
            line: node.at.line,
            bundle: bundle.clone(),
            principal: principal?,
            at: at?,
            on: Name::canonical(on?.text),
            command: command?,
            fields: body,
            expect: expectation?,
            expect_at: expect?.at,
        })
    }
}

fn principal(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Principal> {
    let Some(entry) = fields.get("as") else {
        reader.error(
            fields.at,
            &fields.path,
            "`as` is missing: say who sends it, as in `as: { user: agent-7, groups: [agents] }`",
        );
        return None;
    };
    let path = fields.path_of("as");
    let who = reader.fields(&entry.value, &path, &["user", "groups", "claims"])?;
    let user: Arc<str> = reader.required(&who, "user")?.text.into();
    let groups = crate::scope::names(reader, &who, "groups").unwrap_or_default();
    let claims = who.get("claims").map(|entry| crate::scope::claims(reader, &entry.value, &who.path_of("claims")));
    Some(Principal {
        issuer: "policy-test".into(),
        subject: user.clone(),
        user,
        groups,
        claims: claims.unwrap_or_default(),
        credential: CredentialKind::Oidc,
    })
}

fn moment(reader: &mut Reader<'_>, entry: &Entry, path: &str) -> Option<Timestamp> {
    let text = reader.text(&entry.value, path)?;
    let at = text.text.parse().ok();
    if at.is_none() {
        let help = Some("write it like `2026-01-05T10:00:00Z`".to_owned());
        reader.error_with(text.at, path, format!("`{}` is not a moment", text.text), help);
    }
    at
}

/// What a test may be about.
const COMMANDS: [&str; 5] = ["run", "shell", "http", "model", "tool"];

fn command(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<TestCommand> {
    let given: Vec<_> = COMMANDS.iter().filter_map(|key| fields.get(key)).collect();
    let [entry] = given.as_slice() else {
        let problem = "a test has exactly one of `run` (SQL), `shell`, `http`, `model` and `tool`";
        reader.error(fields.at, &fields.path, problem);
        return None;
    };
    let path = fields.path_of(&entry.key);
    let text = reader.text(&entry.value, &path)?;
    let upgrade = upgrade(reader, fields)?;
    match entry.key.as_str() {
        "run" => Some(TestCommand::Sql(text.text.into())),
        "shell" => Some(TestCommand::Shell(text.text.into())),
        "model" => Some(TestCommand::Model(text.text.into())),
        "tool" => {
            let (name, input) = text.text.split_once(char::is_whitespace).unwrap_or((text.text, "{}"));
            Some(TestCommand::Tool { name: name.into(), input: input.trim().into() })
        }
        _ => match text.text.split_once(char::is_whitespace) {
            Some((method, at)) if at.trim().starts_with('/') && !method.contains(|c: char| c.is_ascii_lowercase()) => {
                if upgrade && method != "GET" {
                    reader.error(text.at, &path, "a WebSocket is opened by a GET");
                    return None;
                }
                Some(TestCommand::Http { method: method.into(), path: at.trim().into(), upgrade })
            }
            Some(_) | None => {
                let help = Some("write it like `GET /orders/7`".to_owned());
                reader.error_with(text.at, &path, format!("`{}` is not METHOD PATH", text.text), help);
                None
            }
        },
    }
}

/// Whether the request opens a WebSocket; `None` where that is said of no request, or of another protocol.
fn upgrade(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<bool> {
    let Some(entry) = fields.get("upgrade") else { return Some(false) };
    let path = fields.path_of("upgrade");
    if fields.get("http").is_none() {
        reader.error(entry.key_at, &path, "`upgrade` is for `http`");
        return None;
    }
    let text = reader.text(&entry.value, &path)?;
    if text.text != "websocket" {
        let help = Some("write `upgrade: websocket`".to_owned());
        reader.error_with(text.at, &path, format!("`{}` is no protocol that passes", text.text), help);
        return None;
    }
    Some(true)
}

/// The values of the body. A request without one has none; what is no request cannot have one.
fn body(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Arc<Body>> {
    let request = fields.get("http").or_else(|| fields.get("model")).is_some();
    match fields.get("body") {
        Some(entry) if !request => {
            reader.error(entry.key_at, &fields.path_of("body"), "`body` is for `http` and `model`");
            None
        }
        Some(entry) => Some(Arc::new(crate::field::body(&entry.value))),
        None => request.then(|| Arc::new(Body::none())),
    }
}

fn expectation(reader: &mut Reader<'_>, bundle: &Arc<str>, text: Text<'_>, path: &str) -> Option<Expectation> {
    let words: Vec<_> = text.text.split_whitespace().collect();
    match words.as_slice() {
        ["allow"] => Some(Expectation::Allow),
        ["deny"] => Some(Expectation::DenyByDefault),
        ["deny", rule] => rule_id(reader, bundle, Text { text: rule, at: text.at }, path).map(Expectation::Deny),
        ["mask", ..] => {
            let help =
                Some("see `portcullis policy explain`; whether a value comes out masked takes a database".to_owned());
            reader.error_with(text.at, path, "a test is about the decision, not about masks", help);
            None
        }
        ["hold", rule] => rule_id(reader, bundle, Text { text: rule, at: text.at }, path).map(Expectation::Hold),
        _ => {
            let help = Some("write `allow`, `deny RULE`, `hold RULE`, or `deny` where no rule allows it".to_owned());
            reader.error_with(text.at, path, format!("`{}` is not an expectation", text.text), help);
            None
        }
    }
}

/// `RULE` of this bundle, or `BUNDLE/RULE`.
fn rule_id(reader: &mut Reader<'_>, bundle: &Arc<str>, text: Text<'_>, path: &str) -> Option<RuleId> {
    let (bundle, rule) = match text.text.split_once('/') {
        Some((other, rule)) => (reader.identifier(Text { text: other, at: text.at }, path)?, rule),
        None => (bundle.clone(), text.text),
    };
    Some(RuleId { bundle, rule: reader.identifier(Text { text: rule, at: text.at }, path)? })
}

#[cfg(test)]
mod tests;
