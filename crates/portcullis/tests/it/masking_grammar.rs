//! Statements made at random over the database of [`masking_secrets`](crate::masking_secrets): nested as people and tools
//! nest them, and in ways nobody would. Most are valid; an error is an answer too.
//!
//! Promises: the same seed gives the same statement. What a column is called tells nothing: aliases are taken from the
//! names of other columns and relations. Does not promise a valid statement, or that every rule of the grammar is reached
//! by a small number of cases.

mod from;
mod value;

use crate::masking_secrets::Dice;

/// What a value is, as far as the generator must know to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    Bytes,
    Date,
    Home,
    Int,
    Json,
    Num,
    Tags,
    Text,
}

const TYPES: [Ty; 12] = [
    Ty::Bytes,
    Ty::Date,
    Ty::Home,
    Ty::Int,
    Ty::Int,
    Ty::Json,
    Ty::Num,
    Ty::Tags,
    Ty::Text,
    Ty::Text,
    Ty::Text,
    Ty::Text,
];

/// A column of something in FROM; `hot` where it holds, or may hold, what is protected.
#[derive(Clone, Debug)]
struct Column {
    name: String,
    ty: Ty,
    hot: bool,
}

#[derive(Clone, Debug)]
struct Source {
    alias: String,
    columns: Vec<Column>,
}

const PEOPLE: &[(&str, Ty, bool)] = &[
    ("id", Ty::Int, false),
    ("name", Ty::Text, false),
    ("city", Ty::Text, false),
    ("score", Ty::Int, false),
    ("ssn", Ty::Text, true),
    ("email", Ty::Text, true),
    ("tax", Ty::Text, true),
    ("profile", Ty::Json, true),
    ("dossier", Ty::Json, true),
    ("tags", Ty::Tags, true),
    ("balance", Ty::Num, true),
    ("born", Ty::Date, true),
    ("photo", Ty::Bytes, true),
    ("home", Ty::Home, true),
    ("search", Ty::Text, true),
];
const VISITS: &[(&str, Ty, bool)] =
    &[("id", Ty::Int, false), ("person_id", Ty::Int, false), ("reason", Ty::Text, true), ("fee", Ty::Num, false)];
type Relation = (&'static str, &'static [(&'static str, Ty, bool)]);
const RELATIONS: [Relation; 13] = [
    ("people", PEOPLE),
    ("people", PEOPLE),
    ("people", PEOPLE),
    ("public.people", PEOPLE),
    ("ONLY people", PEOPLE),
    ("staff", PEOPLE),
    ("visits", VISITS),
    ("visits_early", VISITS),
    (
        "orders",
        &[
            ("id", Ty::Int, false),
            ("person_id", Ty::Int, false),
            ("item", Ty::Text, false),
            ("total", Ty::Num, false),
            ("placed", Ty::Date, false),
        ],
    ),
    (
        "contacts",
        &[("id", Ty::Int, false), ("name", Ty::Text, false), ("contact", Ty::Text, true), ("code", Ty::Text, true)],
    ),
    ("roster", &[("id", Ty::Int, false), ("name", Ty::Text, false), ("t", Ty::Text, true), ("s", Ty::Text, true)]),
    (
        "directory",
        &[("id", Ty::Int, false), ("contact", Ty::Text, true), ("home", Ty::Home, true), ("street", Ty::Text, true)],
    ),
    ("everybody()", PEOPLE),
];

/// Names that mean something elsewhere.
const NAMES: [&str; 14] =
    ["id", "name", "ssn", "city", "people", "orders", "x", "email", "score", "item", "t", "home", "value", "profile"];

/// A query and what it gives.
#[derive(Clone, Debug)]
struct Query {
    sql: String,
    columns: Vec<Column>,
}

pub(crate) struct Grammar {
    dice: Dice,
    fresh: usize,
    /// What may be named, the innermost FROM last.
    sources: Vec<Source>,
    /// Names of WITH.
    tables: Vec<Source>,
}

impl Grammar {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), fresh: 0, sources: Vec::new(), tables: Vec::new() }
    }

    pub(crate) const fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// One SELECT.
    pub(crate) fn select(&mut self) -> String {
        self.query(3, None).sql
    }

    fn alias(&mut self) -> String {
        self.fresh += 1;
        let name = self.dice.pick(&NAMES);
        let taken = self.sources.iter().any(|source| source.alias == name);
        if self.dice.one_in(8) && !taken { name.to_owned() } else { format!("a{}", self.fresh) }
    }

    fn ty(&mut self) -> Ty {
        TYPES[self.dice.below(TYPES.len())]
    }

    /// A query of these types, or of any.
    fn query(&mut self, depth: usize, wanted: Option<&[Ty]>) -> Query {
        let tables = self.tables.len();
        let with = if depth > 0 && self.dice.one_in(5) { self.with(depth - 1) } else { String::new() };
        let mut query = match self.dice.below(12) {
            0 if depth > 0 => self.set_operation(depth - 1, wanted),
            1 => self.values(wanted),
            2 | 3 => self.aggregated(depth, wanted),
            _ => self.plain(depth, wanted),
        };
        self.tables.truncate(tables);
        query.sql = format!("{with}{}", query.sql);
        query
    }

    fn with(&mut self, depth: usize) -> String {
        let recursive = self.dice.one_in(4);
        let mut parts = Vec::new();
        for _ in 0..=self.dice.below(2) {
            let name = self.alias();
            let mut query = self.query(depth, None);
            let list = self.column_list(&mut query.columns);
            let how = self.dice.pick(&["AS", "AS MATERIALIZED", "AS NOT MATERIALIZED"]);
            if recursive && self.dice.one_in(2) {
                query.sql = format!("({}) UNION ALL SELECT {name}.* FROM {name} WHERE false", query.sql);
            }
            parts.push(format!("{name}{list} {how} ({})", query.sql));
            self.tables.push(Source { alias: name, columns: query.columns });
        }
        format!("WITH {}{} ", if recursive { "RECURSIVE " } else { "" }, parts.join(", "))
    }

    /// Sometimes a list of names for the first columns, which then are called so.
    fn column_list(&mut self, columns: &mut [Column]) -> String {
        if columns.is_empty() || !self.dice.one_in(4) {
            return String::new();
        }
        let many = 1 + self.dice.below(columns.len());
        let mut names = Vec::new();
        for (at, column) in columns.iter_mut().take(many).enumerate() {
            column.name =
                if self.dice.one_in(2) { format!("c{at}") } else { format!("{}{at}", self.dice.pick(&NAMES)) };
            names.push(column.name.clone());
        }
        format!("({})", names.join(", "))
    }

    fn set_operation(&mut self, depth: usize, wanted: Option<&[Ty]>) -> Query {
        let types = self.types(wanted);
        let left = self.query(depth, Some(&types));
        let right = self.query(depth, Some(&types));
        let kind = self.dice.pick(&["UNION ALL", "UNION ALL", "UNION ALL", "UNION", "INTERSECT", "EXCEPT ALL"]);
        let mut columns = left.columns;
        columns.iter_mut().zip(&right.columns).for_each(|(column, other)| column.hot |= other.hot);
        Query { sql: format!("({}) {kind} ({})", left.sql, right.sql), columns }
    }

    fn values(&mut self, wanted: Option<&[Ty]>) -> Query {
        let types = self.types(wanted);
        let mut columns = Vec::new();
        let mut row = Vec::new();
        for (at, ty) in types.iter().enumerate() {
            let (sql, hot) = self.expression(*ty, 2, true);
            row.push(sql);
            columns.push(Column { name: format!("column{}", at + 1), ty: *ty, hot });
        }
        let other: Vec<String> = types.iter().map(|ty| self.literal(*ty)).collect();
        Query { sql: format!("VALUES ({}), ({})", row.join(", "), other.join(", ")), columns }
    }

    fn types(&mut self, wanted: Option<&[Ty]>) -> Vec<Ty> {
        match wanted {
            Some(types) => types.to_vec(),
            None => (0..=self.dice.below(4)).map(|_| self.ty()).collect(),
        }
    }

    fn plain(&mut self, depth: usize, wanted: Option<&[Ty]>) -> Query {
        let outer = self.sources.len();
        let from = self.from(depth);
        let types = self.types(wanted);
        let mut columns = Vec::new();
        let mut items = Vec::new();
        for ty in &types {
            let (sql, hot) = if self.dice.one_in(9) { self.windowed(*ty) } else { self.expression(*ty, 2, true) };
            let name = self.label();
            items.push(format!("{sql} AS {name}"));
            columns.push(Column { name, ty: *ty, hot });
        }
        if wanted.is_none() && self.dice.one_in(5) {
            let source = self.sources.last().unwrap().clone();
            let (star, all) = match self.dice.below(4) {
                0 => ("*".to_owned(), Vec::new()),
                1 => (source.alias.clone(), Vec::new()),
                2 => (format!("({}).*", source.alias), source.columns.clone()),
                _ => (format!("{}.*", source.alias), source.columns.clone()),
            };
            items.push(star);
            columns.extend(all);
        }
        let distinct = if self.dice.one_in(14) { "DISTINCT " } else { "" };
        let filter = if self.dice.one_in(2) { format!(" WHERE {}", self.predicate(1)) } else { String::new() };
        let order = if distinct.is_empty() { self.order() } else { String::new() };
        self.sources.truncate(outer);
        Query { sql: format!("SELECT {distinct}{} FROM {from}{filter}{order}", items.join(", ")), columns }
    }

    fn label(&mut self) -> String {
        self.fresh += 1;
        if self.dice.one_in(3) { self.dice.pick(&NAMES).to_owned() } else { format!("l{}", self.fresh) }
    }

    fn order(&mut self) -> String {
        let key = if self.dice.one_in(25) {
            self.expression(Ty::Text, 1, true).0
        } else {
            self.column(Ty::Int, false).unwrap_or_default().0
        };
        let order = if key.is_empty() || self.dice.one_in(2) {
            String::new()
        } else {
            format!(" ORDER BY {key}{}", self.dice.pick(&["", " DESC", " NULLS FIRST"]))
        };
        if self.dice.one_in(3) { format!("{order} LIMIT {}", 1 + self.dice.below(9)) } else { order }
    }

    fn aggregated(&mut self, depth: usize, wanted: Option<&[Ty]>) -> Query {
        let outer = self.sources.len();
        let from = self.from(depth);
        let key = self.column(Ty::Int, false);
        let types = self.types(wanted);
        let mut columns = Vec::new();
        let mut items = Vec::new();
        for ty in &types {
            let (sql, hot) = self.aggregate(*ty);
            let name = self.label();
            items.push(format!("{sql} AS {name}"));
            columns.push(Column { name, ty: *ty, hot });
        }
        let group = match key {
            Some((key, _)) if self.dice.one_in(2) => {
                format!(" GROUP BY {}", if self.dice.one_in(5) { format!("ROLLUP ({key})") } else { key })
            }
            _ => String::new(),
        };
        let having = if self.dice.one_in(6) { " HAVING count(*) > 0" } else { "" };
        self.sources.truncate(outer);
        Query { sql: format!("SELECT {} FROM {from}{group}{having}", items.join(", ")), columns }
    }

    fn aggregate(&mut self, ty: Ty) -> (String, bool) {
        let (text, hot) = self.expression(Ty::Text, 1, true);
        let filter = if self.dice.one_in(4) { format!(" FILTER (WHERE {})", self.predicate(0)) } else { String::new() };
        let (sql, hot) = match (ty, self.dice.below(3)) {
            (Ty::Int, _) => ("count(*)".to_owned(), false),
            (Ty::Text, 0) => (format!("string_agg({text}, ',')"), hot),
            (Ty::Text, 1) => (format!("min({text})"), hot),
            (Ty::Text, _) => (format!("max({text})"), hot),
            (Ty::Json, 0) => (format!("jsonb_agg({text})"), hot),
            (Ty::Json, 1) => (format!("to_jsonb(array_agg({}))", self.sources.last().unwrap().alias), true),
            (Ty::Json, _) => (format!("jsonb_object_agg(coalesce({text}, 'k'), 1)"), hot),
            (Ty::Tags, _) => (format!("array_agg({text})"), hot),
            (Ty::Num, which) => {
                let (number, hot) = self.expression(Ty::Num, 1, true);
                (format!("{}({number})", ["sum", "max", "avg"][which]), hot)
            }
            (Ty::Date, _) => {
                let (date, hot) = self.expression(Ty::Date, 1, true);
                (format!("max({date})"), hot)
            }
            (Ty::Home | Ty::Bytes, _) => {
                let (value, hot) = self.expression(ty, 1, true);
                return (format!("(array_agg({value}))[1]"), hot);
            }
        };
        (format!("{sql}{filter}"), hot)
    }

    fn windowed(&mut self, ty: Ty) -> (String, bool) {
        let (value, hot) = self.expression(ty, 1, true);
        let key = self.column(Ty::Int, false).map_or_else(|| "1".to_owned(), |(key, _)| key);
        let function = self.dice.pick(&["first_value", "lag", "max", "last_value"]);
        (format!("{function}({value}) OVER (PARTITION BY {key} ORDER BY {key})"), hot)
    }
}
