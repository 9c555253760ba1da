//! Brace expansion, which bash does before everything else.
//!
//! Promises: the words in bash's order, or `None` when there are too many; braces that are quoted or hold no comma and no
//! range stay as they are. Held by: `tests/it/agreement.rs` and `fixtures/shell/quoting.tsv`.

use crate::pieces::{Expansion, Piece};

/// More words than this from one word's braces are refused.
const BRACE_WORDS: usize = 256;

/// The words that braces make of a word; `None` beyond the cap.
pub(super) fn words(word: Vec<Piece>) -> Option<Vec<Vec<Piece>>> {
    let mut done = Vec::new();
    let mut open = vec![word];
    while let Some(word) = open.pop() {
        if done.len() + open.len() > BRACE_WORDS {
            return None;
        }
        match first_brace(&word) {
            None => done.push(renamed(word)),
            Some((start, end, choices)) => {
                if choices.len() > BRACE_WORDS {
                    return None;
                }
                for choice in choices.into_iter().rev() {
                    let mut next = word.get(..start)?.to_vec();
                    next.extend(choice);
                    next.extend_from_slice(word.get(end..)?);
                    open.push(next);
                }
            }
        }
    }
    Some(done)
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

type Brace = (usize, usize, Vec<Vec<Piece>>);

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
                if choices.len() < 2 {
                    choices = range(choices.first()?)?;
                }
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
fn range(inside: &[Piece]) -> Option<Vec<Vec<Piece>>> {
    let mut text = String::new();
    for piece in inside {
        let Piece::Bare(c) = piece else { return None };
        text.push(*c);
    }
    let parts: Vec<&str> = text.split("..").collect();
    let (from, to, step) = match parts.as_slice() {
        [from, to] => (*from, *to, 1_i64),
        [from, to, step] => (*from, *to, step.parse::<i64>().ok()?.unsigned_abs().try_into().ok()?),
        _ => return None,
    };
    let step = step.max(1);
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
        // Letters between `Z` and `a` are special characters, which bash quotes.
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        out.push(if plain { text.chars().map(Piece::Bare).collect() } else { vec![Piece::Quoted(text)] });
        at = if from <= to { at.checked_add(step)? } else { at.checked_sub(step)? };
    }
    Some(out)
}
