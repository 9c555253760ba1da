//! The JSON paths that masks and rules may name: a part of RFC 9535.
//!
//! | written | what it takes |
//! |---|---|
//! | `$.a.b` | the member `b` of the member `a` |
//! | `$..a` | every member `a`, at any depth |
//! | `$.*`, `$[*]` | every member, every element |
//! | `$[0]` | one element |
//! | `$['a b']`, `$["a b"]` | a member whose name is not plain |
//!
//! [`parse`] gives the steps, [`standing`] says where a value of a body stands to them, in time linear in both, by the very
//! names or as readers find members that do not look at case ([`Spelling`]).
//! Promises: refuses every other text, filters, slices, unions and negative numbers among them, with what to write
//! instead where that is known: a path that nobody carries out would protect nothing. Held by: `mask/tests.rs`,
//! `field/tests.rs`.

use portcullis_model as model;

/// What is wrong with a path, and what to write instead.
pub(crate) type Refused = (String, Option<String>);

/// Longer paths are refused.
const MAX_BYTES: usize = 512;

/// Paths of more steps are refused: the steps that are reached fit into a word.
const MAX_STEPS: usize = 63;

/// From a value to those inside it that are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Whether at any depth.
    deep: bool,
    select: Select,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Select {
    Every,
    Member(Box<str>),
    Element(u32),
}

/// Where a value stands to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The path leads to it.
    pub(crate) there: bool,
    /// The path leads to an object or list that it is in.
    pub(crate) inside: bool,
}

/// Which names of members are taken for the one that a path says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// That name alone.
    Exact,
    /// Also those that differ in case.
    Any,
}

/// A name as readers take it that do not look at case: .NET's, Jackson's where told to, and Go's, to which two letters beyond
/// ASCII are `s` and `k` as well.
fn folded(name: &str) -> impl Iterator<Item = char> {
    let letter = |c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c,
    };
    name.chars().map(letter).flat_map(char::to_lowercase)
}

impl Spelling {
    fn takes(self, wanted: &str, name: &str) -> bool {
        wanted == name || (self == Self::Any && folded(wanted).eq(folded(name)))
    }
}

impl Step {
    fn takes(&self, step: &model::Step, spelling: Spelling) -> bool {
        match (&self.select, step) {
            (Select::Every, model::Step::Member(_) | model::Step::Element(_)) => true,
            (Select::Member(wanted), model::Step::Member(name)) => spelling.takes(wanted, name),
            (Select::Element(wanted), model::Step::Element(at)) => wanted == at,
            (Select::Member(_), model::Step::Element(_)) | (Select::Element(_), model::Step::Member(_)) => false,
        }
    }
}

/// Where the value at `place` stands to the path.
pub(crate) fn standing(path: &[Step], place: &[model::Step], spelling: Spelling) -> Standing {
    // Bit n: the first n steps of the path lead to what has been walked of the place.
    let (mut reached, all) = (1_u64, 1_u64 << path.len().min(MAX_STEPS));
    let mut inside = false;
    for step in place {
        if reached & all != 0 {
            inside = true;
        }
        let mut next = 0;
        for (nth, one) in path.iter().enumerate().take(MAX_STEPS).filter(|(nth, _)| reached >> nth & 1 == 1) {
            next |= u64::from(one.deep) << nth | u64::from(one.takes(step, spelling)) << (nth + 1);
        }
        reached = next;
        if reached == 0 {
            break;
        }
    }
    Standing { there: reached & all != 0, inside }
}

/// The steps of such a path.
pub(crate) fn parse(text: &str) -> Result<Vec<Step>, Refused> {
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
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == MAX_STEPS {
            return Err((format!("a JSON path of more than {MAX_STEPS} steps"), None));
        }
        let (step, behind) =
            segment(rest).map_err(|help| (format!("`{text}` is not a JSON path that is taken here"), Some(help)))?;
        steps.push(step);
        rest = behind;
    }
    Ok(steps)
}

/// The first step and what follows it; else what to write instead.
fn segment(rest: &str) -> Result<(Step, &str), String> {
    if let Some(inner) = rest.strip_prefix('[') {
        let (select, behind) = bracket(inner)?;
        return Ok((Step { deep: false, select }, behind));
    }
    let Some(behind) = rest.strip_prefix("..").or_else(|| rest.strip_prefix('.')) else {
        return Err("write `.name` or `['name']` behind the `$`".to_owned());
    };
    let deep = rest.starts_with("..");
    if let Some(behind) = behind.strip_prefix('*') {
        return Ok((Step { deep, select: Select::Every }, behind));
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
    Ok((Step { deep, select: Select::Member(name.into()) }, behind))
}

/// What `[*]`, `[0]` or a quoted name selects, whose `[` was taken, and what follows it.
fn bracket(inner: &str) -> Result<(Select, &str), String> {
    if let Some(behind) = inner.strip_prefix("*]") {
        return Ok((Select::Every, behind));
    }
    for quote in ['\'', '"'] {
        let Some(name) = inner.strip_prefix(quote) else { continue };
        let Some((name, behind)) = name.split_once(quote) else { return Err("a quote is never closed".to_owned()) };
        let plain = !name.is_empty() && !name.chars().any(|c| c == '\\' || c.is_control());
        let behind = behind.strip_prefix(']').filter(|_| plain).ok_or_else(|| {
            "write one name in quotes, without `\\`, as in `['a b']`; for a second one write a second path".to_owned()
        })?;
        return Ok((Select::Member(name.into()), behind));
    }
    let digits = inner.find(|c: char| !c.is_ascii_digit()).unwrap_or(inner.len());
    let (number, behind) = inner.split_at_checked(digits).unwrap_or((inner, ""));
    let at = number.parse().ok().filter(|_| number == "0" || !number.starts_with('0'));
    at.and_then(|at| Some((Select::Element(at), behind.strip_prefix(']')?)))
        .ok_or_else(|| "in brackets stands `*`, one number from 0, or one name in quotes".to_owned())
}
