//! The language of globs, as tables and as laws.

use super::*;
use proptest::prelude::*;

fn takes(pattern: &str, subject: &str) -> bool {
    let parts: Vec<_> = subject.split('.').map(Some).collect();
    patterns(pattern).iter().any(|one| one.takes(&parts, Certainty::Surely))
}

fn patterns(pattern: &str) -> Vec<Segments> {
    let all = alternatives(pattern, Quoting::Sql).expect("a pattern");
    all.iter().map(|tokens| Segments::split(tokens, '.').expect("parts")).collect()
}

#[test]
fn a_star_stays_within_a_part_and_two_cross() {
    for (pattern, subject, expected) in [
        ("public.*", "public.orders", true),
        ("public.*", "public.a.b", false),
        ("*", "public.orders", false),
        ("**", "public.orders", true),
        ("**.c", "a.b.c", true),
        ("**.c", "c", true),
        ("a.**", "a", true),
        ("a.**", "b.a", false),
        ("a.**.d", "a.b.c.d", true),
        ("a.**.b.**.c", "a.x.b.y.b.c", true),
        ("a.**.b.**.c", "a.x.c.y.b", false),
        ("*.o*s", "x.orders", true),
        ("*.o*d*s", "x.orders", true),
        ("*.o*d*s", "x.oders_", false),
        ("*.aba*aba", "x.aba", false),
        ("*.aba*aba", "x.abaaba", true),
        ("{a,b}.{c,d*}", "b.dx", true),
        ("{a,b}.{c,d*}", "b.e", false),
        ("{a.x,b.{y,z}}", "b.z", true),
        ("a,b", "a,b", true),
        ("a.\"*\"", "a.*", true),
        ("a.\"*\"", "a.b", false),
        ("a.\"b\"\"c\"", "a.b\"c", true),
    ] {
        assert_eq!(takes(pattern, subject), expected, "{pattern} on {subject}");
    }
}

#[test]
fn two_patterns_meet_where_a_name_could_be_of_both() {
    for (one, other, meet) in [
        ("public.customers.email", "public.customers.email", true),
        ("public.customers.email", "public.customers.ssn", false),
        ("public.customers.email", "public.*", true),
        ("public.customers.email", "hr.*", false),
        ("hr.*.salary", "*.employees.sal*", true),
        ("hr.*.salary", "*.employees.*name", false),
        ("a*b.x.y", "ac*.x.y", true),
        ("a*b.x.y", "b*.x.y", false),
        ("a*b.x.y", "a*c.x.y", false),
        ("**.ssn", "public.a.b", true),
        ("public.**", "hr.a.b", false),
        ("public.\"a.b\".c", "public.a.b", false),
    ] {
        let (one, other) = (patterns(one), patterns(other));
        let found = |one: &[Segments], other: &[Segments]| one.iter().any(|a| other.iter().any(|b| a.may_meet(b)));
        assert_eq!(found(&one, &other), meet, "{one:?} and {other:?}");
        assert_eq!(found(&other, &one), meet, "{other:?} and {one:?}");
    }
}

#[test]
fn exact_names_and_the_least_length_of_what_matches_are_told() {
    for (pattern, exact, least) in [
        ("public.orders.id", true, 6),
        ("public.\"*\".id", true, 6),
        ("public.*.id", false, 6),
        ("**", false, 0),
        ("a.bb*cc*d.e", false, 5),
    ] {
        for one in patterns(pattern) {
            assert_eq!((one.is_exact(), one.longest_part()), (exact, least), "{pattern}");
        }
    }
}

proptest! {
    /// Where both take a name, they meet.
    #[test]
    fn what_both_take_makes_them_meet(
        one in "[ab*]{1,4}(\\.[ab*]{1,4}){2}", other in "[ab*]{1,4}(\\.[ab*]{1,4}){2}", name in "[ab]{1,5}(\\.[ab]{1,5}){2}",
    ) {
        // `**` stands alone or is refused: one star less.
        let single = |text: String| text.replace("****", "*").replace("***", "*").replace("**", "*");
        let (one, other) = (single(one), single(other));
        if takes(&one, &name) && takes(&other, &name) {
            prop_assert!(patterns(&one)[0].may_meet(&patterns(&other)[0]));
        }
    }
}

#[test]
fn a_quoted_separator_does_not_separate() {
    let all = patterns("public.\"a.b\"");
    assert!(all[0].takes(&[Some("public"), Some("a.b")], Certainty::Surely));
}

#[test]
fn the_unknown_is_taken_surely_only_by_a_literal_star() {
    for (pattern, surely) in
        [("*.orders", true), ("**", true), ("{x,*}.orders", true), ("public.orders", false), ("p*.orders", false)]
    {
        let parts = [None, Some("orders")];
        let all = patterns(pattern);
        assert_eq!(all.iter().any(|one| one.takes(&parts, Certainty::Surely)), surely, "{pattern}");
        assert!(all.iter().any(|one| one.takes(&parts, Certainty::Possibly)), "{pattern}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for bad in ["{a", "a}", "{a,}", "{}", "\"a", "\"\"", "{{{{{a}}}}}"] {
        assert!(alternatives(bad, Quoting::Sql).is_err(), "{bad}");
    }
    let many = "{a,b}".repeat(9);
    assert!(alternatives(&many, Quoting::Sql).is_err());
    assert!(alternatives("a\\", Quoting::Backslash).is_err());
    assert!(Segments::split(&alternatives("a**.b", Quoting::Sql).expect("lexes")[0], '.').is_err());
    assert!(Segments::split(&alternatives("a..b", Quoting::Sql).expect("lexes")[0], '.').is_err());
}

#[test]
fn case_is_ignored_only_when_asked() {
    let glob = |fold: bool| {
        let tokens = alternatives("Time*e", Quoting::Sql).expect("lexes").remove(0);
        let glob = Segment::of(&tokens).expect("a part").into_glob();
        if fold { glob.folded() } else { glob }
    };
    assert!(glob(true).matches("timeZONE"));
    assert!(!glob(false).matches("timezone"));
}

/// The textbook definition, to compare with.
fn slow(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|at| slow(rest, &text[at..])),
        Some((first, rest)) => text.first() == Some(first) && slow(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn a_glob_matches_as_the_textbook_says(pattern in "\\*|([ab]|\\*[ab]){1,6}\\*?", text in "[ab]{0,8}") {
        let tokens = alternatives(&pattern, Quoting::Sql).expect("lexes").remove(0);
        let glob = Segment::of(&tokens).expect("a part").into_glob();
        let (p, t): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
        let expected = slow(&p, &t) && (!text.is_empty() || pattern.is_empty());
        prop_assert_eq!(glob.matches(&text), expected);
    }

    #[test]
    fn sure_implies_possible_and_holds_for_every_value(
        pattern in "(a|b|\\*|a\\*|\\*\\*)(\\.(a|b|\\*|\\*b|\\*\\*)){0,3}",
        subject in proptest::collection::vec(proptest::option::of("[ab]{1,2}"), 1..4),
        fill in "[ab]{1,3}",
    ) {
        let known: Vec<_> = subject.iter().map(|part| part.as_deref()).collect();
        let filled: Vec<_> = subject.iter().map(|part| Some(part.as_deref().unwrap_or(&fill))).collect();
        for one in patterns(&pattern) {
            if one.takes(&known, Certainty::Surely) {
                prop_assert!(one.takes(&known, Certainty::Possibly));
                prop_assert!(one.takes(&filled, Certainty::Surely));
            }
            if one.takes(&filled, Certainty::Surely) {
                prop_assert!(one.takes(&known, Certainty::Possibly));
            }
        }
    }
}
