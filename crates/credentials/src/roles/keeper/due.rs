//! Names, and when something is due for each of them.
//!
//! Promises: what is due first, and whether a name is there, is found without walking all of them; a name is there once,
//! however often it is set. Held by: the test below.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::Instant;

/// Names in the order of their moments.
#[derive(Default)]
pub(super) struct Due {
    moments: BTreeMap<Arc<str>, Instant>,
    order: BTreeSet<(Instant, Arc<str>)>,
}

impl Due {
    /// The name is due at this moment, and no longer at another.
    pub(super) fn set(&mut self, name: Arc<str>, at: Instant) {
        self.remove(&name);
        self.order.insert((at, Arc::clone(&name)));
        self.moments.insert(name, at);
    }

    pub(super) fn remove(&mut self, name: &Arc<str>) {
        if let Some((name, at)) = self.moments.remove_entry(name) {
            self.order.remove(&(at, name));
        }
    }

    pub(super) fn contains(&self, name: &Arc<str>) -> bool {
        self.moments.contains_key(name)
    }

    /// When the first one is due.
    pub(super) fn first(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Those that are due by now, the first ones first.
    pub(super) fn until(&self, now: Instant, most: usize) -> Vec<Arc<str>> {
        self.order.iter().take_while(|(at, _)| *at <= now).take(most).map(|(_, name)| Arc::clone(name)).collect()
    }

    pub(super) fn into_names(self) -> impl Iterator<Item = Arc<str>> {
        self.moments.into_keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        #[test]
        fn the_first_is_first_whatever_was_set_before(
            steps in prop::collection::vec((0_u8..8, 0_u64..8, any::<bool>()), 0..40)
        ) {
            let start = Instant::now();
            let (mut due, mut plain) = (Due::default(), BTreeMap::new());
            for (name, at, stays) in steps {
                let (name, at): (Arc<str>, _) = (name.to_string().into(), start + Duration::from_secs(at));
                if stays {
                    due.set(Arc::clone(&name), at);
                    plain.insert(name, at);
                } else {
                    due.remove(&name);
                    plain.remove(&name);
                }
            }
            prop_assert_eq!(due.first(), plain.values().min().copied());
            let now = start + Duration::from_secs(4);
            let by_now = plain.iter().filter(|(_, at)| **at <= now);
            let mut expected: Vec<_> = by_now.map(|(name, at)| (*at, Arc::clone(name))).collect();
            expected.sort();
            let expected: Vec<_> = expected.into_iter().map(|(_, name)| name).collect();
            prop_assert_eq!(&due.until(now, 40), &expected);
            let few = due.until(now, 2);
            prop_assert_eq!(&*few, expected.get(..2).unwrap_or(&expected));
            for name in 0_u8..8 {
                let name: Arc<str> = name.to_string().into();
                prop_assert_eq!(due.contains(&name), plain.contains_key(&name));
            }
            prop_assert_eq!(due.into_names().collect::<Vec<_>>(), plain.into_keys().collect::<Vec<_>>());
        }
    }
}
