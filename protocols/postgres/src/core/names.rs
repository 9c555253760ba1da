//! The names of prepared statements and portals, as the server will know them.
//!
//! A definition counts from the moment its frame is sent, for frames of the same stretch up to Sync: if the definition
//! fails, the server discards those frames too. A frame of a later stretch may only use what the server confirmed, since
//! between them the definition may have failed and an older meaning of the name live on (notes 32 to 34). So what a name
//! was judged to mean is what it means when it is used.
//!
//! Promises: a lookup never answers with a meaning that the server may not have; it says to wait instead. Bounded by
//! [`Names::is_full`]. Does not promise to know names made inside functions: those are unknown, and refused.
//! Held by: the tests below, and `tests/it/names.rs` against a real server.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Names that one session may hold.
const MOST: usize = 10_000;

/// A definition or removal that the server has not answered yet.
struct Change<T> {
    slot: u64,
    stretch: u64,
    /// None removes the name.
    value: Option<T>,
}

struct Entry<T> {
    confirmed: Option<T>,
    changes: VecDeque<Change<T>>,
}

/// What a name means now.
pub(crate) enum Found<T> {
    /// This.
    Here(T),
    /// Nothing.
    Absent,
    /// It depends on the answer to this slot.
    Wait(u64),
}

/// One namespace.
pub(crate) struct Names<T> {
    entries: HashMap<Box<str>, Entry<T>>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<T: Clone> Names<T> {
    /// What `name` means for a frame of this stretch.
    pub(crate) fn find(&self, name: &str, stretch: u64) -> Found<T> {
        let Some(entry) = self.entries.get(name) else { return Found::Absent };
        let meaning = match entry.changes.back() {
            Some(change) if change.stretch != stretch => return Found::Wait(change.slot),
            Some(change) => &change.value,
            None => &entry.confirmed,
        };
        meaning.clone().map_or(Found::Absent, Found::Here)
    }

    /// The slot of its newest definition or removal that is not answered.
    pub(crate) fn newest_change(&self, name: &str) -> Option<u64> {
        Some(self.entries.get(name)?.changes.back()?.slot)
    }

    /// A frame that defines (or with `None` removes) the name was sent in `slot`.
    pub(crate) fn propose(&mut self, name: &str, slot: u64, stretch: u64, value: Option<T>) {
        // A removal of what is not known counts too: what runs before it may define the name (SQL PREPARE, DECLARE).
        let change = Change { slot, stretch, value };
        match self.entries.get_mut(name) {
            Some(entry) => entry.changes.push_back(change),
            None => {
                let entry = Entry { confirmed: None, changes: VecDeque::from([change]) };
                self.entries.insert(name.into(), entry);
            }
        }
    }

    /// The server did what `slot` asked. Returns the meaning that is gone.
    pub(crate) fn confirm(&mut self, name: &str, slot: u64) -> Option<T> {
        let entry = self.entries.get_mut(name)?;
        let change = take(&mut entry.changes, slot)?;
        let gone = std::mem::replace(&mut entry.confirmed, change.value);
        self.tidy(name);
        gone
    }

    /// The server did not do what `slot` asked. With `forget` the earlier meaning is gone as well (a failed definition
    /// of the unnamed one). Returns the meanings that are gone.
    pub(crate) fn reject(&mut self, name: &str, slot: u64, forget: bool) -> [Option<T>; 2] {
        let Some(entry) = self.entries.get_mut(name) else { return [None, None] };
        let rejected = take(&mut entry.changes, slot).and_then(|change| change.value);
        let earlier = if forget { entry.confirmed.take() } else { None };
        self.tidy(name);
        [rejected, earlier]
    }

    /// The name means this, at once: the server said so (SQL PREPARE, DECLARE), or what it meant is gone.
    pub(crate) fn set(&mut self, name: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.entries.contains_key(name) {
            return None;
        }
        let entry =
            self.entries.entry(name.into()).or_insert_with(|| Entry { confirmed: None, changes: VecDeque::new() });
        let gone = std::mem::replace(&mut entry.confirmed, value);
        self.tidy(name);
        gone
    }

    /// Removes every confirmed meaning that `keep` does not want; what is on its way stays. Returns what is gone.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut gone = Vec::new();
        self.entries.retain(|_name, entry| {
            if entry.confirmed.as_ref().is_some_and(|value| !keep(value)) {
                gone.extend(entry.confirmed.take());
            }
            entry.confirmed.is_some() || !entry.changes.is_empty()
        });
        gone
    }

    /// Changes every meaning of the name, confirmed or on its way.
    pub(crate) fn amend(&mut self, name: &str, mut change: impl FnMut(&mut T)) {
        if let Some(entry) = self.entries.get_mut(name) {
            let coming = entry.changes.iter_mut().filter_map(|change| change.value.as_mut());
            entry.confirmed.iter_mut().chain(coming).for_each(&mut change);
        }
    }

    /// Whether no further name fits.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= MOST
    }

    fn tidy(&mut self, name: &str) {
        if self.entries.get(name).is_some_and(|entry| entry.confirmed.is_none() && entry.changes.is_empty()) {
            self.entries.remove(name);
        }
    }
}

/// Bytes of prepared text that one session may hold.
const MOST_HELD: usize = 64 << 20;

/// What the prepared statements of a session hold together, in bytes.
#[derive(Clone, Default)]
pub(crate) struct Total(Arc<AtomicUsize>);

/// One statement's part of it, as long as the statement lives.
pub(crate) struct Held {
    bytes: usize,
    total: Total,
}

impl Total {
    /// Counts these bytes until what comes back is dropped.
    pub(crate) fn take(&self, bytes: usize) -> Arc<Held> {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Held { bytes, total: self.clone() })
    }

    /// Whether it is more than a session may hold.
    pub(crate) fn exceeded(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MOST_HELD
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn take<T>(changes: &mut VecDeque<Change<T>>, slot: u64) -> Option<Change<T>> {
    let at = changes.iter().position(|change| change.slot == slot)?;
    changes.remove(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &Names<u8>, name: &str, stretch: u64) -> String {
        match names.find(name, stretch) {
            Found::Here(value) => value.to_string(),
            Found::Absent => "absent".to_owned(),
            Found::Wait(slot) => format!("wait {slot}"),
        }
    }

    #[test]
    fn pg_p32_a_definition_counts_at_once_in_its_stretch_and_later_only_when_confirmed() {
        let mut names = Names::default();
        names.propose("s", 1, 0, Some(1));
        assert_eq!(found(&names, "s", 0), "1");
        assert_eq!(found(&names, "s", 1), "wait 1");
        names.confirm("s", 1);
        assert_eq!(found(&names, "s", 1), "1");
        // Preparing it again fails at the server (42P05), and the old meaning lives on.
        names.propose("s", 5, 1, Some(2));
        assert_eq!(found(&names, "s", 2), "wait 5");
        names.reject("s", 5, false);
        assert_eq!(found(&names, "s", 2), "1");
        names.propose("s", 6, 2, None);
        assert_eq!(found(&names, "s", 2), "absent");
        names.confirm("s", 6);
        assert_eq!(found(&names, "s", 3), "absent");
        assert!(names.entries.is_empty());
    }

    #[test]
    fn pg_p32_a_removal_outlives_what_is_defined_while_it_is_on_its_way() {
        let mut names = Names::default();
        names.propose("q", 1, 0, None);
        names.set("q", Some(1));
        assert_eq!(found(&names, "q", 0), "absent");
        names.confirm("q", 1);
        assert_eq!(found(&names, "q", 0), "absent");
        assert!(names.entries.is_empty());
    }

    #[test]
    fn pg_p32_a_failed_parse_of_the_unnamed_statement_leaves_none_and_a_skipped_one_the_old() {
        let mut names = Names::default();
        names.set("", Some(1));
        names.propose("", 2, 0, Some(2));
        assert!(matches!(names.reject("", 2, false), [Some(2), None]));
        assert_eq!(found(&names, "", 1), "1");
        names.propose("", 3, 1, Some(3));
        assert!(matches!(names.reject("", 3, true), [Some(3), Some(1)]));
        assert_eq!(found(&names, "", 2), "absent");
    }

    #[test]
    fn what_is_held_is_given_back_with_the_statement() {
        let total = Total::default();
        let held = total.take(MOST_HELD);
        assert!(!total.exceeded());
        let more = total.take(1);
        assert!(total.exceeded());
        drop((held, more));
        assert_eq!(total.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn pg_p32_removing_all_leaves_what_is_on_its_way() {
        let mut names = Names::default();
        names.set("a", Some(1));
        names.propose("b", 1, 0, Some(2));
        assert_eq!(names.retain(|_| false), [1]);
        assert_eq!(found(&names, "a", 0), "absent");
        assert_eq!(found(&names, "b", 0), "2");
    }
}
