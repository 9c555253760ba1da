//! Paths into JSON: the part of RFC 9535 that names members and elements.
//!
//! `$.a.b`, `$..a`, `$.a[*].b`, `$.a[0]`, `$['a quoted name']`, `$.*`. Promises: names are compared byte for byte after
//! unescaping, so a path has one meaning; what is not of this part (filters, slices, negative indexes) is an error, never
//! a path that matches nothing. Does not promise that a path exists in any document.
//!
//! Held by: `../tests.rs`.

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
    Member(Box<str>),
    Element(usize),
}

/// The way from a container to one of its children.
#[derive(Clone, Copy, Debug)]
pub(super) enum Child<'c> {
    Member(&'c str),
    Element(usize),
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
            Selects::Member(name) => Some(&**name),
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
        if state == 0 {
            return 0;
        }
        let mut next = 0;
        for (taken, step) in self.steps.iter().enumerate() {
            if state & (1 << taken) != 0 {
                next |= u64::from(step.anywhere) << taken | u64::from(step.takes(child)) << (taken + 1);
            }
        }
        next
    }
}

impl Step {
    fn takes(&self, child: Child<'_>) -> bool {
        match (&self.selects, child) {
            (Selects::Every, Child::Member(_) | Child::Element(_)) => true,
            (Selects::Member(name), Child::Member(key)) => **name == *key,
            (Selects::Element(wanted), Child::Element(index)) => *wanted == index,
            (Selects::Member(_), Child::Element(_)) | (Selects::Element(_), Child::Member(_)) => false,
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
            return Ok((Selects::Member(name.into()), rest));
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
