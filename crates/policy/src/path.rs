//! The JSON paths that masks may name: a part of RFC 9535.
//!
//! | written | what it takes |
//! |---|---|
//! | `$.a.b` | the member `b` of the member `a` |
//! | `$..a` | every member `a`, at any depth |
//! | `$.*`, `$[*]` | every member, every element |
//! | `$[0]` | one element |
//! | `$['a b']`, `$["a b"]` | a member whose name is not plain |
//!
//! Promises: refuses every other text, filters, slices, unions and negative numbers among them, with what to write
//! instead where that is known: a path that nobody carries out would protect nothing. Held by: `mask/tests.rs`.

/// What is wrong with a path, and what to write instead.
pub(crate) type Refused = (String, Option<String>);

/// Longer paths are refused.
const MAX_BYTES: usize = 512;

/// Paths of more steps are refused.
const MAX_STEPS: usize = 63;

/// Whether this is such a path.
pub(crate) fn check(text: &str) -> Result<(), Refused> {
    let Some(mut rest) = text.strip_prefix('$') else {
        let help = format!("write `$.{}`", text.trim_start_matches('.'));
        return Err((format!("`{text}` is not a JSON path"), Some(help)));
    };
    if text.len() > MAX_BYTES {
        return Err((format!("a JSON path of more than {MAX_BYTES} bytes"), None));
    }
    if rest.is_empty() {
        let help = "to hide a whole column, name it in `columns` and leave `json` out; `$.*` is every member";
        return Err(("`$` is the whole document".to_owned(), Some(help.to_owned())));
    }
    let mut steps = 0;
    while !rest.is_empty() {
        steps += 1;
        if steps > MAX_STEPS {
            return Err((format!("a JSON path of more than {MAX_STEPS} steps"), None));
        }
        rest = segment(rest).map_err(|help| (format!("`{text}` is not a JSON path that masks take"), Some(help)))?;
    }
    Ok(())
}

/// What follows the first segment; else what to write instead.
fn segment(rest: &str) -> Result<&str, String> {
    if let Some(inner) = rest.strip_prefix('[') {
        return bracket(inner);
    }
    let Some(behind) = rest.strip_prefix("..").or_else(|| rest.strip_prefix('.')) else {
        return Err("write `.name` or `['name']` behind the `$`".to_owned());
    };
    if let Some(behind) = behind.strip_prefix('*') {
        return Ok(behind);
    }
    let end = behind.find(['.', '[']).unwrap_or(behind.len());
    let (name, behind) = behind.split_at_checked(end).unwrap_or((behind, ""));
    if name.is_empty() {
        return Err("a name is missing between two dots, or behind the last one".to_owned());
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    if name.starts_with(|c: char| c.is_ascii_digit() || c == '-') || !name.chars().all(plain) {
        return Err(format!("quote a name with other characters: `['{name}']`"));
    }
    Ok(behind)
}

/// What follows `[*]`, `[0]` or a quoted name, whose `[` was taken.
fn bracket(inner: &str) -> Result<&str, String> {
    if let Some(behind) = inner.strip_prefix("*]") {
        return Ok(behind);
    }
    for quote in ['\'', '"'] {
        let Some(name) = inner.strip_prefix(quote) else { continue };
        let Some((name, behind)) = name.split_once(quote) else { return Err("a quote is never closed".to_owned()) };
        let plain = !name.is_empty() && !name.chars().any(|c| c == '\\' || c.is_control());
        return behind.strip_prefix(']').filter(|_| plain).ok_or_else(|| {
            "write one name in quotes, without `\\`, as in `['a b']`; for a second one write a second path".to_owned()
        });
    }
    let digits = inner.find(|c: char| !c.is_ascii_digit()).unwrap_or(inner.len());
    let (number, behind) = inner.split_at_checked(digits).unwrap_or((inner, ""));
    behind
        .strip_prefix(']')
        .filter(|_| number.parse::<u32>().is_ok() && (number == "0" || !number.starts_with('0')))
        .ok_or_else(|| "in brackets stands `*`, one number from 0, or one name in quotes".to_owned())
}
