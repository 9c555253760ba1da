//! Paths into JSON: the part of RFC 9535 that names members and elements.
//!
//! `$.a.b`, `$..a`, `$.a[*].b`, `$.a[0]`, `$['a quoted name']`, `$.*`. Promises: what is masked is found by its name after
//! unescaping, in letters of either case, since services answer in those they were asked in; and under a name that is a way
//! itself (`customer.ssn`, `items[0].ssn`, `ssn.keyword`), since services flatten. What is spared is compared byte for byte,
//! and its names are no ways. What is not of this part (filters, slices, negative indexes) is an error, never a path that
//! matches nothing. Does not promise that a path exists in any document, nor to find names that are joined by another sign.
//!
//! Held by: `../tests.rs`.

use std::borrow::Cow;

/// A path that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a path of the kind $.a.b, $..a, $.a[*].b, $.a[0] or $['a name']: {0}")]
pub struct BadPath(&'static str);

/// How many steps a path may have: the steps taken so far are kept in one word.
const STEPS: usize = 63;

/// Which members or elements of a document are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Step {
    /// At any depth below, not only directly.
    anywhere: bool,
    selects: Selects,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Selects {
    Every,
    Member(Name),
    Element(usize),
}

/// The name of a member, as it is written and as names are compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    written: Box<str>,
    folded: Box<str>,
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self { written: name.into(), folded: fold(name).into() }
    }
}

/// The way from a container to one of its children.
#[derive(Clone, Copy, Debug)]
pub(super) enum Child<'c> {
    Member {
        written: &'c str,
        /// See [`fold`].
        folded: &'c str,
        /// It may be several names in one.
        is_way: bool,
    },
    Element(usize),
}

impl<'c> Child<'c> {
    /// A member; `folded` is its name as it is compared.
    pub(super) fn member(written: &'c str, folded: &'c str) -> Self {
        Self::Member { written, folded, is_way: folded.bytes().any(|byte| matches!(byte, b'.' | b'[')) }
    }
}

/// A name in which only letters of ASCII have two cases left. Both ways, since letters of either case share one of the other.
pub(super) fn fold(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.to_lowercase().to_uppercase().to_lowercase())
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// [`BadPath`] where it is not one of the kinds above.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        let mut rest = text.strip_prefix('$').ok_or(BadPath("it must begin with $"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest)?;
            steps.push(step);
            rest = after;
        }
        if steps.len() > STEPS {
            return Err(BadPath("it has too many steps"));
        }
        Ok(Self { steps })
    }

    /// The names of members that it goes by.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.selects {
            Selects::Member(name) => Some(&*name.written),
            Selects::Every | Selects::Element(_) => None,
        })
    }

    /// Before any step.
    pub(super) const START: u64 = 1;

    /// Whether this is where the path leads.
    pub(super) fn arrived(&self, state: u64) -> bool {
        state & (1 << self.steps.len()) != 0
    }

    /// The state as far as steps are still to be taken.
    pub(super) fn not_arrived(&self, state: u64) -> u64 {
        state & !(1 << self.steps.len())
    }

    /// The state at a child of a value in `state`: bit `n` says that `n` steps may have been taken.
    pub(super) fn advance(&self, state: u64, child: Child<'_>) -> u64 {
        match child {
            Child::Member { folded, is_way, .. } => {
                let whole = self.take(state, |step| step.takes_name(folded));
                if is_way { whole | self.along(state, folded) } else { whole }
            }
            Child::Element(index) => self.take(state, |step| step.takes_element(index)),
        }
    }

    /// The same of a path by which values are let through: a name is that name and no other.
    pub(super) fn advance_exactly(&self, state: u64, child: Child<'_>) -> u64 {
        match child {
            Child::Member { written, .. } => self.take(state, |step| step.is_name(written)),
            Child::Element(index) => self.take(state, |step| step.takes_element(index)),
        }
    }

    fn take(&self, state: u64, takes: impl Fn(&Step) -> bool) -> u64 {
        if state == 0 {
            return 0;
        }
        let mut next = 0;
        for (taken, step) in self.steps.iter().enumerate() {
            if state & (1 << taken) != 0 {
                next |= u64::from(step.anywhere) << taken | u64::from(takes(step)) << (taken + 1);
            }
        }
        next
    }

    /// The state behind a name that is a way. Services that flatten leave the places in lists out (`items.ssn`), and a path
    /// that arrives before the end leads to all that is behind it (`address.street` under `$.address`).
    fn along(&self, start: u64, way: &str) -> u64 {
        let (mut state, mut arrived) = (start, 0);
        for (nth, part) in way.split(['.', '[', ']']).filter(|part| !part.is_empty()).enumerate() {
            let part = part.trim_matches(['"', '\'']);
            let index: Option<usize> = part.parse().ok();
            let from = if nth == 0 { state } else { self.past_elements(state) };
            state =
                self.take(from, |step| step.takes_name(part) || index.is_some_and(|index| step.takes_element(index)));
            arrived |= state & (1 << self.steps.len());
        }
        state | arrived
    }

    /// The state where elements of lists have no place of their own.
    fn past_elements(&self, mut state: u64) -> u64 {
        for (taken, step) in self.steps.iter().enumerate() {
            let is_element = matches!(step.selects, Selects::Every | Selects::Element(_));
            state |= u64::from(is_element && state & (1 << taken) != 0) << (taken + 1);
        }
        state
    }
}

impl Step {
    fn takes_name(&self, folded: &str) -> bool {
        match &self.selects {
            Selects::Every => true,
            Selects::Member(name) => name.folded.eq_ignore_ascii_case(folded),
            Selects::Element(_) => false,
        }
    }

    fn is_name(&self, written: &str) -> bool {
        match &self.selects {
            Selects::Every => true,
            Selects::Member(name) => *name.written == *written,
            Selects::Element(_) => false,
        }
    }

    const fn takes_element(&self, index: usize) -> bool {
        match &self.selects {
            Selects::Every => true,
            Selects::Element(wanted) => *wanted == index,
            Selects::Member(_) => false,
        }
    }
}

fn step(text: &str) -> Result<(Step, &str), BadPath> {
    let (anywhere, rest) = match text.strip_prefix("..") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('.').unwrap_or(text)),
    };
    let dotted = rest.len() < text.len();
    let (selects, rest) = if let Some(inside) = rest.strip_prefix('[').filter(|_| anywhere || !dotted) {
        bracketed(inside)?
    } else if !dotted {
        return Err(BadPath("a step begins with . or .. or ["));
    } else if let Some(rest) = rest.strip_prefix('*') {
        (Selects::Every, rest)
    } else {
        let (name, rest) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '$' || c == '@';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(BadPath(
                "a name with other characters than letters, digits, _, -, $ and @ is quoted: ['a name']",
            ));
        }
        (Selects::Member(name.into()), rest)
    };
    Ok((Step { anywhere, selects }, rest))
}

fn bracketed(text: &str) -> Result<(Selects, &str), BadPath> {
    let (selects, rest) = if let Some(rest) = text.strip_prefix('*') {
        (Selects::Every, rest)
    } else if let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        quoted(text, quote)?
    } else {
        let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let index = digits.parse().map_err(|_| BadPath("in brackets stands *, an index from 0 or a quoted name"))?;
        (Selects::Element(index), rest)
    };
    let rest = rest.strip_prefix(']').ok_or(BadPath("a bracket is not closed where it should be"))?;
    Ok((selects, rest))
}

/// A quoted name; a backslash takes the quote or the backslash after it as it is.
fn quoted(text: &str, quote: char) -> Result<(Selects, &str), BadPath> {
    let mut name = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            let rest = text.get(at + 1..).unwrap_or_default();
            return Ok((Selects::Member(name.as_str().into()), rest));
        }
        match (c, chars.clone().next()) {
            ('\\', Some((_, escaped))) if escaped == quote || escaped == '\\' => {
                name.push(escaped);
                chars.next();
            }
            ('\\', _) => return Err(BadPath("in a quoted name a backslash stands only before a quote or a backslash")),
            _ => name.push(c),
        }
    }
    Err(BadPath("a quoted name does not end"))
}
