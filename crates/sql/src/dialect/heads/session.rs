//! SET, RESET, USE, SHOW, PRAGMA and EXECUTE.

use super::super::names;
use super::super::walk::Walk;
use crate::Dialect;
use portcullis_model::{Action, Mark, Object, Operation, Part};
use sqlparser::ast::{
    ContextModifier, Ident, ObjectName, Reset, SecondaryRoles, Set, SetSessionAuthorizationParamKind,
    SetSessionParamKind, Use,
};

fn configure(walk: &mut Walk<'_>, name: Part, scope: Option<&ContextModifier>) {
    let operation = Operation::new(Action::Configure, Object::Setting(name));
    let global = matches!(scope, Some(ContextModifier::Global));
    walk.push(if global { operation.marked(Mark::Privileged) } else { operation });
}

/// A variable that is set: `@x` is the session's own, `@@global.x` the server's.
fn variable(walk: &mut Walk<'_>, name: &ObjectName, scope: Option<&ContextModifier>) {
    let words: Vec<String> =
        name.0.iter().filter_map(|part| part.as_ident()).map(|id| names::lower(&id.value)).collect();
    let Some(last) = words.last().filter(|_| words.len() == name.0.len()) else {
        return configure(walk, Part::Unknown, scope);
    };
    if last.starts_with('@')
        && !last.starts_with("@@")
        && words.len() == 1
        && !matches!(walk.facts.dialect, Dialect::Generic)
    {
        return;
    }
    let global = words.iter().any(|word| ["@@global", "@@persist", "global", "persist"].contains(&word.as_str()));
    let scope = if global { Some(&ContextModifier::Global) } else { scope };
    configure(walk, Part::known(last.trim_start_matches('@')), scope);
}

pub(super) fn set(walk: &mut Walk<'_>, set: &Set) {
    match set {
        Set::SingleAssignment { scope, variable: name, .. } => variable(walk, name, scope.as_ref()),
        Set::ParenthesizedAssignments { variables, .. } => {
            for name in variables {
                variable(walk, name, None);
            }
        }
        Set::MultipleAssignments { assignments } => {
            for assignment in assignments {
                variable(walk, &assignment.name, assignment.scope.as_ref());
            }
        }
        Set::SetSessionAuthorization(param) => {
            let user = match &param.kind {
                SetSessionAuthorizationParamKind::Default => Part::Unknown,
                SetSessionAuthorizationParamKind::User(user) => super::part(user, walk),
            };
            walk.act(Action::Become, Object::Role(user));
        }
        Set::SetRole { role_name, .. } => {
            let role = role_name.as_ref().map_or(Part::Unknown, |role| super::part(role, walk));
            walk.act(Action::Become, Object::Role(role));
        }
        Set::SetSessionParam(param) => match param {
            SetSessionParamKind::Generic(generic) => {
                for name in &generic.names {
                    configure(walk, Part::known(names::lower(name)), None);
                }
            }
            SetSessionParamKind::IdentityInsert(_) => configure(walk, Part::known("identity_insert"), None),
            SetSessionParamKind::Offsets(_) => configure(walk, Part::known("offsets"), None),
            SetSessionParamKind::Statistics(_) => configure(walk, Part::known("statistics"), None),
        },
        Set::SetNames { charset_name, .. } => {
            let charset = names::lower(&charset_name.value);
            if !["utf8", "utf8mb4", "utf-8"].contains(&charset.as_str()) {
                configure(walk, Part::known("names"), None);
            }
        }
        Set::SetNamesDefault {} => configure(walk, Part::known("names"), None),
        Set::SetTimeZone { .. } | Set::SetTransaction { .. } => {}
    }
}

pub(super) fn reset(walk: &mut Walk<'_>, reset: &Reset) {
    match reset {
        Reset::ALL => {}
        Reset::SessionAuthorization => walk.act(Action::Become, Object::Role(Part::Unknown)),
        Reset::ConfigurationParameter(name) => variable(walk, name, None),
    }
}

pub(super) fn use_object(walk: &mut Walk<'_>, target: &Use) {
    match target {
        Use::Role(role) => walk.act(Action::Become, Object::Role(names::last(role, walk.facts))),
        Use::SecondaryRoles(SecondaryRoles::None) => {}
        Use::SecondaryRoles(SecondaryRoles::All) => walk.act(Action::Become, Object::Role(Part::Unknown)),
        Use::SecondaryRoles(SecondaryRoles::List(roles)) => {
            for role in roles {
                walk.act(Action::Become, Object::Role(super::part(role, walk)));
            }
        }
        Use::Warehouse(_) => configure(walk, Part::known("warehouse"), None),
        // names are in schema `?` anyway
        Use::Catalog(_) | Use::Schema(_) | Use::Database(_) | Use::Object(_) | Use::Default => {}
    }
}

/// SHOW of anything the grammar has no form for.
pub(super) fn show(walk: &mut Walk<'_>, words: &[Ident]) {
    let first = words.first().map(|word| word.value.as_str()).unwrap_or_default();
    if !walk.facts.describes(&format!("show {first}")) {
        walk.unknown();
    }
}

pub(super) fn pragma(walk: &mut Walk<'_>, name: &ObjectName, assigns: bool) {
    let last = names::last(name, walk.facts);
    let known = last.as_str().is_some_and(|name| walk.facts.describes(&format!("pragma {name}")));
    if assigns || !known {
        walk.unknown();
    }
}

/// A routine or a prepared text: which code it runs is not known.
pub(super) fn execute(walk: &mut Walk<'_>, name: Option<&ObjectName>, immediate: bool) {
    let object = match name {
        Some(name) if !immediate => super::function(name, walk),
        Some(_) | None => Object::Unknown,
    };
    walk.push(Operation::new(Action::Execute, object).marked(Mark::Dynamic));
}
