//! Lines for `/bin/sh`: read as bash's, unless another shell would read them otherwise.
//!
//! What programs hand to `sh -c` runs in another process, and where `/bin/sh` is dash with another grammar. Promises: of the
//! shell's own variables such a line knows only that they may be exported; a construct that POSIX sh does not have is code
//! that is not known, as soon as it could be read as something else. What is plain in both is read.
//! Held by: `fixtures/shell/interpreters.tsv`.

use crate::expand::Field;
use crate::interpret::child;
use crate::pieces::{self, Piece};
use crate::state::State;
use crate::walk::Walker;
use rable::NodeKind;

/// Long options of bash, which it also takes behind one dash.
const LONG: [&str; 18] = [
    "debug",
    "debugger",
    "dump-po-strings",
    "dump-strings",
    "help",
    "init-file",
    "login",
    "noediting",
    "noprofile",
    "norc",
    "posix",
    "pretty-print",
    "protected",
    "rcfile",
    "restricted",
    "verbose",
    "version",
    "wordexp",
];

/// Names for `-o` and `-O` that change nothing about how a line is read.
pub(crate) const NAMED: [&str; 14] = [
    "errexit",
    "errtrace",
    "expand_aliases",
    "extglob",
    "functrace",
    "huponexit",
    "inherit_errexit",
    "lastpipe",
    "noclobber",
    "nounset",
    "pipefail",
    "posix",
    "verbose",
    "xtrace",
];

impl Walker<'_> {
    /// Reads a line that a program gives to a shell.
    pub(crate) fn other_shell(&mut self, line: &str, state: &State) {
        let outer = std::mem::replace(&mut self.posix, true);
        // Some programs put words of their own behind it.
        let own = State { positional: None, ..child(state) };
        self.nested(line, &own);
        self.posix = outer;
    }

    /// Cuts a word.
    pub(crate) fn cut(&mut self, raw: &str) -> Option<Vec<Piece>> {
        if self.posix && pieces::is_bash_only(raw) {
            self.dynamic_code();
        }
        pieces::pieces(raw)
    }

    /// In a line for `/bin/sh`, what is no construct of POSIX sh is code that is not known.
    pub(crate) fn reads_alike(&mut self, kind: &NodeKind) {
        let only = matches!(
            kind,
            NodeKind::ArithmeticCommand { .. }
                | NodeKind::ConditionalExpr { .. }
                | NodeKind::ForArith { .. }
                | NodeKind::Select { .. }
                | NodeKind::Coproc { .. }
        );
        if only && self.posix {
            self.dynamic_code();
        }
    }
}

/// Whether a shell need not read as bash does by itself.
pub(crate) fn is_posix(name: &str, arguments: &[Field]) -> bool {
    !matches!(name, "bash" | "rbash" | "zsh" | "ksh" | "mksh")
        || arguments.iter().any(|field| matches!(field.known(), Some("--posix" | "posix")))
}

/// Whether the name for an `o` or `O` stands elsewhere than `getopt` would look: it is the next word wherever the
/// letter stands, and behind a plus too.
pub(crate) fn has_odd_name(arguments: &[Field]) -> bool {
    let mut rest = arguments.iter();
    while let Some(text) = rest.next().and_then(Field::known).filter(|text| text.starts_with(['-', '+'])) {
        match text.strip_prefix("--") {
            Some("") => return false,
            Some("init-file" | "rcfile") => {
                rest.next();
            }
            Some(_) => {}
            None => match text.find(['o', 'O']) {
                Some(at) if text.starts_with('+') || at + 1 < text.len() => return true,
                Some(_) => {
                    rest.next();
                }
                None => {}
            },
        }
    }
    false
}

/// Whether a long option stands behind one dash, where bash looks for those before it reads letters.
pub(crate) fn has_single_dash(arguments: &[Field]) -> bool {
    let mut rest = arguments.iter();
    while let Some(name) = rest.next().and_then(Field::known).and_then(|text| text.strip_prefix('-')) {
        if LONG.contains(&name) {
            return true;
        }
        match name.strip_prefix('-') {
            Some("init-file" | "rcfile") => {
                rest.next();
            }
            Some(long) if LONG.contains(&long) => {}
            Some(_) | None => return false,
        }
    }
    false
}
