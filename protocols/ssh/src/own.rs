//! What goes to a target without being a client's command: the gateway's own messages, and those that carry neither
//! command nor data.
//!
//! Promises: [`Own`] is built from constants; [`Passage`] is a closed list: a terminal's size and modes, its resizes, a
//! signal to a command that was judged, a locale variable of a short list with a value that names nothing but a locale
//! or a number, the end of input, the end of a listener. None of them makes a target run anything.
//! Does not promise when each is legal: `core.rs` knows.
//! Held by: the tests below.

use crate::frame::{Size, Terminal, ToTarget};
use russh::Sig;

/// Messages that the gateway itself sends to a target.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Own {
    /// Ends the channel: what runs there loses its input and output.
    Close,
}

impl portcullis_gate::Own for Own {
    type Frame = ToTarget;

    fn into_frame(self) -> ToTarget {
        match self {
            Self::Close => ToTarget::Close,
        }
    }
}

/// Messages of a client that carry neither command nor data.
#[derive(Clone, Debug)]
pub(crate) enum Passage {
    /// A terminal for the command that follows.
    Terminal(Terminal),
    /// Its new size.
    Resize(Size),
    /// A signal for what runs.
    Signal(Sig),
    /// No more input.
    Eof,
    /// A variable that is no setting of anything but presentation.
    Locale(Locale),
    /// A listener of the target that is given up.
    Unlisten { address: String, port: u32 },
}

impl portcullis_gate::Passage for Passage {
    type Frame = ToTarget;

    fn into_frame(self) -> ToTarget {
        match self {
            Self::Terminal(terminal) => ToTarget::Pty(terminal),
            Self::Resize(size) => ToTarget::Resize(size),
            Self::Signal(signal) => ToTarget::Signal(signal),
            Self::Eof => ToTarget::Eof,
            Self::Locale(Locale { name, value }) => ToTarget::Env { name, value },
            Self::Unlisten { address, port } => ToTarget::Unlisten { address, port },
        }
    }
}

/// An environment variable that changes no program's doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Locale {
    name: String,
    value: String,
}

/// Bytes of such a variable's value.
const VALUE: usize = 64;

impl Locale {
    /// This variable, where it is one of the short list and its value is harmless: a path in `TZ` would be a file that
    /// programs read, and in some charsets the target's shell would read lines otherwise than they were judged.
    pub(crate) fn new(name: &str, value: &str) -> Option<Self> {
        let known = matches!(name, "LANG" | "LANGUAGE" | "TERM" | "COLORTERM" | "TZ" | "COLUMNS" | "LINES")
            || name.strip_prefix("LC_").is_some_and(|rest| {
                !rest.is_empty() && rest.len() <= 32 && rest.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            });
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+' | ',' | ':');
        let zone = |c: char| plain(c) || c == '/';
        let harmless = match name {
            "TZ" => value.chars().all(zone) && !value.starts_with(['/', ':']) && !value.contains(".."),
            "LANG" => value.chars().all(plain) && portcullis_shell::is_charset_safe(value),
            _ if name.starts_with("LC_") => value.chars().all(plain) && portcullis_shell::is_charset_safe(value),
            _ => value.chars().all(plain),
        };
        let good = known && harmless && value.len() <= VALUE;
        good.then(|| Self { name: name.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_presents_passes() {
        for (name, value, passes) in [
            ("LANG", "de_DE.UTF-8", true),
            ("LC_ALL", "C.UTF-8", true),
            ("LC_TIME", "en_GB@euro", true),
            ("TZ", "Europe/Berlin", true),
            ("TZ", "UTC-3", true),
            ("TERM", "xterm-256color", true),
            ("COLUMNS", "120", true),
            ("TZ", "/etc/shadow", false),
            ("TZ", ":/etc/shadow", false),
            ("TZ", "../../../etc/shadow", false),
            ("LANG", "$(id)", false),
            ("LANG", "zh_CN.GBK", false),
            ("LC_CTYPE", "ja_JP.SJIS", false),
            ("LANG", "C\nLD_PRELOAD=x", false),
            ("LC_", "C", false),
            ("LC_ALL=x", "C", false),
            ("LD_PRELOAD", "x.so", false),
            ("PATH", "bin", false),
            ("BASH_ENV", "x", false),
            ("LOCPATH", "x", false),
            ("NLSPATH", "x", false),
            ("TERMINFO", "x", false),
            ("TERMCAP", "x", false),
        ] {
            assert_eq!(Locale::new(name, value).is_some(), passes, "{name}={value}");
        }
        assert!(Locale::new("LANG", &"x".repeat(VALUE + 1)).is_none());
    }
}
