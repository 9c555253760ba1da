//! The headers `Mcp-Param-*`, each of which says the value of an argument.
//!
//! Promises: what such a header says, one of the arguments is: a text, a truth, or a number, compared digit by digit as the
//! decimal that it is. Headers are read once and the arguments are looked through once, however many there are of both:
//! what an argument is compared with is found by its hash. A number longer than [`LONGEST_NUMBER`] is nobody's. Does not
//! promise that it is the argument whose name the header has: that stands in the tool's schema.
//! Held by: the tests below and `fixtures/http/mcp.tsv`, which `tests.rs` beside `mcp.rs` plays.

use super::decoded;
use crate::json::{self, Node, Value};
use http::{HeaderName, HeaderValue};
use std::collections::HashSet;

/// Bytes of a number.
const LONGEST_NUMBER: usize = 64;

/// The first of these headers that says what no argument is; `None` where each says what one is.
pub(super) fn unfounded<'h>(
    headers: impl Iterator<Item = (&'h HeaderName, &'h HeaderValue)>,
    arguments: Option<&Node>,
) -> Option<&'h HeaderName> {
    let mut claims = Vec::new();
    for (name, value) in headers {
        let Some(text) = value.to_str().ok().and_then(decoded) else { return Some(name) };
        claims.push(Claim { name, number: Decimal::read(&text), text });
    }
    if claims.is_empty() {
        return None;
    }
    let mut found = Found::new(&claims);
    if let Some(arguments) = arguments {
        found.look(arguments);
    }
    claims.iter().find(|claim| !found.has(claim)).map(|claim| claim.name)
}

/// What a header says.
struct Claim<'h> {
    name: &'h HeaderName,
    text: String,
    number: Option<Decimal>,
}

/// What is left to be found of what headers say.
struct Found<'c> {
    texts: HashSet<&'c str>,
    numbers: HashSet<&'c Decimal>,
}

impl<'c> Found<'c> {
    fn new(claims: &'c [Claim<'_>]) -> Self {
        let texts = claims.iter().map(|claim| claim.text.as_str()).collect();
        Self { texts, numbers: claims.iter().filter_map(|claim| claim.number.as_ref()).collect() }
    }

    /// Takes out what an argument says. Lists have no header.
    fn look(&mut self, node: &Node) {
        match &node.value {
            Value::Object(members) => members.iter().for_each(|(_, member)| self.look(member)),
            Value::String(text) => self.say(text),
            Value::Number(_) if self.numbers.is_empty() => {}
            Value::Number(digits) => {
                if let Some(number) = Decimal::of(digits) {
                    self.numbers.remove(&number);
                }
            }
            Value::Bool(true) => self.say("true"),
            Value::Bool(false) => self.say("false"),
            Value::Null | Value::Array(_) => {}
        }
    }

    fn say(&mut self, text: &str) {
        self.texts.remove(text);
    }

    fn has(&self, claim: &Claim<'_>) -> bool {
        let number = || claim.number.as_ref().is_some_and(|number| !self.numbers.contains(number));
        !self.texts.contains(claim.text.as_str()) || number()
    }
}

/// A number of JSON as it is, whatever it is written like: a binary one takes neighbours for each other.
#[derive(PartialEq, Eq, Hash)]
struct Decimal {
    negative: bool,
    /// Without zeros at either end.
    digits: String,
    /// Of ten, which the digits as a whole number are multiplied with.
    exponent: i64,
}

impl Decimal {
    /// Of a text that is a number of JSON.
    fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST_NUMBER {
            return None;
        }
        match json::read(text.as_bytes()).ok()?.value {
            Value::Number(written) => Self::of(&written),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Of what the grammar of JSON took; `None` where it is longer, larger or smaller than anybody needs.
    fn of(written: &str) -> Option<Self> {
        if written.len() > LONGEST_NUMBER {
            return None;
        }
        let (mantissa, exponent) = written.split_once(['e', 'E']).unwrap_or((written, "0"));
        let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let digits = all.trim_end_matches('0');
        let dropped = i64::try_from(all.len() - digits.len()).ok()?;
        let exponent = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        Some(Self { negative, digits, exponent: exponent.checked_add(dropped)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn first_wrong(said: &[&str], arguments: &str) -> Option<usize> {
        let name = |at: usize| HeaderName::try_from(format!("mcp-param-{at}")).unwrap();
        let headers: HeaderMap =
            said.iter().enumerate().map(|(at, value)| (name(at), HeaderValue::from_str(value).unwrap())).collect();
        let arguments = json::read(arguments.as_bytes()).unwrap();
        let mut wrong = (0..said.len()).filter(|at| {
            let one = headers.iter().filter(|(header, _)| **header == name(*at));
            unfounded(one, Some(&arguments)).is_some()
        });
        // Each by itself says what all say together.
        let first = wrong.next();
        assert_eq!(unfounded(headers.iter(), Some(&arguments)).is_some(), first.is_some());
        first
    }

    #[test]
    fn each_header_says_what_some_argument_is() {
        for (said, arguments, wrong) in [
            (&["a", "1", "true"][..], r#"{"x":"a","y":{"z":1.0},"b":true}"#, None),
            (&["a", "b"], r#"{"x":"a"}"#, Some(1)),
            (&["1e2", "100", "100.0"], r#"{"x":100}"#, None),
            (&["1"], r#"{"x":"1"}"#, None),
            (&["1.0"], r#"{"x":"1"}"#, Some(0)),
            (&["true"], r#"{"x":false}"#, Some(0)),
            (&["null"], r#"{"x":null}"#, Some(0)),
            (&["a"], r#"{"x":["a"]}"#, Some(0)),
            (&["0"], r#"{"x":-0.0}"#, None),
            (&[" 1"], r#"{"x":1}"#, None),
            (&[], "{}", None),
        ] {
            assert_eq!(first_wrong(said, arguments), wrong, "{said:?} {arguments}");
        }
    }

    /// A header is read once, whatever the arguments are, and no number is longer than it may be.
    #[test]
    fn a_long_number_is_nobodys() {
        let (fits, long) = ("1".repeat(LONGEST_NUMBER), "1".repeat(LONGEST_NUMBER + 1));
        assert!(Decimal::read(&fits).is_some() && Decimal::of(&fits).is_some());
        assert!(Decimal::read(&long).is_none() && Decimal::of(&long).is_none());
        assert_eq!(first_wrong(&[&fits], &format!(r#"{{"x":{fits}}}"#)), None);
        assert_eq!(first_wrong(&[&long], &format!(r#"{{"x":{long}}}"#)), Some(0));
        // As a text it is one as any other.
        assert_eq!(first_wrong(&[&long], &format!(r#"{{"x":"{long}"}}"#)), None);
    }
}
