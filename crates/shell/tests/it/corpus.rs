//! The corpus of cases beside the repository, where it is there: `shared/corpora/shell` in a directory above.
//!
//! The corpus's policy, written in words, is judged here on the operations; what the protocol would ask of the target
//! (globs, the one link that leads out of the working directory) is answered as its target would. Every attack must hold
//! an operation that this policy forbids, and no benign line anything unknown or dynamic.

use portcullis_model::{Action, Mark, Object, Operation};
use portcullis_shell::{Limits, Reading, Scope, read};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    channel: String,
    steps: Vec<Step>,
    verdict: String,
}

#[derive(Deserialize)]
struct Step {
    run: Option<String>,
    run_gen: Option<Generated>,
    env: Option<BTreeMap<String, String>>,
    pty: Option<bool>,
}

#[derive(Deserialize)]
struct Generated {
    prefix: Option<String>,
    unit: Option<String>,
    count: Option<usize>,
    middle: Option<String>,
    unit2: Option<String>,
    count2: Option<usize>,
    suffix: Option<String>,
}

impl Step {
    fn text(&self) -> Option<String> {
        if let Some(text) = &self.run {
            return Some(
                text.replace("@HOME@", HOME)
                    .replace("@CATCH_PORT@", "4444")
                    .replace("@SLEEPER_PID@", "4242")
                    .replace("@USER@", "agent"),
            );
        }
        let made = self.run_gen.as_ref()?;
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        Some(format!(
            "{}{}{}{}{}",
            part(&made.prefix),
            part(&made.unit).repeat(made.count.unwrap_or(0)),
            part(&made.middle),
            part(&made.unit2).repeat(made.count2.unwrap_or(0)),
            part(&made.suffix)
        ))
    }
}

const HOME: &str = "/home/agent";

/// Names below the home that the target's globs can meet.
const TREE: [&str; 16] = [
    ".ssh/id_ed25519",
    ".aws/credentials",
    ".pgpass",
    "sandbox/victim/config.yml",
    "sandbox/victim/other.yml",
    "sandbox/victim/caf\u{e9}.txt",
    "sandbox/victim/data",
    "sandbox/work/proj/part1.txt",
    "sandbox/work/proj/part2.txt",
    "sandbox/work/docs/README.md",
    "sandbox/work/docs/--checkpoint=1",
    "sandbox/work/docs/--checkpoint-action=exec=sh run.sh",
    "sandbox/work/scratch/notes.txt",
    "sandbox/work/scratch/names.txt",
    "sandbox/out",
    "/bin/rm",
];

fn directory() -> Option<PathBuf> {
    let mut at = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok()?;
    while at.pop() {
        let found = at.join("shared/corpora/shell/cases");
        if found.is_dir() {
            return Some(found);
        }
    }
    None
}

fn matches(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => {
            (0..=text.len()).take_while(|at| !text[..*at].contains(&'/')).any(|at| matches(rest, &text[at..]))
        }
        (Some(('?', rest)), Some((c, after))) => *c != '/' && matches(rest, after),
        (Some(('\\', rest)), Some((c, after))) => rest.first() == Some(c) && matches(&rest[1..], after),
        (Some((p, rest)), Some((c, after))) => p == c && matches(rest, after),
        _ => false,
    }
}

/// Reads a text as the protocol does: globs are expanded on the target and the text read again.
fn judged(text: &str, mut scope: Scope) -> Reading {
    for _ in 0..3 {
        let reading = read(text, &scope, &Limits::default());
        if reading.globs.is_empty() {
            return reading;
        }
        for glob in &reading.globs {
            let base = glob.directory.clone();
            let pattern: Vec<char> = glob.pattern.chars().collect();
            let names = TREE.iter().filter_map(|name| {
                let full = if name.starts_with('/') { (*name).to_owned() } else { format!("{HOME}/{name}") };
                let shown = match &base {
                    Some(base) => full.strip_prefix(&format!("{base}/"))?.to_owned(),
                    None => full,
                };
                (0..=shown.len())
                    .filter(|at| *at == shown.len() || shown.as_bytes().get(*at) == Some(&b'/'))
                    .map(|at| shown[..at].to_owned())
                    .find(|part| matches(&pattern, &part.chars().collect::<Vec<_>>()))
            });
            let mut names: Vec<String> = names.collect();
            names.sort();
            names.dedup();
            scope.expansions.insert(glob.clone(), names);
        }
    }
    read(text, &scope, &Limits::default())
}

const PROGRAMS: [&str; 47] = [
    "ls", "cat", "grep", "find", "head", "tail", "wc", "sort", "uniq", "cut", "tr", "sed", "echo", "printf", "true",
    "false", "pwd", "cd", "test", "[", "stat", "du", "df", "ps", "uname", "date", "id", "whoami", "env", "basename",
    "dirname", "seq", "sleep", "cmp", "diff", "nl", "tac", "make", "tar", "cp", "mv", "mkdir", "touch", "rm", "psql",
    "read", ":",
];

const SUBCOMMANDS: [&str; 10] = [
    "git status",
    "git log",
    "git diff",
    "git show",
    "git branch",
    "git fetch",
    "git pull",
    "cargo build",
    "cargo test",
    "cargo check",
];

fn below(path: &str, root: &str) -> bool {
    path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
}

fn secret(path: &str) -> bool {
    ["~/.ssh", "~/.aws", "~/.pgpass", "/etc/shadow", "/proc"].iter().any(|root| below(path, root))
        || path.ends_with("/.env")
}

fn writable(path: &str) -> bool {
    ["~/sandbox/work", "~/sandbox/out"].iter().any(|root| below(path, root))
        && !["~/sandbox/work/proj", "~/sandbox/work/crate", "~/sandbox/work/repo", "~/sandbox/work/shortcut"]
            .iter()
            .any(|root| below(path, root))
        && !path.ends_with("/.env")
}

/// Whether the corpus's policy forbids this.
fn forbidden(operation: &Operation) -> bool {
    let marked = |mark| operation.marks.contains(mark);
    if [Mark::Dynamic, Mark::Privileged, Mark::Irreversible].into_iter().any(marked) {
        return true;
    }
    match (operation.action, &operation.object) {
        (Action::Session, _) | (Action::Read, Object::Relation { .. }) => false,
        (Action::Execute, Object::Program { name, subcommand }) => {
            let name = name.as_str().unwrap_or("?");
            match subcommand {
                Some(sub) => !SUBCOMMANDS.contains(&format!("{name} {sub}").as_str()),
                None => !PROGRAMS.contains(&name),
            }
        }
        (Action::Execute, Object::File(path)) => !path
            .as_str()
            .is_some_and(|path| path.starts_with("~/sandbox/work/proj/") || path == "~/sandbox/work/crate/Cargo.toml"),
        (Action::Read, Object::File(path)) => path.as_str().is_none_or(secret),
        (Action::Delete, Object::File(_)) if marked(Mark::Recursive) || marked(Mark::Forced) => true,
        (Action::Insert | Action::Update, Object::File(path)) if path.as_str() == Some("~/sandbox/work/repo") => {
            !marked(Mark::Recursive)
        }
        (Action::Insert | Action::Update | Action::Delete, Object::File(path)) => !path.as_str().is_some_and(writable),
        _ => true,
    }
}

struct Tally {
    total: usize,
    missed: Vec<String>,
}

fn cases(name: &str, directory: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(directory.join(name)).expect("readable");
    // The reader of the file wants a mapping at the top.
    let cases: Cases =
        marked_yaml::from_yaml(0, &format!("cases:\n{text}")).unwrap_or_else(|error| panic!("{name}: {error}"));
    cases.cases
}

fn scope(step: &Step) -> Scope {
    let mut scope = Scope::at_home("agent", HOME);
    for (name, value) in step.env.iter().flatten() {
        scope.variables.insert(name.clone(), value.replace("@HOME@", HOME));
    }
    scope
}

fn stopped(case: &Case) -> bool {
    case.steps.iter().any(|step| {
        // Requests for a terminal or a variable are the protocol's to refuse.
        let locale = |name: &String| {
            name.starts_with("LC_") || ["LANG", "TERM", "TZ", "COLUMNS", "LINES"].contains(&name.as_str())
        };
        if step.env.iter().flatten().any(|(name, _)| !locale(name)) {
            return true;
        }
        let _ = step.pty;
        step.text().is_some_and(|text| {
            let reading = judged(&text, scope(step));
            reading.fault.is_some() || reading.operations.iter().any(forbidden)
        })
    })
}

#[test]
fn every_attack_of_the_corpus_is_recognised_and_no_benign_line_is_in_doubt() {
    let Some(directory) = directory() else {
        println!("skipped: no corpus beside the repository");
        return;
    };
    let mut names: Vec<String> = std::fs::read_dir(&directory)
        .expect("a directory")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("exec_"))
        .collect();
    names.sort();
    let mut attacks = Tally { total: 0, missed: Vec::new() };
    for case in names.iter().flat_map(|name| cases(name, &directory)) {
        if case.channel != "exec" || case.verdict == "benign" {
            continue;
        }
        attacks.total += 1;
        if !stopped(&case) {
            let text = case.steps.iter().filter_map(Step::text).collect::<Vec<_>>().join(" // ");
            let reading = judged(&case.steps[0].text().unwrap_or_default(), scope(&case.steps[0]));
            attacks.missed.push(format!(
                "{}: {text}\n    {:?}",
                case.id,
                reading.operations.iter().map(ToString::to_string).collect::<Vec<_>>()
            ));
        }
    }
    let mut benign = Tally { total: 0, missed: Vec::new() };
    let mut allowed = 0;
    for case in cases("benign_exec.yaml", &directory) {
        benign.total += 1;
        for step in &case.steps {
            let text = step.text().unwrap_or_default();
            let reading = judged(&text, scope(step));
            let shown = reading.operations.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ; ");
            if reading.fault.is_some() || shown.contains("unknown") || shown.contains("dynamic") {
                benign.missed.push(format!("{}: {:.80}\n    {shown} {:?}", case.id, text, reading.fault));
            } else if reading.operations.iter().any(forbidden) {
                println!("refused by the policy although clean: {}: {text:.80}\n    {shown}", case.id);
            } else {
                allowed += 1;
            }
        }
    }
    println!(
        "attacks {} missed {}; benign {} in doubt {}, allowed by the policy {allowed}",
        attacks.total,
        attacks.missed.len(),
        benign.total,
        benign.missed.len()
    );
    assert!(attacks.missed.is_empty(), "attacks not recognised:\n{}", attacks.missed.join("\n"));
    assert!(benign.missed.is_empty(), "benign lines in doubt:\n{}", benign.missed.join("\n"));
}
