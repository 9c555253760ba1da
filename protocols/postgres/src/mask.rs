//! The rewriting of what a server sends, so that protected values do not leave: rows, COPY data, errors and notices.
//!
//! Pure and sans-I/O: bytes in, bytes out. What stands in a value's place is not decided here but by whoever implements
//! [`Replace`]; here it is put into the type, the format and the framing that the client expects.
//!
//! Promises:
//! - A masked value is valid for its type and format; where that cannot be, or the value cannot be read, it is NULL.
//! - What is not masked leaves byte for byte as it came, and where a stream was cut on its way changes nothing.
//! - A row that is not what its plan expects is an error before any byte of it is given out; so is a row of which too much
//!   would leave. Nothing is ever passed on because it was not understood.
//! - How long a value is that is hidden changes nothing but whether it is NULL: it is no part of what may be too long.
//! - Memory is bounded by [`LONGEST_ROW`] and one value, and grows with what arrived, never with a length that was
//!   declared.
//!
//! Does not promise that the plan is right: which columns are protected is decided elsewhere, as are their types where
//! the protocol does not tell them (COPY). Nor that nothing can be inferred: the number of rows shows, and so does which
//! values are NULL unless the treatment is [`Treatment::Null`].
//! Held by: the tests beside each module, `fixtures/postgres/mask_values.tsv` and `mask_messages.tsv`, and the fuzz
//! entries [`fuzz_mask_copy`] and [`fuzz_mask_row`].

mod array;
mod cells;
mod copy_out;
mod fuzz;
mod json;
mod message;
mod row;
#[cfg(test)]
mod sample;
mod sieve;
mod value;

pub(crate) use copy_out::{BadCopy, CopyColumn, CopyFormat, CopyOptions, CopyRewriter, ForceQuote};
pub use fuzz::{fuzz_mask_copy, fuzz_mask_row};
pub(crate) use message::{detect_in, detect_in_notification, scrub, withhold};
pub(crate) use row::{BadRow, Plan, PlannedColumn, RowRewriter};
pub(crate) use sieve::Bounds;
pub(crate) use value::{Masked, Replace, Treatment, mask};

use portcullis_gate::MaskKind;
use std::sync::Arc;

/// What treats one column's values.
pub(crate) type Mask = Arc<dyn Replace + Send + Sync>;

/// The most that leaves of a row that is masked. A row's length stands in front of its cells, so a row with a masked cell
/// must be whole before its first byte can leave; the server's own limit is 1 GiB, and eight sessions at once must not need
/// 8 GiB.
pub(crate) const LONGEST_ROW: usize = 64 * 1024 * 1024;

/// The longest value that is given to a transform or searched, and the longest that comes of it; a longer one is NULL. It
/// bounds the time one cell takes.
pub(crate) const LONGEST_VALUE: usize = 16 * 1024 * 1024;

/// The bytes of a row's frame that say how many values it has: tag, length and count.
pub(crate) const ROW_HEADER: usize = 7;

/// Whether values of the type are JSON documents: `json` or `jsonb`.
pub(crate) const fn is_json(type_oid: u32) -> bool {
    matches!(type_oid, 114 | 3802)
}

impl Replace for portcullis_gate::Mask {
    fn treatment(&self) -> Treatment {
        match self.kind() {
            MaskKind::Null => Treatment::Null,
            MaskKind::Whole => Treatment::Whole,
            MaskKind::Json => Treatment::Paths,
            MaskKind::JsonAnywhere => Treatment::PathsThenDetect,
            MaskKind::Detects => Treatment::Detect,
        }
    }

    fn text(&self, value: &str) -> Option<String> {
        Self::text(self, value)
    }

    fn text_into(&self, value: &str, out: &mut String) -> bool {
        Self::text_into(self, value, out)
    }

    fn json(&self, document: &str) -> Option<String> {
        Self::json(self, document)
    }

    fn detected(&self, text: &str) -> Option<String> {
        Self::detected(self, text)
    }
}
