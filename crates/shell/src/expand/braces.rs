//! Brace expansion, which bash does before everything else.
//!
//! Promises: the words in bash's order; braces that are quoted or hold no comma and no range stay as they are. What braces
//! put together is read again by bash, so a word in which they make something special (a range
//! through the backslash and the backtick, a dollar sign in front of what it would expand) is refused, and so are numbers
//! that shells count with in several ways.
//! Held by: the tests below, `tests/it/agreement.rs`, `fixtures/shell/{quoting,faults}.tsv`.

use crate::pieces::{Expansion, Piece};

/// More words than this from one word's braces are refused.
const BRACE_WORDS: usize = 256;

/// Larger numbers in a range are refused: what becomes of them depends on how wide a shell's numbers are.
const LARGEST: u64 = 0x7fff_ffff;

/// Why braces are not expanded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// They make too many words.
    Many,
    /// They make what is read again.
    Special,
}

/// The words that braces make of a word.
pub(crate) fn words(word: Vec<Piece>) -> Result<Vec<Vec<Piece>>, Refused> {
    let mut done = Vec::new();
    let mut made = false;
    let mut open = vec![word];
    while let Some(word) = open.pop() {
        if done.len() + open.len() > BRACE_WORDS {
            return Err(Refused::Many);
        }
        match first_brace(&word) {
            None if made && dollar_expands(&word) => return Err(Refused::Special),
            None => done.push(renamed(word)),
            Some((start, end, choices)) => {
                made = true;
                let choices = choices?;
                if choices.len() > BRACE_WORDS {
                    return Err(Refused::Many);
                }
                let (before, after) = (word.get(..start).unwrap_or_default(), word.get(end..).unwrap_or_default());
                for choice in choices.into_iter().rev() {
                    let mut next = before.to_vec();
                    next.extend(choice);
                    next.extend_from_slice(after);
                    open.push(next);
                }
            }
        }
    }
    Ok(done)
}

/// Whether a dollar sign that was none as it was written may expand what braces put behind it: a name, a bracket, quotes.
fn dollar_expands(word: &[Piece]) -> bool {
    word.windows(2).any(|pair| {
        let [Piece::Bare('$'), next] = pair else { return false };
        match next {
            Piece::Bare(c) => !"/.,:%+=~^]})".contains(*c),
            Piece::Quoted(_) | Piece::Expand { .. } => true,
        }
    })
}

/// Braces are expanded before names are read: `$v{1,2}` is `$v1 $v2`.
fn renamed(word: Vec<Piece>) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::with_capacity(word.len());
    for piece in word {
        if let (Piece::Bare(c), Some(Piece::Expand { what: Expansion::Name(name), quoted: false })) =
            (&piece, out.last_mut())
        {
            let identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if identifier && (c.is_ascii_alphanumeric() || *c == '_') {
                name.push(*c);
                continue;
            }
        }
        out.push(piece);
    }
    out
}

type Choices = Result<Vec<Vec<Piece>>, Refused>;

/// Where it starts, where what follows it starts, and what may stand there instead.
type Brace = (usize, usize, Choices);

/// The first `{a,b}` or `{1..9}` of a word.
fn first_brace(word: &[Piece]) -> Option<Brace> {
    for (start, piece) in word.iter().enumerate() {
        if *piece == Piece::Bare('{')
            && let Some(found) = brace_at(word, start)
        {
            return Some(found);
        }
    }
    None
}

fn brace_at(word: &[Piece], start: usize) -> Option<Brace> {
    let mut depth = 0_usize;
    let mut choices: Vec<Vec<Piece>> = vec![Vec::new()];
    for (at, piece) in word.iter().enumerate().skip(start + 1) {
        match piece {
            Piece::Bare('{') => depth += 1,
            Piece::Bare('}') if depth > 0 => depth -= 1,
            Piece::Bare('}') => {
                let choices = if choices.len() < 2 { range(choices.first()?)? } else { Ok(choices) };
                return Some((start, at + 1, choices));
            }
            Piece::Bare(',') if depth == 0 => {
                choices.push(Vec::new());
                continue;
            }
            Piece::Bare(_) | Piece::Quoted(_) | Piece::Expand { .. } => {}
        }
        choices.last_mut()?.push(piece.clone());
    }
    None
}

/// `1..9`, `a..f`, `1..9..2`: as long as it is small; a longer one is too many words.
fn range(inside: &[Piece]) -> Option<Choices> {
    let mut text = String::new();
    for piece in inside {
        let Piece::Bare(c) = piece else { return None };
        text.push(*c);
    }
    let parts: Vec<&str> = text.split("..").collect();
    let (from, to, step) = match parts.as_slice() {
        [from, to] => (*from, *to, 1),
        [from, to, step] => (*from, *to, step.parse::<i64>().ok()?.unsigned_abs().max(1)),
        _ => return None,
    };
    let letters = |text: &str| {
        let mut chars = text.chars();
        chars.next().filter(|c| c.is_ascii_alphabetic() && chars.next().is_none())
    };
    let (from, to, letter, width) = match (from.parse::<i64>(), to.parse::<i64>(), letters(from), letters(to)) {
        (Ok(a), Ok(b), ..) => {
            let padded =
                |text: &str| text.trim_start_matches('-').starts_with('0') && text.trim_start_matches('-').len() > 1;
            (a, b, false, if padded(from) || padded(to) { from.len().max(to.len()) } else { 0 })
        }
        (_, _, Some(a), Some(b)) => (i64::from(u32::from(a)), i64::from(u32::from(b)), true, 0),
        _ => return None,
    };
    // From here on bash expands it, if not always to the same.
    if [from.unsigned_abs(), to.unsigned_abs(), step].iter().any(|number| *number > LARGEST) {
        return Some(Err(Refused::Special));
    }
    // A backtick, a backslash and brackets lie between the capital letters and the small ones.
    if letter && from.min(to) <= i64::from(b'Z') && from.max(to) >= i64::from(b'a') {
        return Some(Err(Refused::Special));
    }
    let step = i64::try_from(step).ok()?;
    let step = if from <= to { step } else { -step };
    let count = from.abs_diff(to) / step.unsigned_abs() + 1;
    let mut out = Vec::new();
    let mut at = from;
    // One beyond the cap is enough for the caller to refuse.
    for _ in 0..count.min(BRACE_WORDS as u64 + 1) {
        let text = if letter {
            char::from_u32(u32::try_from(at).ok()?)?.to_string()
        } else if at < 0 && width > 0 {
            format!("-{:0>1$}", at.unsigned_abs(), width.saturating_sub(1))
        } else {
            format!("{at:0>width$}")
        };
        out.push(text.chars().map(Piece::Bare).collect());
        // No sum of numbers as small as these is too large.
        at = at.saturating_add(step);
    }
    Some(Ok(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pieces::pieces;

    fn made(raw: &str) -> Result<Vec<String>, Refused> {
        let shown = |piece: &Piece| match piece {
            Piece::Bare(c) => c.to_string(),
            Piece::Quoted(text) => format!("'{text}'"),
            Piece::Expand { .. } => "<>".to_owned(),
        };
        let words = words(pieces(raw).expect("pieces"))?;
        Ok(words.iter().map(|word| word.iter().map(shown).collect()).collect())
    }

    #[test]
    fn what_braces_make_is_what_bash_makes() {
        for (raw, expected) in [
            ("{a..e}", "a b c d e"),
            ("{e..a..2}", "e c a"),
            ("{A..C}x", "Ax Bx Cx"),
            ("{1..10}", "1 2 3 4 5 6 7 8 9 10"),
            ("{01..10..4}", "01 05 09"),
            ("{3..-1..2}", "3 1 -1"),
            ("{-2..02}", "-2 -1 00 01 02"),
            ("{1..3..0}", "1 2 3"),
            ("{2147483646..2147483647}", "2147483646 2147483647"),
            ("file.{txt,md}", "file.txt file.md"),
            ("{src,test}/*.rs", "src/*.rs test/*.rs"),
            ("{a,b}$", "a$ b$"),
            ("{$,x}.y", "$.y x.y"),
            ("a$/{b,c}", "a$/b a$/c"),
            ("{x,$$}", "x <>"),
            ("{1..a}", "{1..a}"),
            ("{1..3..x}", "{1..3..x}"),
            ("{1...3}", "{1...3}"),
            ("{0..1e3}", "{0..1e3}"),
            ("{1..9223372036854775808}", "{1..9223372036854775808}"),
            ("$\\y", "$'y'"),
        ] {
            let words = made(raw).map(|words| words.join(" "));
            assert_eq!(words.as_deref(), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn what_would_be_read_again_is_refused() {
        for raw in [
            "{d..Z..8}",
            "{Z..a}",
            "{a..Z}",
            "{A..z..32}",
            "x{y,{Z..a}}",
            "{$,x}y",
            "{$,x}[y]",
            "{$,x}{z[y]}",
            "{x,$}{y,z}",
            "{x,$}1",
            "{x,$}@",
            "{x,$}'y'",
            "{x,$}\"y\"",
            "{x,$}${y}",
            "{a..b..9223372036854775807}",
            "{a..b..-9223372036854775808}",
            "{9223372036854775806..9223372036854775807}",
            "{1..2147483648}",
        ] {
            assert_eq!(made(raw), Err(Refused::Special), "{raw}");
        }
        assert_eq!(made("{1..300}"), Err(Refused::Many));
    }
}
