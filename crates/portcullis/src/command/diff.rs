//! `portcullis policy diff`: what changed bundles would have decided about the commands in the record.
//!
//! Promises: each recorded command is judged by the gateway's own policy code, at the moment when it was decided, by the
//! bundles in force and by the same with each changed bundle in the place of its namesake; what differs is shown beside
//! what the record says. A command that could not be read is refused by every policy and is not shown. Where a rule looks
//! into the body of a request, which the record has after masking only, the command is counted as not judged.
//! Does not show what other masks would hide, and judges what stands below a login's home as it was recorded, since no
//! home is: a rule for `/home/build/x` says nothing about `~/x` here. Held by: the tests below and `tests/it/policy.rs`.

use crate::args::DiffArgs;
use crate::assemble;
use crate::client::Client;
use crate::command::policy::{Sources, sources, told};
use crate::error::Failure;
use crate::table::printable;
use hyper::Method;
use jiff::Timestamp;
use portcullis_model::{
    Connection, Decision, Effect, Event, EventBody, Operation, Principal, Protocol, RecordedOperation, SessionId,
    Verdict,
};
use portcullis_policy::{Case, PolicySet, SourceFile};
use serde_json::json;
use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;

/// Characters of a command that are shown.
const SHOWN: usize = 160;

pub(crate) async fn run(args: &DiffArgs) -> Result<ExitCode, Failure> {
    let back = portcullis_config::parse_duration(&args.since)
        .ok_or_else(|| Failure::Usage(format!("`{}` is not a time such as `30d` or `12h`", args.since)))?;
    // What lies before all time is all of it.
    let since = Timestamp::now().checked_sub(back).unwrap_or(Timestamp::MIN);
    let in_force = sources(&args.files, args.gateway.config.as_deref())?;
    let mut changed = Sources { files: in_force.files.clone(), databases: in_force.databases.clone() };
    for file in &args.bundles {
        changed.files = SourceFile::in_place(changed.files, assemble::read_source(file)?);
    }
    let mut trial = Trial::new(in_force.compile()?, changed.compile()?);
    let client = Client::open(&args.gateway).await?;
    let answer = client.ask(Method::GET, &format!("/api/v1/commands?since={since}"), None).await?;
    let mut found = Found::default();
    answer
        .lines(async |line| {
            if let Some(change) = trial.take(serde_json::from_str(line)?) {
                if args.json {
                    println!("{}", change.json());
                } else {
                    found.add(change);
                }
            }
            Ok(())
        })
        .await?;
    if !args.json {
        found.print();
        println!("{}", trial.counts);
    }
    Ok(ExitCode::SUCCESS)
}

/// Two sets, and the sessions that are judged by both.
struct Trial {
    in_force: PolicySet,
    changed: PolicySet,
    /// The session whose commands come: the record gives one behind another.
    session: Option<(Principal, Connection)>,
    asked: HashMap<u64, Asked>,
    counts: Counts,
}

/// A command that was not decided yet.
struct Asked {
    text: Arc<str>,
    operations: Vec<Operation>,
    unread: bool,
}

#[derive(Default)]
struct Counts {
    judged: u64,
    changed: u64,
    /// Rules look into their bodies.
    not_judged: u64,
    unread: u64,
}

/// A command that would be decided otherwise.
struct Change {
    at: Timestamp,
    session: SessionId,
    command: u64,
    user: Arc<str>,
    connection: String,
    text: Arc<str>,
    recorded: Effect,
    in_force: Outcome,
    changed: Outcome,
}

/// What a decision comes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Outcome {
    word: &'static str,
    /// The same with the rules that made it so.
    told: String,
}

impl Outcome {
    fn of(decision: &Decision) -> Self {
        let told = match (&decision.verdict, &decision.limit) {
            (Verdict::Allow, Some(limit)) => format!("allow of {} rows at most ({})", limit.rows, limit.rule),
            (Verdict::Allow, None) | (Verdict::Hold(_) | Verdict::Deny(_), _) => told(decision),
        };
        Self { word: decision.verdict.effect().word(), told }
    }

    /// Whether it is another one for whoever asks: why something is refused is not.
    fn differs(&self, other: &Self) -> bool {
        self.word != other.word || (self.word != Effect::Deny.word() && self.told != other.told)
    }
}

impl Trial {
    fn new(in_force: PolicySet, changed: PolicySet) -> Self {
        Self { in_force, changed, session: None, asked: HashMap::new(), counts: Counts::default() }
    }

    /// One event of the record.
    fn take(&mut self, event: Event) -> Option<Change> {
        if let EventBody::SessionStarted { principal, connection, .. } = event.body {
            self.session = principal.zip(connection);
            self.asked.clear();
        } else if let EventBody::CommandReceived { command, text, operations, fault, .. } = event.body {
            let operations = operations.into_iter().map(|RecordedOperation { operation, .. }| operation).collect();
            self.asked.insert(command, Asked { text: text.as_str().into(), operations, unread: fault.is_some() });
        } else if let EventBody::CommandDecided { command, verdict, .. } = event.body {
            let asked = self.asked.remove(&command)?;
            if asked.unread {
                self.counts.unread += 1;
                return None;
            }
            return self.judge(event.stream, event.at, command, asked, verdict);
        }
        None
    }

    fn judge(
        &mut self,
        session: SessionId,
        at: Timestamp,
        command: u64,
        asked: Asked,
        recorded: Effect,
    ) -> Option<Change> {
        let (principal, connection) = self.session.as_ref()?;
        let case = Case { principal, connection, operations: &asked.operations, home: None, fields: None, at };
        let has_body = connection.protocol == Protocol::Http;
        if has_body && (self.in_force.looks_into_bodies(&case) || self.changed.looks_into_bodies(&case)) {
            self.counts.not_judged += 1;
            return None;
        }
        self.counts.judged += 1;
        let in_force = Outcome::of(&self.in_force.decide(&case));
        let changed = Outcome::of(&self.changed.decide(&case));
        if !in_force.differs(&changed) {
            return None;
        }
        self.counts.changed += 1;
        let (user, connection) = (Arc::clone(&principal.user), connection.name.to_string());
        Some(Change { at, session, command, user, connection, text: asked.text, recorded, in_force, changed })
    }
}

impl Change {
    fn json(&self) -> serde_json::Value {
        json!({
            "at": self.at, "session": self.session, "command": self.command, "user": &*self.user,
            "connection": self.connection, "text": &*self.text, "recorded": self.recorded.word(),
            "in_force": self.in_force.word, "in_force_told": self.in_force.told,
            "changed": self.changed.word, "changed_told": self.changed.told,
        })
    }
}

/// What changes that are shown as one have in common.
type Alike = (Arc<str>, String, Arc<str>, Outcome, Outcome);

/// Changes for a person: what was asked many times stands there once.
#[derive(Default)]
struct Found {
    order: Vec<(Change, u64)>,
    known: HashMap<Alike, usize>,
}

impl Found {
    fn add(&mut self, change: Change) {
        let key = (
            Arc::clone(&change.user),
            change.connection.clone(),
            Arc::clone(&change.text),
            change.in_force.clone(),
            change.changed.clone(),
        );
        let next = self.order.len();
        match self.order.get_mut(*self.known.entry(key).or_insert(next)) {
            Some((_, times)) => *times += 1,
            None => self.order.push((change, 1)),
        }
    }

    fn print(&self) {
        for (change, times) in &self.order {
            let again = if *times > 1 { format!(", {times} times") } else { String::new() };
            let Change { at, session, command, user, connection, recorded, in_force, changed, .. } = change;
            println!("{} on {connection}: {} -> {}", printable(user), in_force.told, changed.told);
            println!("  {session}/{command} at {at}, recorded: {}{again}", recorded.word());
            let text: String = change.text.chars().take(SHOWN).collect();
            let cut = if text.len() < change.text.len() { " …" } else { "" };
            println!("  {}{cut}", printable(&text).replace('\n', " "));
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} commands would be decided otherwise", self.changed, self.judged)?;
        if self.not_judged > 0 {
            write!(f, "; {} not judged, since rules look into their bodies", self.not_judged)?;
        }
        if self.unread > 0 {
            write!(f, "; {} could not be read and are refused by every policy", self.unread)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_model::{CredentialKind, Digest, Fault, Name, Source, StreamKind, Text};
    use portcullis_sql::{Dialect, Limits, Scope};
    use std::collections::{BTreeMap, BTreeSet};

    fn set(rules: &str) -> PolicySet {
        let text = format!("bundle: b\nrules:\n{rules}");
        PolicySet::load(&[SourceFile::new("b.yaml", text)]).unwrap().set
    }

    fn event(number: u64, body: EventBody) -> Event {
        let stream = "019a9f3e-0000-7000-8000-000000000001".parse().unwrap();
        Event { stream, number, at: Timestamp::UNIX_EPOCH, body }
    }

    fn session(protocol: Protocol) -> Event {
        let principal = Principal {
            issuer: "i".into(),
            subject: "s".into(),
            user: "a".into(),
            groups: BTreeSet::new(),
            claims: BTreeMap::new(),
            credential: CredentialKind::LocalAdmin,
        };
        let connection = Connection { protocol, ..crate::command::policy::connection("shop") };
        let (principal, connection) = (Some(principal), Some(connection));
        let kind = StreamKind::Session;
        event(0, EventBody::SessionStarted { kind, principal, connection, client: None, gateway: "0".into() })
    }

    fn asked(command: u64, text: &str, operations: &[Operation], fault: Option<Fault>) -> Event {
        event(
            command,
            EventBody::CommandReceived {
                command,
                source: Source::Sql,
                text: Text::plain(text),
                digest: Digest::of(text.as_bytes()),
                operations: operations.iter().map(RecordedOperation::from).collect(),
                parameters: Vec::new(),
                fault,
                prepared_by: None,
            },
        )
    }

    fn decided(command: u64, verdict: Effect) -> Event {
        event(
            command,
            EventBody::CommandDecided {
                command,
                verdict,
                reason: None,
                told: None,
                matches: Vec::new(),
                policy: "p".into(),
                grants: Vec::new(),
                limit: None,
            },
        )
    }

    fn operations(sql: &str) -> Vec<Operation> {
        let scope = Scope::assuming(Name::canonical("public"));
        portcullis_sql::read(sql, Dialect::Postgres, &scope, &Limits::default().pinned()).operations()
    }

    const ALL: &str = "  - { id: all, allow: { actions: [any], objects: [\"*\"] } }\n";

    #[test]
    fn what_is_decided_otherwise_is_shown_and_nothing_else() {
        let stricter =
            format!("{ALL}  - {{ id: kept, deny: {{ actions: [delete], objects: [\"table public.*\"] }} }}\n");
        let mut trial = Trial::new(set(ALL), set(&stricter));
        let (reads, deletes) = (operations("SELECT FROM t"), operations("DELETE FROM t"));
        let unread = Fault::Ambiguous { message: "m".into() };
        let events = [
            session(Protocol::Postgres),
            asked(1, "SELECT FROM t", &reads, None),
            decided(1, Effect::Allow),
            asked(2, "DELETE FROM t", &deletes, None),
            decided(2, Effect::Allow),
            asked(3, "x", &[], Some(unread)),
            decided(3, Effect::Deny),
            // What was never decided is not judged, and what is decided twice is judged once.
            asked(4, "DELETE FROM t", &deletes, None),
            decided(2, Effect::Allow),
        ];
        let shown: Vec<Change> = events.into_iter().filter_map(|event| trial.take(event)).collect();
        let [change] = shown.as_slice() else { panic!("{} changes", shown.len()) };
        assert_eq!((change.command, change.in_force.word, change.changed.word), (2, "allow", "deny"));
        assert!(change.changed.told.contains("b/kept"), "{}", change.changed.told);
        assert_eq!(
            trial.counts.to_string(),
            "1 of 2 commands would be decided otherwise; 1 could not be read and are refused by every policy"
        );
    }

    #[test]
    fn what_depends_on_a_body_is_not_guessed() {
        let looks = format!(
            "{ALL}  - {{ id: small, deny: {{ objects: [\"endpoint * /**\"], fields: {{ \"$.kind\": [x] }} }} }}\n"
        );
        let endpoint = portcullis_http::endpoint_of("POST", "/orders").unwrap();
        for (rules, expected) in [(ALL, (1, 0)), (looks.as_str(), (0, 1))] {
            let mut trial = Trial::new(set(ALL), set(rules));
            let posts = asked(1, "POST", std::slice::from_ref(&endpoint), None);
            for event in [session(Protocol::Http), posts, decided(1, Effect::Allow)] {
                assert!(trial.take(event).is_none());
            }
            assert_eq!((trial.counts.judged, trial.counts.not_judged), expected);
        }
    }

    #[test]
    fn the_same_asked_again_is_one_line() {
        let outcome = |word| Outcome { word, told: word.to_owned() };
        let change = |text: &str, command| Change {
            at: Timestamp::UNIX_EPOCH,
            session: decided(1, Effect::Allow).stream,
            command,
            user: "a".into(),
            connection: "shop".to_owned(),
            text: text.into(),
            recorded: Effect::Allow,
            in_force: outcome("allow"),
            changed: outcome("deny"),
        };
        let mut found = Found::default();
        for (text, command) in [("x", 1), ("y", 2), ("x", 3)] {
            found.add(change(text, command));
        }
        let told: Vec<_> = found.order.iter().map(|(change, times)| (change.command, *times)).collect();
        assert_eq!(told, [(1, 2), (2, 1)]);
    }
}
