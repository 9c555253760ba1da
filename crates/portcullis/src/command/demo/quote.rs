//! Words as those who read them need them: a shell, libpq, curl, sftp.
//!
//! Promises: whatever the text, it is read back as it was, as one word; what needs no quotes gets none. Does not promise
//! anything about what a word means to whoever gets it.
//! Held by: the tests below, with a real shell; the others by the demo's script, played in a directory with blanks.

/// A word as a shell needs it.
pub(super) fn for_shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A value as a connection string of libpq needs it.
pub(super) fn for_libpq(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
    }
}

/// A value as a configuration file of curl and a batch of sftp need it.
pub(super) fn in_double_quotes(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_reads_back_every_word() {
        for word in ["", "plain", "/a b/c", "it's", "\"$HOME\" `id` \\", "é *", "'", "a'b'c", "-n", "line\nbreak"] {
            let line = format!("printf %s {}", for_shell(word));
            let output = Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }

    #[test]
    fn quotes_and_backslashes_are_escaped_for_libpq_and_curl() {
        assert_eq!(
            [for_libpq("/a/b.pem"), for_libpq("/a b/it's\\"), for_libpq("")],
            ["/a/b.pem", "'/a b/it\\'s\\\\'", "''"]
        );
        assert_eq!([in_double_quotes("/a b"), in_double_quotes("a\"\\")], ["\"/a b\"", "\"a\\\"\\\\\""]);
    }
}
