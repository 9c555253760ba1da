//! The whole file: its top-level keys, each handed to the reader of its section.

use crate::document::{Document, Value};
use crate::settings::Config;
use crate::{connections, notifications, oidc, policies, sections, vault};
use portcullis_model::Problem;
use std::path::Path;

/// What the text says, if it says it wholly, and every problem.
pub(crate) fn config(text: &str, shown: &Path, file: &Path, on_disk: bool) -> (Option<Config>, Vec<Problem>) {
    let document = Document::new(text, shown, file, on_disk);
    let config = document.tree().and_then(|tree| whole(&Value::root(&document, &tree), file));
    (config, document.into_problems())
}

fn whole(root: &Value<'_>, file: &Path) -> Option<Config> {
    let mut section = root.section()?;
    let document = root.document();
    let data_dir = section.take("data_dir").map_or(Some("./data"), |value| value.text());
    let store = sections::store(section.take("store"));
    let listen = section.require("listen", "{ postgres: 127.0.0.1:6442 }");
    let listen = sections::listen(listen.and_then(|value| value.section()));
    let tls = sections::tls(section.take("tls"), listen.as_ref());
    let identity = sections::identity(section.take("identity"));
    let vaults = section.take("vault");
    document.know_vaults(vault::known(vaults.as_ref()));
    let vaults = vault::vaults(vaults);
    // Where the providers have problems of their own, whether one is there is not another.
    let oauth = identity.as_ref().is_none_or(|identity| oidc::sent_to(&identity.oidc).is_some());
    let listed = section.require("connections", "{ NAME: { protocol: postgres, … } }");
    let connections = connections::connections(listed, oauth);
    let policies = section.require("policies", "[policies/*.yaml]").and_then(|value| policies::read(&value));
    let notifications = notifications::notifiers(section.take("notifications"), connections.as_ref());
    let audit = sections::audit(section.take("audit"));
    let limits = sections::limits(section.take("limits"));
    section.finish();
    let sections::Identity { roles, oidc, ssh } = identity?;
    Some(Config {
        file: file.to_owned(),
        data_dir: document.resolve(data_dir?),
        store: store?,
        listen: listen?,
        tls: tls?,
        roles,
        oidc,
        ssh,
        vaults: vaults?,
        connections: connections?,
        policies: policies?,
        notifications: notifications?,
        audit: audit?,
        limits: limits?,
    })
}
