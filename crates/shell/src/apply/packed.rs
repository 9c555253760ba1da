//! Compressed files and archives, whose names programs make longer or shorter than they are written.
//!
//! Promises: a file that a program looks for where the one that is named is not there is an operation of its own, and so
//! is what it makes under another name. Does not promise it where the name has such an ending already: some programs
//! would take `x.gz.gz` for `x.gz`. Held by: `fixtures/shell/programs.tsv`.

use super::Applied;
use crate::expand::Field;
use crate::facts::{Effect, Role};
use crate::path;
use crate::state::State;
use crate::walk::Walker;
use portcullis_model::{Action, Mark, Marks};

/// What compressors put behind a name; the first six also what they may make.
const SUFFIXES: [&str; 9] = [".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z", ".tgz", ".txz", ".lzma"];

/// The endings that gzip takes off, in capitals as well, and what it puts in their place.
const GZIP: [(&str, &str); 7] =
    [(".gz", ""), (".z", ""), ("-gz", ""), ("-z", ""), ("_z", ""), (".tgz", ".tar"), (".taz", ".tar")];

/// What gzip looks for where a name without one of them is no file.
const TRIED: [&str; 4] = [".gz", ".z", "-z", ".Z"];

/// The endings that bzip2 takes off.
const BZIP2: [(&str, &str); 4] = [(".bz2", ""), (".bz", ""), (".tbz2", ".tar"), (".tbz", ".tar")];

/// Those of the others, of which each takes off some.
const OTHERS: [(&str, &str); 12] = [
    (".xz", ""),
    (".lzma", ""),
    (".lz", ""),
    (".zst", ""),
    (".lz4", ""),
    (".gz", ""),
    (".Z", ""),
    (".txz", ".tar"),
    (".tlz", ".tar"),
    (".tzst", ".tar"),
    (".tlz4", ".tar"),
    (".tgz", ".tar"),
];

impl Walker<'_> {
    pub(super) fn packed_role(&mut self, role: Role, field: &Field, applied: &Applied<'_>, state: &State) {
        let expands = applied.call.has(Effect::Expands);
        match role {
            // Standard input, or standard output.
            _ if field.known() == Some("-") && role != Role::ZipRead => {}
            Role::CompressRead if !expands => self.reads_packed(std::slice::from_ref(field), applied, state),
            Role::CompressRead | Role::Packed => {
                let names = field.named().map_or_else(|| vec![field.clone()], |text| looked_for(applied.name, text));
                self.reads_packed(&names, applied, state);
            }
            Role::Compress | Role::CompressKeep if !expands => {
                self.compress(field, role == Role::Compress, applied.marks, state);
            }
            Role::Compress | Role::Expand => self.unpack(field, Action::Delete, applied, state),
            Role::CompressKeep | Role::ExpandKeep => self.unpack(field, Action::Read, applied, state),
            Role::ZipRead => self.zip_read(field, state),
            Role::ZipWrite => self.zip_write(field, state),
            _ => self.unread(),
        }
    }

    fn reads_packed(&mut self, names: &[Field], applied: &Applied<'_>, state: &State) {
        for name in names {
            self.file(Action::Read, name, super::only(applied.marks, Mark::Recursive), state);
        }
    }

    fn writes_packed(&mut self, name: &Field, marks: Marks, state: &State) {
        self.file(Action::Insert, name, marks, state);
        self.file(Action::Update, name, marks, state);
    }

    /// `gzip x`: `x.gz` for `x`. Some expand what has their ending without being told.
    fn compress(&mut self, field: &Field, replaces: bool, marks: Marks, state: &State) {
        self.file(if replaces { Action::Delete } else { Action::Read }, field, marks, state);
        let Some(text) = field.named().filter(|_| !marks.contains(Mark::Recursive)) else {
            self.writes_packed(field, marks, state);
            return;
        };
        if let Some(short) = SUFFIXES.iter().find_map(|suffix| text.strip_suffix(suffix)) {
            self.writes_packed(&Field::literal(short), Marks::NONE, state);
        }
        for suffix in SUFFIXES.iter().take(6) {
            self.writes_packed(&Field::literal(format!("{text}{suffix}")), Marks::NONE, state);
        }
    }

    /// `gunzip x.gz`: `x` for `x.gz`, and for `x` the same where only `x.gz` is there.
    fn unpack(&mut self, field: &Field, taken: Action, applied: &Applied<'_>, state: &State) {
        let marks = applied.marks;
        let Some(text) = field.named().filter(|_| !marks.contains(Mark::Recursive)) else {
            self.file(taken, field, marks, state);
            self.writes_packed(field, marks, state);
            return;
        };
        let (opened, made) = expanded(applied.name, text);
        for name in opened {
            self.file(taken, &Field::literal(name), marks, state);
        }
        if let Some(made) = made {
            self.writes_packed(&Field::literal(made), Marks::NONE, state);
        }
    }

    /// `unzip x` opens `x.zip` or `x.ZIP` where `x` is none; what looks like a pattern it takes for one, in quotes too.
    fn zip_read(&mut self, field: &Field, state: &State) {
        let Some(text) = field.named().filter(|text| !text.contains(['*', '?', '[', '\\'])) else {
            self.file(Action::Read, &Field::unknown(), Marks::NONE, state);
            return;
        };
        self.file(Action::Read, field, Marks::NONE, state);
        if without(text, ".zip").is_none() {
            for suffix in [".zip", ".ZIP"] {
                self.file(Action::Read, &Field::literal(format!("{text}{suffix}")), Marks::NONE, state);
            }
        }
    }

    /// `zip x` writes `x.zip`, where `x` has no dot in it.
    fn zip_write(&mut self, field: &Field, state: &State) {
        self.writes_packed(field, Marks::NONE, state);
        if let Some(text) = field.named().filter(|text| !path::base(text).contains('.')) {
            self.writes_packed(&Field::literal(format!("{text}.zip")), Marks::NONE, state);
        }
    }
}

/// The files that a program may read for a name that it expands.
fn looked_for(program: &str, text: &str) -> Vec<Field> {
    let (opened, _) = expanded(program, text);
    let others = opened.into_iter().filter(|name| name != text);
    std::iter::once(text.to_owned()).chain(others).map(Field::literal).collect()
}

/// What a program may expand for a name, and what that is called then.
fn expanded(program: &str, text: &str) -> (Vec<String>, Option<String>) {
    let own = || vec![text.to_owned()];
    let made = |endings: &[(&str, &str)]| {
        endings.iter().find_map(|(end, put)| without(text, end).map(|stem| format!("{stem}{put}")))
    };
    match program {
        "bzip2" | "bunzip2" | "bzcat" => (own(), Some(made(&BZIP2).unwrap_or_else(|| format!("{text}.out")))),
        "xz" | "unxz" | "zstd" | "unzstd" | "lz4" => (own(), made(&OTHERS)),
        _ => made(&GZIP).map_or_else(
            || (TRIED.iter().map(|suffix| format!("{text}{suffix}")).collect(), Some(text.to_owned())),
            |made| (own(), Some(made)),
        ),
    }
}

/// What is left of a name without this ending, in small letters or capitals, if anything is.
fn without<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (stem, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    (end.eq_ignore_ascii_case(suffix) && !stem.is_empty() && !stem.ends_with('/')).then_some(stem)
}
