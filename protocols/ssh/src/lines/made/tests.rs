//! What runs before what, by the line alone; `tests/it/ssh_made.rs` of the binary asks a real target.

use super::*;

/// Whether the line uses what `pattern` meets behind a change to one of these files.
fn uses_behind(text: &str, pattern: &str, names: &[&str], changed: &[&str]) -> bool {
    let mut scope = Scope { directory: Some("~".to_owned()), ..Scope::unknown() };
    let glob = Glob { directory: Some("~".to_owned()), pattern: pattern.to_owned() };
    scope.expansions.insert(glob.clone(), names.iter().map(|name| (*name).to_owned()).collect());
    let limits = Limits::default();
    let reading = read(text, &scope, &limits);
    assert!(reading.fault.is_none() && reading.globs.is_empty(), "{text}: {reading:?}");
    let among =
        |operation: &&Operation| is_change(operation) && path(operation).is_some_and(|path| changed.contains(&path));
    let met: Vec<&Operation> = reading.operations.iter().filter(among).collect();
    assert!(!met.is_empty(), "{text}: {reading:?}");
    Order::new(text, &limits).uses_behind(&glob, &met, &reading, &scope)
}

#[test]
fn a_pattern_is_stale_behind_a_change_and_not_in_front_of_it() {
    for (text, stale) in [
        ("touch -- -x && sort *", true),
        ("touch -- -x\nsort *", true),
        ("touch -- -x || sort *", true),
        ("> -x; sort *", true),
        ("sort * && touch -- -x", false),
        ("sort * > -x", false),
        ("sort * > -x && wc -l", false),
        ("nice sort * > -x", false),
        ("sort \\\n * > -x", false),
        ("touch -- -x | sort *", true),
        ("sort * | tee ./-x", true),
        ("touch -- -x & sort *", true),
        ("sort $(> -x) *", true),
        ("sort $(touch -- -x) *", true),
        ("(sort *) > -x", true),
        ("{ sort *; } > -x", true),
        ("eval 'sort *' > -x", true),
        ("sh -c 'sort *' > -x", true),
        ("if touch -- -x; then sort *; fi", true),
        ("while sort *; do touch -- -x; done", true),
        ("x='*'; touch -- -x; sort $x", true),
        ("f() { sort *; }; touch -- -x; f", true),
        ("touch -- -x; cat < *", true),
        ("touch -- -x; echo '*'", false),
        ("for f in *; do touch -- -x; done", false),
        ("for f in *; do touch -- -x; done; sort *", true),
        ("for f in *; do touch -- -x; sort *; done", true),
        ("for f in *; do touch -- -x; cat < *; done", true),
        ("for i in 1 2; do for f in *; do touch -- -x; done; done", true),
        ("for f in *; do cat \"$f\"; done > -x", true),
    ] {
        assert_eq!(uses_behind(text, "*", &["a"], &["~/-x"]), stale, "{text}");
    }
}

#[test]
fn a_command_may_change_what_its_own_pattern_meets() {
    for (text, stale) in [
        ("rm *.log", false),
        ("true && rm *.log && make", false),
        ("ls *.log && rm *.log", false),
        ("mv *.log out/ && ls out", false),
        ("for f in *.log; do mv \"$f\" \"out/$f\"; done && ls out", false),
        ("rm *.log; ls *.log", true),
        ("rm *.log; x='*.log'; ls $x", true),
    ] {
        assert_eq!(uses_behind(text, "*.log", &["a.log"], &["~/a.log"]), stale, "{text}");
    }
    // It met nothing, and now meets something.
    assert!(uses_behind("touch new && cat ne*", "ne*", &[], &["~/new"]));
}

#[test]
fn a_line_is_cut_where_its_commands_follow_one_another() {
    let limits = Limits::default();
    let cut = |text: &'static str| {
        let parts = parts(text, &limits)?;
        Some(parts.into_iter().filter_map(|part| text.get(part)).map(str::trim).collect::<Vec<_>>())
    };
    for (text, expected) in [
        ("a; b && c || d\ne", vec!["a", "b", "c", "d", "e"]),
        ("echo 'a; b' \"c && d\" && e", vec!["echo 'a; b' \"c && d\"", "e"]),
        ("for f in a; do b; c; done; d", vec!["for f in a; do b; c; done", "d"]),
        ("if a; then b; fi\nc 2>&1 &> d", vec!["if a; then b; fi", "c 2>&1 &> d"]),
        ("(a; b) && { c; d; } | e", vec!["(a; b)", "{ c; d; } | e"]),
        ("find . -exec a {} \\; -print; b", vec!["find . -exec a {} \\; -print", "b"]),
        ("case x in a) b ;; esac; c", vec!["case x in a) b ;; esac", "c"]),
        ("cat <<E; b\nx; y\nE\nc", vec!["cat <<E; b\nx; y\nE", "c"]),
        ("a &&\n b", vec!["a", "b"]),
    ] {
        assert_eq!(cut(text), Some(expected), "{text}");
    }
    for text in ["a & b", "f() { a; }; f", "f ( ) { a; }; f", "cat <(a); b", "trap 'a' EXIT; b", "coproc a; b"] {
        assert_eq!(cut(text), None, "{text}");
    }
    let many = "true;".repeat(CUTS + 1);
    assert!(parts(&many, &limits).is_none() && parts(&" ".repeat(LONGEST + 1), &limits).is_none());
}

#[test]
fn a_copy_without_options_follows_links() {
    for (own, may) in [
        ("cp a-b.txt out/", false),
        ("cp a out/.-x", false),
        ("cp -P a b", true),
        ("cp a b '-P'", true),
        ("cp \"-P\" a b", true),
        ("cp \\-P a b", true),
        ("cp $x a b", true),
        ("cp * b", true),
        ("cp {-P,a} b", true),
    ] {
        assert_eq!(may_have_options(own), may, "{own}");
    }
}
