//! The words of the command line.

mod approvals;
mod token;

pub(crate) use approvals::{ApprovalArgs, ApprovalsArgs, ApprovalsCommand};
pub(crate) use token::{ExchangeArgs, TokenArgs, TokenCommand};

use crate::command::connect::auth::Way;
use crate::command::secrets::SecretsArgs;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// An identity-aware wire proxy: agents and people reach PostgreSQL with the clients they have; policy decides what
/// passes; an auditor can replay what happened and prove it unaltered.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway.
    Serve(ServeArgs),
    /// Build everything a configuration names and print all problems at once.
    Check(CheckArgs),
    /// Run a gateway in front of sample systems and print ready-to-paste lines.
    Demo(DemoArgs),
    /// Make, list and revoke tokens, and get one of a provider for a program.
    Token(TokenArgs),
    /// Test and explain policy, and put a changed one into force.
    Policy(PolicyArgs),
    /// Put secrets into the gateway's own vault, list and remove them.
    Secrets(SecretsArgs),
    /// List, show, replay, export and verify recorded sessions.
    Sessions(SessionsArgs),
    /// What waits for people: list it, show it, say yes or no.
    Approvals(ApprovalsArgs),
    /// List the connections of a gateway.
    Connections(ListArgs),
    /// Log in at an identity provider and keep the token for the commands that follow.
    Login(LoginArgs),
    /// Say who the gateway takes you for.
    Whoami(ListArgs),
    /// Run a client with the environment a connection needs, or print the string for it.
    Connect(ConnectArgs),
    /// Print what SSH clients and targets must know of the gateway, and sign certificates for targets.
    SshCa(SshCaArgs),
}

/// Where a client command finds its gateway.
#[derive(Clone, Debug, Args)]
pub(crate) struct GatewayArgs {
    /// The gateway's configuration: its admin socket is used while it runs, its store while it does not.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The address of a gateway's console listener, reached with the token in PORTCULLIS_TOKEN or of `portcullis login`.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "config", env = "PORTCULLIS_GATEWAY")]
    pub(crate) gateway: Option<String>,
    /// The certificate authority of that gateway (PEM).
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_CA")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// One problem a line, as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Walk every feature against the sample systems, say what was seen, and exit non-zero if any step is wrong.
    #[arg(long)]
    pub(crate) script: bool,
    /// Where the demo keeps its data; a fresh temporary directory when absent.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The address PostgreSQL clients connect to: 127.0.0.1:6442, and a free port of 127.0.0.1 with --script.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) postgres: Option<SocketAddr>,
    /// The address SSH clients connect to: 127.0.0.1:6422, and a free port of 127.0.0.1 with --script.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ssh: Option<SocketAddr>,
    /// The address HTTP clients connect to: 127.0.0.1:6480, and a free port of 127.0.0.1 with --script.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,
    /// The address people log in and approve at: 127.0.0.1:6444, and a free port of 127.0.0.1 with --script.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) console: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
    /// One object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Run the tests that the bundles carry.
    Test {
        /// Bundles; with `--config` the configured ones when none is named.
        files: Vec<PathBuf>,
        /// The configuration whose bundles are tested.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// One outcome a line.
        #[arg(long)]
        json: bool,
    },
    /// Show what a command would do, every rule that matches, and the decision.
    Explain(ExplainArgs),
    /// Show which recorded commands changed bundles would have decided otherwise.
    Diff(DiffArgs),
    /// Make the running gateway read its bundles again, and take them even when they are weaker.
    Reload {
        #[command(flatten)]
        gateway: GatewayArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// A changed or a new bundle: it stands in the place of the one of its name. May be given several times.
    #[arg(long = "bundle", value_name = "FILE", required = true)]
    pub(crate) bundles: Vec<PathBuf>,
    /// How far back commands are judged, as in `30d` or `12h`.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub(crate) since: String,
    /// The bundles in force; with `--config` the configured ones when none is named.
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
    /// One changed decision a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The user who would ask.
    #[arg(long = "as", value_name = "USER")]
    pub(crate) user: String,
    /// The groups of that user.
    #[arg(long, value_delimiter = ',', value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// The connection.
    #[arg(long = "on", value_name = "CONNECTION")]
    pub(crate) connection: String,
    /// The SQL.
    #[arg(long, required_unless_present_any = ["shell", "http"], conflicts_with_all = ["shell", "http"])]
    pub(crate) sql: Option<String>,
    /// A command line, as a shell on the target would be given it.
    #[arg(long, conflicts_with = "http")]
    pub(crate) shell: Option<String>,
    /// A request.
    #[arg(long, value_name = "METHOD PATH")]
    pub(crate) http: Option<String>,
    /// The body of the request, or the message over its WebSocket, as JSON.
    #[arg(long, value_name = "JSON", requires = "http")]
    pub(crate) body: Option<String>,
    /// The request opens a WebSocket.
    #[arg(long, requires = "http")]
    pub(crate) upgrade: bool,
    /// The configuration whose bundles decide.
    #[arg(long, value_name = "FILE", required_unless_present = "files")]
    pub(crate) config: Option<PathBuf>,
    /// Bundles, when no configuration is given.
    #[arg(value_name = "BUNDLE")]
    pub(crate) files: Vec<PathBuf>,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SessionsArgs {
    #[command(subcommand)]
    pub(crate) command: SessionsCommand,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The address of the gateway's console listener.
    #[arg(long, value_name = "HOST:PORT", env = "PORTCULLIS_GATEWAY")]
    pub(crate) gateway: String,
    /// The certificate authority of that gateway (PEM).
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// The certificate authority of the identity provider (PEM), where the system does not know it.
    #[arg(long, value_name = "FILE")]
    pub(crate) provider_ca: Option<PathBuf>,
    /// Which provider, where the gateway accepts several.
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,
    /// Log in with a browser on this machine instead of a code typed on any.
    #[arg(long)]
    pub(crate) browser: bool,
    /// Put an SSH certificate of the login into the agent of SSH_AUTH_SOCK, for an hour at most, and print the lines to use.
    #[arg(long)]
    pub(crate) ssh: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List recorded sessions, newest last.
    List {
        #[command(flatten)]
        list: ListArgs,
        /// At most this many.
        #[arg(long, default_value_t = 50)]
        last: usize,
    },
    /// Show a session: statements, decisions, results.
    Show {
        #[command(flatten)]
        list: ListArgs,
        /// The session, or any start of its id that names one.
        session: String,
    },
    /// Play a session as it happened: terminals as they were drawn, everything else as lines. Into a pipe or file it is
    /// written at once; Ctrl-C stops it and puts the terminal right.
    Replay {
        #[command(flatten)]
        gateway: GatewayArgs,
        /// The session, or any start of its id that names one.
        session: String,
        /// How many times faster.
        #[arg(long, default_value_t = 1.0)]
        speed: f64,
        /// Cut longer waits to this; not cut when absent.
        #[arg(long, value_name = "SECONDS")]
        idle_limit: Option<f64>,
        /// Begin with this command; what the terminal showed before it is drawn at once.
        #[arg(long, value_name = "N")]
        command: Option<u64>,
    },
    /// Write a session, or all, with the proofs that `verify` needs, or one for a player.
    Export {
        #[command(flatten)]
        gateway: GatewayArgs,
        /// The session; all when absent.
        session: Option<String>,
        /// `record` can be verified, `asciicast` opens in any asciinema player.
        #[arg(long, value_enum, default_value_t = ExportFormat::Record)]
        format: ExportFormat,
        /// Where to; standard output when absent.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Prove that a record is unaltered, or name the first event that is not.
    Verify {
        #[command(flatten)]
        gateway: GatewayArgs,
        /// An export; the gateway's own record when absent.
        file: Option<PathBuf>,
        /// The gateway's public key (`data_dir/audit.pub`), needed for an export.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// A checkpoint kept elsewhere, to prove that nothing was rewritten since.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// The outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print events as they are recorded.
    Tail(ListArgs),
    /// Keep what your earlier logins opened: present a new token of your provider (PORTCULLIS_TOKEN, or of `portcullis
    /// login`) before the old one runs out.
    Renew(ListArgs),
}

/// Without a subcommand, the line for clients' `known_hosts` and the line for targets' `TrustedUserCAKeys` are printed.
///
/// What this authority signs is for targets only: the gateway never accepts its certificates from clients. Authorities of
/// clients are those that `identity.ssh_certificate_authorities` names.
#[derive(Debug, Args)]
pub(crate) struct SshCaArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// What clients call the gateway, where that is not its listen address.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// One object a line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Option<SshCaCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SshCaCommand {
    /// Sign a target's host key, so that the gateway knows the target by `host_ca`.
    SignHost {
        /// The public half of the host key.
        #[arg(value_name = "KEY.pub")]
        key: PathBuf,
        /// The target's name, as `address` has it.
        #[arg(long, value_name = "HOST")]
        name: String,
        /// How long it is valid.
        #[arg(long, default_value_t = 365, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
        /// Where to; standard output when absent.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Sign a key with which somebody may log in to targets past the gateway. Not accepted by the gateway itself.
    SignUser {
        /// The public half of the key.
        #[arg(value_name = "KEY.pub")]
        key: PathBuf,
        /// The login on the targets.
        #[arg(long, value_name = "NAME")]
        user: String,
        /// How long it is valid.
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=168))]
        hours: u32,
        /// Where to; standard output when absent.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// What an export is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Events with their proofs.
    Record,
    /// asciicast v2.
    Asciicast,
}

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
    /// The connection, or CONNECTION/DATABASE.
    pub(crate) connection: String,
    /// How a PostgreSQL client proves who it is, where not as its connection says.
    #[arg(long, value_enum)]
    pub(crate) auth: Option<Way>,
    /// The client and its arguments; the connection string is printed when absent.
    #[arg(last = true)]
    pub(crate) client: Vec<String>,
}
