//! Streams cut anywhere: against the same text in one piece, and against `redact`.

use super::super::tests::{every, table};
use super::*;
use portcullis_model::Detector;
use proptest::prelude::*;

fn key() -> Key {
    Key::new([5; 32])
}

fn streamed<'p>(detectors: &Arc<Detectors>, pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<u8>, Vec<u64>) {
    let mut stream = detectors.stream();
    let mut out = Vec::new();
    for piece in pieces {
        stream.push(piece, &key(), &mut out);
        assert!(stream.held.len() <= HOLD_BACK);
    }
    let mut hits = stream.hits().to_vec();
    let left = Redactor {
        detectors: Arc::clone(detectors),
        held: stream.held.clone(),
        looked: 0,
        state: stream.state,
        joints: Joints::default(),
        hits: vec![0; hits.len()],
    };
    let mut last = left;
    last.flush(&key(), &mut Vec::new());
    hits.iter_mut().zip(last.hits()).for_each(|(all, more)| *all += more);
    stream.finish(&key(), &mut out);
    (out, hits)
}

/// The bytes cut after these many, over and over.
fn cut<'t>(text: &'t [u8], sizes: &[usize]) -> Vec<&'t [u8]> {
    let mut rest = text;
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, more) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = more;
    }
    pieces
}

fn same_however_cut(detectors: &Arc<Detectors>, text: &[u8], sizes: &[usize]) -> (Vec<u8>, Vec<u64>) {
    let whole = streamed(detectors, [text]);
    let pieces = streamed(detectors, cut(text, sizes));
    assert_eq!(
        (String::from_utf8_lossy(&whole.0), &whole.1),
        (String::from_utf8_lossy(&pieces.0), &pieces.1),
        "{:?} cut {sizes:?}",
        String::from_utf8_lossy(text)
    );
    whole
}

#[test]
fn every_row_of_the_table_comes_out_alike_at_every_cut() {
    let detectors = Arc::new(every(&Transform::KeepLast(4)));
    for (line, _, text, _) in table() {
        let text = format!("before 7 {text} after 8, and 12 more\n");
        let expected = detectors.redact(&text, &key(), &mut |_| {}).unwrap_or_else(|| text.clone());
        for at in 1..text.len() {
            let (first, second) = text.as_bytes().split_at(at);
            let (out, _) = streamed(&detectors, [first, second]);
            assert_eq!(String::from_utf8_lossy(&out), expected, "line {line} cut at {at}");
        }
    }
}

#[test]
fn a_private_key_of_any_length_never_comes_out() {
    let detectors = Arc::new(every(&Transform::Redact));
    let body = "c2VjcmV0\n".repeat(20_000);
    let text = format!("a -----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----\nb\n");
    for sizes in [[1].as_slice(), &[7, 64], &[5000], &[16_384]] {
        assert_eq!(same_however_cut(&detectors, text.as_bytes(), sizes).0, b"a [redacted]\nb\n");
    }
    let open = text.replace("END", "NED");
    assert_eq!(same_however_cut(&detectors, open.as_bytes(), &[100]).0, b"a [redacted]");
}

#[test]
fn a_token_longer_than_what_is_held_is_replaced_from_where_it_begins() {
    let detectors = Arc::new(every(&Transform::KeepLast(200)));
    let token: String = (0_u32..40_000)
        .map(|n| char::from(b"aB3dE5gH7jK9mN1pQ"[(n.wrapping_mul(2_654_435_761) >> 13) as usize % 17]))
        .collect();
    let text = format!("x = {token}, y = 1\n");
    let (out, hits) = same_however_cut(&detectors, text.as_bytes(), &[1000]);
    assert_eq!(String::from_utf8_lossy(&out), "x = [redacted], y = 1\n");
    assert_eq!(hits.iter().sum::<u64>(), 1);
    let claims = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.".to_owned() + &"eyJz".repeat(10_000) + ".c2ln";
    let web = Arc::new(Detectors::new(&[(Detector::Jwt, Transform::Redact)]).unwrap());
    assert_eq!(same_however_cut(&web, format!("t={claims} ").as_bytes(), &[4096]).0, b"t=[redacted] ");
}

#[test]
fn without_a_place_to_cut_hits_are_still_found() {
    let detectors = Arc::new(every(&Transform::Redact));
    let filler = "ab.cd/".repeat(1500);
    let text = format!("{filler}:ann@example.com:{filler}:4111111111111111:{filler}:10.1.2.3:{filler}");
    let (out, _) = same_however_cut(&detectors, text.as_bytes(), &[777]);
    let out = String::from_utf8(out).unwrap();
    assert!(!out.contains("ann@") && !out.contains("4111") && !out.contains("10.1.2.3"));
    assert_eq!(out.len(), text.len() - "ann@example.com411111111111111110.1.2.3".len() + 30);
}

#[test]
fn words_come_out_at_once_and_numbers_wait_for_what_follows() {
    let detectors = Arc::new(every(&Transform::Redact));
    let mut stream = detectors.stream();
    let mut out = Vec::new();
    stream.push(b"user@host12:~$ ", &key(), &mut out);
    assert!(!stream.is_holding());
    stream.push(b"4111 1111 ", &key(), &mut out);
    assert!(stream.is_holding());
    stream.push(b"1111 1111\n", &key(), &mut out);
    assert!(!stream.is_holding());
    stream.push(b"pass", &key(), &mut out);
    stream.flush(&key(), &mut out);
    assert!(!stream.is_holding());
    assert_eq!(String::from_utf8_lossy(&out), "user@host12:~$ [redacted]\npass");
    assert!(!format!("{stream:?}").contains("pass"));
}

#[test]
fn patterns_are_searched_line_by_line() {
    let rules = [
        (Detector::Pattern("b.*y".into()), Transform::Redact),
        (Detector::PaymentCard, Transform::Redact),
        (Detector::PrivateKey, Transform::Redact),
    ];
    let detectors = Arc::new(Detectors::new(&rules).unwrap());
    let text =
        "a, b, x y, z\nb\ny b; 4111 1111 1111 1111 -----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY----- b y\n";
    for sizes in [[1].as_slice(), &[3], &[50]] {
        let (out, hits) = same_however_cut(&detectors, text.as_bytes(), sizes);
        assert_eq!(String::from_utf8_lossy(&out), "a, [redacted], z\nb\ny b; [redacted] [redacted] [redacted]\n");
        assert_eq!(hits, [2, 1, 1]);
    }
    let long = format!("{}b-y{}", "word, ".repeat(4000), " more".repeat(4000));
    let (out, _) = same_however_cut(&detectors, long.as_bytes(), &[1234]);
    assert!(!String::from_utf8_lossy(&out).contains("b-y"));
}

#[test]
fn bytes_that_are_no_text_are_cut_alike_too() {
    let detectors = Arc::new(every(&Transform::KeepLast(4)));
    for text in [&b"\xf0\xc4\x90H@example.com "[..], b"\xe3\x81\x82H@example.com ", b"\x81\x82\xc3@\xc3.example "] {
        same_however_cut(&detectors, text, &[1]);
    }
}

#[test]
fn with_nothing_to_look_for_everything_passes_at_once() {
    let none = Arc::new(Detectors::new(&[]).unwrap());
    assert_eq!(
        same_however_cut(&none, b"-----BEGIN PRIVATE KEY-----\n\xff", &[1]).0,
        b"-----BEGIN PRIVATE KEY-----\n\xff"
    );
}

/// How many generated cases: `PORTCULLIS_CASES`, else this.
fn cases(default: u32) -> u32 {
    std::env::var("PORTCULLIS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default)
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let rows: Vec<String> = table().into_iter().map(|row| row.2).collect();
    let words = prop::sample::select(vec![
        " ",
        "  ",
        "\n",
        "\t",
        ",",
        "-",
        "--",
        "-- ",
        "-----",
        "---- ",
        "BEGIN ",
        "END ",
        "PRIVATE KEY",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "secret",
        "aws_secret",
        "_access_key",
        " = ",
        "=",
        ":",
        "\"",
        "\\",
        "\\n",
        "4111",
        "1111 1111",
        "1111 ",
        "12",
        "+1 415 ",
        "555 2671",
        "(",
        ") ",
        ".",
        "@",
        "ann",
        "example.com",
        "A",
        "GB82 WEST ",
        "1234 5698 ",
        "7654 32",
        "é",
        "あ",
        "😀",
        "word ",
        "219 09 ",
        "9999",
        "10.1.",
        "2.3",
        "eyJhbGciOiJIUzI1NiJ9.",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ]);
    prop_oneof![
        4 => words.prop_map(|word| word.as_bytes().to_vec()),
        2 => prop::sample::select(rows).prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 1..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(2_000), ..ProptestConfig::default() })]

    #[test]
    fn a_stream_comes_out_alike_however_it_is_cut(pieces in proptest::collection::vec(piece(), 0..24), sizes in proptest::collection::vec(1_usize..40, 1..5)) {
        let text = pieces.concat();
        let detectors = Arc::new(every(&Transform::KeepLast(4)));
        let (out, _) = same_however_cut(&detectors, &text, &sizes);
        if let Ok(text) = std::str::from_utf8(&text) {
            let whole = detectors.redact(text, &key(), &mut |_| {});
            prop_assert_eq!(String::from_utf8_lossy(&out), whole.as_deref().unwrap_or(text));
        }
    }

    #[test]
    fn so_does_one_with_patterns(pieces in proptest::collection::vec(piece(), 0..24), sizes in proptest::collection::vec(1_usize..40, 1..5)) {
        let rules = [(Detector::Pattern("[a-z]+ [0-9]+".into()), Transform::Hash), (Detector::PrivateKey, Transform::Null), (Detector::PaymentCard, Transform::KeepLast(4))];
        same_however_cut(&Arc::new(Detectors::new(&rules).unwrap()), &pieces.concat(), &sizes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(60).min(3_000), ..ProptestConfig::default() })]

    /// Texts far beyond what is held, with few places to cut.
    #[test]
    fn so_does_a_long_one(pieces in proptest::collection::vec((piece(), 1_usize..3000), 1..8), sizes in proptest::collection::vec(1_usize..9000, 1..4)) {
        let text: Vec<u8> = pieces.into_iter().flat_map(|(piece, times)| piece.repeat(times.min(40_000 / piece.len().max(1) + 1))).collect();
        same_however_cut(&Arc::new(every(&Transform::KeepLast(4))), &text, &sizes);
    }
}
