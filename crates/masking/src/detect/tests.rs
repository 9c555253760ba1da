//! The table of finds, replacing, patterns, and time that stays linear.

use super::*;
use proptest::prelude::*;

const TABLE: &str = include_str!("../../../../fixtures/masking/detectors.tsv");

fn key() -> Key {
    Key::new([4; 32])
}

fn of(rules: &[(Detector, Transform)]) -> Detectors {
    Detectors::new(rules).unwrap()
}

pub(super) fn every(transform: &Transform) -> Detectors {
    of(&Detector::NAMED.iter().map(|(_, detector)| (detector.clone(), transform.clone())).collect::<Vec<_>>())
}

/// The rows of the table: line, detectors, text, hit.
pub(super) fn table() -> Vec<(usize, Vec<Detector>, String, Option<String>)> {
    let mut rows = Vec::new();
    for (line, row) in TABLE.lines().enumerate().filter(|(_, row)| !row.starts_with("# ")) {
        let [word, text, hit] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("line {}", line + 1) };
        let named = Detector::NAMED.iter().filter(|(name, _)| *name == word || word == "all");
        let detectors: Vec<_> = named.map(|(_, detector)| detector.clone()).collect();
        assert!(!detectors.is_empty(), "line {}", line + 1);
        let hit = (hit != "-").then(|| serde_json::from_str(hit).unwrap());
        rows.push((line + 1, detectors, serde_json::from_str(text).unwrap(), hit));
    }
    rows
}

#[test]
fn each_detector_finds_what_the_table_says_and_nothing_else() {
    let mut wrong = Vec::new();
    for (line, sought, text, hit) in table() {
        let detectors = of(&sought.into_iter().map(|detector| (detector, Transform::Redact)).collect::<Vec<_>>());
        let found: Vec<_> = detectors.find(&text).into_iter().map(|hit| text[hit.span].to_owned()).collect();
        if found != Vec::from_iter(hit) {
            wrong.push(format!("line {line}: {text}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_detector_has_hits_and_misses_in_the_table() {
    for (word, detector) in Detector::NAMED {
        let rows = table();
        let of: Vec<_> = rows.iter().filter(|row| row.1 == [detector.clone()]).collect();
        assert!(of.iter().any(|row| row.3.is_some()) && of.iter().any(|row| row.3.is_none()), "{word}");
    }
}

#[test]
fn a_text_is_rewritten_around_its_hits_and_each_hit_is_told() {
    let detectors = of(&[(Detector::PaymentCard, Transform::KeepLast(4)), (Detector::Email, Transform::Null)]);
    let mut told = Vec::new();
    let text = "é 4111 1111 1111 1111 / ann@example.com / 4111111111111111";
    let result = detectors.redact(text, &key(), &mut |rule| told.push(rule)).unwrap();
    assert_eq!(result, "é ***************1111 / [redacted] / ************1111");
    assert_eq!(told, [0, 1, 0]);
    assert_eq!(detectors.redact("nothing here", &key(), &mut |_| panic!("told")), None);
    assert!(!detectors.is_empty() && of(&[]).is_empty());
    assert_eq!(of(&[]).redact(text, &key(), &mut |_| {}), None);
}

#[test]
fn where_hits_overlap_the_strictest_transform_covers_all_of_them() {
    let rules = [
        (Detector::PaymentCard, Transform::KeepLast(4)),
        (Detector::Email, Transform::Fixed("<mail>".into())),
        (Detector::Pattern("111@ex".into()), Transform::Hash),
    ];
    let text = "a 4111111111111111@example.com b";
    let mut told = Vec::new();
    assert_eq!(of(&rules).redact(text, &key(), &mut |rule| told.push(rule)).unwrap(), "a <mail> b");
    told.sort_unstable();
    assert_eq!(told, [0, 1, 2]);
}

#[test]
fn of_a_private_key_nothing_is_shown_whatever_its_transform() {
    let text = "-----BEGIN PRIVATE KEY-----\nabcd\n-----END PRIVATE KEY-----";
    for transform in [Transform::KeepLast(40), Transform::Hash, Transform::Null, Transform::Redact] {
        let detectors = of(&[(Detector::PrivateKey, transform)]);
        assert_eq!(detectors.redact(&format!("a{text}b"), &key(), &mut |_| {}).unwrap(), "a[redacted]b");
    }
    let fixed = of(&[(Detector::PrivateKey, Transform::Fixed("<key>".into()))]);
    assert_eq!(fixed.redact(&format!("{text}-{text}"), &key(), &mut |_| {}).unwrap(), "<key>-<key>");
}

#[test]
fn patterns_are_regular_expressions_of_bounded_size() {
    let ids = of(&[(Detector::Pattern(r"\bEMP-\d{4}\b".into()), Transform::Redact)]);
    assert_eq!(ids.redact("see EMP-0042, éEMP-0042", &key(), &mut |_| {}).unwrap(), "see [redacted], éEMP-0042");
    assert_eq!(of(&[(Detector::Pattern("x*".into()), Transform::Redact)]).find("axxb").len(), 1);
    assert_eq!(of(&[(Detector::Pattern(r"\p{Greek}+".into()), Transform::Redact)]).find("aλόγος").len(), 1);
    for bad in ["(", r"\w{1000}{1000}", "(?<a>", &"a".repeat(5000), &"(".repeat(300)] {
        let rules = [(Detector::Email, Transform::Redact), (Detector::Pattern(bad.into()), Transform::Redact)];
        let Err(error) = Detectors::new(&rules) else { panic!("{bad} was taken") };
        assert!(error.rule == 1 && !error.reason.is_empty());
    }
}

#[test]
fn long_runs_of_anything_are_done_in_one_go() {
    let detectors = every(&Transform::Redact);
    for piece in [
        "4",
        "4 ",
        "41-",
        "a@",
        "@",
        "a@b.",
        ":",
        "a:",
        "1:",
        "+1",
        "+",
        "eyJ",
        "eyJhbGciOiJI.",
        "ghp_",
        "AKIA",
        "secret=",
        "aws_secret=",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY----",
        "BEGIN ",
        "GB82",
        "a1B2",
        "a/",
        "é",
        "é@",
        ".",
        "1.",
        "\\n4",
    ] {
        let text = piece.repeat(200_000 / piece.len());
        drop(detectors.redact(&text, &key(), &mut |_| {}));
    }
}

proptest! {
    #[test]
    fn bytes_of_any_kind_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_detect(&bytes);
    }
}

proptest! {
    /// The first look only saves time: what it leaves out, the scanner does not find either.
    #[test]
    fn what_the_first_look_leaves_out_is_not_there(
        text in "([ -~\n]|[a-z]{1,8}|[0-9]{2,6}|[@:+._-]|é|4111 1111 1111 1111|123-45-6789|ghp_|eyJ|AKIA|GB82WEST){0,30}",
        row in 0..512_usize,
        cut in 0..400_usize,
    ) {
        let rows = table();
        let known = &rows[row % rows.len()].2;
        for text in [&text, known, &known.chars().take(cut).collect::<String>()] {
            for (word, detector) in Detector::NAMED {
                let alone = of(&[(detector.clone(), Transform::Redact)]);
                let found = match &alone.rules[0].looks {
                    Looks::Scan { scan, .. } => {
                        let mut found = false;
                        scan(text.as_bytes(), false, &mut |_| found = true);
                        found
                    }
                    Looks::Block => block::opening(&block::finder(), text.as_bytes()).is_some(),
                    Looks::Pattern(_) => unreachable!(),
                };
                let may = alone.may_find(kinds_of(text.as_bytes()), text.len());
                prop_assert!(may || !found, "{word} in {text:?}");
                prop_assert_eq!(found, !alone.hits_among(text.as_bytes(), kinds_of(text.as_bytes())).is_empty());
            }
        }
    }
}
