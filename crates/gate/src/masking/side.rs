//! One side of a session's masks: what the client may see, or what the record may hold.
//!
//! Promises: a mask that cannot be carried out is named, so that its side refuses everything; what looks at every value
//! never hashes, since a client can select guesses of its own. Held by: `tests/it/masking.rs`.

use crate::mask::Mask;
use portcullis_masking::{Because, Detectors, Fate, Finding, JsonPath, Judgement, Key, Protection, Treatment};
use portcullis_model::{Lineage, QualifiedName, RuleId, Sources, Transform};
use portcullis_policy::Masks;
use std::sync::Arc;

/// What masks make of values on one side.
pub(crate) struct Side {
    pub(super) masks: Masks,
    pub(super) protection: Arc<Protection>,
    pub(crate) detectors: Option<Arc<Detectors>>,
    /// The rule of each detector.
    pub(crate) detector_rules: Vec<Arc<str>>,
    /// The rules of the detectors, as the record names them.
    detected_by: Arc<str>,
    /// Fields of JSON values, whatever column they are in.
    pub(crate) json: Vec<(JsonPath, Transform)>,
    /// Each of them as it is written, and its rule.
    pub(crate) json_rules: Vec<(Arc<str>, Arc<str>)>,
    json_by: Vec<RuleId>,
    /// A mask that cannot be carried out: nothing passes.
    pub(super) broken: Option<RuleId>,
}

impl Side {
    pub(crate) fn new(masks: Masks, protection: Arc<Protection>) -> Self {
        // Who is bound by nothing but what is said of clean functions is bound by nothing.
        let masks = if masks.iter().all(|mask| mask.with.is_none()) { Masks::default() } else { masks };
        let mut broken = None;
        let mut detect = Vec::new();
        let mut detected_by = Vec::new();
        let mut detector_rules = Vec::new();
        let (mut json, mut json_by, mut json_rules) = (Vec::new(), Vec::new(), Vec::new());
        for mask in masks.with_detectors() {
            detect.extend(mask.detect.iter().cloned().map(|detector| (detector, anywhere(mask))));
            let rule: Arc<str> = mask.id.to_string().into();
            detector_rules.extend(mask.detect.iter().map(|_| Arc::clone(&rule)));
            detected_by.push(mask.id.clone());
        }
        for mask in masks.with_json() {
            match paths(mask) {
                Ok(paths) => {
                    json.extend(paths.into_iter().map(|(path, _)| (path, anywhere(mask))));
                    let rule: Arc<str> = mask.id.to_string().into();
                    json_rules.extend(mask.json.iter().map(|path| (Arc::clone(path), Arc::clone(&rule))));
                }
                Err(()) => broken = Some(mask.id.clone()),
            }
            json_by.push(mask.id.clone());
        }
        let detectors = match Detectors::new(&detect) {
            Ok(detectors) if detectors.is_empty() => None,
            Ok(detectors) => Some(Arc::new(detectors)),
            Err(_) => {
                broken = detected_by.first().cloned();
                None
            }
        };
        if let Some(mask) = masks.iter().find(|mask| paths(mask).is_err()) {
            broken = Some(mask.id.clone());
        }
        let detected_by = names(&detected_by);
        Self { masks, protection, detectors, detector_rules, detected_by, json, json_rules, json_by, broken }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.masks.is_empty()
    }

    /// Whether a mask of it cannot be carried out.
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    fn clean(&self, function: &QualifiedName) -> bool {
        self.masks.is_clean(function)
    }

    /// The rule that a finding is told by; what could not be followed is told by the first mask in force.
    pub(crate) fn rule_of(&self, finding: &Finding) -> Option<RuleId> {
        finding.rules.first().cloned().or_else(|| self.masks.iter().next().map(|mask| mask.id.clone()))
    }

    pub(crate) fn judge(&self, statement: &Lineage) -> Judgement {
        self.protection.judge(statement, &|function| self.clean(function))
    }

    pub(crate) fn fate(&self, sources: &Sources, exact: bool) -> Fate {
        self.protection.fate(sources, exact, &|function| self.clean(function))
    }

    /// What stands in the place of a value with this fate; `None` where it passes.
    pub(crate) fn mask(&self, fate: Fate, json: bool, key: &Arc<Key>) -> Option<Mask> {
        let mask = |treatment, because, by: Arc<str>, detectors| {
            Some(Mask { anywhere: false, treatment, because, by, detectors, key: Arc::clone(key) })
        };
        match fate {
            Fate::Masked { treatment, because } => {
                let by = names(&treatment.rules);
                mask(Some(treatment), because, by, None)
            }
            Fate::Clear if json && !self.json.is_empty() => {
                let treatment = Treatment {
                    rules: self.json_by.clone(),
                    whole: None,
                    json: self.json.clone(),
                    predicates: portcullis_model::Predicates::Allow,
                    unproven: portcullis_model::Unproven::Mask,
                };
                let mask = mask(Some(treatment), Because::Detector, names(&self.json_by), self.detectors.clone())?;
                Some(Mask { anywhere: true, ..mask })
            }
            Fate::Clear => {
                let detectors = self.detectors.clone()?;
                mask(None, Because::Detector, Arc::clone(&self.detected_by), Some(detectors))
            }
        }
    }
}

fn names(rules: &[RuleId]) -> Arc<str> {
    rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ").into()
}

pub(super) fn transform(mask: &portcullis_policy::Mask) -> Transform {
    mask.with.clone().unwrap_or(Transform::Redact)
}

/// The same for what is looked for everywhere: a client can select constants of its own, so a hash would tell it which of
/// its guesses is the value.
fn anywhere(mask: &portcullis_policy::Mask) -> Transform {
    match transform(mask) {
        Transform::Hash => Transform::Redact,
        other => other,
    }
}

pub(super) fn paths(mask: &portcullis_policy::Mask) -> Result<Vec<(JsonPath, Transform)>, ()> {
    mask.json.iter().map(|path| Ok((JsonPath::parse(path).map_err(|_| ())?, transform(mask)))).collect()
}
