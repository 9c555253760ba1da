//! Lines run by the shells that are here, each given to `bash -c` and `sh -c` as a target's login shell does it.

use super::super::trailer::TrailerFilter;
use super::*;
use portcullis_shell::read;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

const NONCE: [u8; 16] = [7; 16];

struct Ran {
    out: String,
    settled: Settled,
}

fn shells() -> Vec<&'static str> {
    let there = |shell: &&str| {
        Command::new("env")
            .args(["--default-signal=INT", shell, "-c", ":"])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if !there(&"bash") {
        return Vec::new();
    }
    ["bash", "sh", "dash"].into_iter().filter(there).collect()
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn session(home: &Path) -> Session {
    Session::new("agent", "box", home.canonicalize().unwrap().to_str().unwrap())
}

fn run(shell: &str, session: &mut Session, line: &str) -> Ran {
    let reading = read(line, &session.scope(), &Limits::default());
    assert_eq!(reading.fault, None, "{line:?}");
    let nonce = Nonce::new(NONCE);
    let text = session.frame(line, &reading, &nonce).unwrap();
    // Whoever started the tests may ignore the signal that some of these lines send themselves; a login does not.
    let output = Command::new("env")
        .args(["--default-signal=INT", shell])
        .args(["-c", std::str::from_utf8(&text).unwrap()])
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", "/nowhere")
        .env("x", "from the environment")
        .env("BASH_ENV", "/dev/stdin")
        .env("POSIXLY_CORRECT", "1")
        .env("CDPATH", "/")
        .env("BASH_FUNC_ls%%", "() { echo not ls; }")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut filter = TrailerFilter::new(nonce.as_str());
    let mut out = filter.feed(&output.stdout).to_vec();
    let (rest, after, _) = filter.finish();
    out.extend_from_slice(&rest);
    out.extend_from_slice(&output.stderr);
    let exit = match (output.status.code(), output.status.signal()) {
        (Some(code), _) => Exit::Status(u32::try_from(code).unwrap()),
        (None, Some(2)) => Exit::Signal("INT".to_owned()),
        (None, Some(9)) => Exit::Signal("KILL".to_owned()),
        (None, _) => Exit::Lost,
    };
    let settled = session.settle(&reading, after, &exit);
    Ran { out: String::from_utf8_lossy(&out).into_owned(), settled }
}

/// Runs lines one after another in a new home with `work/docs`, and gives the output of the last.
fn last(shell: &str, lines: &[&str]) -> String {
    let home = home();
    std::fs::create_dir_all(home.path().join("work/docs")).unwrap();
    let mut session = session(home.path());
    let mut out = String::new();
    for line in lines {
        out = run(shell, &mut session, line).out;
    }
    out.replace(home.path().canonicalize().unwrap().to_str().unwrap(), "~")
}

#[test]
fn what_a_line_leaves_is_there_in_the_next() {
    for shell in shells() {
        for (lines, expected) in [
            (["cd work/docs", "pwd; echo ~"].as_slice(), "~/work/docs\n~\n"),
            (&["cd work", "cd docs", "cd ..", "pwd"], "~/work\n"),
            (&["cd work/docs", "cd ~", "cd - >/dev/null", "pwd"], "~/work/docs\n"),
            (&["x=\"it's\" y='a  \"b\" $z \\'", "echo \"$x/$y\""], "it's/a  \"b\" $z \\\n"),
            (&["x=$'a\\nb\\t\\x01é'", "printf %s \"$x\""], "a\nb\t\u{1}é"),
            (&["x=$(echo 1; echo 2)", "echo \"$x\""], "1\n2\n"),
            (&["x=1", "unset x", "echo \"[${x-none}]\""], "[from the environment]\n"),
            (&["n=1", "n=$((n + 1)); ((n += 3))", "echo $n"], "5\n"),
            (&["export LANG=C.UTF-8 v=5", "LC_X=6", "env | grep -E '^(LANG|v|LC_X)=' | sort"], "LANG=C.UTF-8\nv=5\n"),
            (&["v=5", "env | grep -c ^v="], "0\n"),
            (&["read a b <<< '1 2 3'", "echo $b,$a"], "2 3,1\n"),
            (&["for i in a b c; do :; done", "echo $i"], "c\n"),
            (&["false", "echo $?"], "1\n"),
            (&["(exit 7)", "echo $?"], "7\n"),
            (&["nope 2>/dev/null", "echo $?"], "127\n"),
            (&["false", ":", "echo $?"], "0\n"),
            (&["kill -9 $$", "echo $?"], "137\n"),
            (&["cd work; kill -9 $$", "pwd"], "~\n"),
            (&["kill -INT $$", "echo $?"], "130\n"),
            (&["exec true", "echo here"], "here\n"),
            (&["x=9; exec >/dev/null; cd work", "pwd"], "~\n"),
            (&["set -e; cd work; false", "pwd; echo $?"], "~/work\n0\n"),
            (&["set -u; x=4; echo $nope 2>/dev/null", "echo $x"], "4\n"),
            (&["ls() { echo mine; }; ls", "echo *"], "work\n"),
            (&["mkdir -p \"a b'c\n\\d\"", "cd a*", "pwd"], "~/a b'c\n\\d\n"),
        ] {
            assert_eq!(last(shell, lines), expected, "{shell}: {lines:?}");
        }
    }
}

#[test]
fn nothing_in_a_line_breaks_out_of_its_place() {
    for shell in shells() {
        for (line, expected) in [
            ("echo a # it's a comment", "a\n"),
            ("cat <<E\na 'b\nE", "a 'b\n"),
            ("cat <<'E'\n$(x)\nE\n", "$(x)\n"),
            ("echo 'a' \\\n  b", "a b\n"),
            ("echo a\\\\", "a\\\n"),
            ("echo '$1' \"$1$2$#$@\"", "$1 0\n"),
            ("echo \"'\\\"\"", "'\"\n"),
            ("echo a; exit 3", "a\n"),
            ("if true; then\necho a\nfi", "a\n"),
            ("echo é世 '!!' !$", "é世 !! !$\n"),
            ("\n\n  echo a\n", "a\n"),
            ("set -x; echo a 2>/dev/null", "a\n++ echo a\n"),
            ("set -- e; echo a", "a\n"),
            ("echo a; return 3 2>/dev/null", "a\n"),
            ("echo a &", "a\n"),
            ("printf a", "a"),
        ] {
            let home = home();
            let mut session = session(home.path());
            let ran = run(shell, &mut session, line);
            assert_eq!(ran.out, expected, "{shell}: {line:?}");
            let status = run(shell, &mut session, "echo $?").out;
            assert!(["0\n", "1\n", "2\n", "3\n"].contains(&status.as_str()), "{line:?}: {status}");
        }
        let home = home();
        let session = session(home.path());
        for line in ["echo a\\", "cat <<E\na", "echo 'a", "if", ")", "fi", "a\0b"] {
            let reading = read(line, &session.scope(), &Limits::default());
            assert_eq!(session.frame(line, &reading, &Nonce::new(NONCE)), Err(Unframed::Incomplete), "{line:?}");
        }
    }
}

#[test]
fn only_exit_ends_the_session() {
    for shell in shells() {
        for (line, ended, status) in [
            ("echo a && exit 3", true, 3),
            ("true; exit", true, 0),
            ("false; exit", true, 1),
            ("false && exit 3", false, 1),
            ("set -e; false", false, 1),
            ("(exit 3)", false, 3),
            ("echo ${nope?x}", false, 127),
            ("exec false", false, 1),
            ("kill -INT $$; exit 3", false, 130),
        ] {
            let home = home();
            let mut session = session(home.path());
            let ran = run(shell, &mut session, line);
            assert_eq!((ran.settled.ended, session.status()), (ended, status), "{shell}: {line}");
        }
    }
}

#[test]
fn a_directory_that_is_gone_or_a_link_runs_nothing() {
    for shell in shells() {
        let home = home();
        std::fs::create_dir(home.path().join("work")).unwrap();
        std::fs::create_dir(home.path().join("victim")).unwrap();
        let mut session = session(home.path());
        run(shell, &mut session, "cd work");
        std::fs::rename(home.path().join("work"), home.path().join("moved")).unwrap();
        std::os::unix::fs::symlink("victim", home.path().join("work")).unwrap();
        let ran = run(shell, &mut session, "touch x; echo ran");
        assert_eq!(ran.out, "");
        assert!(ran.settled.notices[0].contains("nothing was run"), "{:?}", ran.settled);
        assert_eq!((session.directory(), session.status()), (session.home.as_str(), 1));
        assert!(!home.path().join("victim/x").exists());
        // Through the link, the next line is judged where the link leads.
        run(shell, &mut session, "cd work");
        assert_eq!(session.directory(), home.path().canonicalize().unwrap().join("victim").to_str().unwrap());
    }
}

#[test]
fn what_changes_programs_is_kept_only_as_it_was_read() {
    for shell in shells() {
        let home = home();
        let mut session = session(home.path());
        run(shell, &mut session, "PATH=/usr/bin:/bin; IFS=,");
        assert_eq!(session.scope().variables["PATH"], "/usr/bin:/bin");
        assert_eq!(run(shell, &mut session, "x=a,b; printf '%s.' $x").out, "a.b.");
        for line in ["PATH=$(echo /evil)", "export K=$(date)", "BASH_ENV=/x", "a=(1 2)", "printf -v b '%05000d' 1"] {
            let ran = run(shell, &mut session, line);
            assert!(ran.settled.notices[0].starts_with("not kept"), "{line}: {:?}", ran.settled);
        }
        assert!(session.variables.keys().eq(["IFS", "x"]));
        assert_eq!(
            run(shell, &mut session, "umask 077").settled.notices,
            ["what umask changed held for this line only"]
        );
    }
}

fn forged(text: &str, reading: &Reading, session: &mut Session) -> Settled {
    let nonce = Nonce::new(NONCE);
    let mut filter = TrailerFilter::new(nonce.as_str());
    let out = filter.feed(format!("\x1b]7337;{} {text}\x07", nonce.as_str()).as_bytes());
    assert!(out.is_empty());
    let (_, after, _) = filter.finish();
    session.settle(reading, after, &Exit::Status(0))
}

#[test]
fn a_forged_trailer_sets_only_what_the_line_may_set() {
    let mut session = Session::new("agent", "box", "/home/agent");
    let reading = read("x=1; PATH=/bin; ./prog", &session.scope(), &Limits::default());
    let names = "PATH:1=/evil LD_PRELOAD:1=/evil BASH_ENV:1=/evil IFS:1=x PS4:1=x GIT_SSH:1=x y:1=x x:1=evil";
    forged(&format!("e 0 /etc /tmp {names}"), &reading, &mut session);
    assert!(session.variables.keys().eq(["x"]));
    assert_eq!(
        (session.scope().variables["x"].as_str(), session.scope().variables["OLDPWD"].as_str()),
        ("evil", "/tmp")
    );
    assert_eq!(session.scope().variables["GIT_PAGER"], "cat");
    assert_eq!(session.directory(), "/etc");
    assert!(!session.variables["x"].exported);
    // Directories that are none.
    for directory in ["a", "/a/..", "/a//b", "/a/", "$'/a\\000b'", "$'/\\377'", "''"] {
        forged(&format!("e 0 {directory} /"), &reading, &mut session);
        assert_eq!(session.directory(), "/etc", "{directory}");
    }
    // The end of a session is the text's to say.
    assert!(!forged("x 0 /etc /", &reading, &mut session).ended);
}

#[test]
fn values_are_bounded() {
    let mut session = Session::new("agent", "box", "/home/agent");
    let long = "'".repeat(VALUE);
    for name in ["a", "b", "c", "d", "e"] {
        session.given(name, &long);
    }
    assert!(session.variables.len() < 5);
    let mut session = Session::new("agent", "box", "/home/agent");
    (0..200).for_each(|index| session.given(&format!("v{index}"), ""));
    assert_eq!(session.variables.len(), VARIABLES);
    for name in ["", "1", "a b", "a;b", "BASH_ENV", "_", "UID", "PWD", "é"] {
        assert!(!is_kept(name), "{name}");
    }
    let reading = read("ls", &session.scope(), &Limits::default());
    let line = format!("echo {}", "'".repeat(40_000));
    assert_eq!(session.frame(&line, &reading, &Nonce::new(NONCE)), Err(Unframed::TooLong));
}

#[test]
fn the_prompt_shows_where_one_is() {
    let mut session = Session::new("agent", "box", "/home/agent");
    assert_eq!(session.prompt(), "agent@box:~$ ");
    for (directory, shown) in [
        ("/home/agent/w", "~/w"),
        ("/home/agent2", "/home/agent2"),
        ("/", "/"),
        ("/a\u{1b}[31m\n\u{202e}", "/a<U+001B>[31m<U+000A><U+202E>"),
    ] {
        session.directory = directory.to_owned();
        assert_eq!(session.prompt(), format!("agent@box:{shown}$ "));
    }
}

#[test]
fn no_pager_takes_commands() {
    for shell in shells() {
        let home = home();
        let mut session = session(home.path());
        let shown = run(shell, &mut session, "env | grep -E '^(GIT_PAGER|PAGER|LESSSECURE|AWS_PAGER)=' | sort").out;
        assert_eq!(shown, "AWS_PAGER=\nGIT_PAGER=cat\nLESSSECURE=1\nPAGER=cat\n");
        run(shell, &mut session, "PAGER=less");
        assert_eq!(run(shell, &mut session, "env | grep ^PAGER=").out, "PAGER=less\n");
        run(shell, &mut session, "unset PAGER");
        assert_eq!(run(shell, &mut session, "echo $PAGER").out, "cat\n");
        for line in ["unset PAGER", "GIT_PAGER=less git log", "export -n LESSSECURE", "LESSSECURE= git log"] {
            let reading = read(line, &session.scope(), &Limits::default());
            let configures = |operation: &portcullis_model::Operation| operation.to_string().starts_with("configure");
            assert!(reading.operations.iter().any(configures), "{line}: {:?}", reading.operations);
        }
    }
}
