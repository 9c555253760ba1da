//! Why a command is sent, in the words of whoever sends it.
//!
//! Promises: a rule that asks for a reason is put to nobody without one, and the refusal says how to give it; what people
//! and the record see of a reason is bounded and masked as other words of the record are, whoever may read them. A reason
//! that came with the command counts before the session's. It decides nothing else and is no part of what is approved.
//! Held by: `tests/it/reasons.rs`.

use crate::judging::Judged;
use crate::session::{Inner, Session};
use portcullis_model::{Command, Reason, Verdict};
use std::sync::Arc;

/// Bytes of a reason that are kept.
const LONGEST: usize = 1024;

impl Session {
    /// What its commands are sent for from now on, as its client says; nothing but blanks is no reason.
    pub fn because(&self, words: &str) {
        self.inner.reason.store(said(words).map(|words| Arc::new(words.to_owned())));
    }
}

impl Inner {
    /// Nobody is asked about what is not explained, where a rule wants to know.
    pub(crate) fn unless_unexplained(&self, judged: &mut Judged, command: &Command) {
        if let Verdict::Hold(terms) = &judged.decision.verdict
            && let Some(terms) = terms.iter().find(|terms| terms.needs_reason)
            && !command.prepares()
            && self.reason(command).is_none()
        {
            judged.decision.verdict = Verdict::Deny(Reason::ReasonMissing { rule: terms.rule.clone() });
            // The rule's own words are about what it holds; what is to be done first is to say why.
            judged.decision.message = None;
        }
    }

    /// Why this command is sent, as people and the record may see it.
    pub(crate) fn reason(&self, command: &Command) -> Option<Arc<str>> {
        let of_session = self.reason.load_full();
        let words = command.reason.as_deref().and_then(said).or_else(|| said(of_session.as_deref()?))?;
        let masking = self.masking_now();
        Some(masking.record.kept_words(words, masking.key()).into_owned().into())
    }
}

/// The words, where there are any, cut.
fn said(words: &str) -> Option<&str> {
    let words = words.trim();
    let kept = words.get(..words.floor_char_boundary(LONGEST)).unwrap_or_default();
    (!kept.is_empty()).then_some(kept)
}
