//! Loading: the example of the contract, a table of bad bundles with what is said about each, and the digest.

use super::*;
use crate::samples::{agent, load, shop};
use crate::{Case, SourceFile};
use jiff::Timestamp;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/policy").join(name)
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixtures(folder)).expect("the fixtures");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths
}

fn source(path: &Path) -> SourceFile {
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    SourceFile::new(name, std::fs::read_to_string(path).expect("the text"))
}

fn told(result: &Result<Loaded, Vec<Problem>>) -> String {
    let problems = match result {
        Ok(loaded) => &loaded.warnings,
        Err(problems) => problems,
    };
    problems.iter().map(|problem| format!("{problem}\n")).collect::<Vec<_>>().join("\n")
}

/// Each `bad/X.yaml` beside `bad/X.told`, which holds what a person is told. Run with `UPDATE_FIXTURES=1` to write them
/// anew, and read the difference.
#[test]
fn every_bad_bundle_is_told_as_a_compiler_would() {
    let paths = files("bad", "yaml");
    assert!(paths.len() >= 10, "the table is there");
    for path in paths {
        let result = PolicySet::load(&[source(&path)]);
        assert!(result.is_err(), "{} loads", path.display());
        compare(&path, &told(&result));
    }
}

/// What is told about `path` against the file beside it; none where nothing is told.
fn compare(path: &Path, found: &str) {
    let expected = path.with_extension("told");
    if std::env::var_os("UPDATE_FIXTURES").is_some() && !found.is_empty() {
        std::fs::write(&expected, found).expect("written");
    }
    assert_eq!(found, std::fs::read_to_string(&expected).unwrap_or_default(), "{}", path.display());
}

#[test]
fn every_good_bundle_loads_with_the_warnings_told() {
    let paths = files("good", "yaml");
    assert!(!paths.is_empty(), "the table is there");
    for path in paths {
        let result = PolicySet::load(&[source(&path)]);
        assert!(result.is_ok(), "{}: {}", path.display(), told(&result));
        compare(&path, &told(&result));
    }
}

const ONE: &str = "bundle: one\nrules:\n  - { id: read, allow: { actions: [read], objects: ['*'] } }\n";
const TWO: &str = "bundle: two\nrules:\n  - { id: read, deny: { actions: [drop] } }\n";

#[test]
fn all_problems_of_all_files_are_told_at_once_and_one_refuses_the_set() {
    let bad =
        "bundle: three\nrules:\n  - { id: x, allow: { actions: [raed], objects: ['*'] } }\n  - { id: y, dney: {} }\n";
    let set = PolicySet::load(&[
        SourceFile::new("one.yaml", ONE),
        SourceFile::new("three.yaml", bad),
        SourceFile::new("again.yaml", ONE),
        SourceFile::new("broken.yaml", "a: [\n"),
    ]);
    let problems = set.expect_err("refused");
    let places: Vec<_> = problems
        .iter()
        .map(|problem| {
            let at = problem.location.as_ref().expect("a place");
            format!("{}:{}:{} {}", at.file, at.line, at.column, problem.message)
        })
        .collect();
    assert_eq!(places.len(), 5, "{places:?}");
    assert_eq!(places[0], "three.yaml:3:33 unknown action `raed`");
    assert_eq!(places[2], "three.yaml:4:14 unknown key `dney`");
    assert_eq!(places[1], "three.yaml:4:5 the rule says neither `allow` nor `hold` nor `deny`");
    assert!(places[3].starts_with("broken.yaml:"), "{places:?}");
    assert_eq!(places[4], "again.yaml:1:9 a second bundle `one`; the first is in one.yaml");
}

#[test]
fn the_digest_is_of_the_sources_and_not_of_their_names_or_order() {
    let digest = |files: &[SourceFile]| PolicySet::load(files).expect("loads").set.digest().clone();
    let base = digest(&[SourceFile::new("1.yaml", ONE), SourceFile::new("2.yaml", TWO)]);
    assert_eq!(base.len(), 64);
    assert_eq!(base, digest(&[SourceFile::new("b.yaml", TWO), SourceFile::new("a.yaml", ONE)]));
    assert_ne!(base, digest(&[SourceFile::new("1.yaml", ONE)]));
    let edited = TWO.replace("drop", "alter");
    assert_ne!(base, digest(&[SourceFile::new("1.yaml", ONE), SourceFile::new("2.yaml", edited)]));
}

#[test]
fn a_set_lists_its_bundles_and_rules() {
    let set = load(&[ONE, TWO]);
    let rules: Vec<_> = set
        .bundles()
        .flat_map(|bundle| {
            bundle.rules.iter().map(|rule| format!("{}:{} {} {}", bundle.file, rule.line, rule.id, rule.effect.word()))
        })
        .collect();
    assert_eq!(rules, ["0.yaml:3 one/read allow", "1.yaml:3 two/read deny"]);
    let set = load(&[
        ONE,
        "bundle: m\nmask:\n  - { id: a, detect: [email], with: redact }\n  - { id: b, detect: [iban], with: hash }\n",
    ]);
    let masks: Vec<_> =
        set.bundles().flat_map(|bundle| &bundle.masks).map(|mask| format!("{}:{}", mask.line, mask.id)).collect();
    assert_eq!(masks, ["3:m/a", "4:m/b"]);
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&set);
}

#[test]
fn line_ends_and_byte_order_marks_of_other_editors_are_read() {
    for text in [ONE.replace('\n', "\r\n"), format!("\u{feff}{ONE}")] {
        let loaded = PolicySet::load(&[SourceFile::new("x.yaml", text.as_str())]);
        assert!(loaded.is_ok(), "{text:?}: {}", told(&loaded));
    }
    let Err(problems) = PolicySet::load(&[SourceFile::new("x.yaml", "bundle: b\r\nrulse: []\r\n")]) else {
        panic!("refused")
    };
    assert_eq!(problems[0].excerpt.as_deref(), Some("rulse: []"));
}

#[test]
fn an_empty_set_loads_with_a_warning_and_refuses_everything() {
    let loaded = PolicySet::load(&[]).expect("loads");
    assert_eq!(loaded.warnings.len(), 1);
    let (principal, connection) = (agent(), shop());
    let operations = [portcullis_model::Operation::unknown()];
    let case = Case {
        principal: &principal,
        connection: &connection,
        operations: &operations,
        home: None,
        fields: None,
        at: Timestamp::UNIX_EPOCH,
    };
    assert_eq!(loaded.set.decide(&case).verdict.effect(), Effect::Deny);
}

proptest! {
    /// No text makes loading panic, and what is told points into the text.
    #[test]
    fn no_text_makes_loading_panic(text in "[ -~\\n\\t]{0,200}|\\PC{0,100}") {
        crate::fuzz_set(text.as_bytes());
        if let Err(problems) = PolicySet::load(&[SourceFile::new("x.yaml", text)]) {
            for problem in problems {
                prop_assert!(problem.location.is_some_and(|at| at.line > 0 && at.column > 0));
            }
        }
    }

    /// The same for texts that are nearly bundles: the example of the contract with some bytes changed.
    #[test]
    fn no_change_to_a_bundle_makes_loading_panic(cuts in proptest::collection::vec((0..4000usize, "[-\\[\\]{}:*&!|>'\"#,%@ \\na0?]{0,2}"), 1..4)) {
        let mut text: Vec<char> = std::fs::read_to_string(fixtures("good/contract.yaml")).expect("the example").chars().collect();
        for (at, new) in cuts {
            let at = at % text.len();
            text.splice(at..at + 1, new.chars());
            prop_assume!(!text.is_empty());
        }
        crate::fuzz_set(text.into_iter().collect::<String>().as_bytes());
    }
}

#[test]
fn a_bundle_stands_in_the_place_of_its_namesake() {
    let file = |path: &str, text: &str| SourceFile::new(path, text);
    let paths = |files: &[SourceFile]| files.iter().map(|file| file.path.to_string()).collect::<Vec<_>>();
    let files = || vec![file("1", "bundle: a\nrules: []"), file("2", "bundle: b\nrules: []")];
    let changed = |text: &str| paths(&SourceFile::in_place(files(), file("new", text)));
    assert_eq!(changed("bundle: b\nrules: [x]"), ["1", "new"]);
    assert_eq!(changed("bundle: c\nrules: []"), ["1", "2", "new"]);
    // What has no name that can be read stands behind the others, and loading them says what is wrong with it.
    assert_eq!(changed("- x"), ["1", "2", "new"]);
}
