//! A catalogue like that of a small shop: three schemas, views, partitions, inheritance, keys, functions.

use portcullis_model::Name;
use portcullis_model::catalogue::{
    Catalogue, Column, Contents, FiredBy, Function, Oid, ReferencedBy, ReferentialAction, RelKind, Relation, Rule,
    Trigger, Type, UserOperator, Volatility,
};
use portcullis_sql::{Scope, SearchPath};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The type ids that columns here have.
const TYPES: [(&str, Oid); 11] = [
    ("int", 23),
    ("bigint", 20),
    ("text", 25),
    ("numeric", 1700),
    ("date", 1082),
    ("timestamptz", 1184),
    ("jsonb", 3802),
    ("bool", 16),
    ("bytea", 17),
    ("text[]", 1009),
    ("email", 70001),
];

fn name(text: &str) -> Name {
    Name::canonical(text)
}

/// A relation with these columns.
pub(crate) fn relation(oid: Oid, full: &str, kind: RelKind, columns: &str) -> Relation {
    let (schema, table) = full.split_once('.').expect("a schema");
    let columns = columns.split(", ").filter(|column| !column.is_empty()).enumerate().map(|(at, column)| {
        let (column, type_name) = column.split_once(' ').unwrap_or((column, "text"));
        Column {
            number: i16::try_from(at + 1).expect("few columns"),
            name: name(column),
            type_oid: TYPES.iter().find(|(known, _)| *known == type_name).map_or(25, |(_, oid)| *oid),
            collation: 0,
            not_null: column == "id",
            generated: None,
            derived: None,
            default: (full == "public.orders" && column == "id")
                .then(|| "nextval('public.orders_id_seq'::regclass)".into()),
        }
    });
    Relation {
        oid,
        schema: name(schema),
        name: name(table),
        kind,
        columns: columns.collect(),
        children: Vec::new(),
        parents: Vec::new(),
        definition: None,
        reads: Vec::new(),
        rules: Vec::new(),
        triggers: Vec::new(),
        referenced_by: Vec::new(),
        functions: Vec::new(),
    }
}

/// A view.
pub(crate) fn view(oid: Oid, full: &str, columns: &str, reads: &[Oid], definition: &str) -> Relation {
    let mut view = relation(oid, full, RelKind::View, columns);
    view.reads = reads.to_vec();
    view.definition = Some(definition.into());
    view
}

fn key(relation: Oid, columns: &str, referenced: &str, on_delete: ReferentialAction) -> ReferencedBy {
    ReferencedBy {
        relation,
        on_delete,
        on_update: if on_delete == ReferentialAction::NoAction { on_delete } else { ReferentialAction::Cascade },
        columns: columns.split(',').map(name).collect(),
        referenced: referenced.split(',').map(name).collect(),
    }
}

fn tables() -> Vec<Relation> {
    use RelKind::{ForeignTable, PartitionedTable, Sequence, Table};
    let customers = "id int, name text, email email, phone text, ssn text, card_number text, address jsonb, notes text, \
                     created_at timestamptz, loyalty_points int, balance numeric, tier text, alt_emails text[]";
    let shipments = "id int, order_id int, shipped_on date, carrier text, recipient_phone text";
    vec![
        relation(1, "public.customers", Table, customers),
        relation(
            2,
            "public.products",
            Table,
            "id int, sku text, title text, price numeric, stock int, tags text[], active bool",
        ),
        relation(
            3,
            "public.orders",
            Table,
            "id int, customer_id int, placed_on date, status text, total numeric, comment text",
        ),
        relation(
            4,
            "public.order_items",
            Table,
            "order_id int, line_no int, product_id int, quantity int, unit_price numeric",
        ),
        relation(
            5,
            "public.payments",
            Table,
            "id int, order_id int, amount numeric, method text, status text, paid_at timestamptz",
        ),
        relation(6, "public.api_keys", Table, "id int, customer_id int, label text, token text, scopes text[]"),
        relation(7, "public.scratch", Table, "id int, n bigint, body text, doc jsonb"),
        relation(8, "public.feedback", Table, "id int, product_id int, stars int, remark text"),
        relation(9, "public.shipments", PartitionedTable, shipments),
        relation(10, "public.shipments_2023", Table, shipments),
        relation(11, "public.shipments_rest", Table, shipments),
        relation(12, "public.contacts", Table, "id int, name text, email text"),
        relation(13, "public.vip_contacts", Table, "id int, name text, email text, private_line text"),
        relation(
            14,
            "hr.employees",
            Table,
            "id int, name text, department text, salary numeric, ssn text, photo bytea, manager_id int",
        ),
        relation(15, "hr.reviews", Table, "id int, employee_id int, year int, grade text"),
        relation(
            16,
            "audit.events",
            Table,
            "id bigint, at timestamptz, actor text, action text, table_name text, row_data jsonb",
        ),
        relation(17, "public.orders_id_seq", Sequence, "last_value bigint, log_cnt bigint, is_called bool"),
        relation(18, "public.parents", Table, "id int, name text"),
        relation(19, "public.kids", Table, "id int, parent_id int, toy text"),
        relation(20, "public.toys", Table, "id int, kid_id int"),
        relation(21, "public.ruled", Table, "id int, note text"),
        relation(22, "public.Quoted Name", Table, "id int, Strange text"),
        relation(23, "public.customers_created_idx", RelKind::Index, "created_at timestamptz"),
        relation(24, "public.far_orders", ForeignTable, "id int, total numeric"),
        relation(25, "pg_catalog.pg_class", Table, "oid int, relname text, relnamespace int, relkind text"),
        relation(26, "pg_catalog.pg_namespace", Table, "oid int, nspname text"),
        relation(27, "pg_catalog.pg_authid", Table, "oid int, rolname text, rolpassword text"),
        relation(28, "evil.widgets", Table, "id int"),
        relation(29, "pg_catalog.pg_stat_activity", RelKind::View, "pid int, query text, application_name text"),
        relation(30, "pg_catalog.pg_largeobject_metadata", Table, "oid int"),
        relation(31, "information_schema.sql_features", Table, "feature_id text"),
        relation(32, "pg_catalog.pg_stats", RelKind::View, "tablename text, most_common_vals text"),
        relation(33, "pg_catalog.pg_stat_user_tables", RelKind::View, "relname text, n_live_tup int, seq_scan int"),
    ]
}

fn views() -> Vec<Relation> {
    let mut trapped = view(44, "public.trapped", "id int, name text", &[14], " SELECT id, name FROM hr.employees;");
    trapped.triggers = vec![Trigger {
        name: name("t"),
        events: vec![FiredBy::Delete],
        instead_of: true,
        function: 101,
        enabled: true,
    }];
    let mut ruled = view(45, "public.ruled_view", "id int", &[5], " SELECT payments.id FROM payments;");
    ruled.rules = vec![Rule {
        name: name("r"),
        event: FiredBy::Delete,
        instead: true,
        definition: "CREATE RULE r AS ON DELETE TO public.ruled_view DO INSTEAD DELETE FROM public.customers WHERE \
                     (customers.id = old.id);"
            .into(),
    }];
    let mut summary = view(46, "public.customer_summary", "id int, name text, contact text", &[1, 3], " SELECT 1;");
    summary.kind = RelKind::MaterializedView;
    vec![
        view(
            47,
            "public.safe_customers",
            "id int, name text, tier text",
            &[1],
            " SELECT id, name, tier FROM customers;",
        ),
        view(
            40,
            "public.customer_directory",
            "id int, name text, email text, phone text",
            &[1],
            " SELECT customers.id,\n    customers.name,\n    customers.email,\n    customers.phone\n   FROM customers;",
        ),
        view(
            41,
            "public.staff_directory",
            "id int, name text, team text",
            &[14],
            " SELECT id, name, department AS team FROM hr.employees WHERE (id IN ( SELECT reviews.id FROM hr.reviews));",
        ),
        view(
            42,
            "public.outer_directory",
            "id int, name text, team text",
            &[41],
            " SELECT id, name, team FROM public.staff_directory;",
        ),
        view(
            43,
            "public.order_contacts",
            "order_id int, name text",
            &[1, 3],
            " SELECT o.id AS order_id, c.name FROM (public.orders o JOIN public.customers c ON ((c.id = o.customer_id)));",
        ),
        trapped,
        ruled,
        summary,
    ]
}

/// A volatile function.
pub(crate) fn function(oid: Oid, full: &str, procedure: bool) -> Function {
    let (schema, called) = full.split_once('.').expect("a schema");
    Function {
        oid,
        schema: name(schema),
        name: name(called),
        arguments: Vec::new(),
        volatility: Volatility::Volatile,
        language: name("plpgsql"),
        security_definer: false,
        procedure,
        source: None,
    }
}

/// What the catalogue is made of.
pub(crate) fn contents() -> Contents {
    let mut relations = tables();
    relations.extend(views());
    let mut with = |oid: Oid, change: &dyn Fn(&mut Relation)| {
        change(relations.iter_mut().find(|relation| relation.oid == oid).expect("listed"));
    };
    with(9, &|shipments| shipments.children = vec![10, 11]);
    with(12, &|contacts| contacts.children = vec![13]);
    with(1, &|customers| {
        customers.referenced_by = vec![
            key(3, "customer_id", "id", ReferentialAction::NoAction),
            key(6, "customer_id", "id", ReferentialAction::NoAction),
        ];
    });
    with(3, &|orders| orders.referenced_by = vec![key(5, "order_id", "id", ReferentialAction::NoAction)]);
    with(18, &|parents| parents.referenced_by = vec![key(19, "parent_id", "id", ReferentialAction::Cascade)]);
    with(19, &|kids| kids.referenced_by = vec![key(20, "kid_id", "id", ReferentialAction::SetNull)]);
    with(21, &|ruled| {
        ruled.rules = vec![Rule {
            name: name("wipe"),
            event: FiredBy::Insert,
            instead: false,
            definition: "CREATE RULE wipe AS ON INSERT TO public.ruled DO DELETE FROM public.payments;".into(),
        }];
    });
    let schemas = ["public", "hr", "audit", "evil", "pg_catalog", "information_schema", "pg_toast"];
    Contents {
        schemas: schemas.into_iter().map(name).collect(),
        relations,
        functions: vec![
            function(101, "public.purge_payments", false),
            function(102, "public.order_total", false),
            function(103, "public.reset_demo", true),
            function(104, "audit.log_change", false),
            function(105, "evil.upper", false),
            function(106, "hr.top_pay", false),
            function(107, "public.email_check", false),
            function(108, "public.op_match", false),
            function(109, "public.to_email", false),
            function(110, "public.shout", false),
        ],
        types: vec![
            Type {
                oid: 70001,
                schema: name("public"),
                name: name("email_address"),
                relation: None,
                functions: vec![107],
            },
            Type { oid: 70002, schema: name("public"), name: name("customer_tier"), relation: None, functions: vec![] },
        ],
        operators: vec![UserOperator { schema: name("public"), name: name("==="), function: 108 }],
        casts: vec![(70001, 109), (3802, 109)],
    }
}

/// The catalogue.
pub(crate) fn catalogue() -> Arc<Catalogue> {
    Arc::new(Catalogue::new(1, contents()))
}

/// The catalogue under the path `public`.
pub(crate) fn scope() -> Scope {
    Scope {
        catalogue: catalogue(),
        search_path: SearchPath::Known(Arc::new([name("public")])),
        temporary: Arc::new(BTreeSet::new()),
        uncertain: false,
        user: Some(name("shop_agent")),
        assume: None,
    }
}
