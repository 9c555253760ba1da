//! The set queries over the system catalogues, for PostgreSQL 14 to 18.
//!
//! Every name is qualified, so that no search path and no user's operator changes what is asked; the search path of the
//! connection is `pg_catalog` alone, so that what the server deparses names every user's object with its schema.
//! Temporary objects are left out: they are other sessions'. The order of the list is the order in which
//! [`build`](super::build) takes the results.
//!
//! Held by: `tests/it/catalogue.rs`.

/// Names of schemas.
pub(super) const SCHEMAS: &str = "SELECT nspname FROM pg_catalog.pg_namespace \
     WHERE nspname !~ '^pg_(toast_)?temp_[0-9]+$'";

/// Relation: oid, schema, name, kind, the query of a view that is not the server's own.
pub(super) const RELATIONS: &str = "SELECT c.oid, n.nspname, c.relname, c.relkind, \
     CASE WHEN c.relkind IN ('v', 'm') AND c.oid >= 16384 THEN pg_catalog.pg_get_viewdef(c.oid) END \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relpersistence <> 't'";

/// Column: relation, number, name, type, collation, NOT NULL, generated, expression of default or generation.
pub(super) const COLUMNS: &str = "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.attcollation, a.attnotnull, \
     a.attgenerated, \
     CASE WHEN a.atthasdef THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END \
     FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c', 'S')";

/// Inheritance: child, parent.
pub(super) const INHERITANCE: &str = "SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits";

/// What the query of a view reads: view, relation.
pub(super) const VIEW_READS: &str = "SELECT DISTINCT r.ev_class, d.refobjid FROM pg_catalog.pg_rewrite r \
     JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid \
     WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND r.rulename = '_RETURN' \
     AND d.refobjid <> r.ev_class";

/// Rewrite rule: relation, name, event, INSTEAD, text.
pub(super) const RULES: &str = "SELECT ev_class, rulename, ev_type, is_instead, pg_catalog.pg_get_ruledef(oid) \
     FROM pg_catalog.pg_rewrite WHERE rulename <> '_RETURN' AND ev_enabled <> 'D'";

/// Trigger: relation, name, type bits, function, enabled.
pub(super) const TRIGGERS: &str = "SELECT tgrelid, tgname, tgtype, tgfoid, tgenabled IN ('O', 'A') \
     FROM pg_catalog.pg_trigger WHERE NOT tgisinternal";

/// Foreign key: referenced relation, referencing relation, on delete, on update, referencing columns, referenced ones.
pub(super) const FOREIGN_KEYS: &str = "SELECT k.confrelid, k.conrelid, k.confdeltype, k.confupdtype, \
     pg_catalog.array_to_json(ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u(n, o) \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.o)), \
     pg_catalog.array_to_json(ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY u(n, o) \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.o)) \
     FROM pg_catalog.pg_constraint k WHERE k.contype = 'f'";

/// Functions that constraints, indexes, defaults and generated columns call: relation, function.
pub(super) const RELATION_FUNCTIONS: &str = "SELECT DISTINCT x.relation, d.refobjid FROM (\
     SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid AS class, oid AS object, conrelid AS relation \
     FROM pg_catalog.pg_constraint WHERE conrelid <> 0 \
     UNION ALL SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid, oid, adrelid FROM pg_catalog.pg_attrdef \
     UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, indexrelid, indrelid FROM pg_catalog.pg_index \
     UNION ALL SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass::pg_catalog.oid, oid, polrelid FROM pg_catalog.pg_policy) x \
     JOIN pg_catalog.pg_depend d ON d.classid = x.class AND d.objid = x.object \
     WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass";

/// Function: oid, schema, name, argument types, volatility, language, SECURITY DEFINER, procedure, source.
pub(super) const FUNCTIONS: &str = "SELECT p.oid, n.nspname, p.proname, p.proargtypes, p.provolatile, l.lanname, p.prosecdef, \
     p.prokind = 'p', CASE WHEN l.lanname NOT IN ('c', 'internal') \
     THEN COALESCE(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) END \
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
     JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
     WHERE p.oid >= 16384 OR n.nspname NOT IN ('pg_catalog', 'information_schema')";

/// Type: oid, schema, name, relation of a composite type.
pub(super) const TYPES: &str = "SELECT t.oid, n.nspname, t.typname, t.typrelid \
     FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
     WHERE (t.oid >= 16384 OR n.nspname NOT IN ('pg_catalog', 'information_schema')) \
     AND n.nspname !~ '^pg_(toast_)?temp_[0-9]+$'";

/// Functions that reading a value of a type runs: type, function. A domain runs its checks and its base type's input.
pub(super) const TYPE_FUNCTIONS: &str = "WITH RECURSIVE base(type, over) AS (\
     SELECT oid, oid FROM pg_catalog.pg_type WHERE oid >= 16384 \
     UNION SELECT b.type, t.typbasetype FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.over WHERE t.typbasetype <> 0), \
     runs(over, function) AS (\
     SELECT t.oid, f.oid FROM pg_catalog.pg_type t, LATERAL (VALUES (t.typinput::pg_catalog.oid), (t.typreceive::pg_catalog.oid), \
     (t.typmodin::pg_catalog.oid)) f(oid) WHERE f.oid >= 16384 \
     UNION SELECT r.rngtypid, f.oid FROM pg_catalog.pg_range r, LATERAL (VALUES (r.rngcanonical::pg_catalog.oid), \
     (r.rngsubdiff::pg_catalog.oid)) f(oid) WHERE f.oid >= 16384 \
     UNION SELECT k.contypid, d.refobjid FROM pg_catalog.pg_constraint k \
     JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = k.oid \
     WHERE k.contypid <> 0 AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass) \
     SELECT DISTINCT b.type, r.function FROM base b JOIN runs r ON r.over = b.over";

/// Operator that a user defined: schema, symbol, function.
pub(super) const OPERATORS: &str = "SELECT n.nspname, o.oprname, o.oprcode::pg_catalog.oid FROM pg_catalog.pg_operator o \
     JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid >= 16384 OR n.nspname <> 'pg_catalog'";

/// Cast that a user defined: target type, function.
pub(super) const CASTS: &str =
    "SELECT casttarget, castfunc FROM pg_catalog.pg_cast WHERE oid >= 16384 AND castfunc <> 0";

/// All of them, in the order in which the results are taken.
pub(super) const ALL: [&str; 14] = [
    SCHEMAS,
    RELATIONS,
    COLUMNS,
    INHERITANCE,
    VIEW_READS,
    RULES,
    TRIGGERS,
    FOREIGN_KEYS,
    RELATION_FUNCTIONS,
    FUNCTIONS,
    TYPES,
    TYPE_FUNCTIONS,
    OPERATORS,
    CASTS,
];
