use super::super::sample::{CANARY, mask as sample};
use super::super::{LONGEST_ROW, Treatment, fuzz_mask_copy};
use super::*;
use proptest::prelude::*;

fn column(treatment: Option<Treatment>, type_oid: u32, word: &'static str) -> CopyColumn {
    CopyColumn { mask: treatment.map(|treatment| sample(treatment, word)), type_oid }
}

/// An open text, a redacted text, a redacted number.
fn three(word: &'static str) -> Vec<CopyColumn> {
    let whole = Some(Treatment::Whole);
    vec![column(None, 25, word), column(whole, 25, word), column(whole, 23, word)]
}

fn run(options: &CopyOptions, columns: Vec<CopyColumn>, data: &[u8], step: usize) -> Result<Vec<u8>, BadCopy> {
    within(options, columns, data, step, Bounds::default())
}

fn within(
    options: &CopyOptions,
    columns: Vec<CopyColumn>,
    data: &[u8],
    step: usize,
    bounds: Bounds,
) -> Result<Vec<u8>, BadCopy> {
    let (mut rewriter, mut out) = (CopyRewriter::within(options.clone(), columns, bounds)?, Vec::new());
    data.chunks(step).try_for_each(|piece| {
        let done = rewriter.push(piece, &mut out);
        // In text an escape is two bytes of one, and what stands for NULL is kept whatever is masked.
        let most = 2 * (bounds.row.saturating_add(2 * bounds.value)) + 64;
        assert!(rewriter.sieve.memory() <= most, "it keeps {} bytes", rewriter.sieve.memory());
        done
    })?;
    rewriter.finish().map(|()| out)
}

/// The same however it is cut.
fn masked(options: &CopyOptions, columns: Vec<CopyColumn>, data: &str) -> Result<String, BadCopy> {
    let whole = run(options, columns.clone(), data.as_bytes(), usize::MAX);
    for step in 1..data.len().min(9) {
        assert_eq!(run(options, columns.clone(), data.as_bytes(), step), whole, "in steps of {step}");
    }
    whole.map(|out| String::from_utf8(out).unwrap())
}

#[test]
fn text_rows_are_rewritten() {
    let options = CopyOptions::default();
    let given = "a\t123-45-6789\t7\n\\N\t\\N\t\\N\n\\\\N\t\\\\N\\t\\n\t1\n\t\t\n";
    let expected = "a\t[redacted]\t\\N\n\\N\t\\N\t\\N\n\\\\N\t[redacted]\t\\N\n\t[redacted]\t\\N\n";
    assert_eq!(masked(&options, three("[redacted]"), given).as_deref(), Ok(expected));
    assert_eq!(masked(&options, three("a\tb\n\\"), "x\ty\t1\n").as_deref(), Ok("x\ta\\tb\\n\\\\\t\\N\n"));
    assert_eq!(masked(&options, three("\\N"), "x\ty\t1\n").as_deref(), Ok("x\t\\\\N\t\\N\n"));
    assert_eq!(masked(&options, three("w"), "x\ty\t1\n\\.\n").as_deref(), Ok("x\tw\t\\N\n\\.\n"));
    assert_eq!(masked(&options, three("w"), ""), Ok(String::new()));
    let bars = CopyOptions { delimiter: b'|', header: true, null: "-".to_owned(), ..CopyOptions::default() };
    let given = "id|ssn|n\na\\|b|\\|1|2\n-|-|-\n";
    assert_eq!(masked(&bars, three("x|y"), given).as_deref(), Ok("id|ssn|n\na\\|b|x\\|y|-\n-|x\\|y|-\n"));
    assert_eq!(masked(&bars, three("w"), ""), Ok(String::new()));
}

#[test]
fn a_chosen_null_is_no_question_about_a_value() {
    // The server writes the value just as it writes NULL.
    let asked = CopyOptions { null: CANARY.to_owned(), ..CopyOptions::default() };
    let ssn = || vec![column(Some(Treatment::Whole), 25, "[redacted]")];
    assert_eq!(masked(&asked, ssn(), "123-45-6789\n1\n").as_deref(), Ok("[redacted]\n[redacted]\n"));
    // A replacement that looks like NULL is told apart.
    let shown = CopyOptions { null: "[redacted]".to_owned(), ..CopyOptions::default() };
    assert_eq!(masked(&shown, ssn(), "1\n").as_deref(), Ok("\\133redacted]\n"));
    // In CSV the value is in quotes and NULL is not.
    let asked = CopyOptions { null: CANARY.to_owned(), ..CopyOptions::csv() };
    let expected = "[redacted]\n123-45-6789\n";
    assert_eq!(masked(&asked, ssn(), "\"123-45-6789\"\n123-45-6789\n").as_deref(), Ok(expected));
}

#[test]
fn csv_rows_are_rewritten() {
    let options = CopyOptions { header: true, ..CopyOptions::csv() };
    let given = "id,\"s\nsn\",n\n\"a,\"\"b\"\"\nc\",\"123-\n45,6789\",7\n,,\n\"\",\"\",1\n";
    let expected = "id,\"s\nsn\",n\n\"a,\"\"b\"\"\nc\",[redacted],\n,,\n\"\",[redacted],\n";
    assert_eq!(masked(&options, three("[redacted]"), given).as_deref(), Ok(expected));
    for (word, written) in
        [("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("", "\"\""), ("a\r", "\"a\r\""), ("\\.", "\"\\.\"")]
    {
        let expected = format!("a,{written},\n");
        assert_eq!(masked(&CopyOptions::csv(), three(word), "a,b,1\n"), Ok(expected), "{word:?}");
    }
    let odd = CopyOptions {
        delimiter: b';',
        quote: b'\'',
        escape: b'\\',
        null: "NULL".to_owned(),
        force_quote: ForceQuote::Columns(vec![1]),
        ..CopyOptions::csv()
    };
    let given = "'a\\'\\\\;'; \\x;1\nNULL;NULL;NULL\n'NULL';'N\\'\\\\';'2'\n";
    let expected = "'a\\'\\\\;';'w\\'\\\\';NULL\nNULL;NULL;NULL\n'NULL';'w\\'\\\\';NULL\n";
    assert_eq!(masked(&odd, three("w'\\"), given).as_deref(), Ok(expected));
    let all = CopyOptions { force_quote: ForceQuote::All, ..CopyOptions::csv() };
    assert_eq!(masked(&all, three("w"), "\"a\",\"b\",\"1\"\n").as_deref(), Ok("\"a\",\"w\",\n"));
}

#[test]
fn whether_a_protected_value_needed_quotes_does_not_show() {
    let plain = masked(&CopyOptions::csv(), three("w"), "a,b,1\n");
    assert_eq!(masked(&CopyOptions::csv(), three("w"), "a,\"b,c\",1\n"), plain);
}

#[test]
fn an_end_mark_is_no_value_of_a_column() {
    let one = || vec![column(Some(Treatment::Whole), 25, "w")];
    assert_eq!(masked(&CopyOptions::default(), one(), "\\\\.\n").as_deref(), Ok("w\n"));
    assert_eq!(masked(&CopyOptions::csv(), one(), "\\.\n\"\\.\"\n").as_deref(), Ok("w\nw\n"));
    assert_eq!(masked(&CopyOptions::default(), one(), "\\.\nx\n"), Err(BadCopy::Malformed));
}

#[test]
fn what_the_server_would_not_write_is_refused() {
    let (text, csv) = (CopyOptions::default(), CopyOptions::csv());
    for (options, data, expected) in [
        (&text, "a\tb\n", BadCopy::Columns),
        (&text, "a\tb\t1\tc\n", BadCopy::Columns),
        (&text, "\n", BadCopy::Columns),
        (&text, "a\tb\t1", BadCopy::Malformed),
        (&text, "a\tb\t1\\\n", BadCopy::Malformed),
        (&csv, "a,b\n", BadCopy::Columns),
        (&csv, "a,b,1,c\n", BadCopy::Columns),
        (&csv, "a,b,1", BadCopy::Malformed),
        (&csv, "a,\"b\"c,1\n", BadCopy::Malformed),
        (&csv, "a,b\"c\",1\n", BadCopy::Malformed),
        (&csv, "a,\"b,1\n", BadCopy::Malformed),
    ] {
        assert_eq!(masked(options, three("w"), data), Err(expected), "{data:?}");
    }
    // Once something was wrong nothing more comes out.
    let (mut rewriter, mut out) = (CopyRewriter::new(text, three("w")).unwrap(), Vec::new());
    assert!(rewriter.push(b"a\tb\t1\nonly\n", &mut out).is_err());
    assert_eq!(rewriter.masked(), [0, 1, 1]);
    assert_eq!(out, b"a\tw\t\\N\n", "the row before the bad one, and no byte of that");
    assert!(rewriter.push(b"a\tb\t1\n", &mut out).is_err() && rewriter.finish().is_err());
    assert_eq!(out, b"a\tw\t\\N\n");
}

#[test]
fn options_that_no_server_takes_are_refused() {
    let (text, csv) = (CopyOptions::default, CopyOptions::csv);
    for options in [
        CopyOptions { delimiter: b'\\', ..text() },
        CopyOptions { delimiter: b'a', ..text() },
        CopyOptions { delimiter: b'\n', ..text() },
        CopyOptions { delimiter: 0xc3, ..text() },
        CopyOptions { null: "a\tb".to_owned(), ..text() },
        CopyOptions { null: "a\n".to_owned(), ..text() },
        CopyOptions { null: "\"".to_owned(), ..csv() },
        CopyOptions { null: ",".to_owned(), ..csv() },
        CopyOptions { quote: b',', ..csv() },
        CopyOptions { quote: b'\n', ..csv() },
        CopyOptions { escape: b'\r', ..csv() },
        CopyOptions { header: true, ..CopyOptions::binary() },
    ] {
        assert_eq!(CopyRewriter::new(options.clone(), vec![]).err(), Some(BadCopy::Options), "{options:?}");
    }
    assert!(CopyRewriter::new(CopyOptions { null: "é".to_owned(), ..csv() }, vec![]).is_ok());
}

fn binary(rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
    let mut out = [&b"PGCOPY\n\xff\r\n\0"[..], &[0; 4], &[0, 0, 0, 2], b"ex"].concat();
    for row in rows {
        out.extend_from_slice(&i16::try_from(row.len()).unwrap().to_be_bytes());
        for value in *row {
            let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(value.unwrap_or_default());
        }
    }
    [out.as_slice(), &[0xff; 2]].concat()
}

#[test]
fn binary_rows_are_rewritten() {
    let options = CopyOptions::binary();
    let given = binary(&[&[Some(b"a\n"), Some(CANARY.as_bytes()), Some(&[0, 0, 0, 7])], &[None, None, None]]);
    let expected = binary(&[&[Some(b"a\n"), Some(b"w"), None], &[None, None, None]]);
    for step in 1..given.len() + 1 {
        assert_eq!(run(&options, three("w"), &given, step).as_deref(), Ok(expected.as_slice()), "{step}");
    }
    for cut in 0..given.len() {
        assert_eq!(run(&options, three("w"), &given[..cut], 7), Err(BadCopy::Malformed), "cut at {cut}");
    }
    for (at, byte) in [(3, b'X'), (12, 1), (14 + 2, 0xff), (22, 9), (23, 0xf0)] {
        let mut broken = given.clone();
        broken[at] = byte;
        assert!(run(&options, three("w"), &broken, 5).is_err(), "byte {at}");
    }
    let mut oids = given.clone();
    oids[12] = 1;
    assert_eq!(run(&options, three("w"), &oids, 5), Err(BadCopy::Malformed), "rows with OIDs");
    assert_eq!(run(&options, three("w"), &[given.as_slice(), b"x"].concat(), 5), Err(BadCopy::Malformed));
    assert_eq!(run(&options, vec![], &given, 5), Err(BadCopy::Columns));
}

#[test]
fn a_row_too_long_is_refused() {
    let (mut rewriter, mut out) = (CopyRewriter::new(CopyOptions::default(), three("w")).unwrap(), Vec::new());
    let piece = vec![b'a'; LONGEST_ROW / 4];
    let refused = (0..5).find_map(|_| rewriter.push(&piece, &mut out).err());
    assert_eq!((refused, out.len(), rewriter.sieve.memory()), (Some(BadCopy::TooLong), 0, 0));
    let head = binary(&[]);
    let long = [&head[..head.len() - 2], &[0, 3], &i32::try_from(LONGEST_ROW).unwrap().to_be_bytes()].concat();
    assert_eq!(run(&CopyOptions::binary(), three("w"), &long, 5), Err(BadCopy::TooLong), "before it is here");
}

/// An open text, one that is hidden, one that is redacted.
fn hiding(word: &'static str) -> Vec<CopyColumn> {
    vec![column(None, 25, word), column(Some(Treatment::Null), 25, word), column(Some(Treatment::Whole), 25, word)]
}

/// The rows as the server sends them in this form.
fn sent(options: &CopyOptions, rows: &[Vec<Option<String>>]) -> Vec<u8> {
    if options.format != CopyFormat::Binary {
        return server_writes(options, rows).into_bytes();
    }
    let rows: Vec<Vec<Option<&[u8]>>> =
        rows.iter().map(|row| row.iter().map(|value| value.as_deref().map(str::as_bytes)).collect()).collect();
    binary(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[test]
fn a_value_that_is_hidden_is_no_part_of_what_may_be_too_long() {
    let bounds = Bounds { row: 60, value: 20 };
    let quoted = CopyOptions { force_quote: ForceQuote::All, ..CopyOptions::csv() };
    for options in [CopyOptions::default(), CopyOptions::csv(), quoted, CopyOptions::binary()] {
        let twice = |cells: [Option<&str>; 3]| {
            let row = cells.map(|cell| cell.map(str::to_owned)).to_vec();
            sent(&options, &[row.clone(), row])
        };
        let expected = |cells: [Option<&str>; 3]| -> Result<Vec<u8>, BadCopy> { Ok(twice(cells)) };
        let (masked, nulls) = (expected([Some("a"), None, Some("w")]), expected([Some("a"), None, None]));
        for step in [1, 2, 3, 7, 1 << 20] {
            let outcome = |cells: [Option<&str>; 3]| within(&options, hiding("w"), &twice(cells), step, bounds);
            for unit in ["x", "\\", "\t", "\n", "\"", ",", "\"\\\",\n"] {
                // Far too long, and as long as may be masked: two of those are more than the row may be.
                let (long, fits) = (unit.repeat(3000), unit.repeat(20 / unit.len()));
                let (long, fits) = (Some(long.as_str()), Some(fits.as_str()));
                let case = format!("{unit:?} in {:?} by {step}", options.format);
                assert_eq!(outcome([Some("a"), long, Some("b")]), masked, "{case}");
                assert_eq!(outcome([Some("a"), fits, fits]), masked, "{case}");
                assert_eq!(outcome([Some("a"), long, long]), nulls, "{case}");
                assert_eq!(outcome([long, None, None]), Err(BadCopy::TooLong), "{case}");
            }
        }
    }
}

#[test]
fn a_hidden_value_that_lies_about_its_end_is_refused_however_long_it_is() {
    let bounds = Bounds { row: 60, value: 4 };
    let long = "x".repeat(100);
    for step in [1, 3, 1 << 10] {
        for (options, data) in [
            (CopyOptions::default(), format!("a\t{long}\\\n")),
            (CopyOptions::default(), format!("a\t{long}\n")),
            (CopyOptions::default(), format!("a\t{long}\tb\tc\n")),
            (CopyOptions::default(), format!("a\t{long}")),
            (CopyOptions::csv(), format!("a,\"{long}\"x,b\n")),
            (CopyOptions::csv(), format!("a,{long}\"x,b\n")),
            (CopyOptions::csv(), format!("a,\"{long},b\n")),
            (CopyOptions { escape: b'\\', ..CopyOptions::csv() }, format!("a,\"{long}\\x\",b\n")),
        ] {
            assert!(within(&options, hiding("w"), data.as_bytes(), step, bounds).is_err(), "{data} by {step}");
        }
    }
}

#[test]
fn a_copy_of_no_columns_has_empty_lines() {
    for options in [CopyOptions::default(), CopyOptions::csv()] {
        assert_eq!(masked(&options, vec![], "\n\n").as_deref(), Ok("\n\n"));
        assert_eq!(masked(&options, vec![], "a\n"), Err(BadCopy::Columns));
    }
}

/// What the server writes for a row, written anew from its documentation.
fn server_writes(options: &CopyOptions, rows: &[Vec<Option<String>>]) -> String {
    let mut out = String::new();
    for row in rows {
        let field = |(index, value): (usize, &Option<String>)| match value {
            None => options.null.clone(),
            Some(value) if options.format == CopyFormat::Csv => {
                let (quote, escape) = (char::from(options.quote), char::from(options.escape));
                let special = [char::from(options.delimiter), quote, '\n', '\r'];
                let quoted = value.contains(special) || *value == options.null || value == "\\.";
                if !quoted && !options.force_quote.includes(index) {
                    return value.clone();
                }
                let each = |c: char| if c == quote || c == escape { format!("{escape}{c}") } else { c.to_string() };
                format!("{quote}{}{quote}", value.chars().map(each).collect::<String>())
            }
            Some(value) => {
                let each = |c: char| match c {
                    '\\' => "\\\\".to_owned(),
                    '\n' => "\\n".to_owned(),
                    '\r' => "\\r".to_owned(),
                    '\t' => "\\t".to_owned(),
                    c if c == char::from(options.delimiter) => format!("\\{c}"),
                    c => c.to_string(),
                };
                value.chars().map(each).collect()
            }
        };
        let fields: Vec<_> = row.iter().enumerate().map(field).collect();
        out += &(fields.join(&char::from(options.delimiter).to_string()) + "\n");
    }
    out
}

fn options() -> impl Strategy<Value = CopyOptions> {
    let text = || CopyOptions::default();
    prop::sample::select(vec![
        text(),
        CopyOptions { delimiter: b'|', null: String::new(), ..text() },
        CopyOptions { delimiter: b',', null: "\\n".to_owned(), ..text() },
        CopyOptions { null: CANARY.to_owned(), ..text() },
        CopyOptions::csv(),
        CopyOptions { escape: b'\\', ..CopyOptions::csv() },
        CopyOptions { delimiter: b'\t', quote: b'\'', null: "NULL".to_owned(), ..CopyOptions::csv() },
        CopyOptions { delimiter: b'|', escape: b'|', force_quote: ForceQuote::All, ..CopyOptions::csv() },
        CopyOptions { null: CANARY.to_owned(), force_quote: ForceQuote::Columns(vec![0, 1]), ..CopyOptions::csv() },
    ])
}

proptest! {
    #[test]
    fn no_canary_leaves_and_the_rest_is_what_the_server_wrote(
        options in options(),
        rows in prop::collection::vec(prop::collection::vec(prop::option::of("[a-cN\"'\\\\|,.\t\n\ré]{0,5}"), 4), 0..6),
        word in prop::sample::select(vec!["[redacted]", "", "a,|\tb", "\"'\\\r\n", "NULL", "\\.", "\\n"]),
        step in 1_usize..40,
    ) {
        // Open, redacted, open, a number whose mask is NULL.
        let whole = Some(Treatment::Whole);
        let columns = vec![column(None, 25, word), column(whole, 25, word), column(None, 25, word), column(whole, 20, word)];
        let secret = |(index, value): (usize, &Option<String>)| {
            // The whole value or a part of it.
            value.as_ref().map(|value| match index {
                1 | 3 => format!("{}{CANARY}", if value.len() < 3 { "" } else { value }),
                _ => value.clone(),
            })
        };
        // Where NULL looks like a value, a protected one is treated as a value, whatever it was.
        let as_value = options.format == CopyFormat::Text && options.null != "\\N";
        let shown = |(index, value): (usize, &Option<String>)| match (index, value) {
            (1, value) => (as_value || value.is_some()).then(|| word.to_owned()),
            (3, _) => None,
            (_, value) => value.clone(),
        };
        let given: Vec<Vec<_>> = rows.iter().map(|row| row.iter().enumerate().map(secret).collect()).collect();
        let expected: Vec<Vec<_>> = rows.iter().map(|row| row.iter().enumerate().map(shown).collect()).collect();
        let given = server_writes(&options, &given);
        let got = run(&options, columns, given.as_bytes(), step).map(|out| String::from_utf8(out).unwrap());
        let expected = server_writes(&options, &expected);
        if options.null == word || (options.format == CopyFormat::Text && server_writes(&options, &[vec![Some(word.to_owned())]]).trim_end_matches('\n') == options.null) {
            // The only place where what is written differs from what the server would write: see the test on NULL.
            prop_assert!(got.is_ok());
        } else {
            prop_assert_eq!(got.as_deref(), Ok(expected.as_str()));
        }
        prop_assert!(options.null == CANARY || !got.unwrap().contains(CANARY));
    }

    #[test]
    fn what_comes_of_rows_is_the_same_however_they_are_cut_and_whatever_is_hidden(
        options in prop_oneof![4 => options(), 1 => Just(CopyOptions::binary())],
        rows in prop::collection::vec(prop::collection::vec(prop::option::of("[a-cN\"'\\\\|,.\t\n\ré]{0,30}"), 3), 1..5),
        other in prop::option::of("[a-cN\"'\\\\|,.\t\n\ré]{0,90}"),
        bounds in (10_usize..160, 0_usize..40).prop_map(|(row, value)| Bounds { row, value }),
        step in 1_usize..40,
    ) {
        let whole = within(&options, hiding("word"), &sent(&options, &rows), usize::MAX, bounds);
        let cut = within(&options, hiding("word"), &sent(&options, &rows), step, bounds);
        prop_assert_eq!(&cut, &whole);
        let mut rows = rows;
        rows.iter_mut().for_each(|row| row[1] = other.clone());
        let hidden = within(&options, hiding("word"), &sent(&options, &rows), step, bounds);
        prop_assert_eq!(&hidden, &whole);
    }

    #[test]
    fn arbitrary_bytes_are_no_harm(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_mask_copy(&data);
    }

    #[test]
    fn bytes_that_look_like_rows_are_no_harm(seed in 0_u8..=255, data in "[a4,\"\\\\\t\n1.{}]{0,80}") {
        fuzz_mask_copy(&[&[seed], data.as_bytes()].concat());
    }
}
