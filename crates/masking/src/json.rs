//! Masks JSON documents: members by path, and what detectors find in strings, names and numbers.
//!
//! Promises: every byte outside a masked value stays as it was; every value that a path leads to is masked, also under a
//! key that occurs twice, is written with escapes or in letters of the other case, or is a way (`a.b`); detectors see what a
//! string says, however it is written; a string that is itself one or more objects or lists is looked into once, by the same
//! paths and detectors, and written anew where something in it is masked; one that has their ends and members and cannot be
//! read (half of a character that a service cut, a comma too many) is replaced whole where there are paths; a text that is
//! not JSON for every reader is [`NotJson`], and the caller then withholds all of it. Depth is bounded, nothing recurses
//! deeper than that one look, time is linear.
//!
//! Does not promise to find a value that is spread over several strings, nor what stands in a string that is JSON only in
//! part (a log line, a document cut off): there detectors look, paths do not. Two names that look like protected values
//! may become one.
//!
//! Held by: `tests.rs` and `tests/documents.rs` beside this file, property tests against serde_json among them.

mod member;
mod path;
mod scan;
mod walk;

use crate::detect::{Detectors, Value};
use crate::key::Key;
use crate::transform::REDACTED;
pub use member::has_member;
pub use path::{BadPath, JsonPath};
use portcullis_model::Transform;
use walk::Walk;

/// The text is not JSON, or is nested more than 512 deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON text that can be masked")]
pub struct NotJson;

/// What to mask in documents.
#[derive(Clone, Copy)]
pub struct JsonMasks<'m> {
    /// Which values, and what stands in their place.
    pub paths: &'m [(JsonPath, Transform)],
    /// What to look for in strings, names and numbers.
    pub detectors: Option<&'m Detectors>,
    /// Values that detectors must leave as they are, with all that is in them: signatures, ids. A path still masks them.
    pub spared: &'m [JsonPath],
    /// The key of hashes.
    pub key: &'m Key,
}

/// What became of a document in which something was masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedJson {
    /// The document.
    pub text: String,
    /// How many values each path replaced.
    pub paths: Vec<u64>,
    /// How many hits of each detector were replaced.
    pub detectors: Vec<u64>,
}

impl JsonMasks<'_> {
    /// Masks a document. `Ok(None)`: nothing in it is to be masked.
    ///
    /// A string becomes the transformed string, or null; a number or a truth value a string where the transform is a
    /// constant or a hash, else null; null stays null; an object or a list is replaced whole by the constant, or null. A
    /// number in which a detector finds something becomes a string.
    ///
    /// # Errors
    /// [`NotJson`]: the caller withholds the document.
    pub fn mask(&self, document: &[u8]) -> Result<Option<MaskedJson>, NotJson> {
        let text = std::str::from_utf8(document).map_err(|_| NotJson)?;
        Walk::new(*self, text).document()
    }

    /// Masks a text as a string of a document would be: looked into where it is itself JSON, else by detectors only.
    #[must_use]
    pub fn mask_text(&self, text: &str) -> Option<MaskedJson> {
        match is_container(text).then(|| Walk::new(*self, text).documents()) {
            Some(Ok(masked)) => return masked,
            Some(Err(NotJson)) if self.withholds(text) => {
                let detectors = vec![0; self.detectors.map_or(0, Detectors::count)];
                return Some(MaskedJson { text: REDACTED.to_owned(), paths: vec![0; self.paths.len()], detectors });
            }
            Some(Err(NotJson)) | None => {}
        }
        let detectors = self.detectors?;
        let mut hits = vec![0; detectors.count()];
        let redacted = detectors.redact_value(Value::plain(text), self.key, &mut |rule| count(&mut hits, rule))?;
        Some(MaskedJson { text: redacted, paths: vec![0; self.paths.len()], detectors: hits })
    }

    /// Whether a text in which no path can be followed holds what one could lead to.
    fn withholds(&self, text: &str) -> bool {
        !self.paths.is_empty() && has_member(text)
    }
}

/// Masks what the paths lead to, and looks for nothing else. `Ok(None)`: they lead to nothing here that is not null.
///
/// # Errors
/// [`NotJson`]: the caller masks the text whole.
pub fn mask_json(text: &str, paths: &[(JsonPath, Transform)], key: &Key) -> Result<Option<String>, NotJson> {
    let masks = JsonMasks { paths, detectors: None, spared: &[], key };
    Ok(Walk::flat(masks, text).document()?.map(|masked| masked.text))
}

/// Whether a text could be objects or lists to some reader, by its ends.
fn is_container(text: &str) -> bool {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    text.starts_with(['{', '[']) && text.ends_with(['}', ']'])
}

fn count(counts: &mut [u64], nth: usize) {
    counts.iter_mut().skip(nth).take(1).for_each(|count| *count += 1);
}

/// Fuzzing entry: any bytes; must not panic, and what it makes of JSON must be JSON, of which a second masking by path
/// makes the same.
pub fn fuzz_json(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let key = Key::new([1; 32]);
    let all: Vec<_> = ["$..a", "$.b[*].c", "$..['x y'].*", "$[1]"]
        .iter()
        .filter_map(|path| Some((JsonPath::parse(path).ok()?, Transform::Redact)))
        .collect();
    if let Ok(Some(masked)) = mask_json(&text, &all, &key) {
        let again = mask_json(&masked, &all, &key);
        assert!(again.as_ref().is_ok_and(|again| again.as_ref().is_none_or(|again| *again == masked)), "not settled");
    }
    let every: Vec<_> =
        portcullis_model::Detector::NAMED.iter().map(|(_, one)| (one.clone(), Transform::Redact)).collect();
    if let Ok(detectors) = Detectors::new(&every) {
        let masks = JsonMasks { paths: &all, detectors: Some(&detectors), spared: &[], key: &key };
        if let Ok(Some(masked)) = masks.mask(text.as_bytes()) {
            assert!(masks.mask(masked.text.as_bytes()).is_ok(), "not JSON any more: {masked:?}");
            assert_eq!(masked.paths.len() + masked.detectors.len(), all.len() + every.len());
        }
        drop(masks.mask_text(&text));
    }
    drop(JsonPath::parse(&text));
}

#[cfg(test)]
mod tests;
