//! What a pattern is matched with: a text, or how a value of another type is shown, parts of which all values have.
//!
//! `-` is in every identifier and `00:00` in every day: only what starts as the value starts says something of those.
//! Held by: `fixtures/sql/bounds.tsv` and `tests/it/bounds.rs`.

use super::given::{bare, is_parameter};
use super::pattern;
use super::shape::Dotted;
use super::terms::{BOOLEAN, Term, USERS};
use crate::postgres::expression::constant;
use crate::postgres::names;
use crate::postgres::query::last;
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, TypeCast};
use portcullis_model::catalogue::Oid;

/// Types of text.
pub(super) const TEXTS: [Oid; 4] = [19, 25, 1042, 1043];

/// Types whose values are shown as whatever they hold: JSON, XML, lists of texts, words.
const LOOSE: [Oid; 6] = [114, 142, 1009, 1015, 3614, 3802];

/// Functions whose results are shown as what they are given.
const CASES: [&str; 6] = ["btrim", "initcap", "lower", "ltrim", "rtrim", "upper"];

/// How what a pattern is matched with came to be a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Showing {
    /// It is one.
    Text,
    /// It is shown as what it holds, with punctuation between.
    Loose,
    /// It is shown in a form that all values of its type have.
    Rigid,
    /// It may be shown as the same for all.
    Never,
}

impl Showing {
    /// Whether a pattern that asks for certain characters leaves anything out.
    fn leaves(self, language: Pattern, pattern: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Loose => pattern.chars().any(char::is_alphanumeric),
            Self::Rigid => {
                let start = if language == Pattern::Regex { pattern.strip_prefix('^') } else { Some(pattern) };
                start.is_some_and(|start| start.starts_with(char::is_alphanumeric))
            }
            Self::Never => false,
        }
    }

    /// What is behind the start of it.
    const fn behind(self) -> Self {
        match self {
            Self::Text | Self::Loose | Self::Never => self,
            Self::Rigid => Self::Never,
        }
    }
}

impl<'t> Term<'_, '_, '_, 't> {
    /// How the expression comes to be a text.
    pub(super) fn showing(&self, node: &'t Node) -> Showing {
        let of = |node: Option<&'t Node>| node.map_or(Showing::Never, |node| self.showing(node));
        match &node.node {
            Some(NodeEnum::ColumnRef(_)) => Showing::Text,
            Some(NodeEnum::AIndirection(indirection)) => match self.behind_dots(indirection).as_slice() {
                [] => Showing::Text,
                // The call that it is, or may be.
                [call] if CASES.contains(&call.name) => of(indirection.arg.as_deref()),
                [Dotted { name: "name" | "text", .. }] => Showing::Loose,
                _ => Showing::Rigid,
            },
            Some(NodeEnum::CollateClause(collate)) => of(collate.arg.as_deref()),
            Some(NodeEnum::CoalesceExpr(coalesce)) => of(coalesce.args.first()),
            Some(NodeEnum::TypeCast(cast)) => self.showing_of_cast(cast),
            Some(NodeEnum::FuncCall(call)) => match last(&call.funcname) {
                name if CASES.contains(&name) => of(call.args.first()),
                // A format may hold any text.
                "to_char" => Showing::Never,
                _ => Showing::Rigid,
            },
            Some(NodeEnum::AExpr(operation)) => match last(&operation.name) {
                "->>" | "#>>" => Showing::Loose,
                _ => Showing::Rigid,
            },
            Some(_) | None => Showing::Never,
        }
    }

    fn showing_of_cast(&self, cast: &'t TypeCast) -> Showing {
        let textual = cast.type_name.as_ref().is_some_and(|name| is_text_type(last(&name.names)));
        let Some(arg) = cast.arg.as_deref().filter(|_| textual) else { return Showing::Rigid };
        match &arg.node {
            Some(NodeEnum::ColumnRef(_)) => match self.column_type(arg) {
                Some(BOOLEAN) => Showing::Never,
                Some(type_oid) if TEXTS.contains(&type_oid) => Showing::Text,
                Some(type_oid) if LOOSE.contains(&type_oid) || type_oid >= USERS => Showing::Loose,
                Some(_) => Showing::Rigid,
                None => Showing::Loose,
            },
            Some(NodeEnum::AIndirection(_)) => Showing::Rigid,
            Some(_) | None => self.showing(arg),
        }
    }
}

/// Whether a type is one of characters, for its name.
pub(super) fn is_text_type(name: &str) -> bool {
    matches!(name, "bpchar" | "citext" | "name" | "text" | "varchar")
}

/// The languages of patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Like,
    Similar,
    Regex,
    Prefix,
}

impl Pattern {
    fn restricts(self, text: &str) -> bool {
        match self {
            Self::Like => pattern::like_restricts(text),
            Self::Similar => pattern::similar_restricts(text),
            Self::Regex => pattern::regex_restricts(text),
            Self::Prefix => !text.is_empty(),
        }
    }

    /// Whether what stands beside a part of a pattern can undo what the part asks for.
    fn undoes(self, text: Option<&str>) -> bool {
        match (self, text) {
            (Self::Like | Self::Prefix, _) => false,
            (Self::Similar | Self::Regex, Some(text)) => text.contains(['|', '*', '?', '{', '(']),
            (Self::Similar | Self::Regex, None) => true,
        }
    }
}

/// Whether a pattern is a constant that restricts what is shown, or holds a parameter.
pub(super) fn pattern_settled(node: &Node, pattern: Pattern, showing: Showing) -> bool {
    if let Some(text) = constant(Some(node)) {
        return pattern.restricts(text) && showing.leaves(pattern, text);
    }
    match &bare(node).node {
        Some(NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::AExpr(operation)) if matches!(names::strings(&operation.name).as_deref(), Some(["||"])) => {
            let (Some(left), Some(right)) = (operation.lexpr.as_deref(), operation.rexpr.as_deref()) else {
                return false;
            };
            let undone = |side: &Node| !is_parameter(side) && pattern.undoes(constant(Some(side)));
            (pattern_settled(left, pattern, showing) && !undone(right))
                || (pattern_settled(right, pattern, showing.behind()) && !undone(left))
        }
        // LIKE … ESCAPE and SIMILAR TO hand their pattern through a built-in.
        Some(NodeEnum::FuncCall(call)) => match names::strings(&call.funcname).as_deref() {
            Some([.., "like_escape" | "similar_to_escape"]) => {
                call.args.first().is_some_and(|first| pattern_settled(first, pattern, showing))
            }
            _ => false,
        },
        Some(_) | None => false,
    }
}
