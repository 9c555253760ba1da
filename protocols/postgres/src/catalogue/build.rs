//! Rows of the catalogue queries to a [`Catalogue`].
//!
//! Promises: a row that is not what its query returns is left out and counted, never guessed; NULL and the empty text
//! are told apart only where a query can return both, which none does. The order of results does not matter, except
//! that relations come before what belongs to them.
//! Held by: the tests below, and `tests/it/catalogue.rs` against real servers.

use super::queries;
use portcullis_model::Name;
use portcullis_model::catalogue::{
    Catalogue, Column, Contents, FiredBy, Function, Oid, ReferencedBy, ReferentialAction, RelKind, Relation, Rule,
    Trigger, Type, UserOperator, Volatility,
};
use std::collections::HashMap;

/// What was read so far.
#[derive(Default)]
pub(super) struct Builder {
    schemas: Vec<Name>,
    relations: HashMap<Oid, Relation>,
    functions: Vec<Function>,
    types: HashMap<Oid, Type>,
    operators: Vec<UserOperator>,
    casts: Vec<(Oid, Oid)>,
    unread: usize,
}

impl Builder {
    /// A row of this query.
    pub(super) fn row(&mut self, query: &str, cells: &[&str]) {
        let taken = match query {
            queries::SCHEMAS => self.schema(cells),
            queries::RELATIONS => self.relation(cells),
            queries::COLUMNS => self.column(cells),
            queries::INHERITANCE => self.inheritance(cells),
            queries::VIEW_READS => self.pair(cells, |relation, read| relation.reads.push(read)),
            queries::RULES => self.rule(cells),
            queries::TRIGGERS => self.trigger(cells),
            queries::FOREIGN_KEYS => self.foreign_key(cells),
            queries::RELATION_FUNCTIONS => self.pair(cells, |relation, function| relation.functions.push(function)),
            queries::FUNCTIONS => self.function(cells),
            queries::TYPES => self.user_type(cells),
            queries::TYPE_FUNCTIONS => self.type_function(cells),
            queries::OPERATORS => self.operator(cells),
            queries::CASTS => self.cast(cells),
            _ => None,
        };
        self.unread += usize::from(taken.is_none());
    }

    /// The catalogue of all rows.
    pub(super) fn finish(self, epoch: u64) -> Catalogue {
        if self.unread > 0 {
            tracing::debug!(rows = self.unread, "rows of the catalogue belong to nothing that was read");
        }
        let mut relations: Vec<Relation> = self.relations.into_values().collect();
        for relation in &mut relations {
            relation.columns.sort_by_key(|column| column.number);
        }
        let mut contents = Contents {
            schemas: self.schemas,
            relations,
            functions: self.functions,
            types: self.types.into_values().collect(),
            operators: self.operators,
            casts: self.casts,
        };
        portcullis_sql::derive(&mut contents);
        Catalogue::new(epoch, contents)
    }

    fn schema(&mut self, cells: &[&str]) -> Option<()> {
        let [name] = cells else { return None };
        self.schemas.push(Name::canonical(*name));
        Some(())
    }

    fn relation(&mut self, cells: &[&str]) -> Option<()> {
        let [oid, schema, name, kind, definition] = cells else { return None };
        let kind = match *kind {
            "r" => RelKind::Table,
            "p" => RelKind::PartitionedTable,
            "f" => RelKind::ForeignTable,
            "v" => RelKind::View,
            "m" => RelKind::MaterializedView,
            "S" => RelKind::Sequence,
            "i" | "I" => RelKind::Index,
            "c" => RelKind::CompositeType,
            "t" => RelKind::Toast,
            _ => return None,
        };
        let oid = oid.parse().ok()?;
        let relation = Relation {
            oid,
            schema: Name::canonical(*schema),
            name: Name::canonical(*name),
            kind,
            columns: Vec::new(),
            children: Vec::new(),
            parents: Vec::new(),
            definition: some(definition),
            reads: Vec::new(),
            rules: Vec::new(),
            triggers: Vec::new(),
            referenced_by: Vec::new(),
            functions: Vec::new(),
        };
        self.relations.insert(oid, relation);
        Some(())
    }

    fn column(&mut self, cells: &[&str]) -> Option<()> {
        let [relation, number, name, type_oid, collation, not_null, generated, expression] = cells else {
            return None;
        };
        let generated = !generated.is_empty();
        let column = Column {
            number: number.parse().ok()?,
            name: Name::canonical(*name),
            type_oid: type_oid.parse().ok()?,
            collation: collation.parse().ok()?,
            not_null: *not_null == "t",
            generated: some(expression).filter(|_| generated),
            derived: None,
            default: some(expression).filter(|_| !generated),
        };
        self.of(relation)?.columns.push(column);
        Some(())
    }

    fn inheritance(&mut self, cells: &[&str]) -> Option<()> {
        let [child, parent] = cells else { return None };
        let (child_oid, parent_oid) = (child.parse().ok()?, parent.parse().ok()?);
        self.of(parent)?.children.push(child_oid);
        self.of(child)?.parents.push(parent_oid);
        Some(())
    }

    fn pair(&mut self, cells: &[&str], put: impl FnOnce(&mut Relation, Oid)) -> Option<()> {
        let [relation, other] = cells else { return None };
        let other = other.parse().ok()?;
        put(self.of(relation)?, other);
        Some(())
    }

    fn rule(&mut self, cells: &[&str]) -> Option<()> {
        let [relation, name, event, instead, definition] = cells else { return None };
        let event = match *event {
            "1" => FiredBy::Select,
            "2" => FiredBy::Update,
            "3" => FiredBy::Insert,
            "4" => FiredBy::Delete,
            _ => return None,
        };
        let rule =
            Rule { name: Name::canonical(*name), event, instead: *instead == "t", definition: (*definition).into() };
        self.of(relation)?.rules.push(rule);
        Some(())
    }

    fn trigger(&mut self, cells: &[&str]) -> Option<()> {
        let [relation, name, bits, function, enabled] = cells else { return None };
        let bits: u16 = bits.parse().ok()?;
        let events = [(4, FiredBy::Insert), (8, FiredBy::Delete), (16, FiredBy::Update), (32, FiredBy::Truncate)];
        let trigger = Trigger {
            name: Name::canonical(*name),
            events: events.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, event)| event).collect(),
            instead_of: bits & 64 != 0,
            function: function.parse().ok()?,
            enabled: *enabled == "t",
        };
        self.of(relation)?.triggers.push(trigger);
        Some(())
    }

    fn foreign_key(&mut self, cells: &[&str]) -> Option<()> {
        let [referenced, referencing, on_delete, on_update, columns, referenced_columns] = cells else { return None };
        let names = |json: &str| -> Option<Vec<Name>> {
            Some(serde_json::from_str::<Vec<String>>(json).ok()?.into_iter().map(Name::canonical).collect())
        };
        let key = ReferencedBy {
            relation: referencing.parse().ok()?,
            on_delete: action(on_delete)?,
            on_update: action(on_update)?,
            columns: names(columns)?,
            referenced: names(referenced_columns)?,
        };
        self.of(referenced)?.referenced_by.push(key);
        Some(())
    }

    fn function(&mut self, cells: &[&str]) -> Option<()> {
        let [oid, schema, name, arguments, volatility, language, definer, procedure, source] = cells else {
            return None;
        };
        self.functions.push(Function {
            oid: oid.parse().ok()?,
            schema: Name::canonical(*schema),
            name: Name::canonical(*name),
            arguments: arguments.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?,
            volatility: match *volatility {
                "i" => Volatility::Immutable,
                "s" => Volatility::Stable,
                _ => Volatility::Volatile,
            },
            language: Name::canonical(*language),
            security_definer: *definer == "t",
            procedure: *procedure == "t",
            source: some(source),
        });
        Some(())
    }

    fn user_type(&mut self, cells: &[&str]) -> Option<()> {
        let [oid, schema, name, relation] = cells else { return None };
        let oid = oid.parse().ok()?;
        let relation: Oid = relation.parse().ok()?;
        let user_type = Type {
            oid,
            schema: Name::canonical(*schema),
            name: Name::canonical(*name),
            relation: (relation != 0).then_some(relation),
            functions: Vec::new(),
        };
        self.types.insert(oid, user_type);
        Some(())
    }

    fn type_function(&mut self, cells: &[&str]) -> Option<()> {
        let [user_type, function] = cells else { return None };
        let function = function.parse().ok()?;
        self.types.get_mut(&user_type.parse().ok()?)?.functions.push(function);
        Some(())
    }

    fn operator(&mut self, cells: &[&str]) -> Option<()> {
        let [schema, name, function] = cells else { return None };
        let function = function.parse().ok()?;
        self.operators.push(UserOperator { schema: Name::canonical(*schema), name: Name::canonical(*name), function });
        Some(())
    }

    fn cast(&mut self, cells: &[&str]) -> Option<()> {
        let [target, function] = cells else { return None };
        self.casts.push((target.parse().ok()?, function.parse().ok()?));
        Some(())
    }

    fn of(&mut self, relation: &str) -> Option<&mut Relation> {
        self.relations.get_mut(&relation.parse().ok()?)
    }
}

fn some(text: &str) -> Option<std::sync::Arc<str>> {
    if text.is_empty() { None } else { Some(text.into()) }
}

fn action(letter: &str) -> Option<ReferentialAction> {
    match letter {
        "a" => Some(ReferentialAction::NoAction),
        "r" => Some(ReferentialAction::Restrict),
        "c" => Some(ReferentialAction::Cascade),
        "n" => Some(ReferentialAction::SetNull),
        "d" => Some(ReferentialAction::SetDefault),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_relations_and_what_belongs_to_nothing_is_left_out() {
        let mut builder = Builder::default();
        builder.row(queries::SCHEMAS, &["public"]);
        builder.row(queries::RELATIONS, &["10", "public", "orders", "r", ""]);
        builder.row(queries::RELATIONS, &["11", "public", "items", "r", ""]);
        builder.row(queries::COLUMNS, &["10", "2", "total", "1700", "0", "f", "s", "(price * 2)"]);
        builder.row(queries::COLUMNS, &["10", "1", "id", "25", "950", "t", "", "nextval('s')"]);
        builder.row(queries::COLUMNS, &["99", "1", "lost", "23", "0", "t", "", ""]);
        builder.row(queries::FOREIGN_KEYS, &["10", "11", "c", "a", "[\"order_id\"]", "[\"id\"]"]);
        builder.row(queries::TRIGGERS, &["10", "t", "21", "77", "t"]);
        assert_eq!(builder.unread, 1);
        let catalogue = builder.finish(3);
        let orders = catalogue.relation(10).unwrap();
        assert_eq!(orders.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["id", "total"]);
        assert_eq!((orders.columns[0].collation, orders.columns[1].collation), (950, 0));
        assert_eq!(orders.columns[1].generated.as_deref(), Some("(price * 2)"));
        assert_eq!(orders.columns[0].default.as_deref(), Some("nextval('s')"));
        assert_eq!(orders.referenced_by[0].on_delete, ReferentialAction::Cascade);
        assert_eq!(orders.triggers[0].events, [FiredBy::Insert, FiredBy::Update]);
        assert!(catalogue.has_schema("public") && catalogue.epoch() == 3);
    }
}
