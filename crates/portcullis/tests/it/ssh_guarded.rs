//! The guarded shell as people and scripts meet it: on a real terminal, on none, and in the record; and the raw shell
//! where a rule gives one.
//!
//! Output is recognised by what no echo of the typed line contains. Each test has a gateway and a session of its own.

use crate::ssh::{Host, Ran};
use crate::ssh_talk::{Talk, runs, unique, until};
use portcullis_testkit::process::run;
use std::process::Command;

const POLICY: &str = r#"
bundle: hosts
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: sessions
    allow: { actions: [connect], objects: ["session guarded"] }
  - id: programs
    allow:
      actions: [execute]
      objects: ["program {true,false,echo,cat,wc,seq,sleep,head,printf,pwd,cd,touch,rm,ls,exit,export,unset,tty}"]
  - id: variables
    allow: { actions: [configure], objects: ["setting MY_*"] }
  - id: read
    allow: { actions: [read], objects: ["file **"] }
  - id: write
    allow: { actions: [write], objects: ["file /tmp/pc-ssh-*/**"] }
  - id: no-secrets
    deny: { actions: [any], objects: ["file **/secret*"] }
    message: Ask the owner of the secret.
"#;

const RAW: &str = r#"
bundle: raw
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: shells
    allow: { actions: [connect], objects: ["session shell"] }
"#;

/// `stty` is in no table of programs, so what else it does is not known.
const SIZES: &str = "  - id: sizes\n    allow: { actions: [execute, unknown], objects: [\"program stty\", unknown] }\n";

const PROMPT: &str = "$ ";

fn opened(policy: &str) -> Option<(Host, Talk)> {
    let host = Host::with(policy, "")?;
    let mut talk = host.terminal(&["127.0.0.1"])?;
    talk.expect(PROMPT);
    Some((host, talk))
}

fn script(host: &Host, lines: &str) -> Ran {
    host.ssh(&["-T", "127.0.0.1"], lines.as_bytes())
}

#[test]
fn directory_variables_and_status_are_kept_between_lines() {
    let Some((host, mut talk)) = opened(POLICY) else { return };
    let at = host.work.display();
    talk.line(&format!("cd {at}"), "$ ");
    talk.command("pwd", &format!("2004l{at}\r\n"));
    talk.line("MY_WORD=kept", "$ ");
    talk.command("printf '<%s>\\n' \"$MY_WORD\"", "<kept>");
    talk.line("false", "$ ");
    talk.command("echo \"status=$?\"", "status=1\r\n");
    talk.command("echo x > new; ls", "2004lnew\r\n");
    let (shown, code) = {
        talk.send("exit 3\r");
        talk.ended()
    };
    assert_eq!(code, Some(3), "{shown:?}");
    assert_eq!(std::fs::read_to_string(host.work.join("new")).unwrap(), "x\n");
}

#[test]
fn a_refused_line_says_why_and_the_session_goes_on() {
    let Some((host, mut talk)) = opened(POLICY) else { return };
    std::fs::write(host.work.join("secret.txt"), "hidden").unwrap();
    for (line, reason) in [
        ("python3".to_owned(), "no rule allows"),
        (format!("cat {}/secret.txt", host.work.display()), "Ask the owner of the secret."),
        ("echo $(id)".to_owned(), "refused by policy"),
        ("echo 'never ends".to_owned() + "' | id -x", "refused by policy"),
    ] {
        talk.line(&line, reason);
        talk.expect(PROMPT);
    }
    talk.command("seq 41 43", "41\r\n42\r\n43\r\n");
    talk.send("\x04");
    let (shown, _) = talk.ended();
    assert!(!shown.contains("hidden"), "{shown:?}");
    host.recorded("python3");
}

#[test]
fn control_c_ends_what_runs_and_not_the_session() {
    let Some((_host, mut talk)) = opened(POLICY) else { return };
    let nonce = unique();
    talk.send(&format!("sleep {nonce}\r"));
    until("the program runs", || runs(&format!("sleep {nonce}")));
    talk.send("\x03");
    until("the program is gone", || !runs(&format!("sleep {nonce}")));
    talk.expect(PROMPT);
    talk.line("echo \"status=$?\"", "status=130\r\n");
    // At the prompt it gives the line up, and Ctrl-D ends the session.
    talk.expect(PROMPT);
    talk.send("touch never\x03");
    talk.expect(PROMPT);
    talk.line("seq 7 8", "7\r\n8\r\n");
    talk.expect(PROMPT);
    talk.send("\x04");
    talk.ended();
}

#[test]
fn a_program_reads_the_terminal_until_it_has_enough() {
    let Some((_host, mut talk)) = opened(POLICY) else { return };
    // What is typed before a line runs is the next line's: so the program is seen to run first.
    talk.line("seq 5 6; cat", "5\r\n6\r\n");
    talk.send("typed to cat\r");
    // Once as the terminal's echo, once from the program.
    talk.expect("typed to cat");
    talk.expect("typed to cat");
    talk.send("\x04");
    talk.expect(PROMPT);
    talk.line("seq 7 8; head -1", "7\r\n8\r\n");
    talk.send("one line\r");
    talk.expect("one line");
    talk.expect("one line");
    talk.expect(PROMPT);
    talk.line("seq 41 42", "41\r\n42\r\n");
    talk.expect(PROMPT);
    talk.command("tty", "/dev/pts/");
    talk.send("exit\r");
    talk.ended();
}

#[test]
fn the_window_is_the_programs_own_size() {
    // A rule that denies secrets meets what is not known, too.
    let open = POLICY.split("  - id: no-secrets").next().unwrap();
    let both = format!("{open}{SIZES}");
    let Some((_host, mut talk)) = opened(&both) else { return };
    talk.line("stty size", "30 100\r\n");
    talk.expect(PROMPT);
    // The terminal that `script` made becomes another size; ssh is told by the kernel.
    let client = crate::ssh_talk::child_named(talk.pid(), "ssh");
    let terminal = std::fs::read_link(format!("/proc/{client}/fd/0")).unwrap();
    run(Command::new("stty").arg("-F").arg(&terminal).args(["rows", "41", "cols", "132"])).unwrap();
    until("the new size is there", || {
        talk.send("stty size\r");
        talk.expect("stty size");
        talk.expect("\n");
        let shown = talk.expect(PROMPT);
        assert!(shown.contains("30 100") || shown.contains("41 132"), "{shown:?}");
        shown.contains("41 132")
    });
    talk.send("exit\r");
    talk.ended();
}

#[test]
fn a_script_without_a_terminal_runs_line_by_line() {
    let Some(host) = Host::with(POLICY, "") else { return };
    let lines = format!(
        "cd {at}\npwd\nMY_WORD=kept\necho \"word $MY_WORD\"\npython3\necho \"status $?\"\nfalse\necho \"then $?\"\n\
         echo err >&2\ntouch made\nexit 3\necho never\n",
        at = host.work.display()
    );
    let ran = script(&host, &lines);
    let expected = format!("{}\nword kept\nstatus 126\nthen 1\n", host.work.display());
    assert_eq!((ran.text(), ran.code), (expected.as_str(), Some(3)), "{ran:?}");
    assert!(ran.err.contains("refused by policy") && ran.err.contains("err\n"), "{ran:?}");
    assert!(host.work.join("made").exists());
    // Without `exit` it is the last line's status, and a last line needs no end.
    let ran = script(&host, "seq 3 4\nfalse");
    assert_eq!((ran.text(), ran.code), ("3\n4\n", Some(1)), "{ran:?}");
    // No line's program reads the rest of the script.
    let ran = script(&host, "cat\necho after\n");
    assert_eq!((ran.text(), ran.code), ("after\n", Some(0)), "{ran:?}");
    let ran = script(&host, "");
    assert_eq!((ran.text(), ran.code), ("", Some(0)), "{ran:?}");
}

#[test]
fn quotes_and_documents_go_over_several_lines() {
    let Some(host) = Host::with(POLICY, "") else { return };
    let ran = script(&host, "echo 'one\ntwo'\ncat <<END\nthree $MY_NONE.\nEND\nfor n in 4 5; do\necho $n\ndone\n");
    assert_eq!((ran.text(), ran.code), ("one\ntwo\nthree .\n4\n5\n", Some(0)), "{ran:?}");
    let Some((_host, mut talk)) = opened(POLICY) else { return };
    talk.line("printf '%s-%s\\n' 'a", "> ");
    talk.command("b' c", "a\r\nb-c\r\n");
    talk.send("exit\r");
    talk.ended();
}

#[test]
fn much_output_and_many_lines_lose_nothing() {
    let Some((_host, mut talk)) = opened(POLICY) else { return };
    talk.line("seq 1 200000", "\n200000\r\n");
    talk.expect(PROMPT);
    for number in 0..20 {
        talk.line(&format!("printf '<%s>\\n' {number}"), &format!("<{number}>\r\n"));
        talk.expect(PROMPT);
    }
    talk.send("exit\r");
    assert_eq!(talk.ended().1, Some(0));
}

#[test]
fn the_record_shows_replays_and_exports_what_the_terminal_showed() {
    let Some((host, mut talk)) = opened(POLICY) else { return };
    talk.line("seq 41 43", "41\r\n42\r\n43\r\n");
    talk.expect(PROMPT);
    talk.line("python3", "refused by policy");
    talk.expect(PROMPT);
    talk.send("exit\r");
    talk.ended();
    let record = host.recorded("session.ended");
    assert!(record.contains("seq 41 43") && record.contains("python3"), "{record}");
    let id = host.newest();
    let shown = host.gateway.command(&["sessions", "show", &id]).unwrap();
    for part in ["seq 41 43", "python3", "refused"] {
        assert!(shown.to_lowercase().contains(part), "{part}: {shown}");
    }
    let played = host.gateway.command(&["sessions", "replay", &id]).unwrap();
    // With what stands beside it: two digits alone may stand in the decision of the refusal.
    assert!(played.contains("42\r\n43\r\n") && played.contains("refused by policy"), "{played:?}");
    let cast = host.gateway.command(&["sessions", "export", &id, "--format", "asciicast"]).unwrap();
    let mut lines = cast.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let head = lines.next().unwrap();
    assert_eq!((&head["version"], &head["width"], &head["height"]), (&2.into(), &100.into(), &30.into()), "{head}");
    let drawn: String =
        lines.filter(|event| event[1] == "o").map(|event| event[2].as_str().unwrap().to_owned()).collect();
    assert!(drawn.contains("41\r\n42\r\n43\r\n") && drawn.contains("refused by policy"), "{drawn:?}");
    host.gateway.command(&["sessions", "verify"]).unwrap();
}

#[test]
fn no_shell_without_a_rule_for_it() {
    let policy = POLICY.replace("session guarded", "session sftp");
    let Some(host) = Host::with(&policy, "") else { return };
    let ran = script(&host, "echo in\n");
    assert_eq!((ran.text(), ran.code), ("", Some(126)), "{ran:?}");
    assert!(ran.err.contains("refused by policy"), "{ran:?}");
}

#[test]
fn a_raw_shell_is_the_targets_own_and_recorded() {
    let Some(host) = Host::with(RAW, "") else { return };
    let ran = script(&host, "x=4; echo $((x * 10 + 2))\nid -un >&2\nexit 6\n");
    assert_eq!((ran.text(), ran.code), ("42\n", Some(6)), "{ran:?}");
    assert!(ran.err.contains(host.server.user()), "{ran:?}");
    let Some(mut talk) = host.terminal(&["127.0.0.1"]) else { return };
    talk.line("stty size; echo $((6 * 7))", "30 100\r\n");
    talk.expect("42\r\n");
    talk.send("exit 5\r");
    let (shown, code) = talk.ended();
    assert_eq!(code, Some(5), "{shown:?}");
    host.recorded("42\\r\\n");
    let played = host.gateway.command(&["sessions", "replay", &host.newest()]).unwrap();
    assert!(played.contains("30 100"), "{played:?}");
}
