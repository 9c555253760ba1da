//! Properties: any text is read without a panic, within bounds, to at least one operation.

use portcullis_model::Fault;
use portcullis_shell::{Limits, Scope, fuzz_read, read};
use proptest::prelude::*;

/// Pieces of shell, to be strung together.
const PIECES: [&str; 60] = [
    "rm",
    " -rf ",
    "x",
    " ",
    "\n",
    ";",
    "&&",
    "||",
    "|",
    "&",
    "(",
    ")",
    "{ ",
    "; }",
    "if ",
    "then ",
    "fi",
    "while ",
    "do ",
    "done",
    "for x in ",
    "case ",
    " in ",
    "esac",
    ";;",
    "$x",
    "${x",
    "}",
    "$(",
    "`",
    "'",
    "\"",
    "\\",
    "<<E\n",
    "\nE\n",
    "<<<",
    ">",
    "<(",
    "[[ ",
    " ]]",
    "((",
    "))",
    "$((",
    "x=",
    "f() ",
    "sudo ",
    "sh -c ",
    "eval ",
    "find . -exec ",
    "{}",
    "{a,b}",
    "*",
    "~",
    "$'\\x41'",
    "!",
    "xargs ",
    "ssh h ",
    "cd ",
    "sed -e ",
    "git ",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_read(&bytes);
    }

    #[test]
    fn any_pieces_are_read(pieces in proptest::collection::vec(proptest::sample::select(PIECES.as_slice()), 0..40)) {
        fuzz_read(pieces.concat().as_bytes());
    }

    /// What stands in front of a command, read or not, never hides it.
    #[test]
    fn a_command_behind_a_newline_is_seen(pieces in proptest::collection::vec(proptest::sample::select(PIECES.as_slice()), 0..12)) {
        let text = format!("{}\nshred /etc/passwd", pieces.concat());
        let reading = read(&text, &Scope::at_home("a", "/home/a"), &Limits::default());
        let seen = |word: &str| reading.operations.iter().any(|operation| operation.to_string().contains(word));
        // Inside a quote, a here-document or a function it is text, so only that nothing is claimed harmless is asked.
        let quoted = pieces.iter().any(|piece| ["'", "\"", "\\", "<<E\n", "`", "$'\\x41'"].contains(piece));
        prop_assert!(reading.fault.is_some() || quoted || seen("shred") || seen("unknown") || seen("dynamic"), "{text:?}: {:?}", reading.operations);
    }
}

fn on_small_stack(text: String) -> portcullis_shell::Reading {
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || read(&text, &Scope::unknown(), &Limits::default()))
        .expect("a thread")
        .join()
        .expect("no panic")
}

#[test]
fn nothing_nested_or_long_ends_the_process() {
    for times in [10, 20, 63, 64, 100, 400, 2_000, 30_000] {
        for (open, middle, close) in [
            ("(", "rm x", ")"),
            ("{ ", "rm x", "; }"),
            ("$(", "rm x", ")"),
            ("`", "rm x", "`"),
            ("if ", "rm x", "; then :; fi"),
            ("[[ ( ", "a", " ) ]]"),
            ("$((", "1", "))"),
            ("\"$(", "rm x", ")\""),
            ("${x:-", "a", "}"),
            ("{a,", "b", "}"),
            ("! ", "rm x", ""),
            ("eval ", "rm x", ""),
            ("sudo ", "rm x", ""),
            ("rm x; ", "rm x", ""),
            ("rm x && ", "rm x", ""),
            ("x=", "1", ""),
            ("while ", "rm x", "; do :; done"),
            ("f() { ", "rm x", "; }"),
            ("rm x | ", "rm x", ""),
            ("{a,b}", "", ""),
            ("<<E ", "\n", "E\n"),
            ("a[", "0", "]=1"),
            ("case x in x) ", "rm x", ";; esac"),
        ] {
            let text = format!("{}{middle}{}", open.repeat(times), close.repeat(times));
            let reading = on_small_stack(text);
            assert!(!reading.operations.is_empty(), "{open} x {times}");
        }
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_parsed() {
    let padded = format!(": '{}'; rm -rf x", "A".repeat(200_000));
    assert!(matches!(on_small_stack(padded).fault, Some(Fault::TooLarge { .. })));
    let many = format!("echo {}", "$(x)".repeat(21));
    assert!(matches!(on_small_stack(many).fault, Some(Fault::TooLarge { .. })));
    let long = format!("echo {} $(rm x)", "a".repeat(9_000));
    assert!(matches!(on_small_stack(long).fault, Some(Fault::TooLarge { .. })));
    let plain = format!("echo '{}' | wc -c", "ab ".repeat(20_000));
    assert_eq!(on_small_stack(plain).fault, None);
}

#[test]
fn loops_and_calls_cannot_multiply_without_end() {
    let nested = format!("{}rm x{}", "for a in 1 2 3 4 5 6 7 8; do ".repeat(12), "; done".repeat(12));
    assert!(matches!(on_small_stack(nested).fault, Some(Fault::TooLarge { .. })));
    let bomb = ":(){ :|:& };:";
    assert!(on_small_stack(bomb.to_owned()).operations.iter().any(|operation| operation.to_string() == "unknown"));
    let chain: String = (0..14).map(|at| format!("f{at}() {{ f{} ; f{} ; }}; ", at + 1, at + 1)).collect();
    let reading = on_small_stack(format!("{chain} f14() {{ rm x; }}; f0"));
    assert!(reading.fault.is_some() || reading.operations.iter().any(|operation| operation.to_string().contains("rm")));
}
