//! What stands in a protected value's place, and what is protected at all: a value in, a value out.
//!
//! Three parts that know no protocol. **What is protected**: [`Protection`] closes what the mask rules name over
//! everything that a database derives from it, and judges where the values of a statement come from and go to.
//! **Detectors** find what looks like a card or a key in any text, whole or as a stream. **Transforms** say what stands
//! in a value's place, also inside JSON.
//!
//! Promises: what cannot be told is treated as protected; a text that is not JSON is never taken for JSON; no transform
//! shows more than two fifths of a value; time and memory are linear in the input and bounded in a stream. Does not
//! promise that detectors find everything: they are best effort beside columns and paths (DESIGN 1, promise 4).
//!
//! Held by: the tests beside each part, and `fixtures/masking/detectors.tsv`.

mod detect;
mod json;
mod judge;
mod key;
mod protection;
mod transform;
mod treatment;

pub use detect::{BadPattern, Detectors, HOLD_BACK, Hit, Redactor, TerminalRedactor, fuzz_detect, fuzz_terminal};
pub use json::{BadPath, JsonMasks, JsonPath, MaskedJson, NotJson, fuzz_json, has_member, mask_json};
pub use judge::{Finding, Judgement};
pub use key::Key;
pub use protection::{Because, Fate, Protection};
pub use transform::{REDACTED, apply, apply_into};
pub use treatment::Treatment;
