//! A supervised program ends however its owner ends. The owner is this test binary itself, run again as a child.

use portcullis_testkit::process::{Launch, ReadyOn, Supervised};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const MODE: &str = "PORTCULLIS_TESTKIT_OWNER";

fn launch(
    script: &str,
    directory: &Path,
    garbage: Option<&Path>,
) -> Result<Supervised, portcullis_testkit::TestkitError> {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Supervised::start(Launch {
        command,
        name: "program",
        directory,
        garbage,
        stop_signal: "TERM",
        ready_on: ReadyOn::Stdout,
        ready: "ready",
        patience: Duration::from_secs(20),
    })
}

/// Not a test of its own: the owner, in a child process.
#[test]
fn owner() {
    let Ok(mode) = std::env::var(MODE) else { return };
    let directory = tempfile::tempdir().unwrap().keep();
    // Ignores the stop signal, so that only the harder one ends it.
    let program = launch("trap '' TERM; echo ready; while :; do sleep 1; done", &directory, Some(&directory)).unwrap();
    println!("\nowned {} {}", program.pid().unwrap(), directory.display());
    match mode.as_str() {
        "abort" => std::process::abort(),
        "panic" => panic!("as asked"),
        _wait_to_be_killed => loop {
            std::thread::park();
        },
    }
}

fn dies_with_its_owner(mode: &str) {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::owner", "--nocapture", "--test-threads=1"])
        .env(MODE, mode)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let owned = lines.map(Result::unwrap).find(|line| line.starts_with("owned ")).expect("the owner started");
    let (pid, directory) = owned.strip_prefix("owned ").unwrap().split_once(' ').unwrap();
    if mode == "kill" {
        owner.kill().unwrap();
    }
    assert!(!owner.wait().unwrap().success());
    let program = Path::new("/proc").join(pid);
    let deadline = Instant::now() + Duration::from_secs(120);
    while program.exists() || Path::new(directory).exists() {
        assert!(Instant::now() < deadline, "program {pid} or {directory} outlived its owner ({mode})");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn process_dies_with_its_owner() {
    std::thread::scope(|scope| {
        for mode in ["abort", "panic", "kill"] {
            scope.spawn(move || dies_with_its_owner(mode));
        }
    });
}

#[test]
fn an_early_end_shows_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let error = launch("echo out; echo err >&2; exit 3", directory.path(), None).unwrap_err().to_string();
    assert!(error.contains("out") && error.contains("err") && error.contains('3'), "{error}");
}

#[test]
fn waits_for_the_end_and_reports_signals() {
    let directory = tempfile::tempdir().unwrap();
    let mut program = launch("echo ready now; exec sleep 1000", directory.path(), None).unwrap();
    assert_eq!(program.ready_line(), "ready now");
    assert!(program.wait(Duration::from_millis(50)).is_err(), "it runs");
    program.signal("TERM").unwrap();
    assert!(!program.wait(Duration::from_secs(20)).unwrap().success());
}
