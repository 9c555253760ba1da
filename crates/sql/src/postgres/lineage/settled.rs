//! What stands beside a value in a call that raises no error for the value alone.
//!
//! `substr(x, 1, 3)` never fails, `substr(x, 1, -1)` does unless `x` is NULL, and `x LIKE '1\'` does where `x` begins with
//! `1`: constants that a server refuses make an answer of whatever decides whether they are looked at.
//!
//! Promises: a call is settled only where its constants are such that no value beside them makes it fail, or where they
//! can fail only for a value that is not NULL and that value is a stored column's own, whose NULLs show anyway; what a view
//! or a generated column computes may be NULL for what is hidden. Does not promise to know every harmless constant: a
//! regular expression is one only if it is plain; nor that a mask shows which values of a stored column are NULL. Sizes
//! above a gigabyte are not looked at where nothing grows by more than what is written.
//! Held by: `fixtures/sql/lineage.tsv`.

use super::Tracer;
use super::flow::Value;
use super::kind::Side;
use crate::builtins;
use crate::postgres::reader::NESTING;
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, a_const};
use portcullis_model::ColumnId;
use portcullis_model::catalogue::RelKind;

/// The greatest place, length or count that is taken for harmless.
const MOST: i32 = 1_000_000;

/// A constant as it is written.
#[derive(Clone, Copy)]
enum Constant<'t> {
    Text(&'t str),
    Integer(i32),
}

fn constant(node: Option<&Node>) -> Option<Constant<'_>> {
    match node?.node.as_ref()? {
        NodeEnum::AConst(constant) if !constant.isnull => match constant.val.as_ref()? {
            a_const::Val::Sval(text) => Some(Constant::Text(&text.sval)),
            a_const::Val::Ival(number) => Some(Constant::Integer(number.ival)),
            a_const::Val::Fval(_) | a_const::Val::Boolval(_) | a_const::Val::Bsval(_) => None,
        },
        _ => None,
    }
}

pub(super) fn text(node: Option<&Node>) -> Option<&str> {
    match constant(node) {
        Some(Constant::Text(text)) => Some(text),
        Some(Constant::Integer(_)) | None => None,
    }
}

impl Tracer<'_, '_> {
    /// Whether the call of a built-in function or operator fails for no value in its safe arguments.
    pub(super) fn is_settled(&self, name: &str, arguments: &[Side<'_>]) -> bool {
        is_settled(name, arguments, &|value: &Value| self.shows_nulls(value))
    }

    /// Whether nothing of it is told by which of its values are NULL: it is a stored column's own, or nobody's.
    pub(super) fn shows_nulls(&self, value: &Value) -> bool {
        value.flow.is_none() || value.column().is_some_and(|column| self.is_stored(column))
    }

    /// Whether a column's values are stored, also where views hand them on. NULL in a computed one is an answer.
    fn is_stored(&self, mut column: ColumnId) -> bool {
        for _ in 0..NESTING {
            let Some(relation) = self.standing.scope.catalogue.relation(column.relation) else { return false };
            let Some(known) = relation.columns.iter().find(|known| known.number == column.number) else { return false };
            if known.generated.is_some() || !self.standing.steps.take(1 + relation.columns.len() / 16) {
                return false;
            }
            if !matches!(relation.kind, RelKind::View | RelKind::MaterializedView) {
                return true;
            }
            match known.derived.as_ref().filter(|derived| derived.exact).map(|derived| derived.sources.columns()) {
                Some([source]) => column = *source,
                Some(_) | None => return false,
            }
        }
        false
    }
}

/// As [`Tracer::is_settled`]; `own`: whether it matters to nobody which values of an argument are NULL.
fn is_settled(name: &str, arguments: &[Side<'_>], own: &dyn Fn(&Value) -> bool) -> bool {
    let safe = builtins::flows(name).safe;
    let holds = |at: usize| safe.holds(at);
    if (0..arguments.len()).all(|at| !holds(at)) {
        return true;
    }
    let node = |at: usize| arguments.get(at).and_then(|(_, node)| *node);
    // Where its safe values are columns' own, nothing but their NULLs can be seen.
    let own = || {
        let mut values = arguments.iter().enumerate().filter(|(at, _)| holds(*at)).map(|(_, (value, _))| *value);
        values.all(own)
    };
    match name {
        // A pattern is read as far as the value matches.
        "~~" | "~~*" | "!~~" | "!~~*" => text(node(1)).is_some_and(|pattern| !pattern.ends_with('\\')),
        "format" => text(node(0)).is_some_and(is_plain_format),
        "replace" => match (text(node(1)), text(node(2))) {
            (Some(from), Some(to)) => to.len() <= from.len() || (to.len() <= 64 && own()),
            _ => false,
        },
        "~"
        | "~*"
        | "!~"
        | "!~*"
        | "regexp_count"
        | "regexp_like"
        | "regexp_match"
        | "regexp_matches"
        | "regexp_split_to_array"
        | "regexp_split_to_table"
        | "regexp_substr"
            if arguments.len() == 2 =>
        {
            own() || text(node(1)).is_some_and(is_plain_expression)
        }
        "regexp_replace" => own() || is_plain_replacement(&node, arguments.len()),
        "substr" | "substring" => own() || (1..arguments.len()).all(|at| is_place(node(at)) || is_expression(node(at))),
        "lpad" | "rpad" | "overlay" | "split_part" => {
            own() || (1..arguments.len()).all(|at| is_place(node(at)) || text(node(at)).is_some())
        }
        // With an encoding it reads bytes.
        "length" => arguments.len() == 1,
        "encode" => own() || matches!(text(node(1)), Some("base64" | "hex" | "escape")),
        "date_part" | "date_trunc" | "extract" => own() || matches!(text(node(0)), Some("year" | "month" | "day")),
        // Called for NULL too: what is beside the value fails whatever the value is.
        "json_build_object" | "json_object_agg" | "jsonb_build_object" | "jsonb_object_agg" | "lag" | "lead"
        | "nth_value" | "string_to_table" => true,
        _ => safe.is_all() || own(),
    }
}

/// A place from 1 on, a length or a count.
fn is_place(node: Option<&Node>) -> bool {
    matches!(constant(node), Some(Constant::Integer(number)) if (1..=MOST).contains(&number))
}

fn is_expression(node: Option<&Node>) -> bool {
    text(node).is_some_and(is_plain_expression)
}

/// `regexp_replace(value, expression, replacement)` with nothing that grows.
fn is_plain_replacement<'n>(node: &dyn Fn(usize) -> Option<&'n Node>, arguments: usize) -> bool {
    is_expression(node(1))
        && text(node(2)).is_some_and(|to| to.len() <= 1 && to != "\\")
        && (arguments == 3 || arguments == 4 && matches!(text(node(3)), Some("g" | "i" | "gi" | "ig")))
}

/// A format of nothing but texts and literals: identifiers are refused for NULL, and a width may be read from a value.
fn is_plain_format(format: &str) -> bool {
    places(format, &['s', 'L']).is_some()
}

/// How many values a format puts in, if all are of these kinds and no width is read from a value or of more than five
/// digits.
pub(super) fn places(format: &str, kinds: &[char]) -> Option<usize> {
    let mut rest = format.split('%');
    rest.next();
    let (mut count, mut doubled) = (0, false);
    for piece in rest {
        if std::mem::take(&mut doubled) {
            continue;
        }
        if piece.is_empty() {
            doubled = true;
            continue;
        }
        let conversion = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == '$' || c == '-');
        let digits = piece.len() - conversion.len();
        if digits > 5 || !conversion.starts_with(kinds) {
            return None;
        }
        count += 1;
    }
    (!doubled).then_some(count)
}

/// A regular expression that every server compiles: literal characters, classes of digits and letters, and one
/// quantifier behind any of these.
fn is_plain_expression(expression: &str) -> bool {
    let mut plain = expression.to_owned();
    for class in
        ["[0-9]", "[^0-9]", "[a-z]", "[A-Z]", "[a-zA-Z]", "[A-Za-z]", "\\d", "\\D", "\\s", "\\S", "\\w", "\\W", "\\."]
    {
        plain = plain.replace(class, "x");
    }
    let mut quantifiable = false;
    plain.chars().all(|c| {
        let quantifier = matches!(c, '*' | '+' | '?');
        let holds = if quantifier { quantifiable } else { c.is_alphanumeric() || " ^$.-_@,:;#/&%=!<>~'\"".contains(c) };
        quantifiable = !quantifier && (c.is_alphanumeric() || c == '.' || c == 'x');
        holds
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_expressions_that_may_fail_are_not_plain() {
        for plain in ["", "x", "%s|%L", "%1$s %%", "%-10s", "100%%"] {
            assert!(is_plain_format(plain), "{plain}");
        }
        for other in ["%", "%I", "%*s", "%1$*2$s", "%%%", "%x", "%999999s", "%s%"] {
            assert!(!is_plain_format(other), "{other}");
        }
        assert_eq!(places("%I.%I %% %-10s", &['s', 'L', 'I']), Some(3));
        assert_eq!(places("%1$300000s", &['s', 'L', 'I']), None);
        for plain in ["", "^[0-9]+$", "\\d", "a.*b", "x@y\\.z", "^1", "[^0-9]"] {
            assert!(is_plain_expression(plain), "{plain}");
        }
        for other in ["(", "[", "[z-a]", "a**", "*", "a{9,1}", "\\", "\\1", "^*", "***:x", "(?<n>)"] {
            assert!(!is_plain_expression(other), "{other}");
        }
    }
}
