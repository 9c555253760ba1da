//! The demo's people: a real identity provider with one person, who may decide on what waits.
//!
//! Promises: the person's password is made for each start and printed by the interactive demo alone; what they log in with
//! is `portcullis login`, whose token is kept beside the demo's files and not with the user's own.
//! Held by: the demo's script, in `scripts/test`.

use crate::error::Failure;
use portcullis_testkit::idp::{Account, Client, Provider, Settings};
use portcullis_testkit::random_hex;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Who decides, and their group.
pub(super) const PERSON: &str = "dana";
const GROUP: &str = "dba";

/// Whom tokens are for: the gateway, and its command line.
const AUDIENCE: &str = "portcullis";

/// How long a login lasts.
const LIFETIME: Duration = Duration::from_secs(8 * 60 * 60);

/// A running provider.
pub(super) struct People {
    provider: Provider,
    pub(super) password: String,
}

/// Starts it. Blocks.
pub(super) fn start() -> Result<People, Failure> {
    let failed = |error| Failure::refused("the identity provider", error);
    let password = random_hex().map_err(failed)?;
    let account = Account { user: PERSON.to_owned(), password: password.clone(), groups: vec![GROUP.to_owned()] };
    let client = Client { id: AUDIENCE.to_owned(), secret: None, redirects: Vec::new(), groups: Vec::new() };
    let settings = Settings {
        accounts: vec![account],
        clients: vec![client],
        audience: AUDIENCE.to_owned(),
        lifetime: LIFETIME,
        secrets_by: Settings::every_way(),
        for_programs: false,
        device_lifetime: Settings::DEVICE_LIFETIME,
        slow_down: false,
        id_tokens_for: None,
    };
    Ok(People { provider: Provider::start(settings).map_err(failed)?, password })
}

impl People {
    /// Its line for the configuration.
    pub(super) fn configured(&self) -> String {
        format!("oidc: [{{ issuer: \"{}\", audience: {AUDIENCE}, groups_claim: groups }}]", self.provider.issuer())
    }

    /// Where its pages are.
    pub(super) fn issuer(&self) -> &str {
        self.provider.issuer()
    }
}

/// What `XDG_STATE_HOME` is for the person.
pub(super) fn state_home(config: &Path) -> PathBuf {
    config.with_file_name(PERSON)
}
