//! The startup message: who wants in, to what, and with which settings.
//!
//! Promises: the message is read whole, ends in its terminator and is UTF-8 throughout; a key that decides who, where
//! or how (`user`, `database`, `options`, `replication`) stands there at most once; `options` is split as the server
//! splits it; a setting that is not on the closed list is refused by name, wherever it stands, since any of them would
//! be in force before the first statement is read; what is meant for the gateway itself (`portcullis.auth`) is taken and
//! never forwarded. `client_encoding` is UTF8. Replication is refused in every spelling.
//! Protocol 3.0 and 3.2 are spoken; for any other minor version the highest spoken one that is not above it, and the
//! client is told, as it is for every `_pq_.` option.
//!
//! Does not promise: that a value is one the server accepts; it says so itself at login.
//! Held by: `startup/tests.rs` and [`fuzz_startup`].

use crate::error::Refused;
use std::fmt;

mod options;
#[cfg(test)]
mod tests;
mod wish;

pub use wish::ClientAuth;

/// The longest startup message, in bytes (PostgreSQL's `MAX_STARTUP_PACKET_LENGTH`).
pub const LONGEST: usize = 10_000;
/// The longest user or database, in bytes: two names of PostgreSQL and what joins them.
const LONGEST_NAME: usize = 2 * 63 + 1;

/// The setting of the gateway's own that says why a session is opened.
const REASON: &str = "portcullis.reason";

/// Settings a client may choose at startup, as the server spells them. None changes what a statement means, except
/// `search_path`, which names resolve by and which the session therefore must be told about.
const SETTINGS: [&str; 15] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "DateStyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "IntervalStyle",
    "jit",
    "lock_timeout",
    "search_path",
    "statement_timeout",
    "TimeZone",
];

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 3 in all that is spoken.
    pub major: u16,
    /// The revision.
    pub minor: u16,
}

impl Version {
    /// Spoken by every server and client; cancel keys of four bytes.
    pub const V3_0: Self = Self { major: 3, minor: 0 };
    /// PostgreSQL 18; cancel keys of up to 256 bytes.
    pub const V3_2: Self = Self { major: 3, minor: 2 };

    /// From the number in a startup message.
    #[must_use]
    pub const fn from_code(code: u32) -> Self {
        let [a, b, c, d] = code.to_be_bytes();
        Self { major: u16::from_be_bytes([a, b]), minor: u16::from_be_bytes([c, d]) }
    }

    /// The number in a startup message.
    #[must_use]
    pub const fn code(self) -> u32 {
        ((self.major as u32) << 16) | self.minor as u32
    }

    /// The version to speak with a client that asks for this one.
    const fn spoken(self) -> Self {
        if self.minor >= Self::V3_2.minor { Self::V3_2 } else { Self::V3_0 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A setting on the closed list, spelt as the server spells it, and its value.
pub type Setting = (&'static str, String);

/// A startup message, read and accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// The version the client asked for.
    pub requested: Version,
    /// The version that is spoken: 3.0 or 3.2.
    pub version: Version,
    /// Who the client says it is. Not empty, not proven.
    pub user: String,
    /// What it wants to reach; the user's name if it did not say.
    pub database: String,
    /// How it wants to prove who it is, if it said so.
    pub auth: Option<ClientAuth>,
    /// Settings from the message and its `options`, each once, the last value given.
    pub settings: Vec<Setting>,
    /// Why the session is opened, for whoever decides about what it sends: `portcullis.reason`, a setting of the gateway's
    /// own that goes no further.
    pub reason: Option<String>,
    /// `_pq_.` options, none of which is known.
    pub unknown_options: Vec<String>,
}

impl Startup {
    /// Reads what follows the length field of a startup message.
    ///
    /// # Errors
    /// [`Refused`] with what the client is to be told.
    pub fn parse(body: &[u8]) -> Result<Self, Refused> {
        let invalid = || Refused::new("08P01", "invalid startup packet layout: expected terminator as last byte");
        let (code, rest) = body.split_first_chunk::<4>().ok_or_else(invalid)?;
        let requested = Version::from_code(u32::from_be_bytes(*code));
        if requested.major != 3 {
            return Err(Refused::new(
                "0A000",
                format!("unsupported frontend protocol {requested}: the gateway supports 3.0 and 3.2"),
            ));
        }
        let mut raw = Raw::default();
        let mut rest = rest;
        loop {
            let (name, after) = string(rest).ok_or_else(invalid)?;
            if name.is_empty() {
                rest = after;
                break;
            }
            let (value, after) = string(after).ok_or_else(invalid)?;
            raw.take(utf8(name)?, utf8(value)?)?;
            rest = after;
        }
        if !rest.is_empty() {
            return Err(invalid());
        }
        raw.finish(requested)
    }

    /// The value chosen for a setting, by the server's spelling.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
    }

    /// Whether the client must be told what is spoken (NegotiateProtocolVersion).
    #[must_use]
    pub fn needs_negotiation(&self) -> bool {
        self.requested != self.version || !self.unknown_options.is_empty()
    }
}

/// What was read so far.
#[derive(Default)]
struct Raw<'a> {
    user: Option<&'a str>,
    database: Option<&'a str>,
    options: Option<&'a str>,
    auth: Option<ClientAuth>,
    settings: Vec<Setting>,
    reason: Option<String>,
    unknown_options: Vec<String>,
}

impl<'a> Raw<'a> {
    fn take(&mut self, name: &'a str, value: &'a str) -> Result<(), Refused> {
        let slot = match name {
            "user" => &mut self.user,
            "database" => &mut self.database,
            "options" => &mut self.options,
            "replication" => {
                return Err(Refused::new("0A000", "replication connections are not served by this gateway"));
            }
            option if option.starts_with("_pq_.") => {
                self.unknown_options.push(option.to_owned());
                return Ok(());
            }
            wish if wish.eq_ignore_ascii_case(wish::AUTH) => {
                self.auth = Some(ClientAuth::read(value)?);
                return Ok(());
            }
            setting => return choose(&mut self.settings, &mut self.reason, setting, value),
        };
        if slot.replace(value).is_some() {
            return Err(Refused::new("08P01", format!("startup parameter \"{name}\" is given twice")));
        }
        Ok(())
    }

    fn finish(self, requested: Version) -> Result<Startup, Refused> {
        let user = self
            .user
            .filter(|user| !user.is_empty())
            .ok_or_else(|| Refused::new("28000", "no PostgreSQL user name specified in startup packet"))?;
        let database = self.database.filter(|database| !database.is_empty()).unwrap_or(user);
        for (what, name) in [("user", user), ("database", database)] {
            if name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
                return Err(Refused::new(
                    "08P01",
                    format!("startup parameter \"{what}\" is too long or not printable"),
                ));
            }
        }
        // The server applies `options` first, then the settings that stand alone.
        let (mut settings, mut auth, mut reason) = (Vec::new(), None, None);
        for (name, value) in options::split(self.options.unwrap_or_default())? {
            if name.eq_ignore_ascii_case(wish::AUTH) {
                auth = Some(ClientAuth::read(&value)?);
            } else {
                choose(&mut settings, &mut reason, &name, &value)?;
            }
        }
        for (name, value) in self.settings {
            choose(&mut settings, &mut reason, name, &value)?;
        }
        Ok(Startup {
            requested,
            version: requested.spoken(),
            user: user.to_owned(),
            database: database.to_owned(),
            auth: self.auth.or(auth),
            settings,
            reason: self.reason.or(reason),
            unknown_options: self.unknown_options,
        })
    }
}

/// Sets a setting if it is on the list. Names are compared as the server compares them, without regard to ASCII case.
fn choose(settings: &mut Vec<Setting>, reason: &mut Option<String>, name: &str, value: &str) -> Result<(), Refused> {
    if name.eq_ignore_ascii_case(REASON) {
        if value.chars().any(char::is_control) {
            return Err(Refused::new("22023", format!("invalid value for parameter \"{REASON}\"")));
        }
        *reason = Some(value.to_owned());
        return Ok(());
    }
    let Some(known) = SETTINGS.into_iter().find(|known| known.eq_ignore_ascii_case(name)) else {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(63).collect();
        return Err(Refused::new("42501", format!("startup parameter \"{shown}\" is not allowed by this gateway"))
            .hint(format!("Remove it from the connection string or PGOPTIONS. Allowed: {}.", SETTINGS.join(", "))));
    };
    if value.chars().any(char::is_control) {
        return Err(Refused::new("22023", format!("invalid value for parameter \"{known}\"")));
    }
    let mut value = value.to_owned();
    if known == "client_encoding" {
        if !is_utf8(&value) {
            return Err(Refused::new("22023", "client_encoding must be UTF8 on this gateway")
                .hint("Unset PGCLIENTENCODING, or set it to UTF8."));
        }
        "UTF8".clone_into(&mut value);
    }
    settings.retain(|(found, _)| *found != known);
    settings.push((known, value));
    Ok(())
}

/// Whether an encoding's name is one of UTF-8's, compared as the server does: letters and digits only, folded.
fn is_utf8(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    matches!(plain.as_str(), "utf8" | "unicode")
}

/// A string and what follows its NUL.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(0, bytes)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

fn utf8(bytes: &[u8]) -> Result<&str, Refused> {
    std::str::from_utf8(bytes).map_err(|_| Refused::new("22021", "startup parameters must be valid UTF-8"))
}

/// Reads arbitrary bytes as a startup message; for the fuzzer.
pub fn fuzz_startup(data: &[u8]) {
    if let Ok(startup) = Startup::parse(data) {
        assert!(!startup.user.is_empty() && !startup.database.is_empty());
        assert!(startup.settings.iter().all(|(name, _)| SETTINGS.contains(name)));
        assert!(startup.version <= startup.requested);
    }
}
