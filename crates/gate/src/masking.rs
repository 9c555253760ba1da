//! Which masks bind a session, closed over the catalogue its commands are read against; what they make of a command, and
//! what becomes of each column of its answer.
//!
//! Two sides: what the client may see, and what the record may hold, which no `unless` exempts. A side is made anew when
//! policy or catalogue is another, and shared by the sessions it is the same for.
//!
//! Promises: a mask that cannot be carried out refuses every command on its connection; what was not followed counts as
//! protected; a session without masks pays one comparison a command.
//! Does not promise that the lineage is right: the readers promise that.
//! Held by: `tests/it/masking.rs`, and for what the record keeps of a command `tests/it/json.rs`.

mod closing;
mod side;

use crate::door::{InForce, Shared};
use crate::mask::{Mask, Plan, Plans, ResultColumn};
use portcullis_masking::{Fate, Finding, Judgement, Key};
use portcullis_model::{
    Bound, Catalogue, ColumnId, Command, Connection, Followed, Lineage, Marks, Misuse, Name, Outputs, Parameter, Place,
    Principal, Reason, RuleId, Sources, Text,
};
use portcullis_policy::Masks;
use std::sync::Arc;

pub(crate) use closing::{Closed, close};
pub(crate) use side::Side;

/// Types of parameters that are documents: the record has them masked by their fields. One that a `document` was not read
/// as, or that was cut, is kept only where no fields are masked.
const DOCUMENTS: [&str; 3] = ["json", "jsonb", "document"];

fn is_document(parameter: &Parameter) -> bool {
    DOCUMENTS.contains(&&*parameter.type_name)
}

/// The masks that bind one session now.
pub(crate) struct Masking {
    policy: u64,
    catalogue: Arc<Catalogue>,
    pub(crate) client: Side,
    pub(crate) record: Side,
    /// Whether the record is bound by the very masks of the client.
    alike: bool,
    key: Arc<Key>,
}

/// Whether the answer to a command may hold values that are protected.
#[derive(Clone, Copy, Debug, Default)]
pub struct Touches {
    /// From the client.
    pub client: bool,
    /// From the record.
    pub record: bool,
}

/// What masks make of one command.
#[derive(Default)]
pub(crate) struct Found {
    /// What its operations carry besides.
    pub(crate) marks: Marks,
    /// Why it is refused where no rule allows a mark, the worst misuse first.
    pub(crate) misuse: Option<Reason>,
    /// Why it is refused whatever a rule says.
    pub(crate) refusal: Option<Reason>,
    /// Comparisons with a protected column that count against the principal's allowance.
    pub(crate) equalities: usize,
    /// Who protects what is compared.
    pub(crate) compared: Option<(RuleId, Arc<str>)>,
    /// Whether its answer may hold protected values.
    pub(crate) touches: Touches,
}

impl Masking {
    /// The masks that bind this principal on this connection now.
    pub(crate) fn new(
        shared: &Shared,
        policy: &InForce,
        principal: &Principal,
        connection: &Connection,
        catalogue: &Arc<Catalogue>,
    ) -> Self {
        let side = |masks: Masks, principal| {
            let protection = shared.closed(policy, &masks, principal, connection, catalogue);
            Side::new(masks, protection)
        };
        let client = side(policy.set.masks(principal, connection), Some(principal));
        let record = side(policy.set.masks_of_record(connection), None);
        Self {
            policy: policy.epoch,
            catalogue: Arc::clone(catalogue),
            alike: client.masks == record.masks,
            client,
            record,
            key: Arc::clone(&shared.masking_key),
        }
    }

    /// Whether it is that of this policy and catalogue.
    pub(crate) fn is_of(&self, policy: u64, catalogue: Option<&Arc<Catalogue>>) -> bool {
        self.policy == policy
            && (self.record.is_empty()
                || catalogue.is_none_or(|catalogue| {
                    catalogue.epoch() == self.catalogue.epoch() && catalogue.is_known() == self.catalogue.is_known()
                }))
    }

    pub(crate) const fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Whether the record is bound by the very masks of the client. What is derived from columns may differ all the same:
    /// a hash depends on who may write.
    pub(crate) const fn is_same_for_record(&self) -> bool {
        self.alike
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// Whether nothing is masked, for anybody.
    pub(crate) fn is_empty(&self) -> bool {
        self.record.is_empty()
    }

    /// Whether the client is bound by the same masks as under the other.
    pub(crate) fn same_for_client(&self, other: &Self) -> bool {
        self.client.masks == other.client.masks
    }

    /// What the client's masks make of a command.
    pub(crate) fn judge(&self, command: &Command) -> Found {
        let side = &self.client;
        let everything = Touches { client: !side.is_empty(), record: true };
        if let Some(rule) = side.broken.clone().or_else(|| self.record.broken.clone()) {
            return Found { refusal: Some(Reason::PolicyError { rule }), touches: everything, ..Found::default() };
        }
        if self.is_empty() {
            return Found::default();
        }
        let Some(followed) = &command.followed else {
            return Found { touches: everything, ..Found::default() };
        };
        let mut found = Found::default();
        for statement in &*followed.statements {
            if !side.is_empty() {
                let judgement = side.judge(statement);
                found.touches.client |= judgement.touches;
                self.add(&mut found, &judgement, &followed.catalogue);
            }
            found.touches.record |= self.record.judge(statement).touches;
        }
        found
    }

    /// Whether words of the backend may hold protected values although the command itself touches none: they were
    /// raised by code that the client did not send, or are about a relation that has some.
    pub(crate) fn speaks(&self, raised: bool, relation: Option<(&str, &str)>) -> Touches {
        let covers = |side: &Side| {
            let Some((schema, name)) = relation else { return false };
            let known = self.catalogue.relation_named(&Name::canonical(schema), &Name::canonical(name));
            known.is_none_or(|relation| side.protection.covers(relation.oid))
        };
        let touches = |side: &Side| !side.protection.is_empty() && (raised || covers(side));
        Touches { client: touches(&self.client), record: touches(&self.record) }
    }

    /// Whether some mask looks at every value, whatever column it is of.
    pub(crate) fn looks_everywhere(&self) -> bool {
        [&self.client, &self.record].iter().any(|side| side.detectors.is_some() || !side.json.is_empty())
    }

    fn add(&self, found: &mut Found, judgement: &Judgement, catalogue: &Catalogue) {
        found.marks = found.marks.union(judgement.marks);
        found.equalities += judgement.equalities;
        let misused = |findings: &[Finding], misuse| {
            let finding = findings.first()?;
            let rule = self.client.rule_of(finding)?;
            Some(Reason::Protected { rule, column: shown(finding.column, catalogue), misuse })
        };
        let exposed = misused(&judgement.exposes, Misuse::Exposed);
        found.misuse = found.misuse.take().or(exposed).or_else(|| misused(&judgement.infers, Misuse::Inferred));
        if judgement.unproven && found.refusal.is_none() {
            let rule = self.client.masks.iter().next().map(|mask| mask.id.clone());
            let column = "a column of this database".into();
            found.refusal = rule.map(|rule| Reason::Protected { rule, column, misuse: Misuse::Unproven });
        }
        if judgement.equalities > 0 && found.compared.is_none() {
            found.compared = self.client.masks.iter().next().map(|mask| (mask.id.clone(), "a protected column".into()));
        }
    }

    /// What the record may hold of a command's text and parameters.
    pub(crate) fn recorded(&self, command: &Command) -> (Text, Vec<Parameter>) {
        let side = &self.record;
        let mut parameters = command.parameters.clone();
        if side.is_empty() {
            for parameter in parameters.iter_mut().filter(|parameter| is_document(parameter)) {
                parameter.value = parameter.value.as_deref().map(|value| side.document(value, &self.key).into());
            }
            return (command.text.clone(), parameters);
        }
        let hidden = |bound: &Bound, value: &str| {
            side.protection.column(bound.column)?;
            let kind = if value.starts_with(|c: char| c.is_ascii_digit() || c == '-') { "number" } else { "text" };
            Some(Arc::from(format!("'[protected {kind} {}]'", self.key.digest(value.as_bytes()))))
        };
        for parameter in &mut parameters {
            let Some(value) = parameter.value.as_deref() else { continue };
            let kept =
                if is_document(parameter) { Some(side.document(value, &self.key)) } else { self.searched(value) };
            if let Some(kept) = kept {
                parameter.value = Some(kept.into());
            }
        }
        for bound in command.followed.iter().flat_map(Followed::bound) {
            let Place::Parameter(number) = bound.place else { continue };
            let nth = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            let of = |parameters: &[Parameter]| parameters.get(nth?)?.value.clone();
            if let Some(value) = of(&command.parameters)
                && let Some(parameter) = nth.and_then(|nth| parameters.get_mut(nth))
                && side.protection.column(bound.column).is_some()
            {
                parameter.value = Some(format!("[protected {}]", self.key.digest(value.as_bytes())).into());
            }
        }
        // What a reader could not follow is searched all the same.
        let mut text =
            command.followed.as_ref().map_or_else(|| command.text.clone(), |followed| followed.text(&hidden));
        if let Some(found) = self.searched(text.as_str()) {
            text = Text::plain(found);
        }
        (text, parameters)
    }

    /// Words as the record may hold them, with what its detectors find in them replaced; `None` where nothing is.
    pub(crate) fn searched(&self, words: &str) -> Option<String> {
        self.record.detectors.as_ref()?.redact(words, &self.key, &mut |_| {})
    }

    /// What becomes of the columns of one statement's result, for the client and for the record.
    pub(crate) fn plan(&self, followed: Option<&Followed>, statement: usize, columns: &[ResultColumn<'_>]) -> Plans {
        let lineage = followed.and_then(|followed| followed.statements.get(statement));
        let side = |side: &Side| {
            if side.is_empty() {
                return None;
            }
            let column = |(nth, column)| self.column(side, lineage, columns.len(), nth, column);
            let plan: Plan = columns.iter().enumerate().map(column).collect();
            plan.iter().any(Option::is_some).then_some(plan)
        };
        Plans { client: side(&self.client), record: side(&self.record) }
    }

    fn column(
        &self,
        side: &Side,
        lineage: Option<&Arc<Lineage>>,
        width: usize,
        nth: usize,
        column: &ResultColumn<'_>,
    ) -> Option<Arc<Mask>> {
        let fate = match column.origin {
            // What the server itself says is more than what was read.
            Some(origin) => side.fate(&Sources::column(origin), true),
            None => match lineage.map(|lineage| &lineage.outputs) {
                Some(Outputs::Known(outputs)) if outputs.len() == width => match outputs.get(nth) {
                    Some(output) => side.fate(&output.sources, output.exact),
                    None => side.fate(&Sources::unknown(), false),
                },
                Some(Outputs::Unknown(sources)) => side.fate(sources, false),
                Some(Outputs::Known(_) | Outputs::None) | None => side.fate(&Sources::unknown(), false),
            },
        };
        side.mask(fate, column.json, &self.key).map(Arc::new)
    }

    /// What looks for values in words that belong to no column, for the client.
    pub(crate) fn words(&self) -> Option<Arc<Mask>> {
        self.words_of(&self.client)
    }

    /// The same for either side.
    pub(crate) fn words_of(&self, side: &Side) -> Option<Arc<Mask>> {
        side.mask(Fate::Clear, false, &self.key).map(Arc::new)
    }
}

/// The column as a person names it.
pub(crate) fn shown(column: Option<ColumnId>, catalogue: &Catalogue) -> Arc<str> {
    let Some(column) = column else { return "what could not be followed".into() };
    let Some(relation) = catalogue.relation(column.relation) else { return "a relation that is not known".into() };
    let table = format!("{}.{}", relation.schema, relation.name);
    match relation.columns.iter().find(|known| known.number == column.number) {
        Some(known) => format!("{table}.{}", known.name).into(),
        None => format!("a column of {table}").into(),
    }
}
