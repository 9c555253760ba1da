//! Where a pattern was looked for, and what was there: whether a change to the target's files changes what it meets.
//!
//! Promises: what is not known of a part meets any name. Held by: the tests below.

use super::{pattern, split};
use portcullis_model::Action;

/// What a pattern meets, in order, and where that was looked for.
pub(crate) struct Met {
    pub(crate) names: Vec<String>,
    pub(crate) looked: Vec<Looked>,
}

/// One directory in which one part of a pattern was looked for.
#[derive(Debug)]
pub(crate) struct Looked {
    directory: String,
    part: String,
    found: Vec<String>,
}

impl Looked {
    pub(super) fn new(directory: String, part: &str, found: Vec<String>) -> Self {
        Self { directory, part: part.to_owned(), found }
    }

    /// The directory as it was asked for.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    /// Whether this, done to `path` or to the `tree` there, can change what was found. `place` is where the directory
    /// really is, `path` has no links before its last name.
    pub(crate) fn changes(&self, place: &str, action: Action, tree: bool, path: &str) -> bool {
        let here = |path: &str, had: bool| {
            let (parent, name) = split(path)?;
            Some(parent == place && pattern::meets(&self.part, name) && self.had(name) == had)
        };
        // The directory goes, or something else comes to stand for it. One that is only made has nothing in it.
        let covers = is_within(place, path);
        if action == Action::Insert {
            above(path).any(|path| here(path, false) == Some(true))
        } else if action == Action::Delete {
            // `rmdir -p`, which is marked so, takes what lies above, too.
            covers || above(path).take(if tree { usize::MAX } else { 1 }).any(|path| here(path, true) == Some(true))
        } else {
            action == Action::Update && covers
        }
    }

    fn had(&self, name: &str) -> bool {
        self.found.iter().any(|found| found == name)
    }
}

/// Whether a path is another, or lies below it.
pub(crate) fn is_within(path: &str, root: &str) -> bool {
    let root = root.trim_end_matches('/');
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path, and every one above it but the root.
pub(crate) fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| Some(path.rsplit_once('/')?.0).filter(|parent| !parent.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_matters_where_a_pattern_looks() {
        let looked = |part: &str, found: &[&str]| {
            Looked::new("/h/l".to_owned(), part, found.iter().map(|name| (*name).to_owned()).collect())
        };
        let texts = looked("*.txt", &["a.txt"]);
        for (action, path, matters) in [
            (Action::Insert, "/h/w/b.txt", true),
            (Action::Insert, "/h/w/a.txt", false),
            (Action::Insert, "/h/w/b.md", false),
            (Action::Insert, "/h/w/d/b.txt", false),
            (Action::Insert, "/h/w/d.txt/b.md", true),
            (Action::Insert, "/h/w", false),
            (Action::Insert, "/h/x/b.txt", false),
            (Action::Update, "/h/w/b.txt", false),
            (Action::Update, "/h/w", true),
            (Action::Update, "/h", true),
            (Action::Delete, "/h/w/a.txt", true),
            (Action::Delete, "/h/w/b.txt", false),
            (Action::Delete, "/h/w/a.txt/d", false),
            (Action::Delete, "/h", true),
            (Action::Read, "/h/w/b.txt", false),
        ] {
            assert_eq!(texts.changes("/h/w", action, false, path), matters, "{action} {path}");
        }
        assert!(texts.changes("/h/w", Action::Delete, true, "/h/w/a.txt/d"));
        assert!(looked("new", &[]).changes("/h/w", Action::Insert, false, "/h/w/new/x"));
        assert!(looked("[a-z]*", &[]).changes("/h/w", Action::Insert, false, "/h/w/b"), "not a pattern that is known");
    }

    #[test]
    fn paths_lie_within_one_another() {
        assert!(is_within("/a/b", "/a") && is_within("/a", "/a") && is_within("/a", "/") && !is_within("/ab", "/a"));
        assert_eq!(above("/a/b").collect::<Vec<_>>(), ["/a/b", "/a"]);
        assert_eq!(above("~/b").collect::<Vec<_>>(), ["~/b", "~"]);
    }
}
