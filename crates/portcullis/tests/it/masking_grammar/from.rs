//! FROM: relations, joins, subqueries, functions, WITH.

use super::{Column, Grammar, Query, RELATIONS, Source, Ty};

impl Grammar {
    /// FROM, whose items may be named afterwards.
    pub(super) fn from(&mut self, depth: usize) -> String {
        let mut sql = self.item(depth);
        for _ in 0..[0, 0, 0, 1, 1, 2][self.dice.below(6)] {
            let left = self.sources.last().unwrap().clone();
            sql = self.joined(&sql, &left, depth, true);
        }
        sql
    }

    fn joined(&mut self, left: &str, near: &Source, depth: usize, comma: bool) -> String {
        match self.dice.below(9) {
            0 if comma => format!("{left}, {}", self.item(depth)),
            1 => format!("{left} CROSS JOIN {}", self.item(depth)),
            2 if near.columns.iter().any(|column| column.name == "id") => {
                let right = self.relation();
                format!("{left} {}JOIN {right} USING (id)", self.dice.pick(&["", "LEFT ", "FULL "]))
            }
            3 => format!("{left} NATURAL JOIN {}", self.relation()),
            4 | 5 => self.lateral(left, near, depth),
            _ => {
                let right = self.item(depth);
                let far = self.sources.last().unwrap().clone();
                let kind = self.dice.pick(&["", "LEFT ", "FULL ", "RIGHT "]);
                format!("{left} {kind}JOIN {right} ON {} = {}", self.key(near), self.key(&far))
            }
        }
    }

    fn lateral(&mut self, left: &str, near: &Source, depth: usize) -> String {
        let alias = self.alias();
        let (item, columns) = match self.dice.below(5) {
            0 => (
                format!("jsonb_each_text(to_jsonb({}))", near.alias),
                vec![("key", Ty::Text, false), ("value", Ty::Text, true)],
            ),
            1 => {
                let (tags, hot) = self.expression(Ty::Tags, 1, true);
                (format!("unnest({tags})"), vec![(alias.as_str(), Ty::Text, hot)])
            }
            2 => {
                let (json, hot) = self.expression(Ty::Json, 1, true);
                (format!("jsonb_path_query(to_jsonb({json}), '$.**')"), vec![(alias.as_str(), Ty::Json, hot)])
            }
            3 => {
                let (text, hot) = self.expression(Ty::Text, 1, true);
                (format!("regexp_split_to_table({text}, '0')"), vec![(alias.as_str(), Ty::Text, hot)])
            }
            _ => {
                let Query { sql, columns } = self.query(depth.saturating_sub(1), None);
                let sql = format!("{left} LEFT JOIN LATERAL ({sql}) AS {alias} ON true");
                self.sources.push(Source { alias, columns });
                return sql;
            }
        };
        let columns = columns.into_iter().map(|(name, ty, hot)| Column { name: name.to_owned(), ty, hot }).collect();
        let sql = format!("{left} CROSS JOIN LATERAL {item} AS {alias}");
        self.sources.push(Source { alias, columns });
        sql
    }

    fn key(&mut self, source: &Source) -> String {
        let keys: Vec<&Column> = source.columns.iter().filter(|column| column.ty == Ty::Int && !column.hot).collect();
        match keys.as_slice() {
            [] => "1".to_owned(),
            keys => format!("{}.{}", source.alias, keys[self.dice.below(keys.len())].name),
        }
    }

    fn relation(&mut self) -> String {
        let (name, columns) = RELATIONS[self.dice.below(RELATIONS.len())];
        let mut columns: Vec<Column> =
            columns.iter().map(|(name, ty, hot)| Column { name: (*name).to_owned(), ty: *ty, hot: *hot }).collect();
        let plain = name.rsplit(['.', ' ']).next().unwrap();
        let taken = self.sources.iter().any(|source| source.alias == plain);
        if self.dice.one_in(3) && !taken && !plain.ends_with(')') {
            self.sources.push(Source { alias: plain.to_owned(), columns });
            return name.to_owned();
        }
        let alias = self.alias();
        let list = self.column_list(&mut columns);
        let sql = format!("{name} AS {alias}{list}");
        self.sources.push(Source { alias, columns });
        sql
    }

    fn item(&mut self, depth: usize) -> String {
        let shallow = depth == 0;
        match self.dice.below(10) {
            0 | 1 if !shallow => {
                let mut query = self.query(depth - 1, None);
                let alias = self.alias();
                let list = self.column_list(&mut query.columns);
                let sql = format!("({}) AS {alias}{list}", query.sql);
                self.sources.push(Source { alias, columns: query.columns });
                sql
            }
            2 | 3 if !self.tables.is_empty() => {
                let table = self.tables[self.dice.below(self.tables.len())].clone();
                let alias = self.alias();
                let mut columns = table.columns;
                let list = self.column_list(&mut columns);
                let sql = format!("{} AS {alias}{list}", table.alias);
                self.sources.push(Source { alias, columns });
                sql
            }
            4 => {
                let alias = self.alias();
                let sql = format!("generate_series(1, 3) AS {alias}");
                self.sources
                    .push(Source { columns: vec![Column { name: alias.clone(), ty: Ty::Int, hot: false }], alias });
                sql
            }
            5 if !shallow => {
                let left = self.item(0);
                let near = self.sources.last().unwrap().clone();
                format!("({})", self.joined(&left, &near, depth - 1, false))
            }
            _ => self.relation(),
        }
    }
}
