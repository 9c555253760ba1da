//! The functions and operators that conditions may use, with their types.
//!
//! Promises: what is not in [`FUNCTIONS`] or [`operator`] is refused when it is loaded, whatever the library would make of it.
//! Held by: `condition/tests.rs`, which uses each.

use super::kinds::Kind;

/// A type in the table of functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arg {
    Text,
    Int,
    Double,
    Bool,
    Moment,
    Length,
    /// A list, a map or a text.
    Sized,
    /// An IANA zone or an offset, written out.
    Zone,
    /// A regular expression, written out.
    Pattern,
}

use Arg::{Bool, Double, Int, Length, Moment, Pattern, Sized, Text, Zone};

/// The functions of CEL's standard library that conditions may use: name, what it is called on, arguments, result.
/// Source: the CEL language definition, "Standard Definitions".
pub(super) const FUNCTIONS: &[(&str, Option<Arg>, &[Arg], Arg)] = &[
    ("size", None, &[Sized], Int),
    ("size", Some(Sized), &[], Int),
    ("contains", Some(Text), &[Text], Bool),
    ("startsWith", Some(Text), &[Text], Bool),
    ("endsWith", Some(Text), &[Text], Bool),
    ("matches", Some(Text), &[Pattern], Bool),
    ("int", None, &[Text], Int),
    ("int", None, &[Double], Int),
    ("int", None, &[Moment], Int),
    ("double", None, &[Int], Double),
    ("double", None, &[Text], Double),
    ("string", None, &[Int], Text),
    ("string", None, &[Bool], Text),
    ("string", None, &[Moment], Text),
    ("timestamp", None, &[Text], Moment),
    ("timestamp", None, &[Int], Moment),
    ("duration", None, &[Text], Length),
    ("getHours", Some(Length), &[], Int),
    ("getMinutes", Some(Length), &[], Int),
    ("getSeconds", Some(Length), &[], Int),
    ("getFullYear", Some(Moment), &[], Int),
    ("getFullYear", Some(Moment), &[Zone], Int),
    ("getMonth", Some(Moment), &[], Int),
    ("getMonth", Some(Moment), &[Zone], Int),
    ("getDate", Some(Moment), &[], Int),
    ("getDate", Some(Moment), &[Zone], Int),
    ("getDayOfMonth", Some(Moment), &[], Int),
    ("getDayOfMonth", Some(Moment), &[Zone], Int),
    ("getDayOfWeek", Some(Moment), &[], Int),
    ("getDayOfWeek", Some(Moment), &[Zone], Int),
    ("getDayOfYear", Some(Moment), &[], Int),
    ("getDayOfYear", Some(Moment), &[Zone], Int),
    ("getHours", Some(Moment), &[], Int),
    ("getHours", Some(Moment), &[Zone], Int),
    ("getMinutes", Some(Moment), &[], Int),
    ("getMinutes", Some(Moment), &[Zone], Int),
    ("getSeconds", Some(Moment), &[], Int),
    ("getSeconds", Some(Moment), &[Zone], Int),
    ("getMilliseconds", Some(Moment), &[], Int),
    ("getMilliseconds", Some(Moment), &[Zone], Int),
];

/// What an operator makes of these; `None` where it is none.
pub(super) fn operator(name: &str, args: &[Kind]) -> Option<std::result::Result<Kind, String>> {
    use cel::common::ast::operators as op;
    let (first, second) = (args.first(), args.get(1));
    let bools = args.iter().all(|kind| *kind == Kind::Bool);
    let not_for = |what: &str| {
        let told: Vec<String> = args.iter().map(Kind::told).collect();
        Err(format!("{what} is not for {}", told.join(" and ")))
    };
    Some(match name {
        op::LOGICAL_AND | op::LOGICAL_OR if bools => Ok(Kind::Bool),
        op::LOGICAL_AND | op::LOGICAL_OR => not_for("`&&` or `||`"),
        op::LOGICAL_NOT | op::NOT_STRICTLY_FALSE if bools => Ok(Kind::Bool),
        op::LOGICAL_NOT | op::NOT_STRICTLY_FALSE => not_for("`!`"),
        op::CONDITIONAL => match (first?, second?, args.get(2)?) {
            (Kind::Bool, one, other) if one.comparable(other) => Ok(one.clone()),
            _ => not_for("`? :`"),
        },
        op::EQUALS | op::NOT_EQUALS if first?.comparable(second?) => Ok(Kind::Bool),
        op::EQUALS | op::NOT_EQUALS => not_for("a comparison"),
        op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS
            if first?.ordered() && first?.comparable(second?) =>
        {
            Ok(Kind::Bool)
        }
        op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS => not_for("a comparison"),
        op::IN => match (first?, second?) {
            (item, Kind::List(of)) if item.comparable(of) => Ok(Kind::Bool),
            (Kind::Text, Kind::Map(_)) => Ok(Kind::Bool),
            _ => not_for("`in`"),
        },
        op::INDEX => match (first?, second?) {
            (Kind::List(item), Kind::Int) => Ok((**item).clone()),
            (Kind::Map(value), Kind::Text) => Ok((**value).clone()),
            _ => not_for("`[]`"),
        },
        op::ADD | op::SUBSTRACT => match (first?, second?) {
            (Kind::Int, Kind::Int) => Ok(Kind::Int),
            (Kind::Double, Kind::Double) => Ok(Kind::Double),
            (Kind::Length, Kind::Length) => Ok(Kind::Length),
            (Kind::Moment, Kind::Length) => Ok(Kind::Moment),
            (Kind::Moment, Kind::Moment) if name == op::SUBSTRACT => Ok(Kind::Length),
            (Kind::Length, Kind::Moment) if name == op::ADD => Ok(Kind::Moment),
            (Kind::Text, Kind::Text) if name == op::ADD => Ok(Kind::Text),
            _ => not_for("`+` or `-`"),
        },
        op::MULTIPLY | op::DIVIDE | op::MODULO => match (first?, second?) {
            (Kind::Int, Kind::Int) => Ok(Kind::Int),
            (Kind::Double, Kind::Double) if name != op::MODULO => Ok(Kind::Double),
            _ => not_for("`*`, `/` or `%`"),
        },
        op::NEGATE => match first? {
            Kind::Int => Ok(Kind::Int),
            Kind::Double => Ok(Kind::Double),
            _ => not_for("`-`"),
        },
        _ => return None,
    })
}
