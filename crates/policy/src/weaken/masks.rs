//! What a new set takes away from the masks of an old one.
//!
//! Promises: names every mask that is gone; every column, path and detector that it lost; a transform that shows more or
//! something else; an exemption that is new or wider; looser `predicates` and `unproven`; and every clean function that
//! is new, in a new mask or bundle too, or clean on more connections, since each takes results out of masking. Columns
//! that are no longer hidden whole, because paths were put beside them, count as lost; so do paths that no longer apply
//! everywhere. Compares what is written, as `weaken.rs` does. Held by: `weaken/tests.rs`.

use super::lost;
use crate::bundle::Bundle;
use crate::explain::written;
use crate::mask::{Mask, predicates_word, unproven_word};
use crate::set::PolicySet;
use portcullis_model::{Detector, Transform};
use std::collections::BTreeSet;
use std::sync::Arc;

type Texts = BTreeSet<Arc<str>>;

/// What the masks of this bundle lost.
pub(super) fn compare(now: &Bundle, was: &Bundle, out: &mut Vec<String>) {
    for mask in &was.masks {
        match now.masks.iter().find(|next| next.id == mask.id) {
            Some(next) => out.extend(looser(next, mask).map(|what| format!("mask {}: {what}", mask.id))),
            None => out.push(format!("mask {} is gone", mask.id)),
        }
    }
}

fn looser(now: &Mask, was: &Mask) -> impl Iterator<Item = String> {
    let columns = (texts(now.columns()), texts(was.columns()));
    let mut out = vec![
        fewer(&columns.0, &columns.1).map(|lost| format!("columns lost: {lost}")),
        json(now, was),
        fewer(&detectors(now), &detectors(was)).map(|lost| format!("detectors lost: {lost}")),
        with(now, was),
    ];
    if let Some(now) = now.unless().filter(|now| !was.unless().is_some_and(|was| was.covers(now))) {
        out.push(Some(format!("more are exempt: {}", now.describe())));
    }
    if now.predicates > was.predicates {
        let (now, was) = (predicates_word(now.predicates), predicates_word(was.predicates));
        out.push(Some(format!("predicates {now} instead of {was}")));
    }
    if now.unproven < was.unproven {
        let (now, was) = (unproven_word(now.unproven), unproven_word(was.unproven));
        out.push(Some(format!("unproven {now} instead of {was}")));
    }
    out.into_iter().flatten()
}

fn texts(list: &[Arc<str>]) -> Texts {
    list.iter().cloned().collect()
}

fn detectors(mask: &Mask) -> Texts {
    let texts = mask.detect.iter().map(|detector| match detector {
        Detector::Pattern(regex) => format!("regex {regex}").into(),
        Detector::PaymentCard
        | Detector::Email
        | Detector::UsSsn
        | Detector::Iban
        | Detector::Phone
        | Detector::Ipv4
        | Detector::Ipv6
        | Detector::AwsKey
        | Detector::GithubKey
        | Detector::PrivateKey
        | Detector::Jwt
        | Detector::HighEntropy => Arc::from(detector.word()),
    });
    texts.collect()
}

fn fewer(now: &Texts, was: &Texts) -> Option<String> {
    lost(Some(now), Some(was))
}

fn json(now: &Mask, was: &Mask) -> Option<String> {
    let join = |texts: &[Arc<str>]| texts.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    if was.hides_whole_columns() && !now.json.is_empty() {
        return Some(format!("columns are no longer hidden whole: only {} in them", join(&now.json)));
    }
    if was.json.is_empty() || (now.hides_whole_columns() && !was.columns().is_empty()) {
        return None;
    }
    if was.columns().is_empty() && !now.columns().is_empty() && !now.json.is_empty() {
        return Some(format!("paths apply only inside {}", join(now.columns())));
    }
    fewer(&texts(&now.json), &texts(&was.json)).map(|lost| format!("paths lost: {lost}"))
}

/// A fixed text may become another; of those that keep characters, other characters are more than was shown before.
fn with(now: &Mask, was: &Mask) -> Option<String> {
    let (Some(next), Some(before)) = (&now.with, &was.with) else { return None };
    let other = match (next, before) {
        (Transform::KeepFirst(_), Transform::KeepLast(_)) | (Transform::KeepLast(_), Transform::KeepFirst(_)) => true,
        (
            Transform::Null
            | Transform::Redact
            | Transform::Fixed(_)
            | Transform::Hash
            | Transform::KeepFirst(_)
            | Transform::KeepLast(_),
            _,
        ) => next.strictness() < before.strictness(),
    };
    other.then(|| format!("{} instead of {}", written(next), written(before)))
}

/// The functions that count as clean and did not, or on more connections.
pub(super) fn cleaner(now: &PolicySet, was: &PolicySet, out: &mut Vec<String>) {
    for bundle in &now.bundles {
        let old = was.bundles.iter().find(|old| old.name == bundle.name);
        let mut kept = false;
        for mask in bundle.masks.iter().filter(|mask| !mask.clean().is_empty()) {
            let before = old.and_then(|old| old.masks.iter().find(|before| before.id == mask.id));
            let before = before.map(|before| texts(before.clean())).unwrap_or_default();
            let after = texts(mask.clean());
            out.extend(fewer(&before, &after).map(|new| format!("mask {}: clean functions added: {new}", mask.id)));
            kept |= after.intersection(&before).next().is_some();
        }
        if let Some(old) = old.filter(|_| kept) {
            let more = lost(old.scope.connections.as_ref(), bundle.scope.connections.as_ref());
            out.extend(
                more.map(|more| format!("bundle {}: functions are clean on more connections: {more}", old.name)),
            );
        }
    }
}
