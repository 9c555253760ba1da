//! One bundle: a file of rules, masks and budgets, whom they are about, and the tests that hold them.
//!
//! Promises: reading reports every problem of the file; ids are unique in the bundle, those of rules, masks and budgets together,
//! since records name both by `BUNDLE/ID`. Rules and masks keep the order of the file, which only decides the order in
//! which they are listed. Held by: the table of bad bundles in `set/tests.rs`.

use crate::SourceFile;
use crate::budget::Budget;
use crate::bundle_test::PolicyTest;
use crate::mask::Mask;
use crate::rule::{Actions, Rule};
use crate::scope::Scope;
use crate::source::{Fields, OpaBundles, Reader};
use crate::yaml::{self, Place};
use portcullis_model::Problem;
use std::collections::HashMap;
use std::sync::Arc;

/// A bundle that was read without an error.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    pub(crate) name: Arc<str>,
    pub(crate) file: Arc<str>,
    pub(crate) scope: Scope,
    pub(crate) rules: Vec<Rule>,
    pub(crate) masks: Vec<Arc<Mask>>,
    pub(crate) budgets: Vec<Arc<Budget>>,
    /// The actions that any of its rules matches.
    pub(crate) actions: Actions,
}

/// What a file was read into, problems or not: other files are compared with it.
pub(crate) struct Read {
    pub(crate) name: Option<(Arc<str>, Place)>,
    /// `None` where an error was met.
    pub(crate) bundle: Option<Bundle>,
    pub(crate) tests: Vec<PolicyTest>,
    pub(crate) problems: Vec<Problem>,
}

impl Bundle {
    /// Reads a file.
    pub(crate) fn read(file: &SourceFile, opa: &OpaBundles<'_>) -> Read {
        let mut reader = Reader::new(file, opa);
        let root = yaml::parse(file, &mut reader.problems);
        let mut read = Read { name: None, bundle: None, tests: Vec::new(), problems: Vec::new() };
        let keys = ["bundle", "applies_to", "rules", "mask", "budgets", "tests"];
        if let Some(fields) = root.as_ref().and_then(|root| reader.fields(root, "", &keys)) {
            Self::read_fields(&mut reader, &fields, &mut read);
        }
        if reader.failed() {
            read.bundle = None;
        }
        read.problems = reader.problems;
        read.problems.sort_by_key(|problem| problem.location.as_ref().map(|at| (at.line, at.column)));
        read
    }

    fn read_fields(reader: &mut Reader<'_>, fields: &Fields<'_>, read: &mut Read) {
        let text = reader.required(fields, "bundle");
        let name = text.and_then(|text| Some((reader.identifier(text, "bundle")?, text.at)));
        let bundle = name.as_ref().map_or_else(|| Arc::from("?"), |(name, _)| name.clone());
        let scope = fields.get("applies_to").map(|entry| Scope::read(reader, &entry.value, "applies_to"));
        let mut lines = HashMap::new();
        let rules = rules(reader, fields, &bundle, &mut lines);
        let masks = masks(reader, fields, &bundle, &mut lines);
        let budgets = budgets(reader, fields, &bundle, &mut lines);
        if let Some(entry) = fields.get("tests") {
            for (nth, item) in reader.items(&entry.value, "tests").iter().enumerate() {
                read.tests.extend(PolicyTest::read(reader, &bundle, item, &format!("tests[{nth}]")));
            }
        }
        if rules.is_empty() && masks.is_empty() && budgets.is_empty() && !reader.failed() {
            let warning = Problem::warning("rules", "the bundle has no rules: it allows and refuses nothing");
            reader.report(fields.at, warning);
        }
        read.name = name;
        read.bundle = Some(Self {
            name: bundle,
            file: reader.file.path.clone(),
            scope: scope.unwrap_or_default(),
            actions: rules.iter().fold(Actions::default(), |set, rule| set.union(rule.actions)),
            rules,
            masks,
            budgets,
        });
    }
}

/// The line on which each id of the bundle was met first.
type Lines = HashMap<Arc<str>, usize>;

fn rules(reader: &mut Reader<'_>, fields: &Fields<'_>, bundle: &Arc<str>, lines: &mut Lines) -> Vec<Rule> {
    let Some(entry) = fields.get("rules") else { return Vec::new() };
    let mut rules: Vec<Rule> = Vec::new();
    for (nth, item) in reader.items(&entry.value, "rules").iter().enumerate() {
        let path = format!("rules[{nth}]");
        let Some(rule) = Rule::read(reader, bundle, item, &path) else { continue };
        once(reader, lines, &rule.id.rule, item.at, &path);
        rules.push(rule);
    }
    rules
}

fn masks(reader: &mut Reader<'_>, fields: &Fields<'_>, bundle: &Arc<str>, lines: &mut Lines) -> Vec<Arc<Mask>> {
    let Some(entry) = fields.get("mask") else { return Vec::new() };
    let mut masks: Vec<Arc<Mask>> = Vec::new();
    for (nth, item) in reader.items(&entry.value, "mask").iter().enumerate() {
        let path = format!("mask[{nth}]");
        let Some(mask) = Mask::read(reader, bundle, item, &path) else { continue };
        once(reader, lines, &mask.id.rule, item.at, &path);
        masks.push(Arc::new(mask));
    }
    masks
}

fn budgets(reader: &mut Reader<'_>, fields: &Fields<'_>, bundle: &Arc<str>, lines: &mut Lines) -> Vec<Arc<Budget>> {
    let Some(entry) = fields.get("budgets") else { return Vec::new() };
    let mut budgets: Vec<Arc<Budget>> = Vec::new();
    for (nth, item) in reader.items(&entry.value, "budgets").iter().enumerate() {
        let path = format!("budgets[{nth}]");
        let Some(budget) = Budget::read(reader, bundle, item, &path) else { continue };
        once(reader, lines, &budget.id.rule, item.at, &path);
        budgets.push(Arc::new(budget));
    }
    budgets
}

/// Reports an id that was met before.
fn once(reader: &mut Reader<'_>, lines: &mut Lines, id: &Arc<str>, at: Place, path: &str) {
    if let Some(line) = lines.get(id) {
        let help = Some("give it an id of its own: records and messages name rules by id".to_owned());
        reader.error_with(at, path, format!("a second rule `{id}`; the first is on line {line}"), help);
    }
    lines.entry(id.clone()).or_insert(at.line);
}
