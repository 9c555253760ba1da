//! What is kept of a row while it arrives: what leaves of it, and the one value that is being masked.
//!
//! Promises:
//! - Whether a row can be masked depends on what leaves of it alone. A value that becomes NULL whatever it is, because its
//!   treatment says so or because it is longer than what is masked, is dropped as it arrives; one that is replaced is
//!   replaced once it is whole, and its replacement is what counts. With a limit on what arrived instead, a statement
//!   could choose by a protected value how long a value is that nobody sees, and read the answer from how the session ends.
//! - What is held is what leaves, up to [`Bounds::row`], and one value of [`Bounds::value`] (text of COPY: as it is
//!   written), whatever lengths were declared.
//! - The bounds are looked at wherever bytes are added, so where a piece ended changes nothing.
//!
//! Does not promise to know where values begin and end: `cells.rs`, `copy_out/text.rs` and `copy_out/csv.rs` do. What
//! leaves may still be too long, and the length of what is shown is shown.
//! Held by: `row/tests.rs`, `copy_out/tests.rs` with small bounds, and the fuzz entries of [`super`].

use super::row::{Column, Plan};
use super::value::Masked;
use super::{LONGEST_ROW, LONGEST_VALUE};

/// What is kept of a row at most, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Of what leaves.
    pub(crate) row: usize,
    /// Of a value that is masked, and of what stands in its place: a longer one is NULL.
    pub(crate) value: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { row: LONGEST_ROW, value: LONGEST_VALUE }
    }
}

/// Why a row that arrives cannot be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    Malformed,
    /// More of it would leave than is kept.
    TooLong,
}

/// What becomes of the bytes of the value under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    Dropped,
    Gathered,
    #[default]
    Shown,
}

/// What there is of a value that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Nothing: NULL stands in its place.
    Dropped,
    /// All of it, as it was written.
    Gathered(Vec<u8>),
    /// It is part of the row already.
    Shown,
}

/// Memory that is not given back between values.
const KEPT_MEMORY: usize = 64 * 1024;

/// One row at a time.
pub(super) struct Sieve {
    pub(super) plan: Plan,
    pub(super) bounds: Bounds,
    /// How many values of each column were replaced so far.
    pub(super) masked: Vec<u64>,
    /// What leaves of the row.
    row: Vec<u8>,
    /// The column of the value under way, or of the next one.
    column: usize,
    fate: Fate,
    /// What came of the value, if it is gathered.
    value: Vec<u8>,
    /// How long it is so far, as a value.
    length: usize,
    /// The longest that may still be anything but NULL.
    longest: usize,
    /// So many bytes are kept all the same: they may be what stands for NULL.
    least: usize,
}

impl Sieve {
    pub(super) fn new(plan: Plan, bounds: Bounds) -> Self {
        let masked = vec![0; plan.columns.len()];
        Self {
            plan,
            bounds,
            masked,
            row: Vec::new(),
            column: 0,
            fate: Fate::Shown,
            value: Vec::new(),
            length: 0,
            longest: 0,
            least: 0,
        }
    }

    /// How many columns a row has.
    pub(super) fn width(&self) -> usize {
        self.plan.columns.len()
    }

    /// The column of the value under way, or of the next one, from 0.
    pub(super) const fn column(&self) -> usize {
        self.column
    }

    /// Whether the row has a value for each column.
    pub(super) fn is_whole(&self) -> bool {
        self.column == self.width()
    }

    /// The value of the next column begins; false if there is no such column. Nothing of a header is masked.
    pub(super) fn begin(&mut self, is_header: bool, least: usize) -> bool {
        let Some(column) = self.plan.columns.get(self.column) else { return false };
        self.fate = if is_header || !column.is_masked() { Fate::Shown } else { Fate::Gathered };
        self.longest = if column.hides { 0 } else { self.bounds.value };
        self.least = least;
        self.length = 0;
        true
    }

    /// The value is going to be this long: `length` is what stands in front of it.
    pub(super) fn announced(&mut self, length: [u8; 4], bytes: usize) -> Result<(), Unfit> {
        match self.fate {
            Fate::Shown if self.row.len().saturating_add(4).saturating_add(bytes) > self.bounds.row => {
                Err(Unfit::TooLong)
            }
            Fate::Shown => self.show(&length),
            Fate::Gathered if bytes > self.longest => {
                self.fate = Fate::Dropped;
                Ok(())
            }
            Fate::Gathered | Fate::Dropped => Ok(()),
        }
    }

    /// More of the value, which makes it so much longer.
    pub(super) fn add(&mut self, written: &[u8], length: usize) -> Result<(), Unfit> {
        match self.fate {
            Fate::Shown => return self.show(written),
            Fate::Dropped => {}
            Fate::Gathered => {
                self.length = self.length.saturating_add(length);
                if self.length > self.longest && self.value.len().saturating_add(written.len()) > self.least {
                    self.fate = Fate::Dropped;
                    if self.value.capacity() > KEPT_MEMORY {
                        self.value = Vec::new();
                    }
                    self.value.clear();
                } else {
                    self.value.extend_from_slice(written);
                }
            }
        }
        Ok(())
    }

    /// The value is whole: what there is of it.
    pub(super) fn held(&mut self) -> Held {
        match std::mem::take(&mut self.fate) {
            Fate::Dropped => Held::Dropped,
            Fate::Gathered => Held::Gathered(std::mem::take(&mut self.value)),
            Fate::Shown => Held::Shown,
        }
    }

    /// What becomes of the whole value, counted.
    pub(super) fn replaced(&mut self, value: &[u8]) -> Masked {
        let column = self.plan.columns.get(self.column);
        let masked = column.map_or(Masked::Null, |column| column.replaced(value, self.bounds));
        if masked != Masked::Keep {
            self.count();
        }
        masked
    }

    /// The value was replaced.
    pub(super) fn count(&mut self) {
        if let Some(count) = self.masked.get_mut(self.column) {
            *count += 1;
        }
    }

    /// The next value is of the next column. What was gathered of this one is memory for that.
    pub(super) fn pass(&mut self, mut gathered: Vec<u8>) {
        self.column += 1;
        if (1..=KEPT_MEMORY).contains(&gathered.capacity()) {
            gathered.clear();
            self.value = gathered;
        }
    }

    /// Bytes that leave.
    pub(super) fn show(&mut self, bytes: &[u8]) -> Result<(), Unfit> {
        if self.row.len().saturating_add(bytes.len()) > self.bounds.row {
            return Err(Unfit::TooLong);
        }
        self.row.extend_from_slice(bytes);
        Ok(())
    }

    /// What leaves of the row, which has ended.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.column = 0;
        std::mem::take(&mut self.row)
    }

    /// The same, appended.
    pub(super) fn leave(&mut self, out: &mut Vec<u8>) {
        self.column = 0;
        out.append(&mut self.row);
        if self.row.capacity() > KEPT_MEMORY {
            self.row = Vec::new();
        }
    }

    /// Forgets what is under way.
    pub(super) fn clear(&mut self) {
        (self.row, self.value) = (Vec::new(), Vec::new());
        (self.column, self.fate) = (0, Fate::Shown);
    }

    /// Bytes of memory that it holds.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.row.capacity() + self.value.capacity()
    }
}

impl Column {
    /// Whether a value of so many bytes becomes NULL whatever it is, where the column is masked.
    pub(super) const fn is_null(&self, length: usize, bounds: Bounds) -> bool {
        self.hides || length > bounds.value
    }

    /// What becomes of a value that is not NULL.
    pub(super) fn replaced(&self, value: &[u8], bounds: Bounds) -> Masked {
        let Some(with) = &self.planned.mask else { return Masked::Keep };
        if self.is_null(value.len(), bounds) {
            return Masked::Null;
        }
        match super::value::mask(value, self.planned.type_oid, self.planned.binary, with.as_ref()) {
            Masked::Bytes(new) if new.len() > bounds.value => Masked::Null,
            masked @ (Masked::Bytes(_) | Masked::Keep | Masked::Null) => masked,
        }
    }
}
