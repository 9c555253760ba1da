//! Arguments that reach other hosts: URLs, `host:path`, remotes, connection strings, options of `ssh`.
//!
//! Promises: the host is the one that the program would connect to by the text of the argument; what aliases and
//! configuration files make of a name is not known here. User names with a password in them are secrets.
//! Held by: `fixtures/shell/network.tsv`.

use crate::apply::Applied;
use crate::expand::{Field, Sure};
use crate::facts::Role;
use crate::path;
use crate::state::State;
use crate::walk::Walker;
use portcullis_model::{Action, Mark, Marks, Object, Operation, Part};

/// Keys of `git -c` that hold a command.
const GIT_COMMANDS: [&str; 14] = [
    "core.pager",
    "core.editor",
    "core.sshcommand",
    "core.fsmonitor",
    "core.askpass",
    "core.gitproxy",
    "sequence.editor",
    "diff.external",
    "credential.helper",
    "gpg.program",
    "uploadpack.packobjectshook",
    "interactive.difffilter",
    "core.hookspath",
    "web.browser",
];

/// Keys of `ssh -o` that change nothing that a rule could be about.
const SSH_HARMLESS: [&str; 17] = [
    "batchmode",
    "connecttimeout",
    "serveraliveinterval",
    "serveralivecountmax",
    "loglevel",
    "compression",
    "tcpkeepalive",
    "requesttty",
    "passwordauthentication",
    "preferredauthentications",
    "pubkeyauthentication",
    "identitiesonly",
    "connectionattempts",
    "addressfamily",
    "numberofpasswordprompts",
    "user",
    "hostkeyalias",
];

impl Walker<'_> {
    pub(crate) fn remote_role(&mut self, role: Role, field: &Field, applied: &Applied<'_>, state: &mut State) {
        match role {
            Role::Host => self.host_argument(field, applied),
            Role::Url => self.url(field, applied, state),
            Role::RemoteRead | Role::RemoteInto => self.remote_file(role, field, applied, state),
            Role::GitConfig => self.git_config(field, state),
            Role::GitRemote => self.git_remote(field, applied, state),
            Role::Refspec => self.refspec(field, applied),
            Role::SshOption => self.ssh_option(field, applied, state),
            Role::Conninfo => self.conninfo(field, applied, state),
            Role::Header => {
                if let Some(file) = field.text.strip_prefix('@') {
                    self.file(Action::Read, &Field { text: file.to_owned(), sure: field.sure }, Marks::NONE, state);
                } else if field.named().is_none() && field.text.is_empty() {
                    self.file(Action::Read, field, Marks::NONE, state);
                } else if let Some((name, value)) = field.known().and_then(|text| text.split_once(':')) {
                    let name = name.to_ascii_lowercase();
                    if ["authorization", "cookie", "token", "key", "secret"].iter().any(|word| name.contains(word)) {
                        self.secrets.push(value.trim().to_owned());
                    }
                }
            }
            _ => self.unread(),
        }
    }

    fn port<'p>(applied: &'p Applied<'_>) -> Option<&'p str> {
        applied.port.as_deref().or(match applied.name {
            "ssh" | "scp" | "sftp" | "ssh-copy-id" | "ssh-keyscan" | "rsync" | "mosh" | "sshpass" => Some("22"),
            "psql" | "pg_dump" | "pg_restore" | "pg_dumpall" | "createdb" | "dropdb" | "pg_isready" => Some("5432"),
            "mysql" | "mariadb" | "mysqldump" | "mysqladmin" => Some("3306"),
            "redis-cli" => Some("6379"),
            "mongosh" | "mongo" | "mongodump" => Some("27017"),
            "telnet" => Some("23"),
            "ftp" => Some("21"),
            "dig" | "nslookup" | "host" => Some("53"),
            _ => None,
        })
    }

    fn host_argument(&mut self, field: &Field, applied: &Applied<'_>) {
        let Some(text) = field.known() else {
            self.host(None, None);
            return;
        };
        // A path is a local socket.
        if text.starts_with('/') {
            return;
        }
        if text.contains("://") {
            self.url_text(text, Self::port(applied));
            return;
        }
        let host = text.rsplit('@').next().unwrap_or(text);
        let (host, port) = split_port(host);
        self.host(Some(host), port.or_else(|| Self::port(applied)));
    }

    fn url(&mut self, field: &Field, applied: &Applied<'_>, state: &State) {
        let Some(text) = field.known() else {
            // What comes behind a whole `scheme://host/` does not change where it goes.
            let whole =
                field.text.split_once("://").is_some_and(|(_, rest)| rest.contains('/') && field.sure == Sure::Starts);
            if whole {
                self.url_text(&field.text.clone(), None)
            } else {
                self.host(None, None)
            }
            return;
        };
        if let Some((_, rest)) = text.split_once(':').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("file")) {
            self.file_url(rest, state);
            return;
        }
        if applied.name == "curl" && text.starts_with('@') {
            // Newer ones read a list of URLs from it.
            self.unread();
            return;
        }
        self.url_text(text, Self::port(applied));
    }

    /// `file://PATH` of this host. With an escape, a list or a query the path is not what its letters say.
    fn file_url(&mut self, rest: &str, state: &State) {
        let path = match rest.strip_prefix("//") {
            None => Some(rest),
            Some(rest) if path::is_rooted(rest) => Some(rest),
            Some(rest) => {
                let slash = rest.find('/').unwrap_or(rest.len());
                rest.split_at_checked(slash)
                    .filter(|(host, _)| matches!(*host, "" | "localhost" | "127.0.0.1"))
                    .map(|(_, path)| path)
            }
        };
        let plain = |path: &&str| path::is_rooted(path) && !path.contains(['%', '{', '}', '[', ']', '?', '#', '\\']);
        match path.filter(plain) {
            Some(path) => self.file(Action::Read, &Field::literal(path), Marks::NONE, state),
            None => self.unread(),
        }
    }

    fn url_text(&mut self, text: &str, default: Option<&str>) {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = match authority.rsplit_once('@') {
            Some((user, host)) => {
                self.secrets.extend(user.split_once(':').map(|(_, secret)| secret.to_owned()));
                host
            }
            None => authority,
        };
        let (host, port) = split_port(host);
        let by_scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => Some("80"),
            "https" | "wss" => Some("443"),
            "ssh" | "sftp" | "scp" | "git+ssh" => Some("22"),
            "ftp" => Some("21"),
            "git" => Some("9418"),
            "postgres" | "postgresql" => Some("5432"),
            "mysql" => Some("3306"),
            "redis" | "rediss" => Some("6379"),
            "mongodb" => Some("27017"),
            _ => default,
        };
        // Some programs expand brackets in URLs; a host that holds them is not one host.
        let plain = !host.contains(['{', '}', '[', ']', '\\', '%']) || host.starts_with('[');
        self.host(plain.then_some(host), port.or(by_scheme));
    }

    /// `host:path` is on another host, all else here.
    fn remote_file(&mut self, role: Role, field: &Field, applied: &Applied<'_>, state: &State) {
        if field.text.contains("://") {
            self.url(field, applied, state);
            return;
        }
        let colon = field.text.find(':');
        let slash = field.text.find('/').unwrap_or(usize::MAX);
        if let Some(colon) = colon.filter(|colon| *colon < slash) {
            let host = field.text.get(..colon).unwrap_or_default();
            let host = host.rsplit('@').next().unwrap_or(host);
            self.host(Some(host), Self::port(applied));
            return;
        }
        if field.named().is_none() && slash == usize::MAX {
            self.host(None, None);
        }
        let recursive = applied.marks.contains(Mark::Recursive);
        let marks = if recursive { Marks::from(Mark::Recursive) } else { Marks::NONE };
        if role == Role::RemoteRead {
            self.file(Action::Read, field, marks, state);
            if applied.call.has(crate::facts::Effect::Removes) {
                self.file(Action::Delete, field, marks, state);
            }
        } else {
            let sources: Vec<Field> = applied.sources.iter().map(|source| landing(source, applied.name)).collect();
            self.into(field, &sources, false, false, marks, state);
            if applied.call.has(crate::facts::Effect::Deletes) {
                self.file(Action::Delete, field, marks.with(Mark::Recursive), state);
            }
        }
    }

    fn git_config(&mut self, field: &Field, state: &State) {
        let (key, value) = field.text.split_once('=').unwrap_or((field.text.as_str(), ""));
        let key = key.to_ascii_lowercase();
        if field.sure != Sure::Literal && !field.text.contains('=') {
            self.dynamic_code();
            return;
        }
        self.emit(Operation::new(Action::Configure, Object::Setting(Part::known(format!("git {key}")))));
        let command = GIT_COMMANDS.contains(&key.as_str())
            || [
                "alias.",
                "filter.",
                "pager.",
                "difftool.",
                "mergetool.",
                "credential.",
                "merge.",
                "diff.",
                "browser.",
                "man.",
            ]
            .iter()
            .any(|start| key.starts_with(start));
        if !command || value.is_empty() {
            return;
        }
        if field.sure != Sure::Literal {
            self.dynamic_code();
            return;
        }
        match (key.starts_with("alias."), value.strip_prefix('!')) {
            (_, Some(line)) => self.other_shell(line, state),
            // An alias without `!` is a subcommand of git itself.
            (true, None) => self.other_shell(&format!("git {value}"), state),
            (false, None) if matches!(value, "true" | "false" | "cat" | "less" | "") => {}
            (false, None) => self.other_shell(value, state),
        }
    }

    fn git_remote(&mut self, field: &Field, applied: &Applied<'_>, state: &State) {
        let Some(text) = field.known().map(str::to_owned) else {
            self.foreign_code(applied.name);
            return;
        };
        if text.contains("::") {
            self.foreign_code(applied.name);
        } else if text.contains("://") {
            self.url(field, applied, state);
        } else if text.split_once(':').is_some_and(|(host, _)| !host.contains('/') && !host.is_empty()) {
            let host = text.split(':').next().unwrap_or_default();
            self.host(Some(host.rsplit('@').next().unwrap_or(host)), Some("22"));
        } else if text.contains('/') || text.starts_with('.') {
            self.file(Action::Read, field, Marks::from(Mark::Recursive), state);
        }
    }

    /// `git push origin +main :old`: overwrites and deletes on the remote.
    fn refspec(&mut self, field: &Field, applied: &Applied<'_>) {
        let worse = match field.known() {
            Some(text) => text.starts_with(['+', ':']),
            None => true,
        };
        if worse {
            let marks = Marks::of(&[Mark::Forced, Mark::Irreversible, Mark::Network]);
            let marks = if field.known().is_none() { marks.with(Mark::Dynamic) } else { marks };
            self.execute(applied.name, Some("push"), marks);
        }
    }

    fn ssh_option(&mut self, field: &Field, applied: &Applied<'_>, state: &State) {
        let Some(text) = field.known() else {
            self.dynamic_code();
            return;
        };
        let (key, value) = text.split_once(['=', ' ']).unwrap_or((text, ""));
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().to_owned());
        match key.as_str() {
            "proxycommand" | "localcommand" | "knownhostscommand" | "remotecommand" => {
                let foreign = usize::from(key == "remotecommand");
                self.foreign += foreign;
                self.other_shell(&value, state);
                self.foreign -= foreign;
            }
            "hostname" | "proxyjump" => self.host_argument(&Field::literal(value), applied),
            "permitlocalcommand" | "port" => {}
            "stricthostkeychecking"
            | "userknownhostsfile"
            | "globalknownhostsfile"
            | "identityfile"
            | "forwardagent" => {
                self.emit(Operation::new(Action::Configure, Object::Setting(Part::known(format!("ssh {key}")))));
            }
            key if SSH_HARMLESS.contains(&key) => {}
            _ => self.unread(),
        }
    }

    /// A database's name, or a connection string.
    fn conninfo(&mut self, field: &Field, applied: &Applied<'_>, state: &State) {
        let Some(text) = field.known().map(str::to_owned) else {
            self.host(None, None);
            return;
        };
        if text.contains("://") {
            self.url(field, applied, state);
        } else if text.contains('=') {
            let value = |key: &str| {
                text.split_whitespace()
                    .find_map(|pair| pair.strip_prefix(key))
                    .map(|value| value.trim_matches('\'').to_owned())
            };
            self.secrets.extend(value("password="));
            if let Some(host) = value("host=").or_else(|| value("hostaddr=")) {
                let port = value("port=");
                self.host(Some(&host), port.as_deref().or_else(|| Self::port(applied)));
            }
        }
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    if host.starts_with('[') {
        return host
            .rsplit_once("]:")
            .map_or((host, None), |(_, port)| (host.trim_end_matches(port).trim_end_matches(':'), Some(port)));
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':') => {
            (name, Some(port))
        }
        _ => (host.trim_end_matches(':'), None),
    }
}

/// What of a source lands in the destination: the last name of its path, or for `rsync dir/` what the directory holds.
fn landing(source: &Field, program: &str) -> Field {
    let slash = source.text.find('/').unwrap_or(usize::MAX);
    let path = match source.text.find(':').filter(|colon| *colon < slash) {
        Some(colon) => source.text.get(colon + 1..).unwrap_or_default(),
        None => &source.text,
    };
    let text = if path.ends_with('/') && program == "rsync" { format!("{path}.") } else { path.to_owned() };
    Field { text, sure: source.sure }
}
