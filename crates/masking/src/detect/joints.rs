//! Places in a text where something was taken out of it, and the other ways in which it can therefore be read.
//!
//! With its escapes taken out, a value that colours run through is whole again. But two values that only an escape kept
//! apart then look like one that is neither, and a character struck twice, with a backspace between, stands there twice.
//! So what is held is also looked through piece by piece between such places, and once as backspaces leave it.
//!
//! Promises: whatever any of the readings finds is a hit; a hit is told once. Does not promise readings in which the cursor
//! was moved in any other way. Held by: the tests of `terminal.rs`.

use super::bytes::part;
use super::{Detectors, Hits};
use std::cmp::Reverse;

#[derive(Clone, Debug, Default)]
pub(super) struct Joints {
    places: Vec<Joint>,
}

#[derive(Clone, Copy, Debug)]
struct Joint {
    at: usize,
    backspace: bool,
}

impl Joints {
    pub(super) fn add(&mut self, at: usize, backspace: bool) {
        self.places.push(Joint { at, backspace });
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
    }

    /// The first bytes of the text are gone.
    pub(super) fn forget(&mut self, count: usize) {
        if self.places.is_empty() {
            return;
        }
        // At its beginning nothing is joined to anything.
        self.places.retain(|joint| joint.at > count);
        self.places.iter_mut().for_each(|joint| joint.at -= count);
    }

    /// Adds what the other readings of this text find.
    pub(super) fn look(&self, detectors: &Detectors, text: &[u8], open: bool, found: &mut Hits) {
        let within = self.places.partition_point(|joint| joint.at < text.len());
        let places = self.places.get(..within).unwrap_or_default();
        if places.is_empty() {
            return;
        }
        let mut from = 0;
        for joint in places {
            if joint.at > from {
                detectors.scan(part(text, from, joint.at), from, false, found);
                from = joint.at;
            }
        }
        detectors.scan(part(text, from, text.len()), from, open, found);
        if places.iter().any(|joint| joint.backspace) {
            struck_over(detectors, text, places, open, found);
        }
        once(found);
    }
}

/// Looks through the text as it is when every backspace has taken away what stood before it.
fn struck_over(detectors: &Detectors, text: &[u8], places: &[Joint], open: bool, found: &mut Hits) {
    let mut left: Vec<u8> = Vec::with_capacity(text.len());
    let mut stood: Vec<usize> = Vec::with_capacity(text.len());
    let mut places = places.iter().peekable();
    for (at, byte) in text.iter().enumerate() {
        while let Some(joint) = places.next_if(|joint| joint.at <= at) {
            let character = left.iter().rposition(|byte| !(0x80..0xC0).contains(byte)).unwrap_or(0);
            if joint.backspace {
                left.truncate(character);
                stood.truncate(character);
            }
        }
        left.push(*byte);
        stood.push(at);
    }
    let mut hits = Hits::new();
    detectors.scan(&left, 0, open, &mut hits);
    let place = |at: usize| stood.get(at).copied();
    found.extend(hits.into_iter().filter_map(|mut hit| {
        hit.span = place(hit.span.start)?..place(hit.span.end.checked_sub(1)?)? + 1;
        Some(hit)
    }));
}

/// Of each rule, leaves out what lies within another hit.
fn once(found: &mut Hits) {
    found.sort_by_key(|hit| (hit.rule, hit.span.start, Reverse(hit.span.end)));
    let mut reached = None;
    found.retain(|hit| {
        let new = reached.is_none_or(|(rule, end)| rule != hit.rule || hit.span.end > end);
        if new {
            reached = Some((hit.rule, hit.span.end));
        }
        new
    });
}
