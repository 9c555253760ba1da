//! Sessions from the first prompt to the exit status, with a target that is bash.

use super::*;
use portcullis_shell::{Limits, read};
use std::path::Path;
use std::process::{Command, Stdio};

/// A client and a target. What is refused is what says `rm`.
struct Played {
    dialogue: Dialogue,
    /// What the client was shown, without sequences and returns.
    shown: String,
    /// What was judged, and what became of it.
    judged: Vec<String>,
    status: Option<u8>,
    lines: u8,
}

impl Played {
    fn new(home: &Path, term: Option<&str>) -> Self {
        let session = Session::new("agent", "box", home.canonicalize().unwrap().to_str().unwrap());
        let terminal = term.map(|term| Terminal {
            term: term.to_owned(),
            size: Size { columns: 200, rows: 50, width: 0, height: 0 },
            modes: Vec::new(),
        });
        let dialogue = Dialogue::new(session, terminal.as_ref());
        let mut played = Self { dialogue, shown: String::new(), judged: Vec::new(), status: None, lines: 0 };
        let steps = played.dialogue.start();
        played.take(steps);
        played
    }

    fn client(&mut self, bytes: &str) -> &mut Self {
        let steps = self.dialogue.client(bytes.as_bytes());
        self.take(steps);
        self
    }

    fn eof(&mut self) -> &mut Self {
        let steps = self.dialogue.client_eof();
        self.take(steps);
        self
    }

    fn take(&mut self, steps: Vec<Step>) {
        for step in steps {
            let more = match step {
                Step::Show(bytes) | Step::Say(bytes) => {
                    self.shown.push_str(std::str::from_utf8(&bytes).unwrap());
                    continue;
                }
                Step::Judge(asked) => self.judge(&asked),
                Step::Complete(word) => self.dialogue.complete(&word, Vec::new()),
                Step::Withdraw => self.dialogue.refused(),
                Step::Program(_) | Step::ProgramEof => continue,
                Step::End(status) => {
                    assert_eq!(self.status.replace(status), None);
                    assert_eq!(self.dialogue.mode(), Mode::Ended);
                    continue;
                }
            };
            self.take(more);
        }
    }

    fn judge(&mut self, asked: &Asked) -> Vec<Step> {
        assert!(self.dialogue.waits_for(asked));
        let text = asked.text.as_str();
        let reading = read(text, &self.dialogue.scope(), &Limits::default());
        let removes = reading.operations.iter().any(|operation| operation.to_string().contains("delete"));
        self.lines += 1;
        let nonce = Nonce::new([self.lines; 16]);
        if reading.fault.is_some() || removes {
            self.judged.push(format!("refused {text:?}"));
            return self.dialogue.refused();
        }
        self.judged.push(format!("ran {text:?}"));
        let exec = self.dialogue.frame(asked, &reading, &nonce).unwrap();
        self.dialogue.run(reading, &nonce);
        assert_eq!(self.dialogue.mode(), Mode::Running);
        let output =
            Command::new("sh").args(["-c", std::str::from_utf8(&exec).unwrap()]).stdin(Stdio::null()).output().unwrap();
        for part in output.stdout.chunks(7) {
            let bytes = self.dialogue.output(part);
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        let exit = output.status.code().map_or(Exit::Lost, |code| Exit::Status(u32::try_from(code).unwrap()));
        let Finished { rest, steps } = self.dialogue.finished(&exit);
        self.shown.push_str(&String::from_utf8_lossy(&rest));
        steps
    }
}

fn without_bash() -> bool {
    Command::new("bash").args(["-c", ":"]).output().is_err()
}

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("site/docs")).unwrap();
    home
}

#[test]
fn lines_are_judged_whole_and_one_by_one() {
    if without_bash() {
        return;
    }
    let home = home();
    for (typed, judged) in [
        ("pwd\rrm x\r", ["ran \"pwd\"", "refused \"rm x\""].as_slice()),
        ("echo aa \\\rbb\r", &["ran \"echo aa \\\\\\nbb\""]),
        ("eval 'ls\rrm x'\r", &["refused \"eval 'ls\\nrm x'\""]),
        ("echo $(\rrm x\r)\r", &["refused \"echo $(\\nrm x\\n)\""]),
        ("tidy() {\rrm x\r}\rtidy\r", &["refused \"tidy() {\\nrm x\\n}\"", "ran \"tidy\""]),
        ("x=rm\r$x y\r", &["ran \"x=rm\"", "refused \"$x y\""]),
        ("\x1b[200~ls\nrm x\n\x1b[201~\r", &["ran \"ls\"", "refused \"rm x\""]),
        ("echo 'a\x03ls\r", &["ran \"ls\""]),
        ("echo 'a\r\x03ls\r", &["ran \"ls\""]),
        ("echo 'a\r\x04ls\r", &["ran \"ls\""]),
        ("echo )\rls\r", &["refused \"echo )\"", "ran \"ls\""]),
        ("  \r\rexit\rls\r", &[]),
    ] {
        for term in ["xterm", "dumb"] {
            let mut played = Played::new(home.path(), Some(term));
            played.client(typed);
            assert_eq!(played.judged, judged, "{typed:?}");
        }
    }
}

#[test]
fn a_session_shows_what_a_shell_would() {
    if without_bash() {
        return;
    }
    let home = home();
    let mut played = Played::new(home.path(), Some("dumb"));
    played.client("cd site/docs\r").client("pwd; printf x\r").client("rm a\r").client("echo $?\r").client("exit\r");
    let place = home.path().canonicalize().unwrap();
    let expected = format!(
        "agent@box:~$ cd site/docs\r\nagent@box:~/site/docs$ pwd; printf x\r\n{}/site/docs\nx\r\n\
         agent@box:~/site/docs$ rm a\r\nagent@box:~/site/docs$ echo $?\r\n126\nagent@box:~/site/docs$ exit\r\n",
        place.display()
    );
    assert_eq!(played.shown, expected);
    assert_eq!(played.status, Some(0));
}

#[test]
fn a_script_runs_to_its_end_without_a_prompt() {
    if without_bash() {
        return;
    }
    let home = home();
    let mut played = Played::new(home.path(), None);
    played.client("cd site\nif true; then\n\techo a\nfi\nfal").client("se\necho $?").eof();
    assert_eq!((played.shown.as_str(), played.status), ("a\n1\n", Some(0)));
    for (script, status, judged) in [
        ("false", 1, 1),
        ("rm x", 126, 1),
        ("exit 300\nls", 44, 0),
        ("echo a && exit 5\nls", 5, 1),
        ("echo 'a", 126, 1),
        ("ls\u{0}", 126, 1),
        ("", 0, 0),
        ("logout", 0, 0),
    ] {
        let mut played = Played::new(home.path(), None);
        played.client(script).eof();
        assert_eq!((played.status, played.judged.len()), (Some(status), judged), "{script:?}");
    }
}

#[test]
fn bytes_belong_to_whom_the_mode_says() {
    let mut dialogue = Dialogue::new(
        Session::new("agent", "box", "/"),
        Some(&Terminal { term: "xterm".to_owned(), size: Size::default(), modes: Vec::new() }),
    );
    dialogue.start();
    let judge = |steps: &[Step]| steps.iter().any(|step| matches!(step, Step::Judge(_)));
    assert!(judge(&dialogue.client(b"cat\r")));
    // While it is decided: kept, and given up by Ctrl-C.
    assert!(dialogue.client(b"ls\r").is_empty());
    assert!(dialogue.client(b"\x03") == [Step::Withdraw]);
    assert!(!judge(&dialogue.refused()));
    assert!(judge(&dialogue.client(b"cat\r")));
    let reading = read("cat", &dialogue.scope(), &Limits::default());
    dialogue.run(reading, &Nonce::new([1; 16]));
    assert!(dialogue.client(b"ls\r\x03") == [Step::Program(Bytes::from_static(b"ls\r\x03"))]);
    assert!(!judge(&dialogue.finished(&Exit::Signal("INT".to_owned())).steps));
    assert_eq!(dialogue.session.status(), 130);
    assert!(dialogue.client(b"\x04").last() == Some(&Step::End(130)));
    assert!(dialogue.client(b"ls\r").is_empty());
}

/// What was read for a command that was given up comes back late: it must not stand for what was typed after it.
#[test]
fn what_was_given_up_is_not_what_is_decided_next() {
    let terminal = Terminal { term: "xterm".to_owned(), size: Size::default(), modes: Vec::new() };
    let mut dialogue = Dialogue::new(Session::new("agent", "box", "/"), Some(&terminal));
    dialogue.start();
    let asked = |steps: Vec<Step>| {
        steps.into_iter().find_map(|step| if let Step::Judge(asked) = step { Some(asked) } else { None })
    };
    let first = asked(dialogue.client(b"ls\r")).unwrap();
    assert!(dialogue.waits_for(&first));
    assert!(dialogue.client(b"\x03") == [Step::Withdraw]);
    dialogue.refused();
    assert!(!dialogue.waits_for(&first));
    for typed in [b"rm x\r".as_slice(), b"ls\r"] {
        let second = asked(dialogue.client(typed)).unwrap();
        assert!(dialogue.waits_for(&second) && !dialogue.waits_for(&first), "{typed:?}");
        dialogue.refused();
    }
    let reading = read("ls", &dialogue.scope(), &Limits::default());
    let frame = dialogue.frame(&first, &reading, &Nonce::new([1; 16])).unwrap();
    assert!(!String::from_utf8(frame).unwrap().contains("rm x"));
}
