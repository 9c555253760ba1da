//! What can be told of patterns without a subject: whether two of them may take the same name, whether one names exactly
//! one thing, and how long the names are that it takes.
//!
//! Promises: [`Glob::may_meet`] and [`Segments::may_meet`] are true wherever some text is taken by both; they may also be
//! true where none is. Good enough for warnings, and never used to decide. Held by: the law in `glob/tests.rs`.

use super::{Glob, Segment, Segments, Shape};

impl Glob {
    /// Whether some text may be taken by both.
    pub(crate) fn may_meet(&self, other: &Self) -> bool {
        match (&self.shape, &other.shape) {
            (Shape::Exact(text), _) => other.matches(text) || self.fold,
            (_, Shape::Exact(text)) => self.matches(text) || other.fold,
            (Shape::Any, _) | (_, Shape::Any) => true,
            (Shape::Between { head, tail, .. }, Shape::Between { head: first, tail: last, .. }) => {
                let starts = head.starts_with(&**first) || first.starts_with(&**head);
                let ends = tail.ends_with(&**last) || last.ends_with(&**tail);
                (starts && ends) || self.fold || other.fold
            }
        }
    }

    /// The bytes that every text it takes has at least.
    fn least(&self) -> usize {
        match &self.shape {
            Shape::Any => 1,
            Shape::Exact(text) => text.len(),
            Shape::Between { head, middle, tail } => {
                head.len() + middle.iter().map(|piece| piece.len()).sum::<usize>() + tail.len()
            }
        }
    }
}

impl Segments {
    /// Whether some name may be taken by both. Where one pattern has fewer parts, only those are compared, so that a
    /// pattern of relations meets that of their columns.
    pub(crate) fn may_meet(&self, other: &Self) -> bool {
        for (mine, theirs) in self.segments.iter().zip(&other.segments) {
            match (mine, theirs) {
                (Segment::One(mine), Segment::One(theirs)) if mine.may_meet(theirs) => {}
                (Segment::One(_), Segment::One(_)) => return false,
                (Segment::Deep, _) | (_, Segment::Deep) => return true,
            }
        }
        true
    }

    /// Whether it names exactly one thing.
    pub(crate) fn is_exact(&self) -> bool {
        self.segments
            .iter()
            .all(|segment| matches!(segment, Segment::One(Glob { shape: Shape::Exact(_), fold: false })))
    }

    /// The bytes of the longest part that everything it takes has at least.
    pub(crate) fn longest_part(&self) -> usize {
        let parts = self.segments.iter().map(|segment| match segment {
            Segment::One(glob) => glob.least(),
            Segment::Deep => 0,
        });
        parts.max().unwrap_or(0)
    }
}
