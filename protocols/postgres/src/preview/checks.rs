//! Whether anything but the server's own code would run when a statement over these tables is planned or counted, asked of
//! the database itself.
//!
//! Planning runs code: constants are folded through functions and casts, partitions pruned, constraints and the conditions
//! of indexes refuted, policies joined to the conditions. Promises: a table passes only where it is an ordinary or
//! partitioned one or a materialised view, nobody's temporary one, without rewrite rules and policies, with columns of the
//! server's types or enumerations, and where nothing of it (constraints, defaults, indexes, partitioning, statistics)
//! depends on a function, operator, operator class or access method that is not the server's own; its partitions and
//! inheritance children likewise. Nothing passes where users have a function, operator or type of a name that the statement
//! uses, in a schema that it looks in: the gateway's catalogue may not have it yet. Nor where they have a cast or an
//! operator class for types of which the statement may have values: the server's own, enumerations and rows of tables.
//! Does not promise anything about objects that an administrator put into the server's own schema with the server stopped.
//! Held by: `protocols/postgres/tests/it/previews.rs` against real servers.

use portcullis_model::Name;
use portcullis_model::catalogue::Oid;
use portcullis_sql::{Mentioned, Question};

/// What a table is refused for: the word that the query answers, and why, as half a sentence.
const WORDS: [(&str, &str); 11] = [
    ("gone", "a table of it is gone"),
    ("foreign", "it reaches a foreign table"),
    ("view", "it reaches a view, or a table with rewrite rules"),
    ("temporary", "it reaches a temporary table"),
    ("policy", "row security policies bind a table of it"),
    ("code", "a table of it has functions or operators that users defined"),
    ("type", "it has values of types that users defined"),
    ("cast", "casts that users defined may run in it"),
    ("order", "operator classes that users defined may order or compare its values"),
    ("name", "users defined a function, operator or type of a name that it uses"),
    ("older", "its transaction may see an older state"),
];

/// One word of [`WORDS`], or the empty text. `{from}` gives the tables, `{types}` further types, `{schemas}` where names are
/// looked up, `{functions}`, `{operators}` and `{kinds}` the names; `{open}` is whether the session's transaction may have a
/// snapshot already. Object ids from 16384 on are of objects that users made; the search path while it runs is
/// `pg_catalog` alone. `odd` are the types of users, `hidden` those of which no value can come but from a column, a
/// parameter or a name: rows of tables come from the tables.
const CHECK: &str = "WITH RECURSIVE named(oid) AS ({from}), \
     touched(oid) AS (SELECT oid FROM named \
     UNION SELECT i.inhrelid FROM touched t JOIN pg_inherits i ON i.inhparent = t.oid), \
     kinds AS (SELECT t.oid, c.oid AS found, c.relkind, c.relhasrules, c.relpersistence, c.relrowsecurity \
     FROM touched t LEFT JOIN pg_class c ON c.oid = t.oid), \
     parts(class, object) AS (SELECT 'pg_class'::regclass::oid, oid FROM touched \
     UNION ALL SELECT 'pg_class'::regclass::oid, i.indexrelid FROM pg_index i JOIN touched t ON i.indrelid = t.oid \
     UNION ALL SELECT 'pg_constraint'::regclass::oid, c.oid FROM pg_constraint c JOIN touched t ON c.conrelid = t.oid \
     UNION ALL SELECT 'pg_attrdef'::regclass::oid, d.oid FROM pg_attrdef d JOIN touched t ON d.adrelid = t.oid \
     UNION ALL SELECT 'pg_statistic_ext'::regclass::oid, s.oid FROM pg_statistic_ext s JOIN touched t ON s.stxrelid = t.oid), \
     odd(oid, rows) AS (SELECT t.oid, t.typtype = 'c' OR e.typtype IS NOT DISTINCT FROM 'c' \
     FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A' \
     WHERE t.oid >= 16384 AND t.typtype <> 'e' AND e.typtype IS DISTINCT FROM 'e'), \
     hidden(oid) AS (SELECT oid FROM odd WHERE NOT rows), \
     seen(oid) AS (SELECT oid FROM pg_namespace \
     WHERE nspname = ANY ({schemas}) OR nspname IN ('pg_catalog', 'information_schema')), \
     typed(oid) AS (SELECT a.atttypid FROM pg_attribute a JOIN touched t ON a.attrelid = t.oid \
     WHERE a.attnum > 0 AND NOT a.attisdropped UNION SELECT unnest('{types}'::oid[])) \
     SELECT CASE \
     WHEN EXISTS (SELECT FROM kinds WHERE found IS NULL) THEN 'gone' \
     WHEN EXISTS (SELECT FROM kinds WHERE relkind = 'f') THEN 'foreign' \
     WHEN EXISTS (SELECT FROM kinds WHERE relkind NOT IN ('r', 'p', 'm') OR relkind <> 'm' AND relhasrules) THEN 'view' \
     WHEN EXISTS (SELECT FROM kinds WHERE relpersistence = 't') THEN 'temporary' \
     WHEN EXISTS (SELECT FROM kinds WHERE relrowsecurity) THEN 'policy' \
     WHEN EXISTS (SELECT FROM parts p JOIN pg_depend d ON d.classid = p.class AND d.objid = p.object \
     WHERE d.refobjid >= 16384 AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_opclass'::regclass, \
     'pg_opfamily'::regclass, 'pg_am'::regclass)) THEN 'code' \
     WHEN EXISTS (SELECT FROM typed WHERE oid IN (SELECT oid FROM odd)) THEN 'type' \
     WHEN EXISTS (SELECT FROM pg_cast WHERE oid >= 16384 AND castfunc <> 0 \
     AND castsource NOT IN (SELECT oid FROM hidden) AND casttarget NOT IN (SELECT oid FROM hidden)) THEN 'cast' \
     WHEN EXISTS (SELECT FROM pg_opclass o JOIN pg_am a ON a.oid = o.opcmethod WHERE o.oid >= 16384 AND o.opcdefault \
     AND a.amname IN ('btree', 'hash') AND o.opcintype NOT IN (SELECT oid FROM hidden)) THEN 'order' \
     WHEN EXISTS (SELECT FROM pg_proc WHERE oid >= 16384 AND proname = ANY ({functions}) \
     AND pronamespace IN (SELECT oid FROM seen)) \
     OR EXISTS (SELECT FROM pg_operator WHERE oid >= 16384 AND oprname = ANY ({operators}) \
     AND oprnamespace IN (SELECT oid FROM seen)) \
     OR EXISTS (SELECT FROM pg_type WHERE oid >= 16384 AND typname = ANY ({kinds}) \
     AND typnamespace IN (SELECT oid FROM seen)) THEN 'name' \
     WHEN {open} AND current_setting('default_transaction_isolation') NOT IN ('read committed', 'read uncommitted') \
     THEN 'older' \
     ELSE '' END";

/// The tables that this transaction has locked: those that its statement means, as the server itself found them.
const LOCKED: &str = "SELECT l.relation FROM pg_locks l LEFT JOIN pg_class c ON c.oid = l.relation \
     WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.relation >= 16384 \
     AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) \
     AND c.relkind IS DISTINCT FROM 'i' AND c.relkind IS DISTINCT FROM 'I'";

/// What is asked about one statement.
pub(super) struct Checks<'a> {
    /// The statement.
    pub(super) question: &'a Question,
    /// As whom.
    pub(super) role: &'a Name,
    /// Its transaction may have a snapshot already.
    pub(super) open: bool,
    /// The text that makes its search path that of the transaction.
    path: String,
}

impl<'a> Checks<'a> {
    pub(super) fn new(question: &'a Question, open: bool) -> Result<Self, &'static str> {
        let role = question.user.as_ref().ok_or("as whom it runs is not known")?;
        Ok(Self { question, role, open, path: path(&question.search_path)? })
    }

    /// Begins the transaction, asks about the tables that the statement names, and looks names up as it does. Each
    /// question sees what was committed before it, whatever the login's own transactions do.
    pub(super) fn opening(&self) -> String {
        let role = quoted(self.role.as_str());
        let check = self.check(&format!("SELECT unnest('{}'::oid[])", list(&self.question.relations)), &[]);
        format!(
            "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout = 1000; \
             SET LOCAL lock_timeout = 100; SET LOCAL row_security = off; SET LOCAL max_parallel_workers_per_gather = 0; \
             SET LOCAL jit = off; SET LOCAL ROLE {role}; {check}; {}",
            self.path
        )
    }

    /// Asks about the tables that are locked, and about these types of parameters.
    pub(super) fn locked(&self, types: &[Oid]) -> String {
        format!("SET LOCAL search_path TO pg_catalog; {}; {}", self.check(LOCKED, types), self.path)
    }

    fn check(&self, from: &str, types: &[Oid]) -> String {
        let Mentioned { functions, operators, types: kinds } = &self.question.mentioned;
        let fill = |part: &str| match part {
            "from" => from.to_owned(),
            "types" => list(types),
            "schemas" => names(self.question.search_path.iter().map(Name::as_str)),
            "functions" => names(functions.iter().map(String::as_str)),
            "operators" => names(operators.iter().map(String::as_str)),
            "kinds" => names(kinds.iter().map(String::as_str)),
            "open" => self.open.to_string(),
            other => format!("{{{other}}}"),
        };
        filled(CHECK, fill)
    }
}

/// The text with each `{part}` of it filled in. What is filled in is not looked at again.
fn filled(text: &str, fill: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((part, behind)) = behind.split_once('}') else { break };
        out.push_str(before);
        out.push_str(&fill(part));
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// An array of names, whatever stands in them and however the server reads backslashes.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> =
        all.map(|name| format!("E'{}'", name.replace('\\', "\\\\").replace('\'', "''"))).collect();
    format!("ARRAY[{}]::name[]", quoted.join(","))
}

fn list(oids: &[Oid]) -> String {
    let oids: Vec<String> = oids.iter().map(ToString::to_string).collect();
    format!("{{{}}}", oids.join(","))
}

/// Looks names up in these schemas.
fn path(schemas: &[Name]) -> Result<String, &'static str> {
    if schemas.iter().any(|schema| schema.as_str() == "$user") {
        return Err("its search path cannot be said");
    }
    let names: Vec<String> = schemas.iter().map(|schema| quoted(schema.as_str())).collect();
    let names = if names.is_empty() { "''".to_owned() } else { names.join(", ") };
    Ok(format!("SET LOCAL search_path TO {names}"))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether the answer to a check is that nothing else would run.
pub(super) fn passed(found: Option<&str>) -> Result<(), &'static str> {
    match found {
        Some("") => Ok(()),
        found => Err(WORDS
            .iter()
            .find(|(word, _)| found == Some(*word))
            .map_or("what it would run cannot be told", |(_, why)| *why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_said_as_names() {
        let names = [Name::canonical("a\"; DROP TABLE x; --"), Name::canonical("public")];
        assert_eq!(path(&names), Ok("SET LOCAL search_path TO \"a\"\"; DROP TABLE x; --\", \"public\"".to_owned()));
        assert_eq!(path(&[]), Ok("SET LOCAL search_path TO ''".to_owned()));
        path(&[Name::canonical("$user")]).unwrap_err();
        let question = Question {
            relations: vec![1, 2],
            known: None,
            plan: String::new(),
            count: None,
            search_path: names.into(),
            user: Some(Name::canonical("r\"; COMMIT")),
            mentioned: Mentioned {
                functions: ["it's \\' {from}".to_owned(), "lower".to_owned()].into(),
                ..Mentioned::default()
            },
            clock: false,
        };
        let text = Checks::new(&question, true).unwrap().opening();
        for part in [
            "READ COMMITTED READ ONLY",
            "SET LOCAL ROLE \"r\"\"; COMMIT\"; ",
            "unnest('{1,2}'::oid[])",
            "ARRAY[E'it''s \\\\'' {from}',E'lower']::name[]",
            "WHEN true AND current_setting",
            "ARRAY[]::name[]",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let nobody = Question { user: None, ..question };
        assert_eq!(Checks::new(&nobody, true).err(), Some("as whom it runs is not known"));
    }

    #[test]
    fn only_the_empty_answer_passes() {
        passed(Some("")).unwrap();
        assert_eq!(passed(Some("policy")), Err("row security policies bind a table of it"));
        for other in [None, Some("t"), Some("anything")] {
            assert_eq!(passed(other), Err("what it would run cannot be told"));
        }
        for (word, _) in WORDS {
            assert!(CHECK.contains(&format!("THEN '{word}'")), "{word}");
        }
    }
}
