//! The demo played by itself: each step is what a person would type, and what they must see.

mod approval;
mod conversation;
mod host;
mod http;
mod step;

use super::quote::for_shell;
use super::{Demo, blocking, portcullis};
use crate::error::Failure;
use std::fs;
use std::path::Path;
use std::process::Command;
use step::{Ends, Step};

/// The place, from 0, of the agent's session in which something is masked: each psql is one.
const MASKED_SESSION: usize = 3;

/// Plays every step; fails if one was not as it says.
pub(super) async fn play(demo: &Demo) -> Result<(), Failure> {
    let mut play = Play { demo, earlier: earlier(demo).await?, wrong: 0, played: 0 };
    play.agent().await?;
    play.host().await?;
    play.http().await?;
    play.approvals().await?;
    play.dba().await?;
    play.strangers().await?;
    play.auditor().await?;
    println!("\n{} steps, {} wrong", play.played, play.wrong);
    let missing = [("over SSH", demo.host.as_ref().err()), ("over HTTP", demo.services.curl.as_ref().err())];
    for (steps, why) in missing.into_iter().filter_map(|(steps, why)| Some((steps, why?))) {
        println!("not played: the steps {steps}: {why}");
    }
    if play.wrong == 0 { Ok(()) } else { Err(Failure::Refused(format!("{} steps of the demo are wrong", play.wrong))) }
}

struct Play<'a> {
    demo: &'a Demo,
    /// Sessions that an earlier demo left in the same directory.
    earlier: Vec<String>,
    played: usize,
    wrong: usize,
}

impl Play<'_> {
    async fn agent(&mut self) -> Result<(), Failure> {
        self.sql(
            "An agent reads with the client it already has",
            "SELECT id, name, city FROM customers ORDER BY id LIMIT 3;\n\\dt",
            &["(3 rows)", "customers", "orders"],
            &["ERROR"],
        )
        .await?;
        self.sql(
            "What would destroy is refused, with the reason and the next step; the session lives on",
            "DROP TABLE orders;\nDELETE FROM orders;\nSELECT count(*) FROM orders;",
            &["ERROR", "42501", "DETAIL", "HINT", "120"],
            &["DROP TABLE\n", "DELETE 120"],
        )
        .await?;
        self.sql(
            "Disguises do not help: it is read by PostgreSQL's own grammar",
            "EXPLAIN ANALYZE DELETE FROM orders;\nWITH gone AS (DELETE FROM orders RETURNING 1) SELECT count(*) FROM gone;\n\
             DO $$ BEGIN EXECUTE 'DROP ' || 'TABLE orders'; END $$;\nDELETE FROM orders WHERE id = id;\n\
             SELECT count(*) AS still FROM orders;",
            &["ERROR", "still", "120"],
            &["Delete on orders", "DELETE 120"],
        )
        .await?;
        self.sql(
            "What is protected comes masked, by where it comes from and not by what it is called",
            "SELECT id, email AS contact, phone FROM customers ORDER BY id LIMIT 2;\n\
             COPY (SELECT ssn FROM customers WHERE id = 1) TO STDOUT;\nSELECT ssn::int FROM customers WHERE id = 1;\n\
             SELECT id FROM customers WHERE ssn LIKE '9%';\nSELECT count(*) AS all_of_them FROM customers;",
            &["[redacted]", "*******0101", "shop-masks/personal", "HINT", "all_of_them"],
            &["@example", "SSN", "900-"],
        )
        .await?;
        self.own(
            "… and why is told before anybody runs it",
            &[
                "policy",
                "explain",
                "--as",
                "agent-7",
                "--groups",
                "agents",
                "--on",
                "shop",
                "--sql",
                "SELECT name, email AS contact, upper(ssn) FROM customers",
            ],
            &["contact", "shop-masks/personal: provenance", "shop-masks/personal: lineage"],
            Ends::Well,
        )
        .await?;
        self.sql(
            "It writes the rows it names, and a refused statement takes its transaction with it",
            "UPDATE orders SET note = 'checked' WHERE id = 1;\nBEGIN;\nUPDATE orders SET note = 'half' WHERE id = 2;\n\
             DELETE FROM orders;\nCOMMIT;\nSELECT id, note FROM orders WHERE id IN (1, 2) ORDER BY id;",
            &["UPDATE 1", "ERROR", "ROLLBACK", "checked"],
            &["half\n(", "| half"],
        )
        .await
    }

    async fn dba(&mut self) -> Result<(), Failure> {
        self.psql(
            1,
            "dba-1",
            "A DBA may change the schema",
            "CREATE TABLE scratch (id int);\nDROP TABLE scratch;",
            &["CREATE TABLE", "DROP TABLE"],
            &["ERROR"],
        )
        .await?;
        self.psql(
            3,
            "clerk-1",
            "A WHERE that is wrong writes too many rows, and is undone before anybody is told that it went well",
            "UPDATE orders SET note = 'lost' WHERE id > 1;\nUPDATE orders SET note = 'found' WHERE id = 1;\n\
             SELECT count(*) AS lost FROM orders WHERE note = 'lost';",
            &["ERROR", "lets a statement write 10 rows, and this one wrote 11", "UPDATE 1", "HINT"],
            &["UPDATE 119"],
        )
        .await
    }

    async fn strangers(&mut self) -> Result<(), Failure> {
        let dsn = self.demo.dsn("agent-7")?;
        let mut command = psql(&dsn);
        command.env("PGPASSWORD", "pct_not-a-token");
        self.step(Step {
            title: "A wrong token gets in nowhere, and is told nothing",
            typed: format!("PGPASSWORD=wrong psql {}", for_shell(&dsn)),
            command,
            input: "SELECT 1;".to_owned(),
            expect: &["FATAL"],
            never: &["(1 row)"],
            ends: Ends::Badly,
        })
        .await?;
        Ok(())
    }

    async fn auditor(&mut self) -> Result<(), Failure> {
        let listed = self
            .own("The auditor lists what happened", &["sessions", "list"], &["agent-7", "dba-1", "shop"], Ends::Well)
            .await?;
        let agents = self.sessions(&listed, "shop");
        let session = agents.first().cloned().unwrap_or_default();
        self.own(
            "… opens a session: statements, decisions, results",
            &["sessions", "show", &session],
            &["session of agent-7", "SELECT id, name, city", "ALLOWED"],
            Ends::Well,
        )
        .await?;
        let masked = agents.get(MASKED_SESSION).cloned().unwrap_or_default();
        self.own(
            "… and one in which something was masked: which column, by which rule, how often; never the value",
            &["sessions", "show", &masked],
            &["masked: contact (2 by shop-masks/personal: provenance)"],
            Ends::Well,
        )
        .await?;
        self.own("… proves the whole record unaltered", &["sessions", "verify"], &["unaltered"], Ends::Well).await?;
        let place = self.demo.config.parent().unwrap_or(Path::new(".")).to_owned();
        let export = place.join("session.jsonl").display().to_string();
        self.own("… takes one away", &["sessions", "export", &session, "--output", &export], &[], Ends::Well).await?;
        let key = place.join("data/audit.pub").display().to_string();
        self.offline("… and verifies it offline with the public key alone", &export, &key, &["unaltered"], Ends::Well)
            .await?;
        let text = fs::read_to_string(&export)?.replacen("SELECT id, name, city", "SELECT id, name, ssn!", 1);
        fs::write(&export, text)?;
        self.offline("One edited statement, and the proof names it", &export, &key, &[&session], Ends::Badly).await
    }

    /// The agent's sessions on a connection in a listing, without those of earlier demos, oldest first.
    fn sessions(&self, listed: &str, connection: &str) -> Vec<String> {
        let ours = listed.lines().filter(|line| line.contains("agent-7") && line.contains(connection));
        let ids = ours.filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
        ids.filter(|id| !self.earlier.contains(id)).collect()
    }

    async fn sql(&mut self, title: &str, sql: &str, expect: &[&str], never: &[&str]) -> Result<(), Failure> {
        self.psql(0, "agent-7", title, sql, expect, never).await
    }

    async fn psql(
        &mut self,
        identity: usize,
        user: &str,
        title: &str,
        sql: &str,
        expect: &[&str],
        never: &[&str],
    ) -> Result<(), Failure> {
        let dsn = self.demo.dsn(user)?;
        let mut command = psql(&dsn);
        command.env("PGPASSWORD", self.demo.tokens.get(identity).map_or("", String::as_str));
        let typed = format!("PGPASSWORD=… psql {}", for_shell(&dsn));
        self.step(Step { title, typed, command, input: format!("{sql}\n"), expect, never, ends: Ends::Well }).await?;
        Ok(())
    }

    /// This binary's own command against the running gateway.
    async fn own(&mut self, title: &str, words: &[&str], expect: &[&str], ends: Ends) -> Result<String, Failure> {
        let command = portcullis(&self.demo.config, words)?;
        let typed = format!("portcullis {} --config portcullis.yaml", words.join(" "));
        let step = Step { title, typed, command, input: String::new(), expect, never: &[], ends };
        self.step(step).await
    }

    /// `sessions verify` of a file, without a gateway.
    async fn offline(
        &mut self,
        title: &str,
        file: &str,
        key: &str,
        expect: &[&str],
        ends: Ends,
    ) -> Result<(), Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["sessions", "verify", file, "--key", key]);
        let typed = "portcullis sessions verify session.jsonl --key audit.pub".to_owned();
        let step = Step { title, typed, command, input: String::new(), expect, never: &[], ends };
        self.step(step).await?;
        Ok(())
    }
}

/// The sessions that are listed before anything is played.
async fn earlier(demo: &Demo) -> Result<Vec<String>, Failure> {
    let mut command = portcullis(&demo.config, &["sessions", "list"])?;
    let output = blocking("sessions list", move || Ok(command.output()?)).await?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// The real psql: no start-up file, every statement echoed, errors with their codes, both streams in order.
fn psql(dsn: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["-X", "-a", "-v", "VERBOSITY=verbose", "-v", "SHOW_CONTEXT=never", "-P", "pager=off", "-d", dsn]);
    command
}
