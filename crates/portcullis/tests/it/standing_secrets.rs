//! Nothing standing: what backends are logged in to with is nowhere but in the file that the configuration names.
//!
//! A gateway logs in to a database with a password, to another with a role that it makes for the session, to a machine with a private key and to a service with an API key, for
//! clients that stay. Then everything that anybody could get at is searched for these, and for what opens a backend as well
//! as they do: the environment and the arguments of every process, the log with everything in it, the store's files, the
//! exported record, and the gateway's own memory after the sessions, which only root gets at. What may be left there is
//! named in the threat model.

use crate::surroundings::{AGENTS, BINARY, eventually, libpq_client, server};
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::http::{Service, answer};
use portcullis_testkit::ssh::{Sshd, keygen};
use portcullis_testkit::wire::equivalents;
use portcullis_testkit::{Postgres, or_skip, random_hex, shop};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const POLICY: &str = r#"
bundle: systems
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: sessions
    allow: { actions: [connect], objects: ["session guarded"] }
  - id: programs
    allow: { actions: [execute], objects: ["program {echo,cat}"] }
  - id: requests
    allow: { actions: [read], objects: ["endpoint * /**"] }
"#;

/// What is searched for: what it is, and its bytes.
struct Wanted {
    all: Vec<(String, Vec<u8>)>,
    /// By the first two bytes: whether anything wanted begins so.
    begins: Vec<bool>,
}

impl Wanted {
    fn new(all: Vec<(String, Vec<u8>)>) -> Self {
        let mut begins = vec![false; 1 << 16];
        for (what, bytes) in &all {
            assert!(bytes.len() >= 8, "{what} is too short to be looked for");
            begins[usize::from(bytes[0]) << 8 | usize::from(bytes[1])] = true;
        }
        Self { all, begins }
    }

    /// What of it is in these bytes.
    fn in_bytes(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        for (at, pair) in bytes.windows(2).enumerate() {
            if !self.begins[usize::from(pair[0]) << 8 | usize::from(pair[1])] {
                continue;
            }
            let here = self.all.iter().filter(|(_, wanted)| bytes[at..].starts_with(wanted));
            found.extend(here.map(|(what, _)| what.as_str()));
        }
        found
    }

    /// What of it is in a file, which may be large.
    fn in_part(&self, file: &File, mut at: u64, end: u64) -> Vec<&str> {
        let overlap = self.all.iter().map(|(_, wanted)| wanted.len()).max().unwrap() as u64;
        let mut buffer = vec![0; 1 << 20];
        let mut found = Vec::new();
        while at < end {
            let room = usize::try_from((end - at).min(1 << 20)).unwrap();
            // What cannot be read is no memory: a device, or a page that went.
            let Ok(read @ 1..) = file.read_at(&mut buffer[..room], at) else { break };
            found.extend(self.in_bytes(&buffer[..read]));
            at += if (read as u64) > overlap && at + (read as u64) < end { read as u64 - overlap } else { read as u64 };
        }
        found
    }
}

/// The environment and the arguments of every process, with whose they are.
fn processes() -> Vec<(String, Vec<u8>)> {
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let numbers = numbers.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let files = numbers.flat_map(|pid| ["environ", "cmdline"].map(|file| format!("/proc/{pid}/{file}")));
    files.filter_map(|file| Some((file.clone(), fs::read(file).ok()?))).collect()
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(|entry| below(entry.path())).filter(|path| path.is_file()).collect()
}

/// What of it is in the memory of a process, each with where; `None` where this user may not look.
fn in_memory(wanted: &Wanted, pid: u32) -> Option<Vec<String>> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let (mut found, mut region) = (Vec::new(), None);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some((from, to)) = first.split_once('-') {
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            region = Some((number(from), number(to), words.skip(4).collect::<Vec<_>>().join(" ")));
        } else if first == "Rss:" && words.next() != Some("0") {
            let (from, to, name) = region.take().unwrap();
            found.extend(wanted.in_part(&memory, from, to).into_iter().map(|what| format!("{what} in `{name}`")));
        }
    }
    Some(found)
}

/// Three systems behind a gateway, with a credential each, and three clients.
struct World {
    gateway: Gateway,
    service: Service,
    /// The files that the configuration names, and the client's key.
    keys: tempfile::TempDir,
    token: String,
    secrets: Wanted,
    /// What must be found, so that nothing found means something.
    marker: String,
}

impl World {
    fn open(server: &Postgres, machine: &Sshd) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let file = |name: &str| keys.path().join(name);
        let [password, maker, key, marker, role] = [(); 5].map(|()| random_hex().unwrap());
        fs::write(file("password"), format!("{password}\n")).unwrap();
        fs::write(file("maker"), &maker).unwrap();
        fs::write(file("api-key"), &key).unwrap();
        keygen(&file("agent")).unwrap();
        let database = server.create_database("standing", shop::SQL).unwrap();
        let make = format!(
            "CREATE ROLE r{role} LOGIN PASSWORD '{password}'; GRANT ALL ON customers TO r{role};\
             CREATE ROLE m{role} LOGIN CREATEROLE PASSWORD '{maker}'; GRANT r{role} TO m{role} WITH ADMIN OPTION;"
        );
        server.run_sql(&database, &make).unwrap();
        let verifier = |name: String| {
            let verifier = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{name}'");
            server.run_sql("postgres", &verifier).unwrap()
        };
        let verifiers = [verifier(format!("r{role}")), verifier(format!("m{role}"))];
        let service = Service::start(Arc::new(|_| answer("200 OK", "application/json", b"{}"))).unwrap();
        let database = |proof: String| {
            format!(
                "{{ protocol: postgres, address: \"{}\", database: {database}, username: r{role}, {proof}, tls: verify-full, tls_ca: \"{}\" }}",
                server.address(),
                server.ca_file().unwrap().display(),
            )
        };
        let shop = database(format!("password: {{ file: \"{}\" }}", file("password").display()));
        let made = format!("session_role: {{ by: m{role}, password: {{ file: \"{}\" }} }}", file("maker").display());
        let made = database(made);
        let crm = format!(
            "{{ protocol: http, upstream: \"http://{}\", api: rest, headers: {{ x-api-key: {{ file: \"{}\" }} }} }}",
            service.address(),
            file("api-key").display(),
        );
        let identity = format!(
            "identity: {{ ssh_keys: [{{ user: agent, groups: [agents], file: \"{}\" }}] }}",
            file("agent.pub").display()
        );
        let policy = format!("{POLICY}  - id: marked\n    deny: {{ actions: [drop] }}\n    message: {marker}\n");
        let settings = Settings::new(BINARY)
            .connection("shop", &shop)
            .connection("made", &made)
            .ssh("box", machine)
            .connection("crm", &crm);
        let settings =
            settings.policy("agents", AGENTS).policy("systems", &policy).extra(&identity).log_filter("trace");
        let gateway = settings.start().unwrap();
        let token = gateway.token("agent", &["agents"]).unwrap();
        let secrets = secrets([(&password, &verifiers[0]), (&maker, &verifiers[1])], &key, &machine.client_key());
        Self { gateway, service, keys, token, secrets, marker }
    }

    fn psql(&self, connection: &str) -> Child {
        let dsn = self.gateway.dsn(connection, "agent", &self.token).unwrap();
        let mut command = libpq_client("psql", &dsn).unwrap();
        command.args(["-X", "-At"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }

    fn ssh(&self) -> Child {
        let known = self.keys.path().join("known_hosts");
        let printed = self.gateway.command(&["ssh-ca", "--host", "gateway"]).unwrap();
        let line = printed.lines().find(|line| line.contains("ssh-ed25519") && !line.starts_with('#')).unwrap();
        let key: Vec<&str> = line.split_whitespace().skip_while(|word| *word != "ssh-ed25519").take(2).collect();
        let address = self.gateway.address("ssh").unwrap();
        let port = address.rsplit_once(':').unwrap().1;
        fs::write(&known, format!("[127.0.0.1]:{port} {}\n", key.join(" "))).unwrap();
        let mut command = Command::new("ssh");
        command.args([
            "-F",
            "none",
            "-T",
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "IdentityAgent=none",
        ]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", known.display()));
        command.arg("-i").arg(self.keys.path().join("agent")).args(["-p", port, "box@127.0.0.1"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }

    fn curl(&self) {
        let url = format!("https://{}/crm/orders", self.gateway.address("http").unwrap());
        let rc = self.keys.path().join("curlrc");
        let text = format!(
            "silent\nfail\ncacert = \"{}\"\nheader = \"Authorization: Bearer {}\"\n",
            self.gateway.ca_file().display(),
            self.token
        );
        fs::write(&rc, text).unwrap();
        let status = Command::new("curl").arg("-q").arg("-K").arg(rc).arg(url).stdout(Stdio::null()).status().unwrap();
        assert!(status.success());
    }

    /// Whatever of the secrets is in the gateway's memory just now.
    fn in_memory(&self) -> Option<Vec<String>> {
        let pid = self.gateway.program().unwrap().pid().unwrap();
        let marker = Wanted::new(vec![("the marker".to_owned(), self.marker.clone().into_bytes())]);
        let control = in_memory(&marker, pid)?;
        assert!(!control.is_empty(), "the gateway's own policy is not found in its memory");
        in_memory(&self.secrets, pid)
    }
}

/// The secrets in the forms in which they could be kept.
fn secrets(passwords: [(&String, &String); 2], key: &str, private: &Path) -> Wanted {
    let mut all = vec![("the API key".to_owned(), key.as_bytes().to_vec())];
    for (password, verifier) in passwords {
        all.push(("the password".to_owned(), password.as_bytes().to_vec()));
        let [salted, client] = equivalents(password, verifier.trim()).unwrap();
        all.extend([("the salted password".to_owned(), salted), ("the SCRAM client key".to_owned(), client)]);
    }
    let text = fs::read_to_string(private).unwrap();
    let parsed = ssh_key::PrivateKey::from_openssh(&text).unwrap();
    all.push(("the private key's seed".to_owned(), parsed.key_data().ed25519().unwrap().private.to_bytes().to_vec()));
    // The lines of the file that hold more than the public key.
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('-')).collect();
    let secret = lines.iter().enumerate().skip(2).filter(|(_, line)| line.len() >= 16);
    all.extend(secret.map(|(at, line)| (format!("line {at} of the private key"), line.as_bytes().to_vec())));
    Wanted::new(all)
}

/// A line to a client that stays, and its answer.
fn talk(client: &mut Child, line: &str) -> String {
    writeln!(client.stdin.as_mut().unwrap(), "{line}").unwrap();
    let mut answer = String::new();
    BufReader::new(client.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
    answer
}

#[test]
fn no_credential_of_a_backend_is_anywhere_but_where_it_is_configured() {
    let Some(server) = server() else { return };
    let Some(machine) = or_skip(Sshd::shared()) else { return };
    let world = World::open(server, machine);
    let (mut psql, mut made, mut ssh) = (world.psql("shop"), world.psql("made"), world.ssh());
    let marker = &world.marker;
    assert!(talk(&mut made, "SELECT session_user FROM customers WHERE id = 1;").starts_with("portcullis_s_"));
    assert_eq!(talk(&mut psql, &format!("SELECT '{marker}' FROM customers WHERE id = 1;")).trim(), marker);
    assert_eq!(talk(&mut ssh, &format!("echo {marker}")).trim(), marker);
    world.curl();
    let asked = world.service.ledger().connections().concat();
    assert_eq!(world.secrets.in_bytes(&asked), ["the API key"], "the search finds what is there");

    // While all of them are logged in: every process, the agent's among them.
    let mut seen = 0;
    for (place, bytes) in processes() {
        assert!(world.secrets.in_bytes(&bytes).is_empty(), "{:?} in {place}", world.secrets.in_bytes(&bytes));
        seen += usize::from(String::from_utf8_lossy(&bytes).contains(&world.token));
    }
    assert!(seen > 0, "the agent's own token is in its own environment");

    drop((psql.stdin.take(), made.stdin.take(), ssh.stdin.take()));
    assert!(psql.wait().unwrap().success() && made.wait().unwrap().success() && ssh.wait().unwrap().success());
    let ended = |listed: &str| listed.lines().filter(|line| line.contains("\"ended\":\"")).count() >= 3;
    eventually("the sessions' end", || ended(&world.gateway.command(&["sessions", "list", "--json"]).unwrap()));
    let after = world.in_memory();

    // The record, as it is read and as it is stored, and the log with all that any library says.
    let listed = world.gateway.command(&["sessions", "list", "--json"]).unwrap();
    let mut exported = listed.clone();
    for line in listed.lines() {
        let one: serde_json::Value = serde_json::from_str(line).unwrap();
        exported += &world.gateway.command(&["sessions", "export", one["id"].as_str().unwrap()]).unwrap();
    }
    let log = world.gateway.log_text();
    let control = [("the exported record", &exported, marker.as_str()), ("the log", &log, "\"level\":\"TRACE\"")];
    for (place, text, there) in control {
        assert!(text.contains(there), "{place} is not what it should be");
        let found = world.secrets.in_bytes(text.as_bytes());
        assert!(found.is_empty(), "{found:?} in {place}");
        assert!(!text.contains("SCRAM-SHA-256$"), "what the server was given is in {place}");
    }
    for file in files(world.gateway.directory()) {
        let found = world.secrets.in_bytes(&fs::read(&file).unwrap_or_default());
        assert!(found.is_empty(), "{found:?} in {}", file.display());
    }
    world.gateway.stop(&[]).unwrap();
    // Other places are not wiped by the libraries that read a secret or send it, as the threat model says.
    match after {
        Some(after) => {
            println!("left in memory: {after:?}");
            assert!(!after.iter().any(|found| found.contains("salted") || found.contains("SCRAM")), "{after:?}");
        }
        None => println!("skipped: the memory, which only root reads"),
    }
}

/// Who is nobody in particular, on any system.
const NOBODY: u32 = 65534;

/// A command of the same user as the gateway of [`the_memory_is_nobody_elses`], which is not root.
fn unprivileged(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn the_memory_is_nobody_elses_and_no_core_is_written() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    // A copy: whoever is nobody may not reach the directory in which this was built.
    fs::copy(BINARY, at("portcullis")).unwrap();
    let config = "data_dir: ./data\nlisten: { http: \"127.0.0.1:0\", console: \"127.0.0.1:0\" }\n\
                  connections: { crm: { protocol: http, upstream: \"http://127.0.0.1:1\", api: rest } }\n\
                  policies: [policy.yaml]\n";
    fs::write(at("portcullis.yaml"), config).unwrap();
    fs::write(at("policy.yaml"), AGENTS).unwrap();
    if is_root() {
        std::os::unix::fs::chown(place.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut gateway = unprivileged(at("portcullis"));
    gateway.args(["serve", "--config"]).arg(at("portcullis.yaml")).current_dir(place.path());
    let mut gateway = gateway.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(gateway.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.starts_with("ready"), "{ready}");
    let mut other = unprivileged("sleep").arg("60").spawn().unwrap();

    // The same user opens another of its processes, and nothing of the gateway's.
    let opens = |pid: u32, file: &str| {
        let line = format!("exec < /proc/{pid}/{file}");
        unprivileged("sh").args(["-c", &line]).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(opens(other.id(), "environ") && opens(other.id(), "maps"), "what is asked can be had at all");
    for file in ["mem", "environ", "maps", "smaps", "auxv", "syscall"] {
        assert!(!opens(gateway.id(), file), "{file}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.id())).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{cores}");

    // It dies as by a fault of its own, and leaves nothing.
    let kill = |pid: u32, signal: &str| {
        assert!(Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap().success());
    };
    kill(gateway.id(), "ABRT");
    let ended = gateway.wait().unwrap();
    assert!(ended.signal().is_some() && !ended.core_dumped(), "{ended:?}");
    let cores = files(place.path()).into_iter().filter(|file| file.to_string_lossy().contains("core"));
    assert_eq!(cores.count(), 0);
    kill(other.id(), "KILL");
    other.wait().unwrap();
}
