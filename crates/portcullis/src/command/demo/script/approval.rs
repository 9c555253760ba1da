//! The steps with a person: commands that wait, a login at the identity provider, a yes and a no.
//!
//! Promises: the person logs in as a person would, by the provider's own page, and votes with this binary's own commands;
//! whoever waits does so in the session in which it asked.
//! Held by: itself, in `scripts/test`.

use super::host::unless;
use super::{Ends, Play, Step, psql};
use crate::command::demo::blocking;
use crate::command::demo::people::{PERSON, People, state_home};
use crate::command::demo::quote::for_shell;
use crate::command::token::text;
use crate::error::Failure;
use crate::fetch::Fetch;
use hyper::{Request, StatusCode};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

/// What a client is told when it waits.
const WAITS: &str = "waiting for approval";

/// How often, and how many times, it is looked for a request that its client says nothing of.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 300;

impl Play<'_> {
    pub(super) async fn approvals(&mut self) -> Result<(), Failure> {
        let dsn = self.demo.dsn("agent-7")?;
        let mut command = psql(&dsn);
        command.env("PGPASSWORD", self.demo.tokens.first().map_or("", String::as_str));
        let (waiting, said) = self
            .begin(
                "What is neither forbidden nor harmless waits for a person, in the session that asked",
                &format!("PGPASSWORD=… psql {}", for_shell(&dsn)),
                command,
                "DELETE FROM orders WHERE id = 120;\nSELECT count(*) AS left_over FROM orders;\n",
                Some(WAITS),
            )
            .await?;
        let id = said.lines().find_map(|line| line.split_once(WAITS)).map_or("", |(_, id)| id.trim()).to_owned();
        self.login(&self.demo.people).await?;
        self.decide(&id).await?;
        let expect = ["DELETE 1", "left_over", "119"];
        self.finish("The command ran, once, and its session goes on", waiting, &expect, &["ERROR"], Ends::Well).await?;
        self.approved(&id).await?;
        if self.demo.services.curl.is_ok() { self.refund().await } else { Ok(()) }
    }

    /// A person logs in by a code, on the provider's page.
    async fn login(&mut self, people: &People) -> Result<(), Failure> {
        let (command, typed) = self.as_person(&["login"])?;
        let title = "A person logs in: the command line names a page, and waits";
        let (waiting, said) = self.begin(title, &typed, command, "", Some("or open ")).await?;
        let page = said.lines().find_map(|line| line.strip_prefix("or open ")).unwrap_or_default();
        let wrong = match visit(page, people).await {
            Ok(()) => Vec::new(),
            Err(error) => vec![error.to_string()],
        };
        self.verdict(&format!("{PERSON} opens the page and enters a password there"), &wrong);
        let expect = format!("logged in as {PERSON}");
        self.finish("… and is who the provider says", waiting, &[&expect], &[&people.password], Ends::Well).await?;
        Ok(())
    }

    async fn decide(&mut self, id: &str) -> Result<(), Failure> {
        self.person(
            "The person sees what would be done, by whom, and why it waits",
            &["approvals", "show", id],
            &[
                "DELETE FROM orders WHERE id = 120",
                "agent-7",
                "delete table public.orders",
                "shop-approvals/deletes-wait",
            ],
            None,
        )
        .await?;
        let token = self.demo.tokens.get(1).map(String::as_str);
        let title = "A token is not a person, whoever made it: it may not say yes";
        self.person(title, &["approvals", "approve", id], &["interactive"], token).await?;
        let approved = format!("{id} is approved");
        self.person("The person may", &["approvals", "approve", id], &[&approved], None).await
    }

    /// What the auditor finds of it.
    async fn approved(&mut self, id: &str) -> Result<(), Failure> {
        let listed =
            self.own("The auditor finds the session", &["sessions", "list"], &["agent-7", "shop"], Ends::Well).await?;
        let session = self.sessions(&listed, "shop").pop().unwrap_or_default();
        let verdict = format!("approval {id} approved {PERSON}");
        self.own(
            "… and in it what waited, who said yes, and what came of it",
            &["sessions", "show", &session],
            &["DELETE FROM orders", "HELD", "shop-approvals/deletes-wait", &verdict, "DELETE 1"],
            Ends::Well,
        )
        .await?;
        Ok(())
    }

    /// The same over HTTP, and a no.
    async fn refund(&mut self) -> Result<(), Failure> {
        let words = ["-i", "-H", "content-type: application/json", "-d", "{\"amount\": 250}", "/crm/refunds"];
        let (command, typed) = self.curl_command(&words)?;
        let title = "A large refund over HTTP waits as well";
        let (waiting, _) = self.begin(title, &typed, command, "", None).await?;
        let id = self.waiting_on("crm").await?;
        self.verdict("it waits", &unless(!id.is_empty(), "nothing waits"));
        let rejected = format!("{id} is rejected");
        self.person("The person says no", &["approvals", "reject", &id], &[&rejected], None).await?;
        let expect = ["403", "\"rule\"", "was refused by", "Speak with the person who refused it.", "\"decision\""];
        self.finish("Nothing is paid, and the agent knows why", waiting, &expect, &["paid"], Ends::Well).await?;
        let got = self.demo.services.crm.service.ledger().connections().concat();
        let got = String::from_utf8_lossy(&got);
        // By their lines, of which the small refund before it has the first: digits alone stand in keys and ports as well.
        let refunds = got.matches("POST /refunds ").count();
        self.verdict("nothing of it reached the service", &unless(refunds == 1, "the refund reached it"));
        Ok(())
    }

    /// The request that waits on a connection, once there is one; nothing where none comes.
    async fn waiting_on(&self, connection: &str) -> Result<String, Failure> {
        for _ in 0..LOOKS {
            let (mut command, _) = self.as_person(&["approvals", "list", "--json"])?;
            let output = blocking("approvals list", move || Ok(command.output()?)).await?;
            let listed = String::from_utf8_lossy(&output.stdout).into_owned();
            let mut requests = listed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let found = requests.find(|one| text(one, "state") == "open" && text(one, "connection") == connection);
            if let Some(request) = found {
                return Ok(text(&request, "id").to_owned());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(String::new())
    }

    /// A command of the person's, or of whoever has this token, who must not get through.
    async fn person(
        &mut self,
        title: &str,
        words: &[&str],
        expect: &[&str],
        token: Option<&str>,
    ) -> Result<(), Failure> {
        let (mut command, mut typed) = self.as_person(words)?;
        if let Some(token) = token {
            command.env("PORTCULLIS_TOKEN", token);
            typed = format!("PORTCULLIS_TOKEN=… {typed}");
        }
        let ends = if token.is_some() { Ends::With(1) } else { Ends::Well };
        self.step(Step { title, typed, command, input: String::new(), expect, never: &[], ends }).await?;
        Ok(())
    }

    /// This binary's own command as a person anywhere would call it, and as they would type it.
    fn as_person(&self, words: &[&str]) -> Result<(Command, String), Failure> {
        let address = self.demo.running.console.ok_or_else(|| Failure::Refused("no console".to_owned()))?.to_string();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(words).args(["--gateway", &address, "--ca"]).arg(&self.demo.authority);
        command.env("XDG_STATE_HOME", state_home(&self.demo.config)).env_remove("PORTCULLIS_TOKEN");
        Ok((command, format!("portcullis {} --gateway {address} --ca ca.pem", words.join(" "))))
    }
}

/// Opens the page of a login by code and fills it in, as a browser would.
async fn visit(page: &str, people: &People) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::refused("the page", error);
    let fetch = Fetch::new(None).map_err(|error| failed(&error))?;
    let request = Request::get(page).body(Vec::new()).map_err(|error| failed(&error))?;
    let shown = fetch.send(request).await.map_err(|error| failed(&error))?;
    if !String::from_utf8_lossy(shown.body()).contains("password") {
        return Err(failed(&"it asks for no password"));
    }
    let code = page.split_once("user_code=").map_or("", |(_, code)| code);
    let form = format!("user_code={code}&user={PERSON}&password={}", people.password);
    let request = Request::post(format!("{}/device", people.issuer()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.into_bytes())
        .map_err(|error| failed(&error))?;
    let answer = fetch.send(request).await.map_err(|error| failed(&error))?;
    if answer.status() == StatusCode::OK { Ok(()) } else { Err(failed(&String::from_utf8_lossy(answer.body()))) }
}
