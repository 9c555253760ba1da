//! The ledger of grammar nodes, and the generic walk against serde's view of the tree.

use super::children::{NODES, children, tag};
use pg_query::NodeRef;
use std::collections::{BTreeMap, BTreeSet};

const LEDGER: &str = include_str!("../../ledger/nodes.tsv");

fn ledger() -> BTreeMap<&'static str, &'static str> {
    let rows = LEDGER.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut out = BTreeMap::new();
    for row in rows {
        let (node, class) = row.split_once('\t').expect("two columns");
        assert!(matches!(class, "statement" | "part" | "expression" | "analysed"), "{row}");
        assert!(out.insert(node, class).is_none(), "{node} twice");
    }
    out
}

#[test]
fn every_node_of_the_grammar_is_in_the_ledger_and_no_other() {
    let ledger = ledger();
    let listed: BTreeSet<_> = ledger.keys().copied().collect();
    let nodes: BTreeSet<_> = NODES.iter().map(|(node, _)| *node).collect();
    assert_eq!(nodes.difference(&listed).collect::<Vec<_>>(), Vec::<&&str>::new(), "not in the ledger");
    assert_eq!(listed.difference(&nodes).collect::<Vec<_>>(), Vec::<&&str>::new(), "not in the grammar");
    for (node, written) in NODES {
        assert_eq!(ledger[node] == "analysed", !written, "{node}");
    }
}

/// Every statement of the ledger stands at the top of a text in the fixtures, so each has a reading that was looked at.
#[test]
fn every_statement_of_the_ledger_has_a_row_in_the_fixtures() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/sql");
    let mut seen = BTreeSet::new();
    for file in std::fs::read_dir(directory).expect("fixtures").flatten() {
        let path = file.path();
        if path.extension().is_none_or(|extension| extension != "tsv") {
            continue;
        }
        for line in std::fs::read_to_string(&path).expect("a table").lines().filter(|line| !line.starts_with('#')) {
            let text = line.split('\t').next().unwrap_or_default().replace("\\n", "\n");
            for raw in pg_query::parse(&text, 0).map(|parsed| parsed.protobuf.stmts).unwrap_or_default() {
                if let Some(node) = raw.stmt.and_then(|stmt| stmt.node) {
                    seen.insert(tag(node.to_ref()));
                }
            }
        }
    }
    let missing: Vec<_> =
        ledger().into_iter().filter(|(node, class)| *class == "statement" && !seen.contains(node)).collect();
    assert_eq!(missing, vec![]);
}

/// Counts nodes by walking.
fn walked(node: NodeRef<'_>, counts: &mut BTreeMap<String, usize>) {
    *counts.entry(tag(node).to_lowercase()).or_default() += 1;
    let mut below = Vec::new();
    assert!(children(node, &mut |child| below.push(child)), "{} in a text", tag(node));
    for child in below {
        walked(child, counts);
    }
}

/// Counts the nodes that serde shows: objects in the place of the `Node` union.
fn shown(value: &serde_json::Value, counts: &mut BTreeMap<String, usize>) {
    match value {
        serde_json::Value::Object(fields) => {
            if let Some(serde_json::Value::Object(union)) = fields.get("node").filter(|_| fields.len() == 1) {
                for kind in union.keys() {
                    *counts.entry(kind.to_lowercase()).or_default() += 1;
                }
            }
            fields.values().for_each(|value| shown(value, counts));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|value| shown(value, counts)),
        _ => {}
    }
}

#[test]
fn a_walk_meets_every_node_of_the_tree() {
    let texts = [
        "WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a WHERE x < 3) SEARCH DEPTH FIRST BY x SET o \
         CYCLE x SET c USING p SELECT DISTINCT ON (a.x) a.*, (SELECT max(b) FILTER (WHERE b > 0) OVER w FROM t), \
         (ARRAY[1, 2])[1:2], ROW(1, 'x')::r, CASE WHEN $1 THEN 1 ELSE 2 END, coalesce(1, 2), x COLLATE \"C\" FROM ONLY s.t \
         AS a (x) TABLESAMPLE system (f(1)) REPEATABLE (2), LATERAL ROWS FROM (g(1) AS (i int)) WITH ORDINALITY, \
         u JOIN v USING (k) LEFT JOIN w ON EXISTS (SELECT) WHERE a IN (1, 2) AND b BETWEEN 1 AND 2 GROUP BY ROLLUP (1) \
         HAVING true WINDOW w AS (PARTITION BY a ORDER BY b ROWS BETWEEN f(1) PRECEDING AND CURRENT ROW) \
         ORDER BY x USING OPERATOR(pg_catalog.<) LIMIT (SELECT 1) OFFSET 1 FOR UPDATE OF a",
        "INSERT INTO t (a, b[1]) VALUES (DEFAULT, (SELECT 1)) ON CONFLICT (f(a)) WHERE b DO UPDATE SET (a, b) = \
         (SELECT 1, 2) WHERE t.a > excluded.a RETURNING *, old.a",
        "MERGE INTO t USING s ON t.i = s.i WHEN MATCHED AND s.d THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "SELECT * FROM JSON_TABLE(j, '$' PASSING 1 AS x COLUMNS (a int PATH '$.a' DEFAULT f(1) ON EMPTY, NESTED PATH \
         '$.b' COLUMNS (c text))) t, XMLTABLE('/a' PASSING x COLUMNS y int DEFAULT g(2))",
        "SELECT JSON_OBJECT('a': f(1) RETURNING jsonb), JSON_ARRAY(SELECT 1), JSON_ARRAYAGG(a ORDER BY b), \
         JSON_VALUE(a, '$.b' PASSING c AS d), xmlelement(name a, xmlattributes(b AS c), d), GROUPING(a)",
        "CREATE TABLE t (a int DEFAULT f(1) CHECK (g(a) > 0), b int GENERATED ALWAYS AS (h(a)) STORED, \
         FOREIGN KEY (a) REFERENCES u (b), EXCLUDE USING gist (c WITH =) WHERE (k(c))) PARTITION BY RANGE ((l(a)))",
        "CREATE FUNCTION f(a int DEFAULT g()) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; RETURN a; END",
        "CREATE RULE r AS ON UPDATE TO t WHERE old.a > 0 DO INSTEAD (DELETE FROM u; SELECT f(new.a))",
        "ALTER TABLE t ALTER a TYPE int USING f(a), ADD CHECK (g(b)); ALTER TABLE t ATTACH PARTITION p FOR VALUES FROM (h(1)) TO (2)",
        "GRANT SELECT (a), UPDATE ON t TO PUBLIC; COPY (SELECT 1) TO STDOUT (FORMAT csv); SET x = 1, 'a'",
        "ALTER PUBLICATION p ADD TABLE t (a) WHERE (f(b)); CREATE STATISTICS s ON (f(a)), b FROM t; LOCK TABLE a, b",
    ];
    for text in texts {
        let tree = pg_query::parse(text, 0).unwrap_or_else(|error| panic!("{error}: {text}")).protobuf;
        for raw in &tree.stmts {
            let node = raw.stmt.as_ref().and_then(|stmt| stmt.node.as_ref()).expect("a statement");
            let mut by_walk = BTreeMap::new();
            walked(node.to_ref(), &mut by_walk);
            let mut by_serde = BTreeMap::new();
            shown(&serde_json::to_value(raw).expect("a value"), &mut by_serde);
            // The walk also meets parts that are fields of a type of their own, which serde shows without their name.
            for (kind, count) in by_serde {
                assert!(by_walk.get(&kind).copied().unwrap_or(0) >= count, "{kind}: {count} in {text}");
            }
        }
    }
}
