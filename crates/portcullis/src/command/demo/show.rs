//! What the interactive demo prints: lines to paste, for each of its people and systems.
//!
//! Promises: every line works as it stands, in any directory, whatever gateway the user's own environment names; what is
//! missing on this machine is said in its place.
//! Held by: nothing but who pastes them; the same clients are played by the demo's script.

use super::people::{PERSON, state_home};
use super::quote::for_shell;
use super::{Demo, IDENTITIES};
use crate::error::Failure;
use portcullis_testkit::claude;
use std::path::Path;

impl Demo {
    /// Prints everything.
    pub(super) fn show(&self) -> Result<(), Failure> {
        println!("\nReady. Paste a line:\n");
        for ((user, _, what), token) in IDENTITIES.iter().zip(&self.tokens).take(2) {
            println!("  # {what}\n  PGPASSWORD={token} psql {}\n", for_shell(&self.dsn(user)?));
        }
        println!("Then try, as the agent:\n");
        println!("  SELECT id, name, city, email, phone FROM customers LIMIT 3;");
        println!("  DROP TABLE orders;");
        println!("  SELECT id FROM customers WHERE ssn LIKE '9%';");
        println!("  DELETE FROM orders;");
        println!("  UPDATE orders SET status = 'paid' WHERE id = 1;\n");
        self.show_people()?;
        self.show_host();
        self.show_services();
        let (exe, config) = (path(&std::env::current_exe()?), path(&self.config));
        println!("And, as the auditor:\n");
        for words in ["list", "show SESSION", "verify"] {
            println!("  env -u PORTCULLIS_GATEWAY -u PORTCULLIS_CA {exe} sessions {words} --config {config}");
        }
        println!();
        println!("The policy is in {}. Ctrl-C ends the demo.", self.config.with_file_name("policies").display());
        Ok(())
    }

    /// The lines for what waits, and for the person who decides.
    fn show_people(&self) -> Result<(), Failure> {
        let Some(address) = self.running.console else { return Ok(()) };
        println!("This waits for a person; let it wait, and decide in another terminal:\n");
        println!("  DELETE FROM orders WHERE id = 120;\n");
        println!("  # {PERSON}, a DBA: log in on the page that it names, with the password {}", self.people.password);
        let (exe, state) = (path(&std::env::current_exe()?), path(&state_home(&self.config)));
        let authority = path(&self.authority);
        let own = |words: &str| {
            println!(
                "  env -u PORTCULLIS_TOKEN XDG_STATE_HOME={state} {exe} {words} --gateway {address} --ca {authority}"
            );
        };
        own("login");
        own("approvals list");
        own("approvals approve ID");
        println!();
        Ok(())
    }

    /// The lines for the machine behind SSH.
    fn show_host(&self) {
        let (host, address) = match (&self.host, self.running.ssh) {
            (Ok(host), Some(address)) => (host, address),
            (Err(why), _) => return println!("No machine behind SSH: {why}.\n"),
            (Ok(_), None) => return,
        };
        let file = |name: &str| path(&self.config.with_file_name(name));
        println!(
            "The same agent on a machine, with a key; known_hosts has the gateway's own, so nothing is trusted unseen:\n"
        );
        println!("  # a shell of the gateway's own, in which each line is judged");
        let plain = if host.terminals { "" } else { "-T " };
        if !host.terminals {
            println!(
                "  # -T: terminals of this machine cannot be given to the server's account, so there is no prompt"
            );
        }
        // ssh splits the value at blanks, unless it is in quotes of its own.
        let known = format!("UserKnownHostsFile=\"{}\"", self.config.with_file_name("known_hosts").display());
        let known = for_shell(&known);
        println!(
            "  ssh {plain}-i {} -o IdentitiesOnly=yes -o {known} -p {} build-box@{}\n",
            file("agent-7.key"),
            address.port(),
            address.ip()
        );
        let config = format!("-F {}", file("ssh_config"));
        // The machine has a shell, too.
        let there = |command: &str, name: &str| for_shell(&format!("{command} {}", for_shell(&host.at(name))));
        let from = |name: &str| for_shell(&format!("build-box:{}", host.at(name)));
        println!("  # the same with less to type: {} says all of it", file("ssh_config"));
        println!("  ssh {config} build-box {}", there("grep -n rm", "work/notes.txt"));
        println!("  ssh {config} build-box {}", there("rm -rf", "work"));
        println!("  ssh {config} build-box {}", there("cat", "work/settings.txt"));
        println!("  scp {config} {} .", from("work/notes.txt"));
        println!("  sftp {config} {}\n", from("work"));
    }

    /// The lines for the services behind HTTP.
    fn show_services(&self) {
        let (Some(address), Some(token)) = (self.running.http, self.tokens.first()) else { return };
        let (config, authority) = (path(&self.config.with_file_name("curlrc")), path(&self.authority));
        let curl = format!("curl -K {config}");
        println!("The same agent on a REST API, with its token in {config}:\n");
        if let Err(why) = &self.services.curl {
            println!("  # {why}");
        }
        println!("  {curl} https://{address}/crm/customers/7");
        println!("  {curl} -X DELETE https://{address}/crm/customers/7");
        println!("  # the second waits for the same person");
        for amount in [5, 250] {
            let body = format!("-H 'content-type: application/json' -d '{{\"amount\": {amount}}}'");
            println!("  {curl} {body} https://{address}/crm/refunds");
        }
        println!("\nAnd with a model, a scripted one; what it wants to run is judged before the agent sees it:\n");
        let ask = ask("Please clean up.");
        println!(
            "  {curl} -N -H 'content-type: application/json' -H 'anthropic-version: 2023-06-01' -d '{ask}' https://{address}/claude/v1/messages\n"
        );
        println!("  # Anthropic's SDK for Python (pip install anthropic), and whatever else is built on it");
        println!(
            "  SSL_CERT_FILE={authority} ANTHROPIC_BASE_URL=https://{address}/claude ANTHROPIC_AUTH_TOKEN={token} python3 -c '"
        );
        println!("import anthropic");
        println!(
            "print(anthropic.Anthropic().messages.create(model=\"{}\", max_tokens=256, tools=[{{\"name\": \"Bash\", \"input_schema\": {{\"type\": \"object\"}}}}], messages=[{{\"role\": \"user\", \"content\": \"Please clean up.\"}}]).content)'\n",
            claude::MODEL
        );
    }
}

/// A path as a shell needs it.
fn path(path: &Path) -> String {
    for_shell(&path.display().to_string())
}

/// A request for a stream with this prompt, of an agent that has a shell.
pub(super) fn ask(prompt: &str) -> String {
    let model = claude::MODEL;
    format!(
        "{{\"model\": \"{model}\", \"max_tokens\": 256, \"stream\": true, \"tools\": [{{\"name\": \"Bash\", \"input_schema\": {{\"type\": \"object\"}}}}], \"messages\": [{{\"role\": \"user\", \"content\": \"{prompt}\"}}]}}"
    )
}
