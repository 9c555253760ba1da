//! How a client comes to tokens: a browser's login with a code and PKCE, a login on another device, its own secret, and a
//! refresh.
//!
//! Promises: as a careful provider does it. A code is for one client, one redirect, one use and one minute, and needs the
//! verifier of its S256 challenge; a redirect is to loopback or one that the client has; a refresh token is for one use; a
//! device's login counts once its user has logged in with the code shown there, and is refused once they said no
//! (`answer=no`). A failed login changes nothing. What ran
//! out is forgotten.
//! Does not promise to keep anything when dropped, or to slow down guessing: it is for one machine and a short while.
//! Held by: `tests/it/idp.rs`, and the test below.

use super::form::{Form, encoded, login};
use super::{Account, Client, Shared, now};
use crate::error::TestkitError;
use crate::http::{Act, Asked, answer};
use crate::random_hex;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// A login's code is good for so many seconds.
const CODE: u64 = 60;

/// A login can be refreshed for so many seconds.
const REFRESH: u64 = 24 * 60 * 60;

/// A login that a user made.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    user: String,
    client: String,
    nonce: String,
    at: u64,
}

#[derive(Clone, Debug)]
struct Code {
    login: Login,
    redirect: String,
    challenge: String,
    until: u64,
}

#[derive(Clone, Debug)]
struct Device {
    user_code: String,
    client: String,
    until: u64,
    /// Whoever waits for it has asked before.
    asked: bool,
    /// Its user said no.
    denied: bool,
    login: Option<Login>,
}

/// A device that ran out is remembered for so many seconds.
const REMEMBERED: u64 = 600;

/// What is under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    codes: BTreeMap<String, Code>,
    devices: BTreeMap<String, Device>,
    refresh: BTreeMap<String, Refresh>,
}

#[derive(Clone, Debug)]
struct Refresh {
    login: Login,
    until: u64,
}

impl Pending {
    /// Forgets what ran out; a device's code is kept a while longer, since whoever waits for it is told that it ran out.
    pub(crate) fn forget(&mut self, now: u64) {
        self.codes.retain(|_, code| code.until > now);
        self.devices.retain(|_, device| device.until + REMEMBERED > now);
        self.refresh.retain(|_, refresh| refresh.until > now);
    }
}

fn page(status: &str, text: &str) -> Vec<Act> {
    answer(status, "text/html; charset=utf-8", text.as_bytes())
}

pub(crate) fn document(status: &str, value: &Value) -> Vec<Act> {
    answer(status, "application/json", value.to_string().as_bytes())
}

fn refused(error: &str) -> Vec<Act> {
    let status = if error == "invalid_client" { "401 Unauthorized" } else { "400 Bad Request" };
    document(status, &json!({ "error": error }))
}

/// Sends a browser on.
fn onward(target: &str) -> Vec<Act> {
    vec![Act::Write(format!("HTTP/1.1 303 See Other\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n").into())]
}

fn may_redirect(client: &Client, redirect: &str) -> bool {
    // A program of the user's own listens on any port of loopback (RFC 8252).
    let loopback = ["http://127.0.0.1:", "http://[::1]:"].iter().any(|start| {
        let port = redirect.strip_prefix(start).map(|rest| rest.split('/').next().unwrap_or_default());
        port.is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let plain = redirect.bytes().all(|byte| byte.is_ascii_graphic()) && !redirect.contains(['#', '\\']);
    plain && (client.redirects.iter().any(|known| known == redirect) || (client.secret.is_none() && loopback))
}

const ALONG: [&str; 6] = ["client_id", "redirect_uri", "state", "nonce", "code_challenge", "code_challenge_method"];

impl Shared {
    fn client(&self, id: &str) -> Option<&Client> {
        self.settings.clients.iter().find(|client| client.id == id)
    }

    fn account(&self, form: &Form) -> Option<&Account> {
        let known = |account: &&Account| account.user == form.get("user") && account.password == form.get("password");
        self.settings.accounts.iter().find(known)
    }

    /// The client that a request to the token endpoint comes from, if it proved itself.
    fn proven(&self, asked: &Asked, form: &Form) -> Option<&Client> {
        let basic = asked.header("authorization").and_then(|header| header.strip_prefix("Basic "));
        let basic = basic.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
        let way = if basic.is_some() { "client_secret_basic" } else { "client_secret_post" };
        let (id, secret) = match basic.as_deref().map(|text| text.split_once(':')) {
            Some(pair) => pair?,
            None => (form.get("client_id"), form.get("client_secret")),
        };
        let client = self.client(id).filter(|client| client.secret.as_deref().unwrap_or_default() == secret)?;
        (client.secret.is_none() || self.settings.secrets_by.iter().any(|known| known == way)).then_some(client)
    }

    /// The page of a login, and what comes of it.
    pub(crate) fn authorize(&self, form: &Form, posted: bool) -> Result<Vec<Act>, TestkitError> {
        let Some(client) = self.client(form.get("client_id")) else {
            return Ok(page("400 Bad Request", "unknown client"));
        };
        let redirect = form.get("redirect_uri");
        if !may_redirect(client, redirect) {
            return Ok(page("400 Bad Request", "that client does not redirect there"));
        }
        let back = |fields: &str| {
            let mark = if redirect.contains('?') { '&' } else { '?' };
            onward(&format!("{redirect}{mark}{fields}&state={}", encoded(form.get("state"))))
        };
        let challenged = form.get("code_challenge").len() == 43 && form.get("code_challenge_method") == "S256";
        if !challenged || !(posted || form.get("response_type") == "code") {
            return Ok(back("error=invalid_request"));
        }
        let along: Vec<_> = ALONG.iter().map(|name| (*name, form.get(name))).collect();
        if !posted {
            return Ok(page("200 OK", &login("/authorize", "", &along, false)));
        }
        let Some(account) = self.account(form) else {
            return Ok(page("401 Unauthorized", &login("/authorize", "Wrong user or password.", &along, false)));
        };
        let made = Code {
            login: self.login(account, client, form.get("nonce")),
            redirect: redirect.to_owned(),
            challenge: form.get("code_challenge").to_owned(),
            until: now() + CODE,
        };
        let code = random_hex()?;
        self.change(|pending| pending.codes.insert(code.clone(), made.clone()));
        Ok(back(&format!("code={code}&iss={}", encoded(&self.issuer))))
    }

    fn login(&self, account: &Account, client: &Client, nonce: &str) -> Login {
        Login { user: account.user.clone(), client: client.id.clone(), nonce: nonce.to_owned(), at: now() }
    }

    pub(crate) fn device_authorization(&self, asked: &Asked, form: &Form) -> Result<Vec<Act>, TestkitError> {
        let Some(client) = self.proven(asked, form) else { return Ok(refused("invalid_client")) };
        let device_code = random_hex()?;
        let user_code: String = random_hex()?.to_uppercase().chars().take(8).collect();
        let lives = self.settings.device_lifetime.as_secs();
        let device = Device {
            user_code: user_code.clone(),
            client: client.id.clone(),
            until: now() + lives,
            asked: false,
            denied: false,
            login: None,
        };
        self.devices.fetch_add(1, Ordering::SeqCst);
        self.change(|pending| pending.devices.insert(device_code.clone(), device.clone()));
        let uri = format!("{}/device", self.issuer);
        Ok(document(
            "200 OK",
            &json!({
                "device_code": device_code, "user_code": user_code, "verification_uri": uri,
                "verification_uri_complete": format!("{uri}?user_code={user_code}"), "expires_in": lives, "interval": 1,
            }),
        ))
    }

    /// The page where a user enters a device's code, and what comes of it.
    pub(crate) fn device(&self, form: &Form, posted: bool) -> Vec<Act> {
        let code = form.get("user_code");
        let along = [("user_code", code)];
        let show = |status, said: &str| {
            let along = if code.is_empty() { [].as_slice() } else { along.as_slice() };
            page(status, &login("/device", said, along, code.is_empty()))
        };
        if !posted {
            return show("200 OK", "");
        }
        let Some(account) = self.account(form) else { return show("401 Unauthorized", "Wrong user or password.") };
        let found = self.change(|pending| {
            let waiting = |device: &&mut Device| device.user_code == code && device.until > now();
            let device = pending.devices.values_mut().find(waiting);
            let device = device.filter(|device| device.login.is_none() && !device.denied)?;
            if form.get("answer") == "no" {
                device.denied = true;
                return Some("You said no; go back to your device.");
            }
            let (user, client) = (account.user.clone(), device.client.clone());
            device.login = Some(Login { user, client, nonce: String::new(), at: now() });
            Some("You are logged in; go back to your device.")
        });
        match found {
            Some(said) => page("200 OK", said),
            None => page("400 Bad Request", "There is no such code."),
        }
    }

    pub(crate) fn token(&self, asked: &Asked, form: &Form) -> Result<Vec<Act>, TestkitError> {
        let Some(client) = self.proven(asked, form) else { return Ok(refused("invalid_client")) };
        let granted = match form.get("grant_type") {
            "authorization_code" => self.exchanged(client, form).ok_or("invalid_grant"),
            "refresh_token" => self.refreshed(client, form).ok_or("invalid_grant"),
            "urn:ietf:params:oauth:grant-type:device_code" => self.on_device(client, form),
            "client_credentials" if client.secret.is_some() && self.settings.for_programs => {
                return self.for_itself(client);
            }
            _ => Err("unsupported_grant_type"),
        };
        match granted {
            Ok(login) => self.for_login(&login),
            Err(error) => Ok(refused(error)),
        }
    }

    fn exchanged(&self, client: &Client, form: &Form) -> Option<Login> {
        // Taken whatever comes of it: a code is for one attempt.
        let code = self.change(|pending| pending.codes.remove(form.get("code")))?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form.get("code_verifier").as_bytes()));
        let good = code.until > now()
            && code.login.client == client.id
            && code.redirect == form.get("redirect_uri")
            && code.challenge == challenge;
        good.then_some(code.login)
    }

    fn refreshed(&self, client: &Client, form: &Form) -> Option<Login> {
        let refresh = self.change(|pending| pending.refresh.remove(form.get("refresh_token")))?;
        (refresh.login.client == client.id && refresh.until > now()).then_some(refresh.login)
    }

    fn on_device(&self, client: &Client, form: &Form) -> Result<Login, &'static str> {
        let code = form.get("device_code");
        self.change(|pending| {
            let device = pending.devices.get_mut(code).filter(|device| device.client == client.id);
            let device = device.ok_or("invalid_grant")?;
            if device.until <= now() {
                return Err("expired_token");
            }
            if device.denied {
                return Err("access_denied");
            }
            if self.settings.slow_down && !std::mem::replace(&mut device.asked, true) {
                return Err("slow_down");
            }
            let login = device.login.clone().ok_or("authorization_pending")?;
            pending.devices.remove(code);
            Ok(login)
        })
    }

    /// The tokens of a login.
    fn for_login(&self, login: &Login) -> Result<Vec<Act>, TestkitError> {
        let Some(account) = self.settings.accounts.iter().find(|account| account.user == login.user) else {
            return Ok(refused("invalid_grant"));
        };
        let refresh = random_hex()?;
        let kept = Refresh { login: login.clone(), until: now() + REFRESH };
        self.change(|pending| pending.refresh.insert(refresh.clone(), kept.clone()));
        let mut claims = self.claims_of(account);
        if let Some(members) = claims.as_object_mut() {
            let aud = self.settings.id_tokens_for.as_ref().unwrap_or(&login.client);
            members.insert("aud".to_owned(), aud.as_str().into());
            members.insert("auth_time".to_owned(), login.at.into());
            if !login.nonce.is_empty() {
                members.insert("nonce".to_owned(), login.nonce.as_str().into());
            }
        }
        let mut access = self.claims_of(account);
        if let Some(members) = access.as_object_mut() {
            members.insert("client_id".to_owned(), login.client.as_str().into());
            members.insert("scope".to_owned(), "openid".into());
        }
        let answer = json!({
            "token_type": "Bearer", "expires_in": self.settings.lifetime.as_secs(), "scope": "openid",
            "id_token": self.signed("JWT", &claims)?, "access_token": self.signed("at+jwt", &access)?,
            "refresh_token": refresh,
        });
        Ok(document("200 OK", &answer))
    }

    /// The token of a client that is nobody's program.
    fn for_itself(&self, client: &Client) -> Result<Vec<Act>, TestkitError> {
        let mut claims = self.claims(&client.id);
        if let Some(members) = claims.as_object_mut() {
            members.insert("client_id".to_owned(), client.id.as_str().into());
            members.insert("groups".to_owned(), client.groups.clone().into());
        }
        let lifetime = self.settings.lifetime.as_secs();
        let token = self.signed("at+jwt", &claims)?;
        Ok(document("200 OK", &json!({"token_type": "Bearer", "expires_in": lifetime, "access_token": token})))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_out_is_forgotten_and_a_devices_code_a_while_later() {
        let login = Login { user: "u".to_owned(), client: "c".to_owned(), nonce: String::new(), at: 0 };
        let mut pending = Pending::default();
        for until in [10, 20] {
            let name = until.to_string();
            let (redirect, challenge) = (String::new(), String::new());
            pending.codes.insert(name.clone(), Code { login: login.clone(), redirect, challenge, until });
            let (user_code, client) = (String::new(), String::new());
            let device = Device { user_code, client, until, asked: false, denied: false, login: None };
            pending.devices.insert(name.clone(), device);
            pending.refresh.insert(name, Refresh { login: login.clone(), until });
        }
        let mut left = |now| {
            pending.forget(now);
            (pending.codes.len(), pending.devices.len(), pending.refresh.len())
        };
        assert_eq!([left(9), left(10), left(20)], [(2, 2, 2), (1, 2, 1), (0, 2, 0)]);
        assert_eq!([left(10 + REMEMBERED), left(20 + REMEMBERED)], [(0, 1, 0), (0, 0, 0)]);
    }
}
