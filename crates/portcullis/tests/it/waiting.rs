//! Each way to ask for what waits for people, and each way that such a wait can end.
//!
//! The ways: a DELETE in psql, in the extended protocol, in a pipeline; a program over ssh; a tool call of a model. The ends:
//! approved, rejected, expired, given up with Ctrl-C, the client gone, the gateway restarted, two approvers at once, the
//! requester approving themselves, another command after the approval, the same once more, the policy changed meanwhile.
//! Promises: each of these has one outcome, at the backend, at the client and in the record.

use crate::approvals::{World, said, signal, told};
use crate::surroundings::{BINARY, eventually, fetched, libpq_client, server};
use portcullis_testkit::gateway::Settings;
use portcullis_testkit::http::{Answers, Asked, Service, chunked};
use portcullis_testkit::ssh::{Sshd, keygen};
use portcullis_testkit::{Postgres, or_skip, shop};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const POLICY: &str = r#"
bundle: held
applies_to: { connections: ["*"], principals: { groups: [agents, dba] } }
rules:
  - id: look
    allow: { actions: [read], objects: ["table public.*"] }
  - id: files
    allow: { actions: [read, insert, update], objects: ["file **"] }
  - id: models
    allow: { actions: [generate], objects: ["model claude-*"] }
  - id: tools
    allow: { actions: [call], objects: ["tool Bash"] }
  - id: ask
    hold: { actions: [delete, execute], objects: ["table public.{order_items,later}", "program touch"] }
    approvers: { groups: [dba] }
  - id: soon
    hold: { actions: [delete, execute], objects: ["table public.payments", "program mkdir"] }
    approvers: { groups: [dba] }
    expires: 1s
"#;

/// Writes down that a statement ran, whatever rows it met.
const WITNESS: &str = "
    CREATE TABLE witnessed (what text);
    CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$BEGIN INSERT INTO public.witnessed VALUES (TG_TABLE_NAME); RETURN NULL; END$$;
    CREATE TRIGGER witness AFTER DELETE ON order_items FOR EACH STATEMENT EXECUTE FUNCTION witness();
    CREATE TRIGGER witness AFTER DELETE ON payments FOR EACH STATEMENT EXECUTE FUNCTION witness();";

/// What is asked for.
#[derive(Clone, Copy)]
enum Wish {
    /// What people have time to decide about; each number is another command.
    Usual(u32),
    /// What nobody decides about in time.
    Brief,
}

/// Who asks.
#[derive(Clone, Copy)]
enum Requester {
    Agent,
    /// One of those who may approve.
    Dana,
}

/// How it is asked.
enum Way {
    Psql(&'static Postgres, String),
    /// By a program of psycopg's, where `$1` of the arguments is the number.
    Psycopg(&'static Postgres, String, &'static str),
    Ssh {
        keys: tempfile::TempDir,
        work: PathBuf,
    },
    Tool {
        _model: Service,
    },
}

/// In the extended protocol: a statement with a parameter.
const EXTENDED: &str = "c.execute(f'DELETE FROM {table} WHERE order_id = %s', (number,))\nprint('passed')";

/// With another statement behind it, sent before anything is answered.
const PIPELINED: &str = "with c.pipeline():\n    c.execute(f'DELETE FROM {table} WHERE order_id = %s', (number,))\n    \
                         c.execute('SELECT 1')\nprint('passed')";

struct Seat {
    world: World,
    way: Way,
}

/// A client that waits.
struct Waiting {
    child: Child,
    wish: Wish,
}

impl Seat {
    fn database(more: &str, way: impl FnOnce(&'static Postgres, String) -> Way) -> Option<Self> {
        let server = server()?;
        let database = server.create_database("waiting", &format!("{}{WITNESS}", shop::SQL)).unwrap();
        let settings = Settings::new(BINARY).postgres("shop", server, &database);
        Some(Self::at(settings, more, way(server, database)))
    }

    fn at(settings: Settings, identity: &str, way: Way) -> Self {
        let world = World::open(settings, identity);
        let seat = Self { world, way };
        seat.policy(POLICY);
        seat
    }

    fn policy(&self, text: &str) {
        self.world.gateway.write_policy("held", text).unwrap();
        self.world.gateway.command(&["policy", "reload"]).unwrap();
    }

    fn ssh(more: &str) -> Option<Self> {
        let server = or_skip(Sshd::shared())?;
        let keys = tempfile::tempdir().unwrap();
        let mut identity = "  ssh_keys:\n".to_owned();
        for (user, group) in [("agent-7", "agents"), ("dana", "dba")] {
            let key = keys.path().join(user);
            keygen(&key).unwrap();
            let file = key.with_extension("pub");
            identity += &format!("    - {{ user: {user}, groups: [{group}], file: \"{}\" }}\n", file.display());
        }
        identity += more;
        let work = crate::ssh::directory(server);
        Some(Self::at(Settings::new(BINARY).ssh("box", server), &identity, Way::Ssh { keys, work }))
    }

    fn tool() -> Self {
        let service = Service::start(model()).unwrap();
        let upstream = format!("{{ protocol: http, upstream: \"http://{}\", api: anthropic }}", service.address());
        Self::at(Settings::new(BINARY).connection("claude", &upstream), "", Way::Tool { _model: service })
    }

    fn token(&self, who: Requester) -> String {
        match who {
            Requester::Agent => self.world.agent(),
            Requester::Dana => self.world.dana(),
        }
    }

    fn ask(&self, wish: Wish, who: Requester) -> Waiting {
        self.ask_at(false, wish, who)
    }

    /// The same, over ssh at a terminal where one is meant: not every target can give one, to which it would come only when
    /// something runs.
    fn ask_at(&self, terminal: bool, wish: Wish, who: Requester) -> Waiting {
        let (table, number) = match wish {
            Wish::Usual(number) => ("order_items", number),
            Wish::Brief => ("payments", 0),
        };
        let dsn = |_: &Postgres| self.world.gateway.dsn("shop", "token", &self.token(who)).unwrap();
        let mut command = match &self.way {
            Way::Psql(server, _) => {
                let mut command = libpq_client("psql", &dsn(server)).unwrap();
                command.args(["-X", "-c", &format!("DELETE FROM {table} WHERE order_id = {number}")]);
                command
            }
            Way::Psycopg(server, _, body) => {
                let python = fetched("python/bin/python").unwrap();
                let program = format!(
                    "import os, sys, psycopg\ntable, number = sys.argv[1], int(sys.argv[2])\n\
                     c = psycopg.connect(os.environ['DSN'], autocommit=True)\n\
                     c.add_notice_handler(lambda notice: print(notice.message_primary, file=sys.stderr, flush=True))\n{body}\n"
                );
                let mut command = interruptible(&python);
                command.args(["-c", &program, table, &number.to_string()]).env("DSN", dsn(server));
                command
            }
            Way::Ssh { keys, .. } => {
                let user = match who {
                    Requester::Agent => "agent-7",
                    Requester::Dana => "dana",
                };
                let address = self.world.gateway.address("ssh").unwrap();
                let mut command = Command::new("ssh");
                command.arg(if terminal { "-tt" } else { "-T" });
                command.args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o"]);
                command.args([
                    "LogLevel=ERROR",
                    "-o",
                    "StrictHostKeyChecking=no",
                    "-o",
                    "UserKnownHostsFile=/dev/null",
                ]);
                command.arg("-i").arg(keys.path().join(user));
                command.args(["-p", address.rsplit_once(':').unwrap().1, "box@127.0.0.1"]);
                let program = if matches!(wish, Wish::Brief) { "mkdir" } else { "touch" };
                command.arg(format!("{program} {}", self.file(number).display()));
                command
            }
            Way::Tool { .. } => {
                let line = match wish {
                    Wish::Usual(number) => format!("touch /tmp/t-{number}"),
                    Wish::Brief => "mkdir /tmp/t-0".to_owned(),
                };
                let ask = serde_json::json!({
                    "model": "claude-small", "max_tokens": 64, "stream": true,
                    "tools": [{ "name": "Bash", "input_schema": { "type": "object" } }],
                    "messages": [{ "role": "user", "content": line }],
                });
                let mut command = interruptible(Path::new("curl"));
                command
                    .args(["--silent", "--no-buffer", "--max-time", "120", "--cacert"])
                    .arg(self.world.gateway.ca_file());
                command.args(["-H", &format!("Authorization: Bearer {}", self.token(who)), "-H"]);
                command.args(["content-type: application/json", "-H", "anthropic-version: 2023-06-01", "-d"]);
                command.arg(ask.to_string());
                command.arg(format!("https://{}/claude/v1/messages", self.world.gateway.address("http").unwrap()));
                command
            }
        };
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Waiting { child, wish }
    }

    /// What the program over ssh makes.
    fn file(&self, number: u32) -> PathBuf {
        let Way::Ssh { work, .. } = &self.way else { panic!("this is not ssh") };
        work.join(format!("t-{number}"))
    }

    /// Whether anything ran since this was last asked.
    fn ran(&self) -> bool {
        match &self.way {
            Way::Psql(server, database) | Way::Psycopg(server, database, _) => {
                let rows = server.run_sql(database, "DELETE FROM witnessed RETURNING what").unwrap();
                rows.contains("order_items") || rows.contains("payments")
            }
            Way::Ssh { work, .. } => {
                let made: Vec<_> = fs::read_dir(work).unwrap().map(|entry| entry.unwrap().path()).collect();
                made.iter().for_each(|path| drop(fs::remove_file(path)));
                !made.is_empty()
            }
            // The client runs it: that shows in what it heard.
            Way::Tool { .. } => false,
        }
    }

    /// What the client heard, and whether what it asked for was done.
    fn ended(&self, waiting: Waiting) -> (String, bool) {
        let wish = waiting.wish;
        let words = said(waiting.child);
        let ran = match (&self.way, wish) {
            (Way::Tool { .. }, Wish::Usual(number)) => words.contains(&format!("touch /tmp/t-{number}\\\"")),
            (Way::Tool { .. }, Wish::Brief) => words.contains("mkdir /tmp/t-0\\\""),
            (Way::Psql(..) | Way::Psycopg(..) | Way::Ssh { .. }, _) => self.ran(),
        };
        (words, ran)
    }

    /// Ctrl-C, as somebody in front of this client would press it.
    fn interrupt(&self, waiting: &mut Waiting) {
        match &self.way {
            Way::Ssh { .. } => waiting.child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap(),
            Way::Psql(..) | Way::Psycopg(..) | Way::Tool { .. } => signal(&waiting.child, "INT"),
        }
    }

    /// What the record says became of a request.
    fn verdict(&self, id: &str) -> Vec<String> {
        let exported = self.world.gateway.command(&["sessions", "export"]).unwrap();
        let lines = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let events = lines.map(|line| line["event"]["event"].clone());
        let settled = events.filter(|event| event["type"] == "approval.settled" && event["approval"] == id);
        settled.map(|event| event["verdict"].as_str().unwrap().to_owned()).collect()
    }

    /// It was done, or not, and the record has one word for it.
    fn comes_to(&self, waiting: Waiting, id: &str, verdict: &str, runs: bool) -> String {
        let (words, ran) = self.ended(waiting);
        assert_eq!(ran, runs, "{verdict}: {words}");
        eventually("the record has it", || !self.verdict(id).is_empty());
        assert_eq!(self.verdict(id), [verdict], "{words}");
        words
    }

    /// Each end, one after the other.
    fn play(mut self) {
        let (usual, dana, erin) = (Wish::Usual(1), self.world.dana(), self.world.login("erin", "dba", 5));

        let waiting = self.ask(usual, Requester::Agent);
        let approved = self.world.waiting();
        assert!(!self.ran(), "it waits");
        self.world.decide("approve", &approved, &dana);
        self.comes_to(waiting, &approved, "approved", true);

        // The same once more, and another: both ask anew.
        for wish in [usual, Wish::Usual(2)] {
            let mut waiting = self.ask_at(true, wish, Requester::Agent);
            let id = self.world.waiting();
            assert_ne!(id, approved);
            assert!(!self.world.approvals(&["approve", &approved], &erin).status.success(), "it is used");
            assert!(!self.ran());
            self.interrupt(&mut waiting);
            self.world.becomes(&id, "withdrawn");
            self.comes_to(waiting, &id, "withdrawn", false);
            assert!(!self.world.approvals(&["approve", &id], &dana).status.success(), "nobody waits");
        }

        let waiting = self.ask(usual, Requester::Agent);
        let id = self.world.waiting();
        self.world.decide("reject", &id, &dana);
        let words = self.comes_to(waiting, &id, "rejected", false);
        assert!(words.contains("refused"), "{words}");

        let waiting = self.ask(Wish::Brief, Requester::Agent);
        let (words, ran) = self.ended(waiting);
        assert!(!ran && words.contains("ran out"), "{words}");
        let brief = self.world.requests().last().unwrap().clone();
        assert_eq!(brief["state"], "expired");
        assert_eq!(self.verdict(brief["id"].as_str().unwrap()), ["expired"]);

        let waiting = self.ask(usual, Requester::Agent);
        let id = self.world.waiting();
        signal(&waiting.child, "KILL");
        self.world.becomes(&id, "withdrawn");
        self.comes_to(waiting, &id, "withdrawn", false);

        let waiting = self.ask(usual, Requester::Agent);
        let id = self.world.waiting();
        let both = [&dana, &erin].map(String::clone);
        let votes = std::thread::scope(|scope| {
            let votes = both.each_ref().map(|token| scope.spawn(|| self.world.approvals(&["approve", &id], token)));
            votes.map(|vote| vote.join().unwrap().status.success())
        });
        assert!(votes.contains(&true));
        self.comes_to(waiting, &id, "approved", true);

        let waiting = self.ask(usual, Requester::Dana);
        let id = self.world.waiting();
        for word in ["approve", "reject"] {
            let output = self.world.approvals(&[word, &id], &dana);
            assert!(!output.status.success() && told(&output).contains("whoever asked"), "{}", told(&output));
        }
        assert!(!self.ran());
        self.world.decide("approve", &id, &erin);
        self.comes_to(waiting, &id, "approved", true);

        let waiting = self.ask(usual, Requester::Agent);
        let id = self.world.waiting();
        let never = "  - id: never\n    deny: { actions: [delete, execute], objects: [\"table **\", \"program **\"] }\n  - id: look\n";
        self.policy(&POLICY.replace("  - id: look\n", never));
        self.world.decide("approve", &id, &dana);
        let (words, ran) = self.ended(waiting);
        assert!(!ran && words.contains("held/never"), "{words}");
        assert_eq!(self.verdict(&id), ["approved", "overtaken"]);
        self.policy(POLICY);

        let waiting = self.ask(usual, Requester::Agent);
        let id = self.world.waiting();
        self.world.gateway.kill().unwrap();
        self.world.gateway.restart().unwrap();
        self.world.becomes(&id, "withdrawn");
        assert!(!self.world.approvals(&["approve", &id], &dana).status.success());
        let (words, ran) = self.ended(waiting);
        assert!(!ran, "{words}");
        self.world.gateway.stop(&[]).unwrap();
    }
}

/// A program that Ctrl-C ends, also where whoever started the tests has it ignored, as shells do behind an `&`.
fn interruptible(program: &Path) -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=INT").arg(program);
    command
}

/// A model that proposes what it is told, in a shell.
fn model() -> Answers {
    Arc::new(|asked: &Asked| {
        let asked: Value = serde_json::from_slice(&asked.body).unwrap();
        let line = asked["messages"][0]["content"].as_str().unwrap();
        chunked("text/event-stream", &[&crate::approvals::proposes(line)])
    })
}

#[test]
fn a_delete_in_psql() {
    if let Some(seat) = Seat::database("", Way::Psql) {
        seat.play();
    }
}

#[test]
fn a_delete_in_the_extended_protocol() {
    if fetched("python/bin/python").is_some()
        && let Some(seat) = Seat::database("", |server, database| Way::Psycopg(server, database, EXTENDED))
    {
        seat.play();
    }
}

#[test]
fn a_delete_in_a_pipeline() {
    if fetched("python/bin/python").is_some()
        && let Some(seat) = Seat::database("", |server, database| Way::Psycopg(server, database, PIPELINED))
    {
        seat.play();
    }
}

#[test]
fn a_program_over_ssh() {
    if let Some(seat) = Seat::ssh("") {
        seat.play();
    }
}

#[test]
fn a_tool_call_of_a_model() {
    Seat::tool().play();
}

/// What waits for the record wakes a session as well, which may hide that nothing else does: here nothing waits for it. A
/// line that was read and a statement that waited for the catalogue are both asked behind the look at what is held.
#[test]
fn a_hold_is_asked_about_though_nothing_else_happens() {
    const BATCHED: &str = "audit: { durability: batched }\n";
    if let Some(seat) = Seat::ssh(BATCHED) {
        let waiting = seat.ask(Wish::Usual(1), Requester::Agent);
        let id = seat.world.waiting();
        seat.world.decide("approve", &id, &seat.world.dana());
        assert!(seat.ended(waiting).1);
        seat.world.gateway.stop(&[]).unwrap();
    }
    if let Some(seat) = Seat::database(BATCHED, Way::Psql)
        && let Way::Psql(server, database) = &seat.way
    {
        // The gateway has its catalogue, and learns of this table by being asked for it.
        drop(said(seat.ask(Wish::Brief, Requester::Agent).child));
        server.run_sql(database, "CREATE TABLE later (id int)").unwrap();
        let dsn = seat.world.gateway.dsn("shop", "token", &seat.world.agent()).unwrap();
        let mut command = libpq_client("psql", &dsn).unwrap();
        command.args(["-X", "-c", "DELETE FROM later WHERE id = 1"]).stdin(Stdio::null());
        let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let id = seat.world.waiting();
        seat.world.decide("approve", &id, &seat.world.dana());
        let words = said(client);
        assert!(words.contains("DELETE 0"), "{words}");
        seat.world.gateway.stop(&[]).unwrap();
    }
}

/// Takes as long as the gateway lets a client wait without a word.
#[test]
fn who_waits_for_long_is_told_so_again() {
    let heard = tempfile::tempdir().unwrap();
    let seats = [Seat::database("", Way::Psql), Seat::ssh("")];
    let waiting = seats.iter().enumerate().filter_map(|(nth, seat)| {
        let (seat, file) = (seat.as_ref()?, heard.path().join(nth.to_string()));
        // Into a file, so that it can be looked at while the client runs.
        let mut waiting = seat.ask(Wish::Usual(1), Requester::Agent);
        let pipes = [
            Box::new(waiting.child.stderr.take().unwrap()) as Box<dyn std::io::Read + Send>,
            Box::new(waiting.child.stdout.take().unwrap()),
        ];
        for mut pipe in pipes {
            let mut file = File::options().create(true).append(true).open(&file).unwrap();
            std::thread::spawn(move || drop(std::io::copy(&mut pipe, &mut file)));
        }
        Some((seat, waiting, file))
    });
    for (seat, waiting, file) in waiting.collect::<Vec<_>>() {
        let id = seat.world.waiting();
        let again = format!("still waiting for approval {id}");
        eventually("it is told again", || fs::read_to_string(&file).unwrap_or_default().contains(&again));
        seat.world.decide("reject", &id, &seat.world.dana());
        drop(said(waiting.child));
    }
    for seat in seats.into_iter().flatten() {
        seat.world.gateway.stop(&[]).unwrap();
    }
}
