//! What a text must satisfy before any parser sees it.
//!
//! Refuses what is too large or too deep (the parser is cubic in nested substitutions), and bytes that a shell, a
//! terminal and a person read differently: zero and control bytes, a carriage return, spaces that are not ASCII, and
//! marks that turn or hide text (not the selector right behind a symbol). Such characters can be written as `$'\r'` or
//! `$'\u00a0'`.
//!
//! Promises: one pass, no allocation that grows with the text. What it passes can still be refused by the parser.
//! Held by: `fixtures/shell/faults.tsv` and the properties in `tests/it/properties.rs`.

use crate::Limits;
use portcullis_model::Fault;

/// Stands for the home of the target login where its path is not known; no text may hold it.
pub(crate) const HOME: char = '\u{e000}';

/// Stands for the file that a process substitution makes; no text may hold it.
pub(crate) const PIPE: char = '\u{e001}';

/// Whether a text is that file, whole: glued to other text it is the start or the end of a path as any other.
pub(crate) fn is_pipe(text: &str) -> bool {
    text.strip_prefix(PIPE) == Some("")
}

/// Refuses a text that is too large, too deep, or that can be read two ways.
pub(crate) fn check(text: &str, limits: &Limits) -> Result<(), Fault> {
    let before = std::iter::once(' ').chain(text.chars());
    let ambiguous = before.zip(text.chars()).find(|(before, c)| is_ambiguous(*c) && !chooses_a_picture(*before, *c));
    if let Some((_, c)) = ambiguous {
        return Err(Fault::Ambiguous {
            message: format!(
                "the text holds the character U+{:04X}, which is shown or split differently by different programs: \
                 leave it out, or write it as an escape in $'…'",
                u32::from(c)
            )
            .into(),
        });
    }
    let found = Found::of(text);
    let most = if found.substitutions == 0 && found.parameters == 0 && found.operators <= limits.operators {
        limits.plain_bytes
    } else {
        limits.command_bytes
    };
    if text.len() > most {
        return Err(too_large(format!("the text has {} bytes, and at most {most} are read", text.len())));
    }
    if found.substitutions > limits.substitutions {
        return Err(too_large(format!("the text has more than {} substitutions", limits.substitutions)));
    }
    if found.nesting > limits.nesting || found.words > limits.nesting {
        return Err(too_large(format!("the text is nested more than {} levels deep", limits.nesting)));
    }
    Ok(())
}

/// A character that is shown, split or passed on differently by different programs.
fn is_ambiguous(c: char) -> bool {
    match c {
        '\n' | '\t' | ' ' => false,
        c if c.is_control() || matches!(c, '\u{e000}'..='\u{e00f}') => true,
        c if !c.is_ascii() => {
            c.is_whitespace() || portcullis_model::is_unseen(c) || matches!(c, '\u{fffc}' | '\u{fffd}')
        }
        _ => false,
    }
}

/// The selector that makes a picture of a symbol, as in `⚠️`: right behind a symbol it hides nothing of a name.
fn chooses_a_picture(before: char, c: char) -> bool {
    c == '\u{fe0f}'
        && matches!(before, '\u{203c}'..='\u{3299}' | '\u{1f000}'..='\u{1faff}')
        && !before.is_alphanumeric()
}

#[derive(Default)]
struct Found {
    substitutions: usize,
    parameters: usize,
    operators: usize,
    nesting: usize,
    words: usize,
}

impl Found {
    /// Counts without regard to quotes: too many in quotes are refused too, never too few seen.
    fn of(text: &str) -> Self {
        let mut found = Self::default();
        let (mut depth, mut backticks, mut last) = (0_usize, 0_usize, ' ');
        let mut word = String::new();
        for c in text.chars() {
            match c {
                '(' if matches!(last, '$' | '<' | '>') => found.substitutions += 1,
                '{' if last == '$' => found.parameters += 1,
                '`' => backticks += 1,
                ';' | '&' | '|' | '\n' => found.operators += 1,
                _ => {}
            }
            match c {
                '(' | '{' | '[' => {
                    depth += 1;
                    found.nesting = found.nesting.max(depth);
                }
                ')' | '}' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if c.is_ascii_alphabetic() {
                if word.len() < 8 {
                    word.push(c);
                }
            } else {
                found.opens(&word, c);
                word.clear();
            }
            last = c;
        }
        found.substitutions += backticks.div_ceil(2);
        found
    }

    /// Words that open a compound command, and negations, nest too; they are counted without their ends.
    fn opens(&mut self, word: &str, next: char) {
        let opens =
            matches!(word, "if" | "while" | "until" | "for" | "case" | "select" | "elif" | "function" | "coproc");
        if (opens && next.is_whitespace()) || (word.is_empty() && next == '!') {
            self.words += 1;
        }
    }
}

fn too_large(message: String) -> Fault {
    Fault::TooLarge { message: message.into() }
}
