//! Where `hash` must not be used: a principal that can write a column and read the hashes of its values can find every
//! value by writing guesses and comparing (DESIGN 3).
//!
//! Promises: [`PolicySet::may_write`] is true wherever a rule lets the principal insert into or update the column, after
//! an approval too, or run what cannot be read. The warning at load names the rules that may let somebody do so; it leans
//! to warning, since who is in which group is not known there.
//! Does not promise to see writes by other means: a user function or trigger that writes what it is given, or
//! `ALTER TABLE … TYPE … USING`. Held by: `mask/tests.rs`.

use super::Mask;
use crate::SourceFile;
use crate::bundle::{Bundle, Read};
use crate::condition::Condition;
use crate::decide::Scoped;
use crate::pattern::Pattern;
use crate::rule::Rule;
use crate::scope::{Scope, Who};
use crate::set::PolicySet;
use crate::source::list;
use portcullis_model::{
    Action, Columns, Connection, Effect, Marks, Name, Object, Operation, Principal, Problem, QualifiedName,
    RelationKind, Transform,
};

const WRITES: [Action; 2] = [Action::Insert, Action::Update];

const KINDS: [RelationKind; 3] = [RelationKind::Table, RelationKind::View, RelationKind::MaterializedView];

impl PolicySet {
    /// Whether some rule lets the principal write this column, or run what cannot be read: a hash of its values must then
    /// not be shown to them. Names are canonical. Decides a few dozen small cases: keep the answer while set and principal
    /// stay the same.
    #[must_use]
    pub fn may_write(
        &self,
        principal: &Principal,
        connection: &Connection,
        schema: &str,
        relation: &str,
        column: &str,
    ) -> bool {
        let scoped = self.scope_for(principal, connection);
        let columns = Columns::Named([Name::canonical(column)].into());
        let objects = KINDS.map(|kind| Object::relation(QualifiedName::new(schema, relation), kind));
        let writes = objects
            .iter()
            .flat_map(|object| WRITES.map(|action| Operation::new(action, object.clone()).naming(columns.clone())));
        let operations: Vec<_> = writes.chain([Operation::unknown()]).collect();
        // A hold with `marks` permits only what carries one of them, and one suffices for it: more could only add denies.
        let marked = marks_of_holds(&scoped);
        let variants = marked.iter().map(Marks::from).chain([Marks::NONE]);
        variants
            .into_iter()
            .any(|marks| operations.iter().any(|operation| permitted(&scoped, operation.clone().marked(marks))))
    }
}

fn permitted(scoped: &Scoped<'_>, operation: Operation) -> bool {
    // A condition may hold some day, and what a rule is answered may change: what could permit it counts.
    scoped.ever_permits(&[operation])
}

fn marks_of_holds(scoped: &Scoped<'_>) -> Marks {
    let rules = scoped.bundles().iter().flat_map(|bundle| &bundle.rules);
    rules.filter(|rule| rule.effect == Effect::Hold).filter_map(|rule| rule.marks).fold(Marks::NONE, Marks::union)
}

/// Warns of each `hash` over columns that a rule of the set may let somebody write who is not exempt.
pub(crate) fn warn_written_hashes(files: &[SourceFile], reads: &[Read], problems: &mut Vec<Problem>) {
    let bundles: Vec<&Bundle> = reads.iter().filter_map(|read| read.bundle.as_ref()).collect();
    for (file, read) in files.iter().zip(reads) {
        let Some(bundle) = &read.bundle else { continue };
        for mask in bundle.masks.iter().filter(|mask| mask.with == Some(Transform::Hash)) {
            let writing: Vec<String> = bundles
                .iter()
                .filter(|other| other.scope.may_share_a_connection(&bundle.scope))
                .filter(|other| !mask.unless().is_some_and(|who| who.covers(&other.scope.principals)))
                .flat_map(|other| other.rules.iter().map(move |rule| (*other, rule)))
                .filter(|(other, rule)| {
                    may_permit(rule, mask) && (may_name_unknown(rule) || !refused(&bundles, &other.scope, mask))
                })
                .map(|(_, rule)| rule.id.to_string())
                .collect();
            if writing.is_empty() {
                continue;
            }
            let ids: Vec<_> = writing.iter().map(String::as_str).collect();
            let message = format!(
                "who can write a column could find its values by their hashes: whom {} lets write one of these is shown \
                 `redact` instead",
                list(&ids)
            );
            let help = "write `with: redact`, exempt them in `unless`, or deny them insert and update of the columns, \
                        each as it is written here";
            let path = format!("mask {}", mask.id.rule);
            let warning = Problem::warning(path, message).suggest(help);
            problems.push(warning.at(&file.path, &file.text, mask.at.line, mask.at.column));
        }
    }
}

/// Whether what cannot be read may pass by the rule: an answer names it where the rule does not.
fn may_name_unknown(rule: &Rule) -> bool {
    rule.names_unknown || (rule.rego.is_some() && rule.actions.contains(Action::Unknown))
}

/// Whether the rule may permit a write of one of the mask's columns.
fn may_permit(rule: &Rule, mask: &Mask) -> bool {
    let writes = may_name_unknown(rule) || WRITES.iter().any(|action| rule.actions.contains(*action));
    let meets = |pattern: &Pattern| match pattern {
        Pattern::Everything | Pattern::Unknown => true,
        Pattern::Relation { name, .. } | Pattern::Column(name) => {
            mask.columns.patterns.iter().any(|column| column.may_meet(name))
        }
        Pattern::Function(_)
        | Pattern::Item { .. }
        | Pattern::Single { .. }
        | Pattern::Program { .. }
        | Pattern::File(_)
        | Pattern::Host { .. }
        | Pattern::Listener { .. }
        | Pattern::Endpoint { .. }
        | Pattern::Session(_) => false,
    };
    let some = !mask.columns.patterns.is_empty();
    (rule.effect != Effect::Deny || rule.rego.is_some())
        && some
        && writes
        && rule.objects.as_ref().is_none_or(|objects| objects.patterns.iter().any(meets))
}

/// Whether denies that certainly bind all whom this scope is about refuse the write of every column of the mask: each is
/// named by a deny as the mask names it, or all objects are.
fn refused(bundles: &[&Bundle], scope: &Scope, mask: &Mask) -> bool {
    let denies: Vec<&Rule> = bundles
        .iter()
        .filter(|bundle| bundle.scope.connections.is_none() || bundle.scope.connections == scope.connections)
        .filter(|bundle| Who::covers(&bundle.scope.principals, &scope.principals))
        .flat_map(|bundle| &bundle.rules)
        .filter(|rule| rule.effect == Effect::Deny && rule.marks.is_none() && rule.fields.is_none())
        .filter(|rule| rule.rego.is_none() && matches!(rule.condition, Condition::Always))
        .collect();
    let refuses = |rule: &&&Rule, action: Action, column| {
        rule.actions.contains(action)
            && rule.objects.as_ref().is_none_or(|objects| {
                objects.patterns.contains(&Pattern::Everything) || objects.patterns.contains(&Pattern::Column(column))
            })
    };
    mask.columns
        .patterns
        .iter()
        .all(|column| WRITES.iter().all(|action| denies.iter().any(|rule| refuses(&rule, *action, column.clone()))))
}
