//! A program that never outlives the process that started it.
//!
//! Promises: when the owner is dropped, exits, panics, aborts or is killed with -9, the program gets its stop signal and
//! five seconds later SIGKILL, and its directory is removed. It works by a pipe, not by a parent-death signal: a small
//! shell holds the reading end and acts on its closing, which the kernel does however the owner ends. (A parent-death
//! signal would fire when the *thread* that started the program ends, and test threads do.)
//! Does not promise: anything about programs that leave their process tree; PostgreSQL's do not.
//! Held by: `process_dies_with_its_owner` in `tests/it/process.rs`.

use crate::error::TestkitError;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// `$1` file for the program's process id, `$2` directory to remove or empty, `$3` stop signal, then the program.
/// What the supervisor ignores the program ignores too: Ctrl-C on the test reaches it through the pipe only, and a file
/// that may not grow is a failed write, see [`Supervised::limit_files`]. The directory goes once its end is written into it:
/// a file that comes while it is removed would keep it.
const SUPERVISOR: &str = r#"
trap '' INT HUP XFSZ
exec 3<&0
pidfile=$1; garbage=$2; signal=$3; shift 3
"$@" </dev/null 3<&- &
pid=$!
echo "$pid" >"$pidfile.new" && mv "$pidfile.new" "$pidfile"
(
  exec >/dev/null 2>&1
  read -r _ <&3
  if [ ! -e "$pidfile.ended" ]; then
    kill -s "$signal" "$pid"
    tries=0
    while kill -0 "$pid" && [ ! -e "$pidfile.ended" ] && [ "$tries" -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done
    [ -e "$pidfile.ended" ] || kill -s KILL "$pid"
  fi
  tries=0
  while [ ! -e "$pidfile.ended" ] && [ "$tries" -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done
  if [ -n "$garbage" ] && [ ! -e "$pidfile.keep" ]; then rm -rf -- "$garbage"; fi
) 3<&3 &
exec 3<&-
wait "$pid"
code=$?
: >"$pidfile.ended"
exit "$code"
"#;

/// Which of the program's two outputs is read for the line that says it is ready. The other goes to the log unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyOn {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What to run and how to know that it is ready.
pub struct Launch<'a> {
    /// The program and its arguments; the environment set on it is kept.
    pub command: Command,
    /// A name for messages.
    pub name: &'a str,
    /// Where its log and process id go; must exist.
    pub directory: &'a Path,
    /// Removed once the program is gone, if given.
    pub garbage: Option<&'a Path>,
    /// The signal that asks it to stop (`TERM`, `QUIT`).
    pub stop_signal: &'a str,
    /// Where the ready line appears.
    pub ready_on: ReadyOn,
    /// A part of that line.
    pub ready: &'a str,
    /// How long to wait for it.
    pub patience: Duration,
}

/// A running program.
#[derive(Debug)]
pub struct Supervised {
    child: Child,
    pipe: Option<ChildStdin>,
    name: String,
    pid_file: PathBuf,
    log: PathBuf,
    ready_line: String,
}

impl Supervised {
    /// Starts the program and waits for its ready line.
    ///
    /// # Errors
    /// [`TestkitError::Io`] if it cannot be started, [`TestkitError::Failed`] if it ends early,
    /// [`TestkitError::NotReady`] if the line does not come in time; it is stopped then.
    pub fn start(launch: Launch<'_>) -> Result<Self, TestkitError> {
        let log = launch.directory.join(format!("{}.log", launch.name));
        // A start of its own name each: the supervisor of an earlier one may still be cleaning up.
        static STARTS: AtomicU32 = AtomicU32::new(0);
        let start = STARTS.fetch_add(1, Ordering::Relaxed);
        let pid_file = launch.directory.join(format!("{}-{start}.pid", launch.name));
        let log_file = File::options().create(true).append(true).open(&log).map_err(TestkitError::io("open log"))?;
        let other = log_file.try_clone().map_err(TestkitError::io("open log"))?;
        let mut command = supervised(&launch, &pid_file);
        command.stdin(Stdio::piped());
        match launch.ready_on {
            ReadyOn::Stdout => command.stdout(Stdio::piped()).stderr(other),
            ReadyOn::Stderr => command.stderr(Stdio::piped()).stdout(other),
        };
        let mut child = command.spawn().map_err(TestkitError::io(format!("start {}", launch.name)))?;
        let pipe = child.stdin.take();
        let output: Box<dyn Read + Send> = match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), _) => Box::new(stdout),
            (None, Some(stderr)) => Box::new(stderr),
            (None, None) => return Err(TestkitError::Absent("the program's output".to_owned())),
        };
        let ready = drain(output, log_file, launch.ready.to_owned());
        let mut this = Self { child, pipe, name: launch.name.to_owned(), pid_file, log, ready_line: String::new() };
        this.ready_line = this.await_ready(&ready, launch.patience)?;
        Ok(this)
    }

    fn await_ready(&mut self, ready: &Receiver<String>, patience: Duration) -> Result<String, TestkitError> {
        match ready.recv_timeout(patience) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(TestkitError::NotReady {
                program: self.name.clone(),
                seconds: patience.as_secs(),
                output: self.log_tail(),
            }),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait().map_err(TestkitError::io("wait"))?;
                Err(TestkitError::Failed {
                    program: self.name.clone(),
                    status: status.to_string(),
                    output: self.log_tail(),
                })
            }
        }
    }

    /// The line that said it was ready.
    #[must_use]
    pub fn ready_line(&self) -> &str {
        &self.ready_line
    }

    /// Everything it wrote, on both outputs.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log_text(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        let skip = lines.len().saturating_sub(40);
        lines.into_iter().skip(skip).collect::<Vec<_>>().join("\n")
    }

    /// Its process id.
    ///
    /// # Errors
    /// [`TestkitError::Io`] if it ended before it was known.
    pub fn pid(&self) -> Result<u32, TestkitError> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match std::fs::read_to_string(&self.pid_file) {
                Ok(text) if text.trim().parse::<u32>().is_ok() => {
                    return text.trim().parse().map_err(|_never| TestkitError::Protocol("process id".to_owned()));
                }
                Ok(_) | Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                Ok(text) => return Err(TestkitError::Protocol(format!("process id `{text}`"))),
                Err(source) => return Err(TestkitError::Io { what: "read the process id".to_owned(), source }),
            }
        }
    }

    /// Sends it a signal by name (`TERM`, `KILL`, `STOP`, `HUP`).
    ///
    /// # Errors
    /// [`TestkitError::Failed`] if it is gone.
    pub fn signal(&self, name: &str) -> Result<(), TestkitError> {
        let pid = self.pid()?.to_string();
        run(Command::new("sh").args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid])).map(drop)
    }

    /// Lets no file it writes grow beyond this many bytes: a full disk, for one process. Writes fail with EFBIG; the signal
    /// that would come with it is ignored, as it was inherited so. It cannot be undone for a process without privileges.
    ///
    /// # Errors
    /// [`TestkitError::Failed`] if it is gone, [`TestkitError::Io`] without `prlimit` (util-linux).
    pub fn limit_files(&self, bytes: u64) -> Result<(), TestkitError> {
        let pid = self.pid()?.to_string();
        run(Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}")])).map(drop)
    }

    /// Waits until it has ended by itself or by a signal.
    ///
    /// # Errors
    /// [`TestkitError::NotReady`] if it still runs after `patience`.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, TestkitError> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().map_err(TestkitError::io("wait"))? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(TestkitError::NotReady {
                    program: format!("the end of {}", self.name),
                    seconds: patience.as_secs(),
                    output: self.log_tail(),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Supervised {
    /// Leaves its directory in place when this value goes: the supervisor looks for this mark.
    pub fn keep_files(&self) {
        let _unwritable_means_removed = File::create(self.pid_file.with_extension("pid.keep"));
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // The supervisor kills what does not stop, so this ends.
        let _gone = self.child.wait();
    }
}

fn supervised(launch: &Launch<'_>, pid_file: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", SUPERVISOR, "supervisor"]).arg(pid_file);
    command.arg(launch.garbage.unwrap_or(Path::new("")).as_os_str()).arg(launch.stop_signal);
    command.arg(launch.command.get_program()).args(launch.command.get_args());
    for (key, value) in launch.command.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    if let Some(directory) = launch.command.get_current_dir() {
        command.current_dir(directory);
    }
    command
}

/// Copies an output to the log until it ends, and hands over the first line that contains `ready`.
fn drain(output: Box<dyn Read + Send>, mut log: File, ready: String) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        let mut sender = Some(sender);
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(length) if length > 0) {
            let _full_disk = log.write_all(&line);
            if sender.is_some() {
                let text = String::from_utf8_lossy(&line);
                if text.contains(&ready)
                    && let Some(sender) = sender.take()
                {
                    let _gone = sender.send(text.trim_end().to_owned());
                }
            }
            line.clear();
        }
    });
    receiver
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// [`TestkitError::Io`] if it cannot be started (absent programs included), [`TestkitError::Failed`] with the end of both
/// outputs if it does not exit with 0.
pub fn run(command: &mut Command) -> Result<String, TestkitError> {
    run_with_input(command, b"")
}

/// [`run`] with bytes on its standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Result<String, TestkitError> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(TestkitError::io(format!("start {program}")))?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Some(mut stdin) = stdin {
                // A program that does not read its input closes it: not our failure.
                let _unread = stdin.write_all(input);
            }
        });
        child.wait_with_output()
    })
    .map_err(TestkitError::io(format!("run {program}")))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(TestkitError::Failed { program, status: output.status.to_string(), output: format!("{stdout}{stderr}") })
}
