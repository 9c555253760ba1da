//! Judges where the values of a statement go: the marks `exposes-protected` and `infers-protected`, and why.
//!
//! Promises: a protected value that is written anywhere but back to its own column is a finding, and so is every use of
//! one that its rules do not permit; what cannot be told is one too, with no column; nothing is found where nothing is
//! protected. Does not decide: policy does, by the marks.
//!
//! Held by: `protection/tests.rs`.

use crate::protection::{Because, Fate, Protection};
use portcullis_model::{
    ColumnId, Lineage, Mark, Marks, Outputs, Predicates, QualifiedName, RuleId, Sources, Usage, Use,
};

/// What protection has to say of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// `exposes-protected` and `infers-protected`, as they hold.
    pub marks: Marks,
    /// What goes somewhere else.
    pub exposes: Vec<Finding>,
    /// What is used in a way that its rules do not permit.
    pub infers: Vec<Finding>,
    /// How often a protected column is compared by equality as `predicates: equality` permits: to be rate-limited.
    pub equalities: usize,
    /// An output cannot be proven, and a rule wants such statements refused.
    pub unproven: bool,
    /// Errors and notices of this statement may carry protected values: they must be scrubbed.
    pub touches: bool,
}

/// One source that is used as it may not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The column; `None`: it cannot be told.
    pub column: Option<ColumnId>,
    /// The rules that protect it.
    pub rules: Vec<RuleId>,
}

type Clean<'c> = &'c dyn Fn(&QualifiedName) -> bool;

impl Protection {
    /// Judges a statement; `clean` says which functions carry nothing protected in their results.
    #[must_use]
    pub fn judge(&self, lineage: &Lineage, clean: &dyn Fn(&QualifiedName) -> bool) -> Judgement {
        let mut judgement = Judgement::default();
        if self.is_empty() {
            return judgement;
        }
        for one in &lineage.uses {
            self.judge_use(one, clean, &mut judgement);
            judgement.touches |= self.is_untold(&one.sources, clean);
        }
        let unproven = |sources: &Sources, exact: bool| match self.fate(sources, exact, clean) {
            Fate::Clear => false,
            Fate::Masked { because, .. } => because == Because::Unproven,
        };
        let unproven = match &lineage.outputs {
            Outputs::None => false,
            Outputs::Known(outputs) => outputs.iter().any(|output| unproven(&output.sources, output.exact)),
            Outputs::Unknown(sources) => unproven(sources, false),
        };
        judgement.unproven = unproven && self.denies_unproven();
        if !judgement.exposes.is_empty() {
            judgement.marks = judgement.marks.with(Mark::ExposesProtected);
        }
        if !judgement.infers.is_empty() {
            judgement.marks = judgement.marks.with(Mark::InfersProtected);
        }
        judgement.touches |= lineage.unknown
            || unproven
            || !judgement.marks.is_empty()
            || lineage.relations.iter().any(|relation| self.covers(*relation))
            || self.fate(&lineage.all_outputs(), false, clean) != Fate::Clear;
        judgement
    }

    fn judge_use(&self, one: &Use, clean: Clean<'_>, judgement: &mut Judgement) {
        let untold = self.is_untold(&one.sources, clean);
        match one.usage {
            Usage::Written { into } => {
                // A row is not itself: its columns may change places on the way.
                let itself = into.filter(|column| !column.is_row());
                for column in one.sources.columns().iter().filter(|column| Some(**column) != itself) {
                    self.find(&mut judgement.exposes, *column, |_| true);
                }
                if untold {
                    add(&mut judgement.exposes, Finding { column: None, rules: Vec::new() });
                }
            }
            Usage::Equality => match one.sources.columns() {
                [column] if !untold && one.sources.functions().is_empty() && !column.is_row() => {
                    judgement.equalities +=
                        usize::from(self.column(*column).is_some_and(|one| one.predicates == Predicates::Equality));
                    self.find(&mut judgement.infers, *column, |predicates| predicates == Predicates::Deny);
                }
                _ => self.judge_condition(&one.sources, untold, judgement),
            },
            Usage::Condition => self.judge_condition(&one.sources, untold, judgement),
        }
    }

    fn judge_condition(&self, sources: &Sources, untold: bool, judgement: &mut Judgement) {
        for column in sources.columns() {
            self.find(&mut judgement.infers, *column, |predicates| predicates != Predicates::Allow);
        }
        if untold {
            add(&mut judgement.infers, Finding { column: None, rules: Vec::new() });
        }
    }

    /// Adds a finding where the column is protected and its predicates are such.
    fn find(&self, findings: &mut Vec<Finding>, column: ColumnId, such: impl Fn(Predicates) -> bool) {
        if let Some(treatment) = self.column(column).filter(|treatment| such(treatment.predicates)) {
            add(findings, Finding { column: Some(column), rules: treatment.rules.clone() });
        }
    }
}

fn add(findings: &mut Vec<Finding>, finding: Finding) {
    if !findings.contains(&finding) {
        findings.push(finding);
    }
}
