//! What draws passes, what does anything else does not.

use super::*;
use proptest::prelude::*;

fn shown(text: &str) -> String {
    let (mut screen, mut out) = (Screen::default(), String::new());
    screen.push(text, &mut out);
    out
}

#[test]
fn what_draws_passes() {
    for text in [
        "plain é \u{1f600}\r\n\t\u{8}",
        "\x1b[0m\x1b[1;31m\x1b[38;5;196m\x1b[38:2::1:2:3m\x1b[m",
        "\x1b[2A\x1b[B\x1b[10C\x1b[D\x1b[5G\x1b[3d\x1b[H\x1b[12;40H\x1b[1;1f",
        "\x1b[J\x1b[2J\x1b[K\x1b[1K\x1b[4X\x1b[2P\x1b[3@\x1b[L\x1b[2M\x1b[S\x1b[3T\x1b[80b",
        "\x1b[2;20r\x1b[r\x1b7\x1b8\x1bM\x1bD\x1bE\x1b[s\x1b[u\x1b[4h\x1b[4l",
        "\x1b[?1049h\x1b[?1049l\x1b[?25l\x1b[?25h\x1b[?7l\x1b[?6h",
        "\x1b(0lqk\x1b(B\u{e}x\u{f}",
    ] {
        assert_eq!(shown(text), text);
    }
}

#[test]
fn what_reaches_beyond_the_screen_is_dropped() {
    for (attack, left) in [
        ("\x1b]0;title\x07", ""),
        ("\x1b]52;c;cm0gLXJmIC8K\x1b\\", ""),
        ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x1b]4;0;?\x07\x1b]10;?\x07", ""),
        ("\x1bP$q\"p\x1b\\\x1bP+q544e\x1b\\", ""),
        ("\x1b_G payload\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\", ""),
        ("\x1b[c\x1b[>c\x1b[=c\x1b[6n\x1b[?6n\x1b[5n\x1bZ\u{5}", ""),
        ("\x1b[21t\x1b[8;200;200t\x1b[18t\x1b[x\x1b[?1$p\x1b[!p", ""),
        ("\x1b[?1000h\x1b[?1006h\x1b[?2004h\x1b[?1004h\x1b[?1h\x1b=\x1b>", ""),
        ("\x1b[>4;2m\x1b[>1u\x1b[=1u\x1b[?u\x1b[3J\x1b[i\x1b[5i\x1b[4i", ""),
        ("\x1b[1;2;3;4;5T\x1b[ q\x1b[2 q\x1b[99999999b\x1b[20h\x1b[g\x1b[1\"q", ""),
        ("\u{9b}31m\u{9d}0;x\u{9c}\u{90}", "31m0;x"),
        ("a\0\x07b\x7f", "ab"),
        ("\u{202e}evil\u{2069}", "evil"),
        ("\x1b[?25;2004h", "\x1b[?25h"),
        ("\x1b#8\x1b%G\x1b F\x1bH\x1bn|", "|"),
        ("\x1b[3\x1b[31mred", "\x1b[31mred"),
        ("\x1b[1;\u{5}\r2Hx", "\x1b[1;2Hx"),
    ] {
        assert_eq!(shown(attack), left, "{attack:?}");
    }
}

#[test]
fn a_string_that_does_not_end_hides_no_other_line() {
    assert_eq!(shown("\x1b]0;never ended\r\nnext"), "\nnext");
    assert_eq!(shown("\x1b[31\nnext"), "\nnext");
    assert_eq!(shown("\x1b]0;x\x1b[31mnext"), "\x1b[31mnext");
}

#[test]
fn the_terminal_is_put_right_at_the_end() {
    let (mut screen, mut out) = (Screen::default(), String::new());
    screen.push("\x1b[?1049h\x1b[2;5r\x1b[?25l\x1b[7m", &mut out);
    let reset = screen.reset();
    for part in ["\x1b[?1049l", "\x1b[r", "\x1b[?25h", "\x1b[0m"] {
        assert!(reset.contains(part), "{reset:?}");
    }
    // What would move the cursor is only said where it must be.
    let plain = Screen::default().reset();
    assert!(!plain.contains("1049") && !plain.contains("[r"), "{plain:?}");
    screen.push("\x1b[?1049l", &mut out);
    assert!(!screen.reset().contains("1049"));
    assert_eq!(shown(&reset), reset);
}

fn streams() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~]{0,4}",
        "\\x1b\\[[?>=]?[0-9;:]{0,6}[ -/]?[@-~]",
        "\\x1b[ -~]",
        "\\x1b[\\]PX^_][a-z;?]{0,5}",
        proptest::sample::select(vec![
            "\x1b", "\x07", "\x1b\\", "\n", "\r", "\u{9b}", "\u{9c}", "\u{9d}", "\u{202e}", "\u{18}"
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_comes_out_that_is_not_on_the_list(text in streams(), cut in any::<u8>()) {
        fuzz_screen(&[&[cut], text.as_bytes()].concat());
    }
}
