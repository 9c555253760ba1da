//! The exec text that runs one judged line on the target.
//!
//! The target's login shell is given `exec bash … -c SCRIPT bash LINE DIRECTORY …`: it has to be of the family of sh, and
//! bash has to be there, because lines are read as bash's. `-p`, `--norc` and `--noprofile` keep start-up files, functions
//! of the environment, `BASH_ENV`, `SHELLOPTS` and `CDPATH` out of it. The script goes to the directory and makes sure
//! that it is the one that was judged, sets the variables, and gives the line to `eval` as an argument, so that nothing in
//! the line can reach out of its place: no quote, comment, here-document or backslash of it ends anything of the script.
//! The line sees no argument and no variable of the script. However it ends, a trap then prints the trailer.
//! Promises: built from values alone, each quoted once; names of variables are checked to be names; the line is passed
//! unchanged. Does not promise privacy on the target: its process list shows the line and the variables, as it shows any
//! command line. Held by: `guarded/session/tests.rs`, which runs it.

use super::quote::single;
use std::fmt::Write as _;

/// Linux takes 128 KiB in one argument, and the login shell is given all of this as one.
const LONGEST: usize = 120 << 10;

/// What a value may hold to be carried to the next line, in bytes. One more character is asked for, which is at least one
/// more byte in any locale: what was cut is seen to be.
pub(super) const VALUE: usize = 4 << 10;

/// Starts a trailer; a terminal that is shown one takes it for a command that it does not know.
pub(super) const MARK: &str = "\x1b]7337;";

/// Ends one.
pub(super) const END: u8 = 0x07;

/// A line with all that it needs to run.
pub(super) struct Script<'a> {
    pub(super) line: &'a str,
    pub(super) directory: &'a str,
    pub(super) previous: Option<&'a str>,
    pub(super) home: &'a str,
    pub(super) status: u8,
    /// Name, value, and whether it is exported.
    pub(super) variables: &'a [(&'a str, &'a str, bool)],
    /// What to tell of behind the line; `None` for a line that is to leave nothing.
    pub(super) asked: Option<&'a [&'a str]>,
    pub(super) nonce: &'a str,
}

impl Script<'_> {
    /// The exec text; `None` where it is longer than a target takes.
    pub(super) fn text(&self) -> Option<Vec<u8>> {
        let mut out = String::from("exec bash --noprofile --norc -p -c ");
        single(&self.script(), &mut out);
        out.push_str(" bash");
        let fixed = [self.line, self.directory, self.previous.unwrap_or_default(), self.home];
        for argument in fixed.into_iter().chain(self.variables.iter().map(|(_, value, _)| *value)) {
            out.push(' ');
            single(argument, &mut out);
        }
        (out.len() <= LONGEST && !out.contains('\0')).then(|| out.into_bytes())
    }

    fn script(&self) -> String {
        // What changes how bash reads or finds things, and would come from the login's environment, is not there.
        let mut out = String::from("set +p\nunset CDPATH GLOBIGNORE EXECIGNORE POSIXLY_CORRECT BASH_COMPAT\n");
        let mark = self.mark();
        // A directory that was replaced by a link is not the one that was judged.
        let _ = writeln!(
            out,
            "builtin cd -P -- \"$2\" 2>/dev/null && [[ $PWD == \"$2\" ]] || {{ builtin printf '{mark} g 1 %q %q\\007' \"$2\" ''; exit 1; }}"
        );
        out.push_str(if self.previous.is_some() { "OLDPWD=$3\n" } else { "unset OLDPWD\n" });
        out.push_str("HOME=$4; export HOME\n");
        for (index, (name, _, exported)) in self.variables.iter().enumerate() {
            let _ = writeln!(out, "{name}=${{{}}}", index + 5);
            if *exported {
                let _ = writeln!(out, "export {name}");
            }
        }
        if let Some(asked) = self.asked {
            let _ = writeln!(out, "trap '{}' EXIT", self.trailer(&mark, asked));
        }
        let status = match self.status {
            0 => String::new(),
            status => format!(" (exit {status});"),
        };
        let _ = writeln!(out, "builtin eval \"set --;{status} $1\"");
        out.push_str("{ set -- \"$?\" e; exit \"$1\"; } 2>/dev/null\n");
        out
    }

    fn mark(&self) -> String {
        format!("\\033]7337;{}", self.nonce)
    }

    /// What the trap runs. `$2` is `e` where the line came to its end, since no line leaves arguments behind on purpose.
    fn trailer(&self, mark: &str, asked: &[&str]) -> String {
        let mut format = format!("{mark} %s %s %q %q");
        let mut values = String::from(" \"$2\" \"$1\" \"$PWD\" \"$3\"");
        for name in asked {
            let _ = write!(format, " {name}:%s%s%q");
            let _ = write!(values, " \"${{#{name}[@]}}\" \"${{{name}+=}}\" \"${{{name}:0:{}}}\"", VALUE + 1);
        }
        format!(
            "{{ set -- \"$?\" \"${{2-}}\"; set +exuv; [[ $2 == e ]] || set -- \"$1\" x; \
             set -- \"$1\" \"$2\" \"${{OLDPWD-}}\"; builtin cd -P .; \
             builtin printf \"{format}\\007\"{values}; }} 2>/dev/null"
        )
    }
}
