//! What a client asks for on a channel, as the command that the gate is asked about.
//!
//! Promises: every request that could make a target do something has a command here, and none is left out of the record;
//! what is never forwarded is a command with a fault, so that its refusal is recorded like any other; the digest is over
//! the bytes that would be sent.
//! Does not promise to know what a command line does: `crates/shell` reads it, `lines.rs` asks the target for what the
//! text alone does not say.
//! Held by: the tests below and `tests/it/ssh.rs` of the binary.

use crate::listener::Place;
use portcullis_model::{Action, Command, Digest, Fault, Mark, Object, Operation, Part, SessionKind, Source, Text};

/// A session of this kind on the connection.
pub(crate) fn session(kind: SessionKind) -> Command {
    let operation = Operation::new(Action::Connect, Object::Session(kind));
    let text = format!("open a session: {}", kind.word());
    message(Source::Message, text, operation)
}

/// A variable of the environment that is no presentation.
pub(crate) fn variable(name: &str, value: &str) -> Command {
    let operation = Operation::new(Action::Configure, Object::Setting(Part::known(name)));
    let digest = Digest::of_parts(&[name.as_bytes(), b"=", value.as_bytes()]);
    // The value may be a secret, and the name is what rules are about.
    Command::new(Source::Message, Text::plain(format!("environment: {}", shown(name))), [operation], digest)
        .writing(true)
}

/// A subsystem other than file transfer.
pub(crate) fn subsystem(name: &str) -> Command {
    let operation = Operation::new(Action::Execute, Object::Subsystem(Part::known(name))).marked(Mark::Dynamic);
    message(Source::Message, format!("subsystem: {}", shown(name)), operation)
}

/// A connection to another host through the target.
pub(crate) fn forward(host: &str, port: u32) -> Command {
    let place = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let operation = Operation::new(Action::Connect, Object::Host(Part::known(place.as_str()))).marked(Mark::Network);
    message(Source::Forward, format!("connect to {}", shown(&place)), operation)
}

/// A listener at the target.
pub(crate) fn listener(place: &Place) -> Command {
    let place = place.to_string();
    let operation =
        Operation::new(Action::Connect, Object::Listener(Part::known(place.as_str()))).marked(Mark::Network);
    message(Source::Forward, format!("listen on {place}"), operation)
}

/// Another login on the target.
pub(crate) fn login(role: &str) -> Command {
    let operation = Operation::new(Action::Become, Object::Role(Part::known(role)));
    message(Source::Message, format!("log in as {}", shown(role)), operation)
}

/// The names in a directory, for completion.
pub(crate) fn listing(directory: &str, home: &str) -> Command {
    let operation = Operation::new(Action::Read, Object::File(Part::known(directory)));
    let mut command = message(Source::File, format!("list names in {}", shown(directory)), operation);
    command.home = Some(home.into());
    command
}

/// A kind of request that is never forwarded.
pub(crate) fn unsupported(what: &str, instead: &str) -> Command {
    let fault = Fault::Unsupported { message: format!("{what} is not forwarded{instead}").into() };
    Command::faulty(Source::Forward, Text::plain(shown(what)), fault, Digest::of(what.as_bytes()))
}

fn message(source: Source, text: String, operation: Operation) -> Command {
    let digest = Digest::of(text.as_bytes());
    Command::new(source, Text::plain(text), [operation], digest).writing(true)
}

/// A client's word for the record: bounded, and with control characters made visible.
fn shown(text: &str) -> String {
    text.chars().take(256).flat_map(|c| c.escape_debug()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_operations_that_rules_name() {
        for (command, operation) in [
            (session(SessionKind::Guarded), "connect session guarded"),
            (variable("LD_PRELOAD", "x"), "configure setting \"LD_PRELOAD\""),
            (forward("db.internal", 5432), "connect host db.internal:5432 +network"),
            (forward("::1", 22), "connect host [::1]:22 +network"),
            (listener(&Place::new("localhost", 8080).unwrap()), "connect listener localhost:8080 +network"),
            (listener(&Place::new("::1", 0).unwrap()), "connect listener [::1]:0 +network"),
            (login("root"), "become role root"),
            (subsystem("netconf"), "execute subsystem netconf +dynamic"),
        ] {
            assert_eq!(command.operations().iter().map(ToString::to_string).collect::<Vec<_>>(), [operation]);
            assert!(command.can_write());
        }
        assert!(unsupported("X11", "").fault.is_some());
        assert!(!variable("TOKEN", "s3cret").text.as_str().contains("s3cret"));
    }
}
