//! The little languages of `sed` and `awk`, as far as they reach out of their input.
//!
//! A `sed` script is cut into its commands: `w`, `W`, `r`, `R` name files, `e` runs one. Where a part of one ends is not the
//! same for every `sed`, so it is cut as each does, and reaches what it reaches for any. An `awk` program is not parsed;
//! whatever in its text could run a program, open a file or a socket makes it code that is not known. Promises: a script
//! that is not understood to its end is such code. Held by: `fixtures/shell/interpreters.tsv` and the tests below.

use crate::expand::Field;
use crate::facts::Role;
use crate::state::State;
use crate::walk::Walker;
use portcullis_model::{Action, Marks};

/// What a `sed` script reaches.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    reads: Vec<String>,
    writes: Vec<String>,
    runs: Vec<String>,
    /// The `e` flag or a bare `e`: runs what the input holds.
    runs_input: bool,
}

impl Reach {
    fn join(&mut self, other: Self) {
        let lists = [(&mut self.reads, other.reads), (&mut self.writes, other.writes), (&mut self.runs, other.runs)];
        for (all, more) in lists {
            for text in more {
                if !all.contains(&text) {
                    all.push(text);
                }
            }
        }
        self.runs_input |= other.runs_input;
    }
}

impl Walker<'_> {
    pub(crate) fn script(&mut self, role: Role, field: &Field, name: &str, state: &State) {
        let Some(text) = field.known().map(str::to_owned) else {
            self.foreign_code(name);
            return;
        };
        if role == Role::Awk {
            if !awk_is_plain(&text) {
                self.foreign_code(name);
            }
            return;
        }
        let Some(reach) = sed(&text) else {
            self.foreign_code(name);
            return;
        };
        for file in &reach.reads {
            self.file(Action::Read, &Field::literal(file.as_str()), Marks::NONE, state);
        }
        for file in &reach.writes {
            self.file(Action::Insert, &Field::literal(file.as_str()), Marks::NONE, state);
            self.file(Action::Update, &Field::literal(file.as_str()), Marks::NONE, state);
        }
        for line in &reach.runs {
            self.other_shell(line, state);
        }
        if reach.runs_input {
            self.foreign_code(name);
        }
    }
}

/// Scripts in several options are one, a line each: what one begins the next may end.
pub(crate) fn one_script(mut values: Vec<(Role, Field)>) -> Vec<(Role, Field)> {
    for role in [Role::Sed, Role::Awk] {
        let (scripts, mut rest): (Vec<_>, Vec<_>) = values.into_iter().partition(|(found, _)| *found == role);
        if !scripts.is_empty() {
            // The lines of a file among them are not known here.
            let file = role == Role::Sed && rest.iter().any(|(found, _)| *found == Role::Execute);
            let known: Option<Vec<&str>> = scripts.iter().map(|(_, field)| field.known()).collect();
            let whole = known.filter(|_| !file).map(|parts| parts.join("\n"));
            rest.push((role, whole.map_or_else(Field::unknown, Field::literal)));
        }
        values = rest;
    }
    values
}

/// Whether an `awk` program only computes and prints: no pipe, no redirection behind a `print`, nothing that runs or opens.
fn awk_is_plain(text: &str) -> bool {
    // gawk reaches every variable through `SYMTAB`, also the list of files (`SYMTAB["AR" "GV"]`).
    #[rustfmt::skip]
    const WORDS: [&str; 11] = [
        "system", "getline", "@", "/inet", "fflush", "close", "ENVIRON", "ARGV", "SYMTAB", "PROCINFO", "extension",
    ];
    let joined = text.replace("\\\n", "");
    if WORDS.iter().any(|word| joined.contains(word)) {
        return false;
    }
    if text.replace("||", "").contains('|') {
        return false;
    }
    // What stands behind the first `print`, where it writes to no file.
    let Some((_, behind)) = text.split_once("print") else { return true };
    if !behind.contains('>') {
        return true;
    }
    // Quotes in an expression, escapes and comments make it hard to tell where a statement ends.
    if text.contains(['/', '\\', '#']) {
        return false;
    }
    let (mut quoted, mut printing, mut last) = (false, false, ' ');
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        printing |= !quoted && rest.starts_with("print");
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '"' => quoted = !quoted,
            '>' if printing => return false,
            '{' | '}' | ';' if !quoted => printing = false,
            // A statement ends here only behind what is whole: busybox goes on behind every operator, `in` as well.
            '\n' if is_whole(last) && !ends_with_in(text, rest) => (quoted, printing) = (false, false),
            _ => {}
        }
        if !c.is_whitespace() {
            last = c;
        }
    }
    true
}

/// Whether what stands in front of the rest ends with `in`, or with a name that ends so.
fn ends_with_in(text: &str, rest: &str) -> bool {
    let before = text.get(..text.len().saturating_sub(rest.len())).unwrap_or_default();
    before.trim_end().ends_with("in")
}

/// Whether an expression of `awk` may end with this character.
const fn is_whole(last: char) -> bool {
    last.is_ascii_alphanumeric() || matches!(last, '_' | '"' | ')' | ']' | '{' | '}' | ';')
}

/// What hides the delimiter of a regular expression, besides a backslash. Programs differ, so a script is read in each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brackets {
    /// Nothing: programs that do not look into regular expressions before they have them.
    Bare,
    /// A bracket, in which a class such as `[:alpha:]` is one thing: GNU sed 4.9, BSD.
    Whole,
    /// A bracket up to its first `]`, also where that ends a class, and in `y` as well: busybox.
    First,
}

/// Why a script is not cut to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The program that reads it so refuses it, and runs none of it.
    Refused,
    /// It is not understood here.
    Unclear,
}

/// What a `sed` script reaches, whichever program reads it; `None` where it is not understood.
fn sed(text: &str) -> Option<Reach> {
    let (mut joined, mut taken) = (Reach::default(), false);
    for brackets in [Brackets::Bare, Brackets::Whole, Brackets::First] {
        let mut reach = Reach::default();
        match cut(text, brackets, &mut reach) {
            Ok(()) => taken = true,
            // What it would write is opened, and so emptied, before it comes to what it refuses.
            Err(Stop::Refused) => reach = Reach { writes: reach.writes, ..Reach::default() },
            Err(Stop::Unclear) => return None,
        }
        joined.join(reach);
    }
    taken.then_some(joined)
}

/// Cuts a script into its commands.
fn cut(text: &str, brackets: Brackets, reach: &mut Reach) -> Result<(), Stop> {
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace() || matches!(c, ';' | '}')).is_some() {}
        if chars.peek().is_none() {
            return Ok(());
        }
        addresses(&mut chars, brackets)?;
        match chars.next().ok_or(Stop::Unclear)? {
            '{' | '=' | 'd' | 'D' | 'g' | 'G' | 'h' | 'H' | 'n' | 'N' | 'p' | 'P' | 'x' | 'z' | 'F' => {}
            '#' => {
                line(&mut chars);
            }
            'l' | 'q' | 'Q' | 'L' => while chars.next_if(|c| c.is_ascii_digit() || *c == ' ').is_some() {},
            'a' | 'i' | 'c' => text_lines(&mut chars),
            'b' | 't' | 'T' | ':' | 'v' => label(&mut chars).ok_or(Stop::Unclear)?,
            'r' | 'R' => reach.reads.push(plain_line(&mut chars)?),
            'w' | 'W' => reach.writes.push(plain_line(&mut chars)?),
            'e' => {
                let command = plain_line(&mut chars)?;
                if command.is_empty() { reach.runs_input = true } else { reach.runs.push(command) }
            }
            'y' => {
                let end = delimiter(&mut chars)?;
                let first = if brackets == Brackets::First { brackets } else { Brackets::Bare };
                part(&mut chars, end, first)?;
                part(&mut chars, end, Brackets::Bare)?;
            }
            's' => substitute(&mut chars, brackets, reach)?,
            c if c.is_ascii_punctuation() => return Err(Stop::Refused),
            _ => return Err(Stop::Unclear),
        }
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn addresses(chars: &mut Chars<'_>, brackets: Brackets) -> Result<(), Stop> {
    loop {
        while chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        match chars.peek().copied() {
            Some(c @ ('/' | '\\')) => {
                chars.next();
                let end = if c == '/' { c } else { delimiter(chars)? };
                part(chars, end, brackets)?;
                while chars.next_if(|c| matches!(c, 'I' | 'M')).is_some() {}
            }
            Some(c) if c.is_ascii_digit() || matches!(c, '$' | ',' | '~' | '+' | '!') => {
                chars.next();
            }
            Some(_) | None => return Ok(()),
        }
    }
}

/// What a command's parts end with. A backslash is that for some and none for others.
fn delimiter(chars: &mut Chars<'_>) -> Result<char, Stop> {
    chars.next().filter(|c| !matches!(c, '\n' | '\\')).ok_or(Stop::Unclear)
}

/// Up to the delimiter that nothing hides. Without one the script is refused everywhere.
fn part(chars: &mut Chars<'_>, end: char, brackets: Brackets) -> Result<(), Stop> {
    loop {
        match chars.next().ok_or(Stop::Refused)? {
            c if c == end => return Ok(()),
            '\\' => {
                chars.next().ok_or(Stop::Refused)?;
            }
            '[' if brackets != Brackets::Bare => bracket(chars, brackets)?,
            _ => {}
        }
    }
}

/// Behind a bracket that is open. A `]` that stands first in it is text, also behind `^`.
fn bracket(chars: &mut Chars<'_>, brackets: Brackets) -> Result<(), Stop> {
    chars.next_if_eq(&'^');
    chars.next_if_eq(&']');
    loop {
        match chars.next().ok_or(Stop::Refused)? {
            ']' => return Ok(()),
            // BSD takes the two for a `]` that is text, others do not.
            '\\' if chars.peek() == Some(&']') => return Err(Stop::Unclear),
            '[' if brackets == Brackets::Whole => class(chars)?,
            _ => {}
        }
    }
}

/// Behind a class, where what follows the bracket is one: `[:alpha:]`, `[.x.]`, `[=x=]`. Where one ends that holds such
/// a sign itself is not the same for GNU and BSD.
fn class(chars: &mut Chars<'_>) -> Result<(), Stop> {
    let Some(kind) = chars.next_if(|c| matches!(c, ':' | '.' | '=')) else { return Ok(()) };
    loop {
        match chars.next().ok_or(Stop::Refused)? {
            c if c == kind => return chars.next_if_eq(&']').map(|_| ()).ok_or(Stop::Unclear),
            '[' | ']' | ':' | '.' | '=' => return Err(Stop::Unclear),
            _ => {}
        }
    }
}

/// The rest of a line that names a file, or is a command. A backslash is taken out of it, or means more than itself, for
/// some programs, and at the end of a command it goes on with the next line.
fn plain_line(chars: &mut Chars<'_>) -> Result<String, Stop> {
    let text = line(chars);
    if text.contains('\\') { Err(Stop::Unclear) } else { Ok(text) }
}

fn line(chars: &mut Chars<'_>) -> String {
    let mut text = String::new();
    while let Some(c) = chars.next_if(|c| *c != '\n') {
        text.push(c);
    }
    text.trim_start().to_owned()
}

/// A label ends at a blank or `;`, and the next command may begin right there; a brace ends it for some and belongs to it
/// for others. Where the two would go on differently it is not understood.
fn label(chars: &mut Chars<'_>) -> Option<()> {
    let blank = |c: &char| matches!(c, ' ' | '\t');
    while chars.next_if(blank).is_some() {}
    while chars.next_if(|c| !c.is_whitespace() && !matches!(c, ';' | '}')).is_some() {}
    while chars.next_if(|c| *c == '}').is_some() {}
    while chars.next_if(blank).is_some() {}
    matches!(chars.peek(), None | Some(';' | '\n' | '}' | '#')).then_some(())
}

fn text_lines(chars: &mut Chars<'_>) {
    let mut escaped = false;
    for c in chars.by_ref() {
        if c == '\n' && !escaped {
            return;
        }
        escaped = c == '\\' && !escaped;
    }
}

fn substitute(chars: &mut Chars<'_>, brackets: Brackets, reach: &mut Reach) -> Result<(), Stop> {
    let end = delimiter(chars)?;
    part(chars, end, brackets)?;
    // The replacement has no brackets that hide anything.
    part(chars, end, Brackets::Bare)?;
    loop {
        match chars.peek().copied() {
            Some('g' | 'p' | 'i' | 'I' | 'm' | 'M' | '0'..='9') => {
                chars.next();
            }
            Some('e') => {
                chars.next();
                reach.runs_input = true;
            }
            Some('w') => {
                chars.next();
                reach.writes.push(plain_line(chars)?);
                return Ok(());
            }
            Some(' ' | '\t') => {
                chars.next();
            }
            Some(';' | '\n' | '}' | '#') | None => return Ok(()),
            // No program has such a flag; of letters one might.
            Some(c) if c.is_ascii_punctuation() => return Err(Stop::Refused),
            Some(_) => return Err(Stop::Unclear),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sed_script_says_what_it_reaches() {
        let plain = Some(Reach::default());
        for text in [
            "2,3p",
            "s/x/y/",
            "s/a/b/g;s|c|d|",
            "$!N;P;D",
            "/a/,/b/d",
            "s/[0-9]*//",
            "1~2d",
            "/x/{s/a/b/;p}",
            "a\\\nhello",
            ":a;N;ba",
            "y/abc/xyz/",
            ": a ; N ; $!b a ; s/x/y/",
            ":a;N;$!{ba};p",
            "/x/{ t end }; b end # away\np",
            "v 4.2\np",
            "s/[^/]*$//",
            "s/[\\/]/_/g",
            "s/.*\\/\\([^/]*\\)$/\\1/",
            "s/[[:space:]]*$//;s/[]x]//",
            "/[^/]$/d",
            "y/[]/()/",
        ] {
            assert_eq!(sed(text), plain, "{text}");
        }
        for text in [
            "s/[]/]/;y/e;a/bcd/",
            "s/[^]/]/;y/e;a/bcd/",
            "s/[[:alpha:]/]/;y/e;a/bcd/",
            "s|[]|]|;y|e;a|bcd|",
            "s/[[:a:][]/x/e;s/]/y/",
        ] {
            assert_eq!(sed(text).map(|reach| reach.runs_input), Some(true), "{text}");
        }
        assert_eq!(sed("/[]/]/e rm x\n#/d").map(|reach| reach.runs), Some(vec!["rm x".to_owned()]));
        assert_eq!(sed("w out\ns/[/]/x/").map(|reach| reach.writes), None);
        assert_eq!(sed("w out\ns/[^/]*$//").map(|reach| reach.writes), Some(vec!["out".to_owned()]));
        assert_eq!(sed("1w out").map(|reach| reach.writes), Some(vec!["out".to_owned()]));
        assert_eq!(sed("s/a/b/w out").map(|reach| reach.writes), Some(vec!["out".to_owned()]));
        assert_eq!(sed("s/a/b/gpw out;p").map(|reach| reach.writes), Some(vec!["out;p".to_owned()]));
        assert_eq!(sed("r in\np").map(|reach| reach.reads), Some(vec!["in".to_owned()]));
        assert_eq!(sed("1e rm x").map(|reach| reach.runs), Some(vec!["rm x".to_owned()]));
        assert_eq!(sed("v 4.2;e rm x").map(|reach| reach.runs), Some(vec!["rm x".to_owned()]));
        assert_eq!(sed("s/a/b/e").map(|reach| reach.runs_input), Some(true));
        assert_eq!(sed("e").map(|reach| reach.runs_input), Some(true));
        #[rustfmt::skip]
        let unclear = [
            "s/[/]/x/w f", "s/a", "k", "s/a/b/q", ":x e rm x", ":x w f", "b x r f", "tx\te rm x", ":a}s;x;e rm y;",
            "1e echo a\\\nrm x", "1e echo $\\(rm x\\)", "e echo \\x24(rm x)", "s/[a\\]/]/x/", "y\\a\\b\\", "w a\\tb",
            "s/[[.].]/]/;y/e;a/bcd/", "s/[[:::]/]/x/",
        ];
        for text in unclear {
            assert_eq!(sed(text), None, "{text}");
        }
    }

    #[test]
    fn an_awk_program_is_plain_or_not_known() {
        for text in [
            "{print $1}",
            "$3 > 5 {print $1}",
            "BEGIN{FS=\",\"} {s+=$2} END{print s}",
            "$1 || $2 {print}",
            "{print \"a;b\"} $3 > 5 {print $2}",
            "{\n  print $1\n  if ($2 > 1) s++\n}",
            "{ print $1, s\n  if ($2 > 1)\n    n = 1\n}",
        ] {
            assert!(awk_is_plain(text), "{text}");
        }
        for text in [
            "{print | \"sh\"}",
            "{print > \"f\"}",
            "BEGIN{system(\"x\")}",
            "{\"date\" | getline}",
            "@load \"x\"",
            "{printf \"x\" >> f}",
            "BEGIN{s=\"/inet/tcp\"}",
            "{x=\"sys\" ; print $0 |& s}",
            "BEGIN{print \"a;b\" > \"f\"}",
            "BEGIN{print \"a\",\n\"b\" > \"f\"}",
            "BEGIN{print \"a\" \\\n > \"f\"}",
            "/\"/{print \"a;b\" > \"f\"}",
            "{print \"a\", # b\n\"c\" > \"f\"}",
            "BEGIN{print 1 +\n1 > \"f\"}",
            "BEGIN{print 1 in\na > \"f\"}",
            "BEGIN{print -\n1 > \"f\"}",
            "BEGIN{print f(\n1) > \"f\"}",
            "BEGIN{SYMTAB[\"AR\" \"GV\"][1]=\"f\"}",
            "function f(a){a[1]=\"x\"} BEGIN{f(SYMTAB[\"A\" \"RGV\"])}",
            "BEGIN{sys\\\ntem(\"x\")}",
        ] {
            assert!(!awk_is_plain(text), "{text}");
        }
    }
}
