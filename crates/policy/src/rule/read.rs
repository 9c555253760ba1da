//! Reading a rule out of its bundle.
//!
//! Promises: exactly one of `allow`, `hold`, `deny` and `rego`; unknown actions, marks, nouns and keys are errors with a
//! suggestion; keys that only mean something to a hold are refused elsewhere; what is not supported yet (`triggers: true`)
//! is checked in shape and refused by name, never ignored.
//! Held by: the table of bad bundles in `set/tests.rs`.

use super::{Actions, GROUPS, NAMED_MARKS, Objects, Rule};
use crate::condition::{self, Condition};
use crate::field::FieldRule;
use crate::pattern;
use crate::rego::Rego;
use crate::scope::names;
use crate::source::{Fields, Reader, Text, list, nearest};
use crate::yaml::Node;
use portcullis_model::{Action, Effect, HoldTerms, Mark, Marks, Problem, RowLimit, RuleId};
use std::sync::Arc;
use std::time::Duration;

const KEYS: &[&str] = &[
    "id",
    "allow",
    "hold",
    "deny",
    "rego",
    "message",
    "approvers",
    "approvals",
    "expires",
    "valid",
    "in_transaction",
    "grant",
    "reason",
    "preview",
    "when",
    "max_rows",
    "cascades",
    "triggers",
];

/// The keys that only mean something to a hold.
const HOLD_KEYS: &[&str] =
    &["approvers", "approvals", "expires", "valid", "in_transaction", "grant", "reason", "preview"];

/// Undecided by then: refused, unless the rule says otherwise.
const EXPIRES: Duration = Duration::from_secs(10 * 60);

/// An approval lapses after this, unless the rule says otherwise.
const VALID: Duration = Duration::from_secs(5 * 60);

/// A grant lasts no longer than this, whatever the rule says.
const LONGEST_GRANT: Duration = Duration::from_secs(24 * 60 * 60);

/// More people than this cannot be asked for.
const MAX_APPROVALS: u32 = 100;

/// What stands under `allow`, `hold` or `deny`.
struct Clause {
    actions: Actions,
    names_unknown: bool,
    objects: Option<Objects>,
    marks: Option<Marks>,
    fields: Option<FieldRule>,
    rego: Option<Arc<Rego>>,
}

impl Rule {
    /// Reads the rule at `path`. `None` where it has no id or no effect to speak of; every problem is reported.
    pub(crate) fn read(reader: &mut Reader<'_>, bundle: &Arc<str>, node: &Node, path: &str) -> Option<Self> {
        let fields = reader.fields(node, path, KEYS)?;
        let id = reader.required(&fields, "id").and_then(|text| reader.identifier(text, &fields.path_of("id")));
        not_yet(reader, &fields);
        let when = fields.get("when");
        let condition = when.and_then(|entry| condition::read(reader, &entry.value, &fields.path_of("when")));
        let message = fields.get("message").and_then(|entry| reader.text(&entry.value, &fields.path_of("message")));
        let (effect, clause) = effect(reader, &fields)?;
        let limited = limit(reader, &fields, effect, &clause);
        let id = RuleId { bundle: bundle.clone(), rule: id? };
        let asks = clause.rego.is_some() || fields.get("rego").is_some();
        let terms = if effect == Effect::Hold || asks {
            Some(terms(reader, &fields, id.clone(), !asks))
        } else {
            for key in HOLD_KEYS {
                if let Some(entry) = fields.get(key) {
                    let message = format!("`{key}` is for holds, and this rule is `{}`", effect.word());
                    reader.error(entry.key_at, &fields.path_of(key), message);
                }
            }
            None
        };
        if effect == Effect::Deny && !asks {
            warn_closed_door(reader, &fields, &clause);
        }
        let message: Option<Arc<str>> = message.map(|message| message.text.into());
        let limit = limited.map(|(rows, ignores_cascades)| RowLimit {
            rule: id.clone(),
            rows,
            ignores_cascades,
            message: message.clone(),
        });
        Some(Self {
            id,
            effect,
            rego: clause.rego,
            actions: clause.actions,
            names_unknown: clause.names_unknown,
            objects: clause.objects,
            marks: clause.marks,
            fields: clause.fields,
            condition: condition.unwrap_or(Condition::Always),
            message,
            terms,
            limit,
            line: node.at.line,
        })
    }
}

fn not_yet(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    if let Some(entry) = fields.get("triggers") {
        let path = fields.path_of("triggers");
        if reader.boolean(&entry.value, &path) == Some(true) {
            let help = Some("leave it out; effects of existing triggers are then not judged".to_owned());
            reader.error_with(entry.key_at, &path, "`triggers: true` is not supported yet by this version", help);
        }
    }
}

fn effect(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<(Effect, Clause)> {
    let all = [Effect::Allow, Effect::Hold, Effect::Deny];
    // What asks may come to any of them, and is read as the strictest of those that may permit.
    let asks = fields.get("rego").map(|entry| ("rego", Effect::Hold, entry));
    let mut found =
        all.iter().filter_map(|effect| Some((effect.word(), *effect, fields.get(effect.word())?))).chain(asks);
    let Some((word, effect, entry)) = found.next() else {
        reader.error(fields.at, &fields.path, "the rule says neither `allow` nor `hold` nor `deny`");
        return None;
    };
    if let Some((second, _, entry)) = found.next() {
        let message = format!("the rule says both `{word}` and `{second}`");
        let help = Some("write two rules; order never matters, the strictest wins".to_owned());
        reader.error_with(entry.key_at, &fields.path, message, help);
    }
    let path = fields.path_of(word);
    if word == "rego" {
        let known = ["bundle", "query", "actions", "objects", "marks", "fields"];
        let clause = reader.fields(&entry.value, &path, &known)?;
        let rego = Rego::read(reader, &clause);
        return Some((Effect::Deny, Clause { rego, ..Clause::read(reader, &clause, effect) }));
    }
    let clause = reader.fields(&entry.value, &path, &["actions", "objects", "marks", "fields"])?;
    Some((effect, Clause::read(reader, &clause, effect)))
}

impl Clause {
    fn read(reader: &mut Reader<'_>, fields: &Fields<'_>, effect: Effect) -> Self {
        if effect == Effect::Allow {
            for (key, help) in
                [("actions", "as in `actions: [read]`"), ("objects", "as in `objects: [\"table public.*\"]`")]
            {
                if fields.get(key).is_none() {
                    let message = format!("an allow names its `{key}`");
                    reader.error_with(fields.at, &fields.path, message, Some(help.to_owned()));
                }
            }
        }
        let every = Actions::every();
        let (actions, names_unknown) = fields.get("actions").map_or((every, false), |entry| {
            let path = fields.path_of("actions");
            let texts = reader.texts(&entry.value, &path);
            let mut set = Actions::default();
            for (nth, text) in texts.into_iter().enumerate() {
                if let Some(some) = action(reader, text, &format!("{path}[{nth}]"), effect) {
                    set = set.union(some);
                }
            }
            (set, set.contains(Action::Unknown))
        });
        let objects = fields.get("objects").map(|entry| objects(reader, &entry.value, &fields.path_of("objects")));
        let marks = fields.get("marks").map(|entry| marks(reader, &entry.value, &fields.path_of("marks"), effect));
        let body = fields.get("fields").map(|entry| FieldRule::read(reader, &entry.value, &fields.path_of("fields")));
        Self { actions, names_unknown, objects, marks, fields: body, rego: None }
    }
}

fn action(reader: &mut Reader<'_>, text: Text<'_>, path: &str, effect: Effect) -> Option<Actions> {
    let word = text.text;
    if word == "any" {
        let every = Actions::every();
        return Some(if effect == Effect::Deny { every } else { every.without(Action::Unknown) });
    }
    if let Some((_, group)) = GROUPS.iter().find(|(name, _)| *name == word) {
        return Some(group.iter().fold(Actions::default(), |set, action| set.with(*action)));
    }
    match Action::ALL.iter().find(|action| action.word() == word) {
        Some(Action::Session) => {
            let help = Some("to refuse sessions, deny `connect` of `session sql` and its like".to_owned());
            reader.error_with(text.at, path, "`session` is implicit: no rule allows or refuses it", help);
            None
        }
        Some(action) => Some(Actions::default().with(*action)),
        None => {
            let words = Action::ALL.iter().filter(|action| **action != Action::Session).map(|action| action.word());
            let words: Vec<_> = words.chain(GROUPS.iter().map(|(name, _)| *name)).chain(["any"]).collect();
            let help = synonym(word)
                .or_else(|| nearest(word, words.iter().copied()))
                .map_or_else(|| format!("the actions are {}", list(&words)), |near| format!("did you mean `{near}`?"));
            reader.error_with(text.at, path, format!("unknown action `{word}`"), Some(help));
            None
        }
    }
}

/// What people write from habit.
fn synonym(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "select" | "get" | "list" | "show" => Some("read"),
        "ddl" => Some("define"),
        "*" | "all" | "everything" => Some("any"),
        "set" => Some("configure"),
        "run" | "exec" => Some("execute"),
        "copy" => Some("transfer"),
        "post" | "add" => Some("insert"),
        "put" | "patch" | "modify" | "edit" => Some("update"),
        "remove" => Some("delete"),
        _ => None,
    }
}

fn objects(reader: &mut Reader<'_>, node: &Node, path: &str) -> Objects {
    let mut out = Objects { written: Vec::new(), patterns: Vec::new() };
    for (nth, text) in reader.texts(node, path).into_iter().enumerate() {
        match pattern::parse(text.text) {
            Ok(patterns) => {
                out.written.push(text.text.into());
                out.patterns.extend(patterns);
            }
            Err(refused) => reader.error_with(text.at, &format!("{path}[{nth}]"), refused.message, refused.help),
        }
    }
    out
}

fn marks(reader: &mut Reader<'_>, node: &Node, path: &str, effect: Effect) -> Marks {
    let mut set = Marks::NONE;
    for (nth, text) in reader.texts(node, path).into_iter().enumerate() {
        let path = format!("{path}[{nth}]");
        let Some(mark) = Mark::ALL.iter().copied().find(|mark| mark.word() == text.text) else {
            let words: Vec<_> = Mark::ALL.iter().map(|mark| mark.word()).collect();
            let help = match nearest(text.text, words.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if Action::ALL.iter().any(|action| action.word() == text.text) => {
                    format!("`{}` is an action: name it in `actions`", text.text)
                }
                None => format!("the marks are {}", list(&words)),
            };
            reader.error_with(text.at, &path, format!("unknown mark `{}`", text.text), Some(help));
            continue;
        };
        set = set.with(mark);
        if effect == Effect::Allow && mark == Mark::InfersProtected {
            let help = Some("it follows `predicates:` of the mask that protects the value".to_owned());
            reader.error_with(text.at, &path, "`infers-protected` is not allowed by a rule", help);
        } else if effect == Effect::Hold && mark == Mark::InfersProtected {
            let message = "a hold never permits `infers-protected`: whatever people say, it is refused";
            let help = "say so in a deny, or loosen `predicates:` of the mask that protects the value";
            reader.report(text.at, Problem::warning(path, message).suggest(help));
        } else if effect == Effect::Allow && !NAMED_MARKS.contains(mark) {
            let named: Vec<_> = NAMED_MARKS.iter().map(|mark| mark.word()).collect();
            let message = format!("`{mark}` changes nothing here: an allow covers it anyway", mark = mark.word());
            let help = format!("an allow must name only {}; write a deny with `marks` to refuse one", list(&named));
            reader.report(text.at, Problem::warning(path, message).suggest(help));
        }
    }
    set
}

/// How many rows a statement may write that the rule permits, and whether what is written behind it does not count.
fn limit(reader: &mut Reader<'_>, fields: &Fields<'_>, effect: Effect, clause: &Clause) -> Option<(u64, bool)> {
    let entry = fields.get("max_rows");
    let ignores = fields.get("cascades").map(|entry| {
        let path = fields.path_of("cascades");
        let word = reader.text(&entry.value, &path).and_then(|text| reader.word(text, &path, &["refuse", "ignore"]));
        (entry, word == Some("ignore"))
    });
    let Some(entry) = entry else {
        if let Some((entry, _)) = ignores {
            let help = Some("write `max_rows:` beside it, or leave it out".to_owned());
            reader.error_with(entry.key_at, &fields.path_of("cascades"), "`cascades` is about `max_rows`", help);
        }
        return None;
    };
    let path = fields.path_of("max_rows");
    if effect != Effect::Allow {
        let word = if clause.rego.is_some() || fields.get("rego").is_some() { "rego" } else { effect.word() };
        let message = format!("`max_rows` is for allows, and this rule is `{word}`");
        let help = Some("what no rule allows is refused, and what people approved has no limit".to_owned());
        reader.error_with(entry.key_at, &path, message, help);
        return None;
    }
    let writes = GROUPS.iter().find(|(name, _)| *name == "write").map_or(&[][..], |(_, actions)| actions);
    if !writes.iter().any(|action| clause.actions.contains(*action)) {
        let help = Some("it limits the rows of insert, update and delete".to_owned());
        reader.error_with(entry.key_at, &path, "`max_rows` limits writes, and this rule allows none", help);
    }
    let text = reader.text(&entry.value, &path)?;
    let rows = text.text.parse::<u64>().ok().filter(|rows| *rows > 0);
    if rows.is_none() {
        let help = Some("a whole number from 1; to let nothing be written, leave the rule out".to_owned());
        reader.error_with(text.at, &path, format!("`{}` is not a number of rows", text.text), help);
    }
    rows.map(|rows| (rows, ignores.is_some_and(|(_, ignores)| ignores)))
}

/// What a hold asks for. A rule that asks may leave it to the answer whom.
fn terms(reader: &mut Reader<'_>, fields: &Fields<'_>, rule: RuleId, named: bool) -> HoldTerms {
    let mut terms = HoldTerms {
        rule,
        groups: std::collections::BTreeSet::new(),
        users: std::collections::BTreeSet::new(),
        approvals: 1,
        expires: EXPIRES,
        valid: VALID,
        in_transaction: false,
        grant: None,
        needs_reason: false,
        counts_rows: false,
    };
    match fields.get("approvers") {
        None if named => {
            let help = Some("write `approvers: { groups: [dba] }`".to_owned());
            reader.error_with(fields.at, &fields.path, "a hold names its `approvers`", help);
            return terms;
        }
        None => {}
        Some(entry) => approvers(reader, &entry.value, &fields.path_of("approvers"), &mut terms),
    }
    if let Some(entry) = fields.get("approvals") {
        terms.approvals = count(reader, &entry.value, &fields.path_of("approvals")).unwrap_or(1);
        if terms.groups.is_empty() && !terms.users.is_empty() && (terms.users.len() as u64) < u64::from(terms.approvals)
        {
            reader.error(entry.key_at, &fields.path_of("approvals"), "more approvals than there are approvers");
        }
    }
    if let Some(entry) = fields.get("expires") {
        terms.expires = reader.duration(&entry.value, &fields.path_of("expires")).unwrap_or(EXPIRES);
    }
    if let Some(entry) = fields.get("valid") {
        terms.valid = reader.duration(&entry.value, &fields.path_of("valid")).unwrap_or(VALID);
    }
    if let Some(entry) = fields.get("in_transaction") {
        let path = fields.path_of("in_transaction");
        let word = reader.text(&entry.value, &path).and_then(|text| reader.word(text, &path, &["refuse", "wait"]));
        terms.in_transaction = word == Some("wait");
    }
    if let Some(entry) = fields.get("grant") {
        let path = fields.path_of("grant");
        terms.grant = reader.duration(&entry.value, &path);
        if terms.grant.is_some_and(|longest| longest > LONGEST_GRANT) {
            let help = Some("write a rule that allows what is to be allowed for longer".to_owned());
            reader.error_with(entry.value.at, &path, "a grant lasts a day at most", help);
        }
    }
    if let Some(entry) = fields.get("reason") {
        let path = fields.path_of("reason");
        let words = &["optional", "required"];
        let word = reader.text(&entry.value, &path).and_then(|text| reader.word(text, &path, words));
        terms.needs_reason = word == Some("required");
    }
    if let Some(entry) = fields.get("preview") {
        let path = fields.path_of("preview");
        let words = &["estimate", "count"];
        let word = reader.text(&entry.value, &path).and_then(|text| reader.word(text, &path, words));
        terms.counts_rows = word == Some("count");
    }
    terms
}

fn approvers(reader: &mut Reader<'_>, node: &Node, path: &str, terms: &mut HoldTerms) {
    let Some(who) = reader.fields(node, path, &["groups", "users"]) else { return };
    if who.get("groups").is_none() && who.get("users").is_none() {
        reader.error(node.at, path, "nobody is listed: name `groups` or `users`");
    }
    terms.groups = names(reader, &who, "groups").unwrap_or_default();
    terms.users = names(reader, &who, "users").unwrap_or_default();
}

fn count(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<u32> {
    let text = reader.text(node, path)?;
    let count = text.text.parse().ok().filter(|count| (1..=MAX_APPROVALS).contains(count));
    if count.is_none() {
        reader.error(text.at, path, format!("`{}` is not a number from 1 to {MAX_APPROVALS}", text.text));
    }
    count
}

/// A deny on `connect` that does not say what to connect to also keeps people from opening sessions.
fn warn_closed_door(reader: &mut Reader<'_>, fields: &Fields<'_>, clause: &Clause) {
    let everything =
        clause.objects.as_ref().is_none_or(|objects| objects.patterns.contains(&pattern::Pattern::Everything));
    if everything && clause.marks.is_none() && clause.fields.is_none() && clause.actions.contains(Action::Connect) {
        let help = "if only connections from the target to elsewhere are meant, write `objects: [\"host **\"]`";
        let message = "this also refuses to open sessions (`connect session sql` and its like)";
        reader.report(fields.at, Problem::warning(fields.path.clone(), message).suggest(help));
    }
}
