//! The language of patterns, as a table: what is written, an object, whether it matches.

use super::*;
use crate::glob::Certainty::{Possibly, Surely};
use crate::matching::Taken;
use crate::samples::{columns, on, table};
use portcullis_model::{Action, Columns, Name, Object, Operation, Part, QualifiedName};

fn takes(pattern: &str, operation: &Operation, certainty: crate::glob::Certainty) -> bool {
    let patterns = parse(pattern).unwrap_or_else(|refused| panic!("{pattern}: {refused:?}"));
    patterns.iter().any(|one| one.takes(operation, certainty, None) != Taken::Nothing)
}

fn matches(pattern: &str, object: &Object) -> bool {
    takes(pattern, &Operation::new(Action::Read, object.clone()), Surely)
}

fn program(name: &str, subcommand: &str) -> Object {
    let subcommand = (!subcommand.is_empty()).then(|| Name::canonical(subcommand));
    Object::Program { name: Part::known(name), subcommand }
}

fn endpoint(method: &str, path: &str) -> Object {
    Object::Endpoint { method: Name::canonical(method), path: Name::canonical(path) }
}

fn item(kind: ItemKind, name: &str) -> Object {
    Object::Item { kind, name: QualifiedName::unresolved(name) }
}

#[test]
fn nouns_match_their_objects() {
    let view = Object::relation(QualifiedName::new("public", "v"), RelationKind::View);
    let matview = Object::relation(QualifiedName::new("public", "m"), RelationKind::MaterializedView);
    let index = Object::Item { kind: ItemKind::Index, name: QualifiedName::new("public", "i") };
    let trigger = Object::Item { kind: ItemKind::Trigger, name: QualifiedName::new("public", "t") };
    let file = |path: &str| Object::File(Part::known(path));
    let host = |text: &str| Object::Host(Part::known(text));
    let listener = |text: &str| Object::Listener(Part::known(text));
    for (pattern, object, expected) in [
        ("table public.*", table("public", "orders"), true),
        ("table public.*", table("hr", "orders"), false),
        ("table public.*", view.clone(), true),
        ("table public.*", matview.clone(), true),
        ("view public.*", view.clone(), true),
        ("view public.*", table("public", "v"), false),
        ("materialized view public.*", matview.clone(), true),
        ("materialized view public.*", view.clone(), false),
        ("view public.*", matview, false),
        ("table {public,hr}.o*", table("hr", "orders"), true),
        ("table **", table("hr", "orders"), true),
        ("table public.\"Order Items\"", table("public", "Order Items"), true),
        ("table public.\"a.b\"", table("public", "a.b"), true),
        ("table public.\"*\"", table("public", "orders"), false),
        ("function public.*", Object::Function(QualifiedName::new("public", "f")), true),
        ("function public.*", table("public", "f"), false),
        ("index public.*", index.clone(), true),
        ("sequence public.*", index, false),
        ("extension *", item(ItemKind::Extension, "postgis"), true),
        ("extension post*", item(ItemKind::Extension, "postgis"), true),
        ("extension dblink", item(ItemKind::Extension, "postgis"), false),
        ("trigger *", trigger.clone(), true),
        ("trigger public.*", trigger.clone(), true),
        ("trigger hr.*", trigger, false),
        ("foreign data wrapper *", item(ItemKind::ForeignDataWrapper, "w"), true),
        ("schema hr", Object::Schema(Part::known("hr")), true),
        ("schema \"HR\"", Object::Schema(Part::known("HR")), true),
        ("role app-*", Object::Role(Part::known("app-user")), true),
        ("role *", Object::Schema(Part::known("hr")), false),
        ("setting TimeZone", Object::Setting(Part::known("timezone")), true),
        ("setting ld_preload", Object::Setting(Part::known("LD_PRELOAD")), true),
        ("setting plpgsql.*", Object::Setting(Part::known("plpgsql.check_asserts")), true),
        ("database shop", Object::Database(Part::known("shop")), true),
        ("channel jobs_*", Object::Channel(Part::known("jobs_new")), true),
        ("model claude-3.5-*", Object::Model(Part::known("claude-3.5-sonnet")), true),
        ("tool Bash", Object::Tool(Part::known("Bash")), true),
        ("tool bash", Object::Tool(Part::known("Bash")), false),
        ("subsystem sftp", Object::Subsystem(Part::known("sftp")), true),
        ("program git", program("git", ""), true),
        ("program git", program("git", "push"), true),
        ("program git push", program("git", "push"), true),
        ("program git push", program("git", "pull"), false),
        ("program git push", program("git", ""), false),
        ("program git {push,fetch}", program("git", "fetch"), true),
        ("program git remote *", program("git", "remote add"), true),
        ("program git remote", program("git", "remote add"), false),
        ("program git **", program("git", "remote add"), true),
        ("program my\\ tool", program("my tool", ""), true),
        ("file /etc/**", file("/etc/passwd"), true),
        ("file /etc/**", file("/etc"), true),
        ("file /etc/**", file("/etcetera"), false),
        ("file /etc/*", file("/etc/ssh/key"), false),
        ("file /", file("/"), true),
        ("file /*", file("/"), false),
        ("file **/Makefile", file("/a/b/Makefile"), true),
        ("file **", file("~/x"), true),
        ("file ~/**", file("~/x/y"), true),
        ("file ~/**", file("/home/me/x"), false),
        ("file /a b/*", file("/a b/c"), true),
        ("host db.internal:5432", host("db.internal:5432"), true),
        ("host DB.internal:5432", host("db.internal:5432"), true),
        ("host *.internal:*", host("a.b.internal:22"), true),
        ("host *:22", host("a.b:2222"), false),
        ("host [::1]:22", host("[::1]:22"), true),
        ("host [::1]:*", host("[::1]"), true),
        ("host **", host("anything"), true),
        ("listener localhost:8080", listener("localhost:8080"), true),
        ("listener LOCALHOST:*", listener("localhost:8080"), true),
        ("listener localhost:0", listener("localhost:8080"), false),
        ("listener [::1]:*", listener("[::1]:80"), true),
        ("listener *:80", listener("localhost:80"), true),
        (r"listener \*:80", listener("*:80"), true),
        (r"listener \*:80", listener("localhost:80"), false),
        ("listener **", listener("localhost:80"), true),
        ("host localhost:8080", listener("localhost:8080"), false),
        ("host **", listener("localhost:8080"), false),
        ("listener localhost:8080", host("localhost:8080"), false),
        ("endpoint GET /orders/*", endpoint("GET", "/orders/7"), true),
        ("endpoint GET /orders/*", endpoint("GET", "/orders/"), false),
        ("endpoint GET /orders/*", endpoint("GET", "/orders/7/lines"), false),
        ("endpoint GET /orders/**", endpoint("GET", "/orders/7/lines"), true),
        ("endpoint {GET,HEAD} /**", endpoint("HEAD", "/"), true),
        ("endpoint * /orders/", endpoint("POST", "/orders/"), true),
        ("endpoint GET /orders", endpoint("POST", "/orders"), false),
        ("endpoint GET /Orders", endpoint("GET", "/orders"), false),
        ("endpoint GET /orders", endpoint("get", "/orders"), false),
        ("endpoint GET /**", endpoint("GET", "/"), true),
        ("endpoint GET /orders/**", endpoint("GET", "/orders"), true),
        ("endpoint GET /orders/**", endpoint("GET", "/orders-of-others"), false),
        ("endpoint GET /a/*/c", endpoint("GET", "/a/b%20b/c"), true),
        ("endpoint GET /a/*/c", endpoint("GET", "/a/b/b/c"), false),
        ("endpoint GET /caf%C3%A9/*", endpoint("GET", "/caf%C3%A9/7"), true),
        (r"endpoint GET /a\*", endpoint("GET", "/a*"), true),
        (r"endpoint GET /a\*", endpoint("GET", "/ab"), false),
        ("endpoint * /**/$batch", endpoint("POST", "/odata/$batch"), true),
        ("endpoint * /v1/*:delete", endpoint("POST", "/v1/users:delete"), true),
        (r"endpoint * /{a\,b,c}", endpoint("GET", "/a,b"), true),
        ("endpoint GET /**/admin/**", endpoint("GET", "/a/b/admin"), true),
        ("endpoint P* /orders", endpoint("PATCH", "/orders"), true),
        ("session sql", Object::Session(SessionKind::Sql), true),
        ("session {shell,guarded}", Object::Session(SessionKind::Guarded), true),
        ("session *", Object::Session(SessionKind::Shell), true),
        ("*", Object::Session(SessionKind::Sql), true),
        ("*", Object::Session(SessionKind::Shell), false),
        ("*", table("public", "orders"), true),
        ("*", Object::Unknown, true),
        ("**", view, true),
        ("unknown", Object::Unknown, true),
        ("unknown", table("public", "orders"), false),
        ("table *.*", Object::Unknown, false),
    ] {
        assert_eq!(matches(pattern, &object), expected, "{pattern} on {object}");
    }
}

#[test]
fn a_path_below_the_home_is_met_from_the_root_and_from_the_tilde() {
    let met = |pattern: &str, path: &str, home: &str| {
        let operation = Operation::new(Action::Read, Object::File(Part::known(path)));
        parse(pattern).unwrap().iter().any(|one| one.takes(&operation, Surely, Some(home)) != Taken::Nothing)
    };
    for (pattern, path, home, expected) in [
        ("file ~/**", "/home/me/x/y", "/home/me", true),
        ("file ~/**", "/home/me", "/home/me/", true),
        ("file ~/**", "/home/mean/x", "/home/me", false),
        ("file /home/me/x", "~/x", "/home/me", true),
        ("file /home/me/**", "~", "/home/me", true),
        ("file /home/**/key", "~/.ssh/key", "/home/me", true),
        ("file /home/me/x", "~other/x", "/home/me", false),
        ("file ~/x", "/x", "/", true),
        ("file /x", "~/x", "/", true),
        ("file /etc/passwd", "~/x", "/home/me", false),
    ] {
        assert_eq!(met(pattern, path, home), expected, "{pattern} on {path} at {home}");
    }
}

#[test]
fn what_is_not_known_is_taken_surely_by_a_star_and_possibly_by_anything() {
    let somewhere = Object::relation(QualifiedName::unresolved("orders"), RelationKind::Table);
    let any_of_hr = Object::relation(QualifiedName::anything_in("hr"), RelationKind::Table);
    for (pattern, object, surely, possibly) in [
        ("table public.orders", somewhere.clone(), false, true),
        ("table *.orders", somewhere.clone(), true, true),
        ("table pub*.orders", somewhere.clone(), false, true),
        ("table public.customers", somewhere.clone(), false, false),
        ("view public.orders", somewhere, false, true),
        ("table hr.*", any_of_hr.clone(), true, true),
        ("table hr.employees", any_of_hr.clone(), false, true),
        ("table public.*", any_of_hr, false, false),
        ("function public.f", Object::Function(QualifiedName::unknown()), false, true),
        ("role *", Object::Role(Part::Unknown), true, true),
        ("role dba", Object::Role(Part::Unknown), false, true),
        ("file /etc/**", Object::File(Part::Unknown), false, true),
        ("file **", Object::File(Part::Unknown), true, true),
        ("host a:*", Object::Host(Part::known("a")), true, true),
        ("host a:22", Object::Host(Part::known("a")), false, true),
        ("host b:22", Object::Host(Part::known("a")), false, false),
        ("host *:22", Object::Host(Part::Unknown), false, true),
        ("listener localhost:*", Object::Listener(Part::known("localhost")), true, true),
        ("listener localhost:80", Object::Listener(Part::known("localhost")), false, true),
        ("listener *:80", Object::Listener(Part::Unknown), false, true),
        ("program rm", Object::Program { name: Part::Unknown, subcommand: None }, false, true),
        ("program git push", Object::Program { name: Part::Unknown, subcommand: None }, false, true),
        ("table hr.*", Object::Unknown, false, true),
        ("file /etc/**", Object::Unknown, false, true),
        ("*", Object::Unknown, true, true),
        ("*", Object::Session(SessionKind::Shell), false, true),
        ("endpoint POST /orders", endpoint("POST", "/orders/"), false, true),
        ("endpoint POST /orders/", endpoint("POST", "/orders"), false, true),
        ("endpoint POST /orders/*", endpoint("POST", "/orders/7/"), false, true),
        ("endpoint POST /orders/*", endpoint("POST", "/orders/"), false, false),
        ("endpoint POST /orders/*", endpoint("POST", "/orders"), false, false),
        ("endpoint POST /orders", endpoint("PUT", "/orders/"), false, false),
        ("endpoint POST /orders", endpoint("POST", "/orders/7"), false, false),
        ("endpoint POST /", endpoint("POST", "/"), true, true),
        ("endpoint POST /a", endpoint("POST", "/"), false, false),
    ] {
        let operation = Operation::new(Action::Read, object);
        assert_eq!(takes(pattern, &operation, Surely), surely, "{pattern} surely on {operation}");
        assert_eq!(takes(pattern, &operation, Possibly), possibly, "{pattern} possibly on {operation}");
    }
}

#[test]
fn a_column_pattern_looks_at_columns_and_a_table_pattern_does_not() {
    let read = |columns| on(Action::Read, "hr", "employees").naming(columns);
    for (pattern, operation, surely, possibly) in [
        ("column hr.employees.salary", read(columns(&["id", "salary"])), true, true),
        ("column hr.employees.salary", read(columns(&["id"])), false, false),
        ("column hr.employees.salary", read(Columns::None), false, false),
        ("column hr.employees.salary", read(Columns::Unknown), false, true),
        ("column hr.employees.*", read(Columns::Unknown), true, true),
        ("column **.salary", read(columns(&["salary"])), true, true),
        ("column public.*.*", read(columns(&["salary"])), false, false),
        ("table hr.*", read(columns(&["salary"])), true, true),
        ("table hr.*", read(Columns::Unknown), true, true),
    ] {
        assert_eq!(takes(pattern, &operation, Surely), surely, "{pattern} surely on {operation}");
        assert_eq!(takes(pattern, &operation, Possibly), possibly, "{pattern} possibly on {operation}");
    }
}

#[test]
fn what_would_silently_match_nothing_is_refused_with_help() {
    for (pattern, message, help) in [
        ("public.*", "unknown object `public.*`", "say what it is, as in `table public.*`"),
        ("tabel public.*", "unknown object `tabel public.*`", "did you mean `table public.*`?"),
        ("Table public.*", "unknown object `Table public.*`", "did you mean `table public.*`?"),
        (
            "orders",
            "unknown object `orders`",
            "a pattern starts with its noun, as in `table public.*` or `program git push`",
        ),
        ("table", "`table` names no object", "write `table public.*`"),
        (
            "table orders",
            "`table orders` is not SCHEMA.NAME",
            "write `table *.orders` for any schema, or name it as in `table public.orders`",
        ),
        (
            "table *",
            "`table *` is not SCHEMA.NAME",
            "write `table *.*` for any schema, or name it as in `table public.*`",
        ),
        ("table a.b.c", "`table a.b.c` is not SCHEMA.NAME", "a dot inside a name is quoted, as in `public.\"a.b\"`"),
        (
            "table public.Orders",
            "`public.Orders` has capitals outside quotes",
            "write `public.orders`, or quote it if the name really has capitals",
        ),
        (
            "table ?.orders",
            "`?` in `?.orders` is no wildcard",
            "an unknown name prints as `?`; a pattern takes it with `*`",
        ),
        (
            "table public.order items",
            "a blank in `public.order items`",
            "quote names that hold one, as in `public.\"order items\"`",
        ),
        (
            "column orders.total",
            "`column orders.total` is not SCHEMA.TABLE.COLUMN",
            "write `column *.orders.total` for any schema",
        ),
        (
            "function public.f(int)",
            "arguments in `public.f(int)`",
            "a pattern covers every overload: leave the arguments out",
        ),
        (
            "extension public.x",
            "`extension public.x` has a schema, and its kind lives in none",
            "a dot inside a name is quoted, as in `\"a.b\"`",
        ),
        ("file etc/passwd", "`file etc/passwd` is not a whole path", "start it with `/`, `~/` or `**/`"),
        ("file /etc/", "`file /etc/` ends in a slash", "write `file /etc/**` for all that lies in it"),
        (
            "file /etc/../root",
            "`file /etc/../root` is not a resolved path",
            "write the path without `.` and `..`, as it is once resolved",
        ),
        (
            "endpoint GET /orders?all",
            "`endpoint GET /orders?all` has a query",
            "a pattern is about the path alone: leave out what follows it",
        ),
        ("host db.internal", "`host db.internal` names no port", "write `host db.internal:*` for any port"),
        ("listener localhost", "`listener localhost` names no port", "write `listener localhost:*` for any port"),
        (
            "endpoint /orders",
            "`endpoint /orders` is not METHOD PATH",
            "write method and path, as in `endpoint GET /orders/**`",
        ),
        (
            "endpoint get /orders",
            "`endpoint get /orders` has a method in small letters",
            "write the method in capitals, as in `GET`",
        ),
        ("endpoint GET /a b", "`endpoint GET /a b` has a ` ` in its path", "write it `%20`"),
        ("endpoint GET /café", "`endpoint GET /café` has a `é` in its path", "write it `%C3%A9`"),
        (r"endpoint GET /\{id\}", r"`endpoint GET /\{id\}` has a `{` in its path", "write it `%7B`"),
        (
            "endpoint GET /caf%c3%a9",
            "`endpoint GET /caf%c3%a9` has a `%` that is no escape",
            "an escape is a `%` and two hexadecimal digits in capitals, without a `*` or braces in it",
        ),
        (
            "endpoint GET /a%2*",
            "`endpoint GET /a%2*` has a `%` that is no escape",
            "an escape is a `%` and two hexadecimal digits in capitals, without a `*` or braces in it",
        ),
        (
            "endpoint GET /%61dmin",
            "`endpoint GET /%61dmin` escapes `a`, which a canonical path never does",
            "write `a`",
        ),
        (
            "endpoint GET /users/a%40b.c",
            "`endpoint GET /users/a%40b.c` escapes `@`, which a canonical path never does",
            "write `@`",
        ),
        (
            "endpoint * /{a,%24batch}",
            "`endpoint * /{a,%24batch}` escapes `$`, which a canonical path never does",
            "write `$`",
        ),
        ("endpoint GET /a%2A", "`endpoint GET /a%2A` escapes `*`, which a canonical path never does", r"write `\*`"),
        (
            "endpoint GET /a%2Fb",
            "`endpoint GET /a%2Fb` has an escaped `/`, which no canonical path holds",
            "such a request is refused before it is judged: leave the pattern out",
        ),
        (
            r"endpoint GET /a\/b",
            r"`endpoint GET /a\/b` quotes a slash",
            r"a slash always ends a segment: leave the `\` out",
        ),
        ("endpoint GET orders", "`endpoint GET orders` is not a whole path", "start it with `/` or `**/`"),
        ("session shel", "`session shel` is no kind of session", "did you mean `session shell`?"),
        (
            "session tty",
            "`session tty` is no kind of session",
            "the kinds are `sql`, `http`, `exec`, `guarded`, `shell` and `sftp`",
        ),
    ] {
        let refused = parse(pattern).expect_err(pattern);
        assert_eq!((refused.message.as_str(), refused.help.as_deref()), (message, Some(help)), "{pattern}");
    }
    for pattern in ["table public.a**", "table public.", "table {a.b", "file /a//b", "table public.\"x"] {
        assert!(parse(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn every_noun_of_the_model_has_a_pattern() {
    let part = || Part::known("x");
    let name = || QualifiedName::new("s", "x");
    let mut objects = vec![
        table("s", "x"),
        Object::relation(name(), RelationKind::View),
        Object::relation(name(), RelationKind::MaterializedView),
        Object::Function(name()),
        Object::Schema(part()),
        Object::Role(part()),
        Object::Setting(part()),
        Object::Database(part()),
        Object::Channel(part()),
        Object::Model(part()),
        Object::Tool(part()),
        Object::Subsystem(part()),
        program("x", "y z"),
        Object::File(Part::known("/x/y")),
        Object::Host(Part::known("x:1")),
        Object::Listener(Part::known("x:1")),
        endpoint("GET", "/x"),
        Object::Unknown,
    ];
    objects.extend(SESSIONS.iter().map(|kind| Object::Session(*kind)));
    for kind in ItemKind::ALL {
        let name = if placement(*kind) == Placement::Alone { QualifiedName::unresolved("x") } else { name() };
        objects.push(Object::Item { kind: *kind, name });
    }
    for object in objects {
        assert!(matches(&object.to_string(), &object), "`{object}` as printed matches itself");
    }
}
