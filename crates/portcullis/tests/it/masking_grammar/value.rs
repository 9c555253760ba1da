//! Values: columns, constants, and what is computed from them.

use super::{Grammar, Ty};

/// A value with whether it may hold what is protected.
type Value = (String, bool);

impl Grammar {
    pub(super) fn literal(&mut self, ty: Ty) -> String {
        let literal = match ty {
            Ty::Bytes => r"'\x6162'::bytea",
            Ty::Date => "date '2024-02-29'",
            Ty::Home => "ROW('Main Street', 'y', '2021-01-01')::postal",
            Ty::Int => self.dice.pick(&["1", "2", "7", "NULL::int"]),
            Ty::Json => r#"'{"plan": "none", "secret": 1}'::jsonb"#,
            Ty::Num => "1.5",
            Ty::Tags => "ARRAY['one', 'two']",
            Ty::Text => self.dice.pick(&["'plain'", "''", "NULL::text", "'kettle'"]),
        };
        literal.to_owned()
    }

    /// A column of this type that can be named here.
    pub(super) fn column(&mut self, ty: Ty, hot: bool) -> Option<Value> {
        // The innermost FROM twice as often as all that stand around it.
        let near = self.sources.len().saturating_sub(1 + self.dice.below(3));
        let all: Vec<_> = self.sources[near..]
            .iter()
            .flat_map(|source| source.columns.iter().map(move |column| (&source.alias, column)))
            .filter(|(_, column)| column.ty == ty && (hot || !column.hot))
            .map(|(alias, column)| (alias.clone(), column.clone()))
            .collect();
        if all.is_empty() {
            return None;
        }
        let (alias, column) = &all[self.dice.below(all.len())];
        let name = if self.dice.one_in(15) { column.name.clone() } else { format!("{alias}.{}", column.name) };
        Some((name, column.hot))
    }

    fn leaf(&mut self, ty: Ty, hot: bool) -> Value {
        match self.column(ty, hot) {
            Some(column) if !self.dice.one_in(12) => column,
            Some(_) | None => (self.literal(ty), false),
        }
    }

    /// A whole row of something in FROM.
    fn row(&mut self) -> Option<String> {
        let source = self.sources.get(self.sources.len().checked_sub(1 + self.dice.below(2))?)?;
        Some(source.alias.clone())
    }

    pub(super) fn predicate(&mut self, depth: usize) -> String {
        let hot = self.dice.one_in(40);
        let (number, _) = self.leaf(Ty::Int, hot);
        let (text, _) = self.leaf(Ty::Text, hot);
        match self.dice.below(9) {
            0 => format!("{number} = {}", 1 + self.dice.below(7)),
            1 => format!("{number} <= {}", 1 + self.dice.below(9)),
            2 => format!("{text} LIKE 'P%'"),
            3 => format!("{number} = ANY (ARRAY[1, 2, 3])"),
            4 if depth > 0 => {
                let inner = self.query(0, Some(&[Ty::Int]));
                format!("{number} IN ({})", inner.sql)
            }
            5 if depth > 0 => {
                let inner = self.query(0, None);
                format!("{}EXISTS ({})", self.dice.pick(&["", "NOT "]), inner.sql)
            }
            6 if depth > 0 => format!("({} OR {})", self.predicate(0), self.predicate(0)),
            7 => format!("{text} IS NOT NULL"),
            _ => format!("{number} BETWEEN 1 AND 6"),
        }
    }

    /// A value of this type; `hot` where it may be made of what is protected.
    pub(super) fn expression(&mut self, ty: Ty, depth: usize, hot: bool) -> Value {
        if depth == 0 || self.dice.one_in(3) {
            return self.leaf(ty, hot);
        }
        let depth = depth - 1;
        match self.dice.below(10) {
            0 => {
                let outer = self.sources.clone();
                let inner = self.query(0, Some(&[ty]));
                self.sources = outer;
                let hot = inner.columns.first().is_some_and(|column| column.hot);
                (format!("(SELECT z.* FROM ({}) AS z LIMIT 1)", inner.sql), hot)
            }
            1 => {
                let (one, a) = self.expression(ty, depth, hot);
                let (two, b) = self.expression(ty, depth, hot);
                (format!("CASE WHEN {} THEN {one} ELSE {two} END", self.predicate(0)), a || b)
            }
            2 => {
                let (one, a) = self.expression(ty, depth, hot);
                let (two, b) = self.expression(ty, depth, hot);
                (format!("coalesce({one}, {two})"), a || b)
            }
            _ => self.computed(ty, depth, hot),
        }
    }

    fn computed(&mut self, ty: Ty, depth: usize, hot: bool) -> Value {
        match ty {
            Ty::Text => self.text(depth, hot),
            Ty::Json => self.json(depth, hot),
            Ty::Int => {
                let (text, hot) = self.expression(Ty::Text, depth, hot);
                let function = self.dice.pick(&["length", "ascii", "octet_length", "hashtext"]);
                (format!("{function}({text})"), hot)
            }
            Ty::Num => {
                let (number, hot) = self.expression(Ty::Num, depth, hot);
                let how = self.dice.pick(&[
                    "round(%)",
                    "% + 1",
                    "(%)::float8::numeric",
                    "(%)::bigint::numeric",
                    "abs(%)",
                    "-(%)",
                ]);
                (filled(how, &number, ""), hot)
            }
            Ty::Date => {
                let (date, hot) = self.expression(Ty::Date, depth, hot);
                let how = self.dice.pick(&[
                    "(% + 1) - 1",
                    "(%)::timestamp::date",
                    "greatest(%, date '2000-01-01')",
                    "make_date(extract(year FROM %)::int, 1, 1)",
                ]);
                (filled(how, &date, ""), hot)
            }
            Ty::Tags => {
                let (text, a) = self.expression(Ty::Text, depth, hot);
                let (tags, b) = self.expression(Ty::Tags, depth, hot);
                let how =
                    ["ARRAY[$, 'x']", "array_append(%, $)", "(%)[1:1]", "string_to_array($, '0')", "array_cat(%, %)"];
                (filled(self.dice.pick(&how), &tags, &text), a || b)
            }
            Ty::Bytes => {
                let (text, a) = self.expression(Ty::Text, depth, hot);
                let (bytes, b) = self.expression(Ty::Bytes, depth, hot);
                let how = ["convert_to($, 'UTF8')", "% || %", "substring(% from 1 for 18)", "sha256(%)", "textsend($)"];
                (filled(self.dice.pick(&how), &bytes, &text), a || b)
            }
            Ty::Home => {
                let (text, a) = self.expression(Ty::Text, depth, hot);
                let (home, b) = self.expression(Ty::Home, depth, hot);
                let how = ["ROW($, 'z', NULL)::postal", "nullif(%, NULL)", "(ARRAY[%])[1]", "(SELECT %)"];
                (filled(self.dice.pick(&how), &home, &text), a || b)
            }
        }
    }

    fn text(&mut self, depth: usize, hot: bool) -> Value {
        let other = [Ty::Bytes, Ty::Date, Ty::Home, Ty::Json, Ty::Num, Ty::Tags, Ty::Text][self.dice.below(7)];
        let (value, is_hot) = self.expression(other, depth, hot);
        let row = self.row();
        let how = match (other, row) {
            (Ty::Text, Some(row)) if hot && self.dice.one_in(4) => {
                let how = [
                    "(%)::text",
                    "row_to_json(%)::text",
                    "to_jsonb(%) ->> 'ssn'",
                    "(%).ssn",
                    "format('§s', %)",
                    "%.name",
                    "ROW(%.*)::text",
                ];
                return (filled(self.dice.pick(&how), &row, ""), true);
            }
            (Ty::Text, _) => self.dice.pick(&[
                "upper(%)",
                "lower(%)",
                "reverse(%)",
                "substr(%, 1, 18)",
                "% || '-'",
                "replace(%, 'x', 'y')",
                "format('<§s>', %)",
                "quote_literal(%)",
                "% COLLATE \"C\"",
                "(%)::varchar(40)",
                "concat_ws('/', %, %)",
                "nullif(%, 'q')",
                "lpad(%, 30)",
                "encode(convert_to(%, 'UTF8'), 'base64')",
                "translate(%, 'abc', 'xyz')",
                "md5(%)",
                "greatest(%, 'a')",
                "to_json(%)::text",
                "regexp_replace(%, '^.', '')",
                "initcap(%)",
                "left(%, -1)",
                "(%)::name::text",
                "split_part(%, '!', 1)",
                "trim(%)",
            ]),
            (Ty::Bytes, _) => self.dice.pick(&[
                "encode(%, 'hex')",
                "encode(%, 'base64')",
                "encode(%, 'escape')",
                "(%)::text",
                "convert_from(%, 'UTF8')",
            ]),
            (Ty::Date, _) => self.dice.pick(&["(%)::text", "to_char(%, 'YYYY-MM-DD')", "(% + interval '0')::text"]),
            (Ty::Home, _) => self.dice.pick(&["(%).street", "(%)::text", "to_jsonb(%) ->> 'street'"]),
            (Ty::Json, _) => self.dice.pick(&[
                "(%)::text",
                "to_jsonb(%) ->> 'secret'",
                "to_jsonb(%) #>> '{address,street}'",
                "jsonb_pretty(to_jsonb(%))",
                "jsonb_path_query_first(to_jsonb(%), '¤.**.street') #>> '{}'",
                "to_jsonb(%) ->> 'plan'",
            ]),
            (Ty::Num, _) => self.dice.pick(&["(%)::text", "to_char(%, 'FM999999999999999.99')"]),
            (Ty::Tags, _) => self.dice.pick(&["(%)[1]", "array_to_string(%, ';')", "(%)::text"]),
            (Ty::Int, _) => "(%)::text",
        };
        (filled(how, &value, ""), is_hot)
    }

    fn json(&mut self, depth: usize, hot: bool) -> Value {
        let (json, a) = self.expression(Ty::Json, depth, hot);
        let (text, b) = self.expression(Ty::Text, depth, hot);
        if let Some(row) = self.row().filter(|_| hot && self.dice.one_in(3)) {
            let how = [
                "to_jsonb(%)",
                "row_to_json(%)::jsonb",
                "to_jsonb(%) - 'name'",
                "jsonb_build_array(%)",
                "to_jsonb(ARRAY[%])",
            ];
            return (filled(self.dice.pick(&how), &row, ""), true);
        }
        let how = [
            "to_jsonb(%) -> 'address'",
            "jsonb_build_object('k', $)",
            "to_jsonb($)",
            "jsonb_set(to_jsonb(%), '{secret}', '1')",
            "jsonb_strip_nulls(to_jsonb(%))",
            "to_jsonb(%) || '{\"n\": 1}'",
            "jsonb_build_array(%, $)",
            "(%)::text::jsonb",
        ];
        (filled(self.dice.pick(&how), &json, &text), a || b)
    }
}

/// A form with `value` in the place of each `%` and `text` in that of each `$`; `§` and `¤` stand for
/// those signs themselves.
fn filled(form: &str, value: &str, text: &str) -> String {
    let mut sql = String::new();
    for character in form.chars() {
        match character {
            '%' => sql.push_str(value),
            '$' => sql.push_str(text),
            '§' => sql.push('%'),
            '¤' => sql.push('$'),
            other => sql.push(other),
        }
    }
    sql
}
