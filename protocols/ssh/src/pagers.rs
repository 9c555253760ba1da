//! What keeps pagers from taking commands that nobody judged.
//!
//! A program that is allowed may start a pager where its output is a terminal, and a pager runs what is typed behind
//! `!`. Each line of a guarded session has these variables, and a command that a client runs on a terminal (`ssh -t`) has
//! them set in front of it: those of the protocol's own requests a target may refuse.
//! Promises: a command is sent as it was judged, behind one line of constants. A line that sets or unsets one says so,
//! and is judged for it. Does not promise anything of other programs that run what is typed (`vi`, `more`), nor of what
//! drops the environment (`sudo`, `env -i`).
//! Held by: the tests below, `guarded/session/tests.rs`, and `tests/it/ssh_edges.rs` of the binary.

use bytes::Bytes;

/// Names and values; none of the values needs quotes.
pub(crate) const PAGERS: [(&str, &str); 10] = [
    ("AWS_PAGER", ""),
    ("BAT_PAGER", "cat"),
    ("GH_PAGER", "cat"),
    ("GIT_PAGER", "cat"),
    ("LESSSECURE", "1"),
    ("MANPAGER", "cat"),
    ("PAGER", "cat"),
    ("PSQL_PAGER", "cat"),
    ("SYSTEMD_PAGER", "cat"),
    ("SYSTEMD_PAGERSECURE", "1"),
];

/// What a target is sent for a command on a terminal. `given` are variables that the client set where a rule allows it.
pub(crate) fn without_pagers(command: &Bytes, given: &[&str]) -> Bytes {
    let set: String = PAGERS
        .iter()
        .filter(|(name, _)| !given.contains(name))
        .map(|(name, value)| format!(" {name}={value}"))
        .collect();
    if set.is_empty() {
        return command.clone();
    }
    // On a line of its own, so that nothing of the command can reach into it, whatever it starts with.
    [b"export".as_slice(), set.as_bytes(), b"\n", command.as_ref()].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn run(shell: &str, command: &str, given: &[&str]) -> (String, Option<i32>) {
        let sent = without_pagers(&Bytes::copy_from_slice(command.as_bytes()), given);
        let text = String::from_utf8(sent.to_vec()).unwrap();
        let output = Command::new(shell).args(["-c", &text]).env("PAGER", "less").output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    }

    #[test]
    fn a_command_runs_as_it_is_with_pagers_that_take_no_commands() {
        for shell in ["bash", "sh"] {
            for (command, out, code) in [
                ("echo \"$PAGER $GIT_PAGER $LESSSECURE<$AWS_PAGER>\"", "cat cat 1<>\n", 0),
                ("exit 7", "", 7),
                ("", "", 0),
                ("# nothing", "", 0),
                ("false", "", 1),
                ("echo $#; cat <<E\n'a\nE\n", "0\n'a\n", 0),
                (";", "", 2),
            ] {
                assert_eq!(run(shell, command, &[]), (out.to_owned(), Some(code)), "{shell}: {command}");
            }
            assert_eq!(run(shell, "echo $PAGER $GIT_PAGER", &["PAGER"]).0, "less cat\n");
        }
        let all = PAGERS.map(|(name, _)| name);
        assert_eq!(without_pagers(&Bytes::from_static(b"x"), &all), "x");
    }
}
