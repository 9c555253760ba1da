//! `portcullis sessions`: what happened, and the proof that it is unaltered.

use crate::args::{ExportFormat, GatewayArgs, ListArgs, SessionsArgs, SessionsCommand};
use crate::client::Client;
use crate::command::token::text;
use crate::error::Failure;
use crate::table;
use crate::timeline::Timeline;
use hyper::Method;
use indicatif::{ProgressBar, ProgressStyle};
use portcullis_model::Event;
use serde_json::Value;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;

pub(crate) async fn run(args: SessionsArgs) -> Result<ExitCode, Failure> {
    match args.command {
        SessionsCommand::List { list: args, last } => list(&args, last).await?,
        SessionsCommand::Show { list, session } => show(&list, &session).await?,
        SessionsCommand::Replay { gateway, session, speed, idle_limit, command } => {
            replay::run(&gateway, &session, replay::Pace { speed, idle_limit, command }).await?;
        }
        SessionsCommand::Export { gateway, session, format, output } => {
            export(&gateway, session.as_deref(), format, output.as_deref()).await?;
        }
        SessionsCommand::Verify { gateway, file, key, checkpoint, json } => {
            return verify::run(&gateway, file.as_deref(), key.as_deref(), checkpoint.as_deref(), json).await;
        }
        SessionsCommand::Tail(args) => tail(&args).await?,
        SessionsCommand::Renew(args) => renew(&args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: &ListArgs, last: usize) -> Result<(), Failure> {
    let client = Client::open(&args.gateway).await?;
    let sessions: Vec<Value> = client.json(Method::GET, &format!("/api/v1/sessions?last={last}"), None).await?;
    if args.json {
        sessions.iter().for_each(|session| println!("{session}"));
        return Ok(());
    }
    let number = |session: &Value, key: &str| session.get(key).and_then(Value::as_u64).unwrap_or(0).to_string();
    let rows: Vec<Vec<String>> = sessions
        .iter()
        .map(|session| {
            let ended = text(session, "ended");
            vec![
                text(session, "id").to_owned(),
                text(session, "user").to_owned(),
                text(session, "connection").to_owned(),
                text(session, "started").to_owned(),
                if ended.is_empty() { "open".to_owned() } else { ended.to_owned() },
                number(session, "commands"),
                number(session, "denied"),
            ]
        })
        .collect();
    print!("{}", table::render(&["ID", "USER", "CONNECTION", "STARTED", "ENDED", "COMMANDS", "DENIED"], &rows));
    Ok(())
}

async fn show(args: &ListArgs, session: &str) -> Result<(), Failure> {
    let client = Client::open(&args.gateway).await?;
    let answer = client.ask(Method::GET, &format!("/api/v1/sessions/{session}/events"), None).await?;
    let mut timeline = Timeline::default();
    answer
        .lines(async |line| {
            if args.json {
                put(line)
            } else if let Some(told) = timeline.tell(&serde_json::from_str::<Event>(line)?) {
                put(&told)
            } else {
                Ok(())
            }
        })
        .await
}

/// Prints a line of what can be long.
fn put(line: impl Display) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(Failure::of_output)
}

async fn export(
    gateway: &GatewayArgs,
    session: Option<&str>,
    format: ExportFormat,
    output: Option<&Path>,
) -> Result<(), Failure> {
    let path = match (session, format) {
        (Some(id), ExportFormat::Record) => format!("/api/v1/sessions/{id}/export"),
        (None, ExportFormat::Record) => "/api/v1/export".to_owned(),
        (Some(id), ExportFormat::Asciicast) => format!("/api/v1/sessions/{id}/asciicast"),
        (None, ExportFormat::Asciicast) => {
            return Err(Failure::Usage("--format asciicast writes one session: name it".to_owned()));
        }
    };
    let client = Client::open(gateway).await?;
    let answer = client.ask(Method::GET, &path, None).await?;
    let mut out: Box<dyn Write> = match output {
        Some(path) => Box::new(BufWriter::new(File::create(path)?)),
        None => Box::new(io::stdout().lock()),
    };
    let progress = progress(output.is_some());
    answer
        .lines(async |line| {
            writeln!(out, "{line}").map_err(Failure::of_output)?;
            progress.inc(1);
            Ok(())
        })
        .await?;
    progress.finish_and_clear();
    out.flush().map_err(Failure::of_output)
}

async fn tail(args: &ListArgs) -> Result<(), Failure> {
    let client = Client::open(&args.gateway).await?;
    let answer = client.ask(Method::GET, "/api/v1/tail", None).await?;
    answer
        .lines(async |line| {
            if args.json {
                return put(line);
            }
            let event: Event = serde_json::from_str(line)?;
            if let Some(told) = Timeline::default().tell(&event) {
                let id = event.stream.to_string();
                put(format_args!("{} {}\n{told}", event.at, id.get(..8).unwrap_or(&id)))?;
            }
            Ok(())
        })
        .await
}

async fn renew(args: &ListArgs) -> Result<(), Failure> {
    let client = Client::open(&args.gateway).await?;
    let kept: Value = client.json(Method::POST, "/api/v1/renewals", None).await?;
    if args.json {
        println!("{kept}");
    } else {
        let sessions = kept.get("sessions").and_then(Value::as_u64).unwrap_or(0);
        println!("{sessions} open sessions go on until {} at the latest", text(&kept, "until"));
    }
    Ok(())
}

/// A counter of lines where a person watches; hidden elsewhere.
fn progress(wanted: bool) -> ProgressBar {
    if !wanted || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {pos} lines, {elapsed}");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

mod replay;
mod verify;
