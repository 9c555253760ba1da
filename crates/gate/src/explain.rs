//! What masks would make of a statement, for a person who asks before anybody runs it; and what of a policy set could not
//! be carried out at all.
//!
//! Promises: the same closed set, the same judgement and the same fates as in a session. Does not promise what the server
//! will say of the columns' origin: it may prove more than the text does. Held by: `tests/it/masking.rs`.

use crate::mask::{Mask, MaskKind};
use crate::masking::{Side, close, shown};
use portcullis_masking::{Detectors, JsonPath, Key};
use portcullis_model::catalogue::{Oid, Relation};
use portcullis_model::{
    Catalogue, Connection, Lineage, Marks, Misuse, Outputs, Principal, Problem, QualifiedName, Reason, Sources,
    Transform,
};
use portcullis_policy::PolicySet;
use std::sync::Arc;

/// The first object id that is not the server's own (`FirstNormalObjectId`).
const FIRST_USER_OID: Oid = 16384;

/// What a policy set asks for that cannot be carried out: expressions that do not compile, paths that do not read.
#[must_use]
pub fn mask_problems(set: &PolicySet, connections: &[Connection]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for connection in connections {
        for mask in set.masks_of_record(connection).iter() {
            let file = set.bundles().find(|bundle| bundle.name == mask.id.bundle).map(|bundle| &bundle.file);
            let mut report = |message: String| {
                let place = file.map_or_else(String::new, |file| format!(" ({file}:{})", mask.line));
                let problem = Problem::error("mask", format!("mask `{}`{place}: {message}", mask.id));
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            };
            for detector in &mask.detect {
                if let Err(error) = Detectors::new(&[(detector.clone(), Transform::Redact)]) {
                    report(error.to_string());
                }
            }
            for path in &mask.json {
                if let Err(error) = JsonPath::parse(path) {
                    report(error.to_string());
                }
            }
        }
    }
    problems
}

/// Where the masks of a connection may not say what was meant, in a database with this catalogue: columns that do not
/// exist, triggers that may copy protected values into columns that no mask names, and functions that are called clean
/// though their text names a relation with protected columns.
#[must_use]
pub fn mask_warnings(set: &PolicySet, connection: &Connection, catalogue: &Catalogue) -> Vec<Problem> {
    let masks = set.masks_of_record(connection);
    let protection = close(set, &masks, None, connection, catalogue);
    let mut relations: Vec<_> = catalogue.relations().filter(|relation| relation.oid >= FIRST_USER_OID).collect();
    relations.sort_by_key(|relation| (relation.schema.clone(), relation.name.clone()));
    let mut warnings = Vec::new();
    let mut warn = |path: &str, message: String| warnings.push(Problem::warning(path, message));
    for mask in masks.iter().filter(|mask| !mask.columns().is_empty()) {
        let names = |relation: &&Arc<Relation>| {
            let (schema, table) = (relation.schema.as_str(), relation.name.as_str());
            relation.columns.iter().any(|column| mask.names_column(schema, table, column.name.as_str()))
        };
        if !relations.iter().any(names) {
            let (mask, connection) = (&mask.id, &connection.name);
            warn("mask", format!("mask `{mask}` names no column that the database of `{connection}` has"));
        }
    }
    let protected: Vec<_> = relations.iter().filter(|relation| protection.covers(relation.oid)).collect();
    for relation in &protected {
        for trigger in relation.triggers.iter().filter(|trigger| trigger.enabled) {
            let function = catalogue.function(trigger.function);
            let runs = function.map_or_else(
                || "a function that is not known".to_owned(),
                |function| format!("{}.{}", function.schema, function.name),
            );
            let (schema, table, name) = (&relation.schema, &relation.name, &trigger.name);
            warn(
                "mask",
                format!(
                    "trigger `{name}` on {schema}.{table} runs {runs}, which may copy protected values elsewhere: name \
                     the columns that it fills in a mask"
                ),
            );
        }
    }
    for function in catalogue.functions() {
        let name = QualifiedName::new(function.schema.as_str(), function.name.as_str());
        let source = function.source.as_deref().unwrap_or_default().to_lowercase();
        let named = protected.iter().find(|relation| source.contains(relation.name.as_str()));
        if let (true, Some(relation)) = (masks.is_clean(&name), named) {
            let (schema, table) = (&relation.schema, &relation.name);
            warn("mask", format!("function {name} is called clean, and its text names {schema}.{table}"));
        }
    }
    warnings
}

/// The same of a connection that has no columns: masks that name nothing else protect nothing on it.
#[must_use]
pub fn mask_warnings_without_columns(set: &PolicySet, connection: &Connection) -> Vec<Problem> {
    let masks = set.masks_of_record(connection);
    let names_columns = |mask: &&Arc<portcullis_policy::Mask>| !mask.columns().is_empty();
    let warning = |mask: &Arc<portcullis_policy::Mask>| {
        let (mask, connection) = (&mask.id, &connection.name);
        let message = format!(
            "mask `{mask}` names columns, which `{connection}` does not have: they protect nothing there. Name the members \
             of its documents in a mask with `json:` and without `columns:`, or what to look for with `detect:`"
        );
        Problem::warning("mask", message)
    };
    masks.iter().filter(names_columns).map(warning).collect()
}

/// What masks would make of one column of a statement's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputExplanation {
    /// Its label, or its place from 1.
    pub column: Arc<str>,
    /// What stands in its values' place; `None` where they pass.
    pub mask: Option<MaskKind>,
    /// The rules that ask for it.
    pub by: Arc<str>,
    /// `provenance`, `lineage`, `unproven`, `detector`.
    pub reason: &'static str,
}

/// What masks would make of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasksExplained {
    /// The marks that its operations get.
    pub marks: Marks,
    /// Why it would be refused for them, where no rule allows them.
    pub misuse: Option<Reason>,
    /// Each column of its result, where they are known.
    pub outputs: Vec<OutputExplanation>,
}

/// What the masks of a policy set would make of a statement of this principal, read against this catalogue. The server
/// may say of more columns where they come from; what is shown here is what the text alone proves.
#[must_use]
pub fn explain_masks(
    policy: &PolicySet,
    principal: &Principal,
    connection: &Connection,
    catalogue: &Catalogue,
    lineage: &Lineage,
) -> MasksExplained {
    let masks = policy.masks(principal, connection);
    let protection = close(policy, &masks, Some(principal), connection, catalogue);
    let side = Side::new(masks, Arc::new(protection));
    let key = Arc::new(Key::new([0; 32]));
    if side.is_empty() {
        return MasksExplained::default();
    }
    let judgement = side.judge(lineage);
    let misuse = judgement.exposes.first().map(|found| (found, Misuse::Exposed));
    let misuse = misuse.or_else(|| judgement.infers.first().map(|found| (found, Misuse::Inferred)));
    let misuse = misuse.and_then(|(found, misuse)| {
        Some(Reason::Protected { rule: side.rule_of(found)?, column: shown(found.column, catalogue), misuse })
    });
    let explained = |column: Arc<str>, sources: &Sources, exact: bool| {
        let mask = side.mask(side.fate(sources, exact), false, &key);
        OutputExplanation {
            column,
            mask: mask.as_ref().map(Mask::kind),
            by: mask.as_ref().map_or_else(|| "".into(), |mask| Arc::clone(mask.by())),
            reason: mask.as_ref().map_or("", Mask::reason),
        }
    };
    let outputs = match &lineage.outputs {
        Outputs::None => Vec::new(),
        Outputs::Unknown(sources) => vec![explained("*".into(), sources, false)],
        Outputs::Known(outputs) => {
            let label = |nth: usize, output: &portcullis_model::Output| match &output.name {
                Some(name) => name.as_str().into(),
                None => (nth + 1).to_string().into(),
            };
            let outputs = outputs.iter().enumerate();
            outputs.map(|(nth, output)| explained(label(nth, output), &output.sources, output.exact)).collect()
        }
    };
    MasksExplained { marks: judgement.marks, misuse, outputs }
}
