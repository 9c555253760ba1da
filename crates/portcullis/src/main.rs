//! `portcullis`: the gateway and every client command (DESIGN 6).
//!
//! Promises: exit codes 0 done, 1 refused or problems found, 2 wrong usage, 3 gateway unreachable (`connect` returns its
//! child's); every listing takes `--json`, one object a line; a command given `--config` speaks to the running gateway
//! through `data_dir/admin.sock`, and to the store itself, through the same router, when none runs.
//! `assemble.rs` is the one place that turns configuration into each crate's own settings.
//! Held by: `tests/it`.

// The command line is the one place that speaks to a person (DESIGN, house rules).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod args;
mod assemble;
mod client;
mod command;
mod device;
mod error;
mod fetch;
mod memory;
mod notify;
mod program;
mod serve;
mod state;
mod table;
mod timeline;

use args::{Cli, Command};
use clap::Parser as _;
use error::Failure;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(failure @ Failure::EnoughRead) => failure.exit_code(),
        Err(failure) => {
            eprintln!("portcullis: {failure}");
            failure.exit_code()
        }
    }
}

/// How long what is left of a gateway's work on other threads is waited for, once everything is told and closed.
const LEFT_OVER: std::time::Duration = std::time::Duration::from_secs(5);

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Serve(args) => {
            let runtime = memory::keep_private().and_then(|()| runtime())?;
            let served = runtime.block_on(serve::run(&args));
            // What still reads from a file system that does not answer is not waited for.
            runtime.shutdown_timeout(LEFT_OVER);
            served.map(|()| ExitCode::SUCCESS)
        }
        Command::Check(args) => command::check::run(&args),
        Command::Demo(args) => memory::keep_private()
            .and_then(|()| runtime())?
            .block_on(command::demo::run(&args))
            .map(|()| ExitCode::SUCCESS),
        Command::Token(args) => runtime()?.block_on(command::token::run(args)).map(|()| ExitCode::SUCCESS),
        Command::Policy(args) => command::policy::run(args, runtime),
        Command::Approvals(args) => runtime()?.block_on(command::approvals::run(args)).map(|()| ExitCode::SUCCESS),
        Command::Secrets(args) => runtime()?.block_on(command::secrets::run(args)).map(|()| ExitCode::SUCCESS),
        Command::Sessions(args) => runtime()?.block_on(command::sessions::run(args)),
        Command::Connections(args) => {
            runtime()?.block_on(command::connections::list(&args)).map(|()| ExitCode::SUCCESS)
        }
        Command::Login(args) => runtime()?.block_on(command::login::run(&args)).map(|()| ExitCode::SUCCESS),
        Command::Whoami(args) => runtime()?.block_on(command::connections::whoami(&args)).map(|()| ExitCode::SUCCESS),
        Command::SshCa(args) => command::ssh_ca::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Connect(args) => runtime()?.block_on(command::connect::run(args)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Refused(format!("the runtime did not start: {error}")))
}
