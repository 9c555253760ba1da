//! Logins with a code that a person types in any browser (RFC 8628), as this crate sees them: somebody else speaks to the
//! provider ([`DeviceLogins`]), a connection shows where to go ([`shown`]) and waits.
//!
//! Promises: what is shown says which gateway asks, for which connection and for whom it is not to be done; it has no
//! control character and nothing that is not seen, and fits into what OpenSSH prints of it ([`PRINTED`]). What a client
//! wrote is in it in its own place only, and reaches no provider: nothing of it is given to [`DeviceLogins`].
//! Does not promise that whoever reads it is whoever logs in: a code can be passed on (`docs/limits.md`).
//! Held by: the tests below and `tests/it/login_device.rs` of the binary. Why so: `docs/decisions/0022`.

use futures_util::future::BoxFuture;
use portcullis_model::is_unseen;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of instructions that OpenSSH prints; what is behind them is cut.
const PRINTED: usize = 1023;

/// Characters of a connection's name that are repeated to whoever typed it.
const NAME: usize = 32;

/// The way to the provider that people log in at.
pub trait DeviceLogins: Send + Sync {
    /// Asks the provider for a code. Dropping it ends the asking.
    fn begin(&self) -> BoxFuture<'_, Result<DeviceLogin, Unfinished>>;
}

/// A login that was begun. Dropping it ends it: the provider is asked no more.
pub struct DeviceLogin {
    /// The provider: the token must be its own.
    pub issuer: Arc<str>,
    /// The page to open, over TLS or of a loopback address.
    pub page: String,
    /// What to type there.
    pub code: String,
    /// The page with the code in it, where the provider has one.
    pub whole: Option<String>,
    /// How long the provider waits for its person.
    pub within: Duration,
    /// The token, once the person has logged in. The provider is asked only while this is polled.
    pub token: BoxFuture<'static, Result<SecretString, Unfinished>>,
}

/// Why a login with a code came to nothing: for the record, never for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unfinished {
    /// The provider does not answer, or not as it should.
    Unavailable,
    /// The provider refused the gateway.
    Refused,
    /// The person, or the provider on their behalf, said no.
    Denied,
    /// Nobody logged in while there was time.
    Expired,
    /// The provider gave no ID token.
    NoToken,
}

impl Unfinished {
    /// The words for the record.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unavailable => "device login: the identity provider cannot be asked",
            Self::Refused => "device login: the identity provider refused it",
            Self::Denied => "device login: denied at the identity provider",
            Self::Expired => "device login: nobody logged in in time",
            Self::NoToken => "device login: the identity provider gave no ID token",
        }
    }
}

/// What somebody reads who is to log in, for a connection of this name from `peer` to this gateway.
pub(crate) fn shown(login: &DeviceLogin, connection: &str, gateway: SocketAddr, peer: SocketAddr) -> String {
    let plain =
        |text: &str| -> String { text.chars().map(|c| if c.is_control() || is_unseen(c) { '?' } else { c }).collect() };
    let connection: String = plain(connection).chars().take(NAME).collect();
    let (page, code) = (plain(&login.page), plain(&login.code));
    let head = format!(
        "Portcullis at {gateway} asks for a login, for `{connection}` from {peer}.\nOpen {page} and enter {code}\n"
    );
    let foot = "It goes on by itself then. Do this only if you started this connection yourself: with a code that somebody \
                else gave you, they get in as you.\n";
    let whole = login.whole.as_deref().map(|whole| format!("or open {}\n", plain(whole)));
    // Without the longer page it can be done all the same.
    let whole = whole.filter(|whole| head.len() + whole.len() + foot.len() <= PRINTED).unwrap_or_default();
    format!("{head}{whole}{foot}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(page: &str, code: &str, whole: Option<&str>) -> DeviceLogin {
        DeviceLogin {
            issuer: "https://idp.example".into(),
            page: page.to_owned(),
            code: code.to_owned(),
            whole: whole.map(str::to_owned),
            within: Duration::from_secs(60),
            token: Box::pin(std::future::pending()),
        }
    }

    fn said(login: &DeviceLogin, connection: &str) -> String {
        let [gateway, peer] = ["192.0.2.1:6422", "198.51.100.7:40000"].map(|at| at.parse().unwrap());
        shown(login, connection, gateway, peer)
    }

    #[test]
    fn it_says_who_asks_for_what_where_to_go_and_for_whom_not_to() {
        let text =
            said(&login("https://idp.example/d", "ABCD-EFGH", Some("https://idp.example/d?c=ABCD")), "build-box");
        assert_eq!(
            text,
            "Portcullis at 192.0.2.1:6422 asks for a login, for `build-box` from 198.51.100.7:40000.\n\
             Open https://idp.example/d and enter ABCD-EFGH\n\
             or open https://idp.example/d?c=ABCD\n\
             It goes on by itself then. Do this only if you started this connection yourself: with a code that somebody \
             else gave you, they get in as you.\n"
        );
    }

    #[test]
    fn nothing_in_it_draws_and_a_client_adds_no_line() {
        let login = login("https://idp.example/\u{1b}[2J", "A\r\nB\u{202e}", Some("https://x/\u{7}\n"));
        let text = said(&login, "box\nOpen https://evil.example and enter X\u{200b}");
        assert_eq!(text.lines().count(), 4);
        assert!(text.chars().all(|c| c == '\n' || !(c.is_control() || is_unseen(c))), "{text:?}");
        assert!(text.contains("for `box?Open https://evil.example an` from"), "{text}");
    }

    #[test]
    fn what_openssh_would_cut_is_left_out_whole() {
        let (page, code) = (format!("https://{}", "p".repeat(248)), "c".repeat(64));
        let whole = format!("https://{}", "w".repeat(2000));
        for fits in [None, Some(&*whole)] {
            let text = said(&login(&page, &code, fits), &"n".repeat(500));
            assert!(
                text.len() <= PRINTED && text.ends_with("as you.\n") && !text.contains("or open"),
                "{}",
                text.len()
            );
        }
        let text = said(&login(&page, &code, Some(&page)), "box");
        assert!(text.len() <= PRINTED && text.contains("or open"), "{}", text.len());
    }
}
