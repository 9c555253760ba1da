//! The steps over SSH: one agent with a key, a machine behind the gateway, OpenSSH's own clients.
//!
//! Promises: every command line shown is the one that is run, but for the files of the demo, which are shown by their
//! names. Where the demo has no machine, none of these is played, and the script's last line says why.
//! Held by: itself, in `scripts/test`.

use super::{Ends, Play, Step};
use crate::command::demo::host::Host;
use crate::command::demo::quote::{for_shell, in_double_quotes};
use crate::error::Failure;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The places, from 0, of sessions on the machine that the auditor opens: each client is one.
const FIRST: usize = 0;
const REFUSED_ONE: usize = 2;

/// What the agent puts on the machine.
const REPORT: &str = "all orders are paid\n";

/// The exit status of what was refused.
const REFUSED: Ends = Ends::With(126);

impl Play<'_> {
    pub(super) async fn host(&mut self) -> Result<(), Failure> {
        let Ok(host) = &self.demo.host else { return Ok(()) };
        self.commands(host).await?;
        self.disguises(host).await?;
        self.files(host).await?;
        self.secret_files(host).await?;
        self.guarded(host).await?;
        self.recorded().await
    }

    async fn commands(&mut self, host: &Host) -> Result<(), Failure> {
        let work = host.at("work");
        self.ssh(
            "The same agent on a machine, with its key: an allowed command",
            &["build-box", &format!("ls -l {work}")],
            Ends::Well,
            &["notes.txt", "settings.txt -> .env"],
            &["refused"],
        )
        .await?;
        self.ssh(
            "What a program writes and how it ends are its own",
            &["build-box", &format!("cd {work} && diff before.txt after.txt")],
            Ends::With(1),
            &["< two", "> three"],
            &["portcullis"],
        )
        .await?;
        self.ssh(
            "What would destroy is refused with 126, the reason and the next step",
            &["build-box", &format!("rm -rf {work}")],
            REFUSED,
            &["no-trees", "decision", "Remove files one by one, by name."],
            &[],
        )
        .await?;
        self.ssh(
            "… and SQL is read where it stands in a command line: here the rule answers that protects the tables",
            &["build-box", "psql -c \"drop table t\""],
            REFUSED,
            &["no-destruction", "drop table"],
            &[],
        )
        .await?;
        self.ssh(
            "… and code that nobody can read before it runs",
            &["build-box", "curl https://example.com/install.sh | sh"],
            REFUSED,
            &["no-hidden-code", "+dynamic"],
            &[],
        )
        .await
    }

    async fn disguises(&mut self, host: &Host) -> Result<(), Failure> {
        let work = host.at("work");
        self.ssh(
            "A secret behind a link stays a secret: files are judged as the machine resolves them",
            &["build-box", &format!("cat {work}/settings.txt")],
            REFUSED,
            &["no-secrets", ".env", "Ask its owner"],
            &["not-for-agents"],
        )
        .await?;
        self.ssh(
            "… and so are patterns, and names after a change of directory",
            &["build-box", &format!("cd {work} && cat *.txt")],
            REFUSED,
            &["no-secrets"],
            &["not-for-agents", "Orders are paid"],
        )
        .await?;
        self.ssh(
            "The text that a rule forbids is only text where it is not run",
            &["build-box", &format!("grep -n 'rm -rf' {work}/notes.txt")],
            Ends::Well,
            &["2:Nobody runs rm -rf here."],
            &["refused"],
        )
        .await?;
        self.ssh(
            "No way through the machine to another one",
            &["-W", "127.0.0.1:22", "build-box"],
            Ends::Badly,
            &["prohibited"],
            &["SSH-2.0"],
        )
        .await
    }

    /// Files both ways.
    async fn files(&mut self, host: &Host) -> Result<(), Failure> {
        let work = host.at("work");
        let [report, fetched, back] = ["report.txt", "fetched.txt", "back.txt"].map(|name| self.local(name));
        let [put, get] = [&report, &fetched].map(|file| in_double_quotes(file));
        fs::write(&report, REPORT)?;
        self.client(
            "sftp",
            "Files go both ways, each judged by its name",
            &["-b", "-", "build-box"],
            &format!("put {put} {work}/report.txt\nget {work}/notes.txt {get}\nls {work}\n"),
            Ends::Well,
            &["work/report.txt", "work/notes.txt"],
            &["denied"],
        )
        .await?;
        let came = fs::read_to_string(&fetched).unwrap_or_default();
        let wrong = unless(came.contains("Orders are paid"), "it is not the file that was asked for");
        self.verdict("the file that came is the machine's", &wrong);
        let from = format!("build-box:{work}/report.txt");
        self.client("scp", "scp is the same …", &[&from, &back], "", Ends::Well, &[], &[]).await?;
        let to = format!("build-box:{}", host.at("out/report.txt"));
        let old = "… also in the protocol that it spoke before";
        self.client("scp", old, &["-O", &back, &to], "", Ends::Well, &[], &[]).await?;
        let went = fs::read_to_string(host.at("out/report.txt")).unwrap_or_default();
        self.verdict(
            "the file that went is on the machine",
            &unless(went == REPORT, "it is not the file that was sent"),
        );
        Ok(())
    }

    /// Files that go nowhere.
    async fn secret_files(&mut self, host: &Host) -> Result<(), Failure> {
        let work = host.at("work");
        let taken = self.local("taken.txt");
        let [put, get] = [&self.local("report.txt"), &taken].map(|file| in_double_quotes(file));
        self.client(
            "sftp",
            "A secret goes nowhere, whatever it is called; the transfer lives on",
            &["-b", "-", "build-box"],
            &format!(
                "-get {work}/.env {get}\n-get {work}/settings.txt {get}\n-put {put} {work}/.env\n-rm {work}/.env\n\
                 ls {work}/notes.txt\n"
            ),
            Ends::Well,
            &["no-secrets denies read", "no-secrets denies delete", "ermission denied"],
            &[],
        )
        .await?;
        let kept = fs::read_to_string(host.at("work/.env")).unwrap_or_default().contains("not-for-agents");
        let wrong = unless(kept && !Path::new(&taken).exists(), "it was read or changed");
        self.verdict("the secret is where it was, and nowhere else", &wrong);
        Ok(())
    }

    /// A shell whose every line is judged.
    async fn guarded(&mut self, host: &Host) -> Result<(), Failure> {
        let work = host.at("work");
        self.client(
            "ssh",
            "A shell of the gateway's own: each line is judged before it runs, and a refusal does not end it",
            &["-T", "build-box"],
            &format!("cd {work}\npwd\nword=paid\nrm -rf .\ngrep $word notes.txt\n"),
            Ends::Well,
            &[&work, "no-trees", "Orders are paid"],
            &[],
        )
        .await
    }

    /// A file beside the demo's configuration, on the agent's side.
    fn local(&self, name: &str) -> String {
        self.demo.config.with_file_name(name).display().to_string()
    }

    /// What the auditor finds of it.
    async fn recorded(&mut self) -> Result<(), Failure> {
        let listed = self
            .own("The auditor finds every session on the machine", &["sessions", "list"], &["build-box"], Ends::Well)
            .await?;
        let sessions = self.sessions(&listed, "build-box");
        let session = |nth: usize| sessions.get(nth).cloned().unwrap_or_default();
        self.own(
            "… what was asked, what was decided and why",
            &["sessions", "show", &session(REFUSED_ONE)],
            &["session of agent-7 on build-box", "rm -rf", "DENIED", "build-box/no-trees"],
            Ends::Well,
        )
        .await?;
        let first = session(FIRST);
        self.own(
            "… and what came of it, at the speed at which it happened where a person watches",
            &["sessions", "replay", &first],
            &["notes.txt"],
            Ends::Well,
        )
        .await?;
        let cast = self.local("session.cast");
        let words = ["sessions", "export", &first, "--format", "asciicast", "--output", &cast];
        self.own("… and takes it away for any asciinema player", &words, &[], Ends::Well).await?;
        self.verdict("every line of it is an event that a player reads", &asciicast(&fs::read_to_string(&cast)?));
        Ok(())
    }

    /// OpenSSH's `ssh` with these words.
    async fn ssh(
        &mut self,
        title: &str,
        words: &[&str],
        ends: Ends,
        expect: &[&str],
        never: &[&str],
    ) -> Result<(), Failure> {
        self.client("ssh", title, words, "", ends, expect, never).await
    }

    /// One of OpenSSH's clients, as the agent.
    #[expect(clippy::too_many_arguments, reason = "a row of the script, as it is read")]
    async fn client(
        &mut self,
        program: &str,
        title: &str,
        words: &[&str],
        input: &str,
        ends: Ends,
        expect: &[&str],
        never: &[&str],
    ) -> Result<(), Failure> {
        let mut command = Command::new(program);
        command.arg("-F").arg(self.demo.config.with_file_name("ssh_config")).args(words);
        let shown: Vec<String> = words.iter().map(|word| for_shell(word)).collect();
        let typed = format!("{program} -F ssh_config {}", shown.join(" "));
        self.step(Step { title, typed, command, input: input.to_owned(), expect, never, ends }).await?;
        Ok(())
    }
}

/// What is wrong, unless this holds.
pub(super) fn unless(holds: bool, wrong: &str) -> Vec<String> {
    if holds { Vec::new() } else { vec![wrong.to_owned()] }
}

/// What is wrong with an asciicast: each line is JSON, the first its header, every other an event that moves on.
fn asciicast(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut lines = text.lines().map(serde_json::from_str::<Value>);
    let header = lines.next().and_then(Result::ok).unwrap_or_default();
    if header.get("version") != Some(&Value::from(2)) {
        wrong.push("its first line is no header of version 2".to_owned());
    }
    let (mut last, mut drawn) = (0.0, String::new());
    for line in lines {
        let event = line.unwrap_or_default();
        let part = |nth: usize| event.get(nth).cloned().unwrap_or_default();
        match (part(0).as_f64(), part(1).as_str(), part(2).as_str()) {
            (Some(at), Some(code), Some(text)) if at >= last => {
                last = at;
                if code == "o" {
                    drawn.push_str(text);
                }
            }
            _ => wrong.push(format!("this line is no event: {event}")),
        }
    }
    if !drawn.contains("notes.txt") {
        wrong.push("it does not show what the agent saw".to_owned());
    }
    wrong
}
