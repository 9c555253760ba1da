//! How much work the reading of one text may be, by count: names compared, columns put together, terms looked at.
//!
//! Names are looked up among all that is in sight, and conditions are looked at for every item again, so work grows
//! with the product of the two, and a megabyte of text would keep a processor for hours. Whatever loops so takes its
//! steps here first, and what keeps a copy of columns takes more; where none are left each of them gives up at once,
//! whatever it says then, and the text is refused as too large.
//! Promises: a text of up to [`MOST`] steps is read as if there were no limit; behind it, reading ends within what is
//! linear in the text. Does not promise a time: a step is some tens of nanoseconds. Texts of the catalogue are not
//! limited where they are read for everybody. Held by: `tests` below, which count steps and never time.

use portcullis_model::Fault;
use std::cell::Cell;
use std::rc::Rc;

/// Steps of one text. A join of twenty tables with fifty conditions takes some ten thousand.
pub(super) const MOST: u64 = 20_000_000;

/// The steps that are left, shared by all who read one text.
#[derive(Clone, Debug)]
pub(super) struct Steps(Rc<Cell<u64>>);

impl Steps {
    pub(super) fn new(most: u64) -> Self {
        Self(Rc::new(Cell::new(most)))
    }

    /// Without a limit.
    pub(super) fn endless() -> Self {
        Self::new(u64::MAX)
    }

    /// Takes so many; false where there are none left.
    pub(super) fn take(&self, count: usize) -> bool {
        let left = self.0.get().saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        self.0.set(left);
        left > 0
    }

    /// Whether none are left: what was read so far says too little.
    pub(super) fn are_out(&self) -> bool {
        self.0.get() == 0
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> u64 {
        self.0.get()
    }
}

/// What a text is refused with whose steps are out.
pub(super) fn too_large() -> Fault {
    Fault::TooLarge {
        message:
            "reading the text takes too many steps: name fewer tables, columns and conditions in one statement, or \
                  send its statements one by one"
                .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz_scope;
    use crate::postgres::read_within;
    use crate::scope::Limits;
    use std::fmt::Write as _;

    /// The steps that a text takes, and whether it was refused for them.
    fn taken(text: &str, most: u64) -> (u64, bool) {
        let steps = Steps::new(most);
        let reading = read_within(text, &fuzz_scope(), &Limits::default(), &steps);
        (most - steps.left(), matches!(reading.fault, Some(Fault::TooLarge { .. })))
    }

    fn listed(count: usize, separator: &str, item: impl Fn(usize) -> String) -> String {
        (0..count).map(item).collect::<Vec<_>>().join(separator)
    }

    /// `DELETE` over a chain of items, each bound to the next.
    fn chain(count: usize) -> String {
        let items = listed(count, ", ", |at| format!("items a{at}"));
        let terms = listed(count - 1, " AND ", |at| format!("a{at}.id = a{}.id", at + 1));
        format!("DELETE FROM items USING {items} WHERE {terms}")
    }

    /// Texts that grow as they are written, whose steps grow with a power of it.
    fn growing(count: usize) -> Vec<String> {
        let items = listed(count, ", ", |at| format!("items a{at}"));
        let ctes = listed(count, ", ", |at| format!("b{at} AS (SELECT 1 AS x)"));
        vec![
            chain(count),
            format!("SELECT 1 FROM {items} WHERE {}", listed(count, " AND ", |at| format!("a{at}.id = 1"))),
            format!(
                "SELECT 1 FROM {} WHERE {}",
                listed(count, ", ", |at| format!("(SELECT 1) a{at}(c{at})")),
                listed(count, " AND ", |at| format!("c{at} = 1"))
            ),
            format!("WITH {ctes} SELECT 1 FROM {}", listed(count, ", ", |at| format!("b{at}"))),
            format!("SELECT 1 FROM items a0{}", listed(count, "", |at| format!(" NATURAL JOIN items b{at}"))),
            format!("SELECT {} FROM {items}", listed(count, ", ", |at| format!("a{at}"))),
            format!("SELECT * FROM {}", listed(count, ", ", |_| "(SELECT * FROM items, items b) x".to_owned())),
            listed(count, ";", |at| format!("CREATE TABLE t{at} ()")),
        ]
    }

    #[test]
    fn ordinary_texts_take_few_steps() {
        let mut wide = "SELECT ".to_owned();
        for at in 0..200 {
            let _ = write!(wide, "i.name AS n{at}, ");
        }
        wide.push_str("1 FROM items i JOIN others o ON o.id = i.id WHERE i.id = 1");
        let rows = format!("INSERT INTO items (id, name) VALUES {}", listed(5_000, ", ", |at| format!("({at}, 'x')")));
        let keys = format!("DELETE FROM items WHERE id IN ({})", listed(5_000, ", ", |at| at.to_string()));
        let either = format!("DELETE FROM items WHERE {}", listed(500, " OR ", |at| format!("id = {at}")));
        let script = listed(500, ";", |at| format!("UPDATE items SET name = 'x' WHERE id = {at}"));
        let tables = listed(300, ";", |at| format!("CREATE TABLE t{at} (id int)"));
        for text in [wide, rows, keys, either, script, tables, chain(30)] {
            let (steps, refused) = taken(&text, MOST);
            assert!(steps < MOST / 10 && !refused, "{steps} steps: {}", text.chars().take(60).collect::<String>());
        }
    }

    #[test]
    fn where_the_steps_are_out_the_text_is_refused() {
        for text in growing(60) {
            let (all, refused) = taken(&text, u64::MAX);
            assert!(!refused && all > 60, "{all} steps: {text}");
            assert!(taken(&text, all / 2).1, "{text}");
        }
    }

    #[test]
    fn large_products_are_refused_and_not_read_to_the_end() {
        let mut large = growing(8_000);
        for text in [chain(1_500), large.swap_remove(2), large.swap_remove(1)] {
            assert!(taken(&text, MOST).1, "{}", text.chars().take(60).collect::<String>());
        }
    }
}
