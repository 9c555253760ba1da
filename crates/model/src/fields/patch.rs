//! A body that is a JSON Patch (RFC 6902): the members that it sets, as if they stood in the body.
//!
//! A patch names the members of a document in its values, so a rule about `$.status` would not see that one sets it.
//! Promises: what `add`, `replace` and `test` say is told at the place that they point to (RFC 6901), the digits of a
//! pointer both as an element and as a member; what takes its value from elsewhere (`move`, `copy`), is not of the RFC (a
//! pointer that is no text, names in capitals, which some readers take for the same), points nowhere or too deep makes the
//! values of the whole body ones that could not be told. A list is taken for a patch by its shape, whatever type its sender
//! declares; a body that is declared one and has another shape could not be told. Does not promise that the service takes
//! it for one.
//! Held by: the tests below and `field/tests.rs` of the policy crate.

use super::{Leaf, Scalar, Step};
use std::sync::Arc;

/// Steps of a pointer, at most: each value below it is told with all of them, no document is read deeper, and no path of
/// a rule has more.
const STEPS: usize = 64;

/// What a body does to a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Patch {
    /// It is no patch.
    None,
    /// It sets these.
    Sets(Vec<Leaf>),
    /// What it sets could not be told.
    Untold,
}

/// One element of a list: what says that it is an edit, and the value that goes with it.
#[derive(Default)]
struct Edit<'a> {
    op: Option<&'a str>,
    pointer: Option<&'a str>,
    value: Vec<(&'a [Step], &'a Scalar)>,
    /// It says what is done, and where, to a reader who takes names without case and places in another form.
    acts: bool,
    points: bool,
    /// And to no other.
    odd: bool,
}

/// Reads the values of a body as a patch. `declared` says that its sender calls it one.
pub(super) fn read(leaves: &[Leaf], declared: bool) -> Patch {
    let mut sets = Vec::new();
    let mut is_patch = declared;
    // A list or an object with nothing in it does nothing.
    if let [Leaf { path, value: Scalar::Empty }] = leaves
        && path.is_empty()
    {
        return Patch::None;
    }
    for element in leaves.chunk_by(|left, right| left.path.first() == right.path.first()) {
        let mut edit = Edit::default();
        for leaf in element {
            let [Step::Element(_), Step::Member(name), below @ ..] = leaf.path.as_slice() else { continue };
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            edit.acts |= is("op") && below.is_empty() && matches!(leaf.value, Scalar::Text(_));
            edit.points |= is("path");
            match (&**name, below, &leaf.value) {
                ("op", [], Scalar::Text(text)) => edit.op = Some(text),
                ("path", [], Scalar::Text(text)) => edit.pointer = Some(text),
                ("value", below, value) => edit.value.push((below, value)),
                _ => edit.odd |= ["op", "path", "value"].into_iter().any(is),
            }
        }
        if edit.acts && edit.points && edit.odd {
            return Patch::Untold;
        }
        let (Some(op), Some(pointer)) = (edit.op, edit.pointer) else {
            if declared {
                return Patch::Untold;
            }
            continue;
        };
        is_patch = true;
        match op {
            "remove" => {}
            "add" | "replace" | "test" => {
                let Some((members, elements)) = places(pointer) else { return Patch::Untold };
                for (below, value) in edit.value {
                    let at = |start: &[Step]| Leaf { path: [start, below].concat(), value: value.clone() };
                    if elements != members {
                        sets.push(at(&elements));
                    }
                    sets.push(at(&members));
                }
            }
            _ => return Patch::Untold,
        }
    }
    if is_patch { Patch::Sets(sets) } else { Patch::None }
}

/// The place that a pointer names: its digits read as members, and as elements.
fn places(pointer: &str) -> Option<(Vec<Step>, Vec<Step>)> {
    if pointer.is_empty() {
        return Some((Vec::new(), Vec::new()));
    }
    if pointer.bytes().filter(|byte| *byte == b'/').count() > STEPS {
        return None;
    }
    let token = |token: &str| -> Arc<str> { token.replace("~1", "/").replace("~0", "~").into() };
    let members: Vec<_> = pointer.strip_prefix('/')?.split('/').map(|part| Step::Member(token(part))).collect();
    let element = |step: &Step| match step {
        Step::Member(name) if &**name == "-" => Step::Element(u32::MAX),
        Step::Member(name) => name.parse().map_or_else(|_| step.clone(), Step::Element),
        Step::Element(_) => step.clone(),
    };
    let elements = members.iter().map(element).collect();
    Some((members, elements))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.into())
    }

    fn member(name: &str) -> Step {
        Step::Member(name.into())
    }

    /// An element of a list, of these members.
    fn element(at: u32, members: &[(&[&str], Scalar)]) -> Vec<Leaf> {
        let path =
            |names: &[&str]| [Step::Element(at)].into_iter().chain(names.iter().map(|name| member(name))).collect();
        members.iter().map(|(names, value)| Leaf { path: path(names), value: value.clone() }).collect()
    }

    #[test]
    fn what_a_patch_sets_stands_where_it_points() {
        let mut leaves =
            element(0, &[(&["op"], text("test")), (&["path"], text("/a~1b/~01")), (&["value"], text("x"))]);
        leaves.extend(element(
            1,
            &[(&["value", "sku"], text("y")), (&["op"], text("add")), (&["path"], text("/items/-"))],
        ));
        leaves.extend(element(2, &[(&["op"], text("remove")), (&["path"], text("/note"))]));
        let sku = |step| Leaf { path: vec![member("items"), step, member("sku")], value: text("y") };
        let expected = vec![
            Leaf { path: vec![member("a/b"), member("~1")], value: text("x") },
            sku(Step::Element(u32::MAX)),
            sku(member("-")),
        ];
        assert_eq!(read(&leaves, false), Patch::Sets(expected));
    }

    #[test]
    fn what_cannot_be_told_is_said_and_other_lists_are_no_patch() {
        let edit =
            |op: &str, path: &str| element(0, &[(&["op"], text(op)), (&["path"], text(path)), (&["from"], text("/b"))]);
        for (op, path) in [("move", "/a"), ("copy", "/a"), ("increment", "/a"), ("add", "a"), ("ADD", "/a")] {
            assert_eq!(read(&edit(op, path), false), Patch::Untold, "{op} {path}");
        }
        assert_eq!(read(&edit("remove", &"/a".repeat(STEPS + 1)), false), Patch::Sets(Vec::new()));
        let deep = |steps: usize| {
            let mut leaves = edit("add", &"/a".repeat(steps));
            leaves.extend(element(0, &[(&["value"], text("x"))]));
            read(&leaves, false)
        };
        assert!(matches!(deep(STEPS), Patch::Sets(sets) if sets.len() == 1 && sets[0].path.len() == STEPS));
        assert_eq!(deep(STEPS + 1), Patch::Untold);
        assert_eq!(read(&[], false), Patch::None);
        assert_eq!(read(&element(0, &[(&["op"], text("add"))]), false), Patch::None);
        assert_eq!(read(&[Leaf { path: vec![member("op")], value: text("add") }], false), Patch::None);
    }

    #[test]
    fn a_patch_that_only_some_readers_see_could_not_be_told() {
        let odd: [&[(&[&str], Scalar)]; 7] = [
            &[(&["Op"], text("replace")), (&["Path"], text("/refund")), (&["Value"], text("500"))],
            &[(&["OP"], text("replace")), (&["path"], text("/refund")), (&["value"], text("500"))],
            &[(&["op"], text("replace")), (&["Path"], text("/refund")), (&["value"], text("500"))],
            &[(&["op"], text("replace")), (&["path"], text("/refund")), (&["Value"], text("500"))],
            &[(&["op"], text("replace")), (&["path", "a"], text("refund")), (&["value"], text("500"))],
            &[(&["op"], text("replace")), (&["path"], Scalar::Empty), (&["value"], text("500"))],
            &[(&["op"], text("test")), (&["path"], text("/x")), (&["Op"], text("replace")), (&["Path"], text("/y"))],
        ];
        for members in odd {
            assert_eq!(read(&element(0, members), false), Patch::Untold, "{members:?}");
            assert_eq!(read(&element(0, members), true), Patch::Untold, "{members:?}");
        }
        // Lists of other things.
        let other: [&[(&[&str], Scalar)]; 4] = [
            &[(&["Path"], text("/a")), (&["Value"], text("b"))],
            &[(&["op"], text("login")), (&["Value"], text("b"))],
            &[(&["op", "a"], text("b")), (&["path"], text("c"))],
            &[(&["name"], text("a")), (&["path"], text("b"))],
        ];
        for members in other {
            assert_eq!(read(&element(0, members), false), Patch::None, "{members:?}");
            assert_eq!(read(&element(0, members), true), Patch::Untold, "{members:?}");
        }
    }

    #[test]
    fn what_is_declared_a_patch_and_is_none_could_not_be_told() {
        let member_of = |name: &str| Leaf { path: vec![member(name)], value: text("x") };
        assert_eq!(read(&[member_of("op"), member_of("path")], true), Patch::Untold);
        assert_eq!(read(&[Leaf { path: Vec::new(), value: text("x") }], true), Patch::Untold);
        let nested = Leaf { path: vec![Step::Element(0), Step::Element(0), member("op")], value: text("add") };
        assert_eq!(read(&[nested], true), Patch::Untold);
        assert_eq!(read(&[Leaf { path: Vec::new(), value: Scalar::Empty }], true), Patch::None);
        let remove = element(0, &[(&["op"], text("remove")), (&["path"], text("/a"))]);
        assert_eq!(read(&remove, true), Patch::Sets(Vec::new()));
    }
}
