//! The library's callbacks for a client's connection: each puts what came where its task finds it, and returns.
//!
//! Promises: every kind of channel and every request has an answer of its own, and those that are never forwarded are
//! refused and recorded; nothing waits here but for a proof and for the answer to a listener (`listening.rs`); requests
//! of a channel are answered here, in their order, and its data and its end are handed on in the same order.
//! Does not promise room: where a channel's task is behind, its window is small and the connection is read slowly.
//! Held by: `tests/it/ssh.rs`, `ssh_edges.rs` and `ssh_clients.rs` of the binary, the last with paramiko and asyncssh.

use super::device::LEFT;
use super::{Event, ForwardAsked, Front, Opened, Requests, answered};
use crate::classify;
use crate::error::{Error, Result};
use crate::frame::{FromClient, Size, Terminal};
use crate::inbox::Inbox;
use crate::serve::{CHANNELS, TRICKLE, WINDOW};
use bytes::Bytes;
use portcullis_gate::Proof;
use russh::keys::ssh_key::Certificate;
use russh::server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Response, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty, Sig};
use secrecy::SecretString;
use std::borrow::Cow;

/// Variables that a client may set on one channel, and bytes of each.
const VARIABLES: usize = 64;
const VARIABLE_BYTES: usize = 4096;
/// The longest name of a kind of terminal.
const TERM: usize = 64;

impl server::Handler for Front {
    type Error = Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth> {
        self.leave_device(LEFT);
        Ok(Auth::reject())
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth> {
        Ok(self.enter(user, Proof::Token { token: SecretString::from(password), claimed_user: None }).await)
    }

    async fn auth_publickey_offered(&mut self, _: &str, offer: PublicKeyOffer<'_>) -> Result<Auth> {
        self.leave_device(LEFT);
        let known = self.ssh.gate.identity().knows_key(offer.public_key);
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth> {
        let proof = Proof::SshKey { key: key.public_key.clone(), claimed_user: None };
        Ok(self.enter(user, proof).await)
    }

    async fn auth_openssh_certificate(&mut self, user: &str, certificate: &Certificate) -> Result<Auth> {
        Ok(self
            .enter(user, Proof::SshCertificate { certificate: Box::new(certificate.clone()), claimed_user: None })
            .await)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth> {
        const PROMPTS: &[(Cow<'static, str>, bool)] = &[(Cow::Borrowed("Portcullis token: "), false)];
        if response.is_some() && self.device.waits() {
            return self.go_on_device(user).await;
        }
        self.leave_device(LEFT);
        if response.is_none()
            && let Some(begun) = self.begin_device(user).await?
        {
            return Ok(begun);
        }
        let Some(answer) = response.and_then(|mut answers| answers.next()) else {
            let prompts = Cow::Borrowed(PROMPTS);
            return Ok(Auth::Partial { name: "".into(), instructions: "".into(), prompts });
        };
        // What is no text is no token either, and is refused and recorded like any other.
        let token = SecretString::from(String::from_utf8_lossy(&answer).into_owned());
        Ok(self.enter(user, Proof::Token { token, claimed_user: None }).await)
    }

    async fn auth_succeeded(&mut self, _: &mut server::Session) -> Result<()> {
        // The first event of a connection: there is room for it.
        self.tells.events.try_send(Event::Entered(self.entered.clone())).ok();
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut server::Session,
    ) -> Result<()> {
        let id = channel.id();
        if self.refused.is_some() {
            reply.accept().await;
            return Ok(());
        }
        let (_, half) = channel.split();
        let opened = Opened { inbox: Inbox::new(), half, handle: session.handle() };
        let inbox = opened.inbox.clone();
        if self.own_channels() >= CHANNELS || self.tells.events.try_send(Event::Channel(opened)).is_err() {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        self.channels.insert(id, Requests::new(inbox));
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<()> {
        self.refuse(classify::unsupported("an X11 channel", ""), reply).await
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        session: &mut server::Session,
    ) -> Result<()> {
        let permitted = self.entered.as_ref().is_some_and(|entered| entered.session.extensions().port_forwarding);
        if !permitted {
            return self.refuse(classify::unsupported("a port that the certificate does not permit", ""), reply).await;
        }
        let id = channel.id();
        let (_, half) = channel.split();
        let opened = Opened { inbox: Inbox::to_the_end(), half, handle: session.handle() };
        let inbox = opened.inbox.clone();
        let asked = Box::new(ForwardAsked { opened, reply, host: host.to_owned(), port });
        // Without room it is dropped, which refuses the channel.
        if self.own_channels() < CHANNELS && self.tells.events.try_send(Event::Forward(asked)).is_ok() {
            self.channels.insert(id, Requests::new(inbox));
        }
        Ok(())
    }

    async fn channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<()> {
        self.refuse(classify::unsupported("a channel that only a server opens", ""), reply).await
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<()> {
        self.refuse(classify::unsupported("a Unix socket", ""), reply).await
    }

    async fn tcpip_forward(&mut self, address: &str, port: &mut u32, session: &mut server::Session) -> Result<bool> {
        self.listen(address, port, session).await
    }

    async fn streamlocal_forward(&mut self, _: &str, _: &mut server::Session) -> Result<bool> {
        self.asks(classify::unsupported("a listener on a Unix socket", ""));
        Ok(false)
    }

    async fn cancel_tcpip_forward(&mut self, address: &str, port: u32, _: &mut server::Session) -> Result<bool> {
        Ok(self.unlisten(address, port).await)
    }

    async fn channel_open_confirmation(
        &mut self,
        channel: ChannelId,
        _: u32,
        _: u32,
        session: &mut server::Session,
    ) -> Result<()> {
        self.confirmed(channel, session)
    }

    async fn cancel_streamlocal_forward(&mut self, _: &str, _: &mut server::Session) -> Result<bool> {
        Ok(false)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        modes: &[(Pty, u32)],
        session: &mut server::Session,
    ) -> Result<()> {
        let permitted = self.entered.as_ref().is_some_and(|entered| entered.session.extensions().pty);
        let named = term.len() <= TERM && term.chars().all(|c| c.is_ascii_graphic());
        let good = permitted
            && named
            && self
                .channels
                .get_mut(&channel)
                .is_some_and(|asked| !asked.begun && !std::mem::replace(&mut asked.terminal, true));
        if good {
            let size = Size { columns, rows, width, height };
            self.push(channel, FromClient::Pty(Terminal { term: term.to_owned(), size, modes: modes.to_vec() }));
        }
        // One that may open nothing reads why on the program that it asks for next.
        answered(channel, good || self.refused.is_some(), session)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut server::Session,
    ) -> Result<()> {
        let room = self.channels.get_mut(&channel).is_some_and(|asked| {
            asked.variables += 1;
            !asked.begun && asked.variables <= VARIABLES
        });
        let small = name.len() + value.len() <= VARIABLE_BYTES;
        if room && small && self.explained(name, value) {
            return answered(channel, true, session);
        }
        let taken = if room && small { self.variable(name, value) } else { None };
        let good = taken.is_some();
        if let Some(message) = taken {
            self.push(channel, message);
        }
        answered(channel, good, session)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut server::Session,
    ) -> Result<()> {
        self.asks(classify::unsupported("X11 forwarding", ""));
        answered(channel, false, session)
    }

    async fn agent_request(&mut self, _: ChannelId, _: &mut server::Session) -> Result<bool> {
        self.asks(classify::unsupported("agent forwarding", ""));
        Ok(false)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut server::Session) -> Result<()> {
        self.starts(channel, FromClient::Shell, session)
    }

    async fn exec_request(&mut self, channel: ChannelId, command: &[u8], session: &mut server::Session) -> Result<()> {
        self.starts(channel, FromClient::Exec(Bytes::copy_from_slice(command)), session)
    }

    async fn subsystem_request(&mut self, channel: ChannelId, name: &str, session: &mut server::Session) -> Result<()> {
        self.starts(channel, FromClient::Subsystem(name.to_owned()), session)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        _: &mut server::Session,
    ) -> Result<()> {
        self.push(channel, FromClient::Resize(Size { columns, rows, width, height }));
        Ok(())
    }

    async fn signal(&mut self, channel: ChannelId, signal: Sig, _: &mut server::Session) -> Result<()> {
        self.push(channel, FromClient::Signal(signal));
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], _: &mut server::Session) -> Result<()> {
        self.push_data(channel, data);
        Ok(())
    }

    async fn extended_data(&mut self, channel: ChannelId, _: u32, _: &[u8], _: &mut server::Session) -> Result<()> {
        self.push(channel, FromClient::Extended);
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut server::Session) -> Result<()> {
        self.push(channel, FromClient::Eof);
        self.update_brake();
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut server::Session) -> Result<()> {
        self.push(channel, FromClient::Close);
        self.channels.remove(&channel);
        self.update_brake();
        Ok(())
    }

    async fn window_adjusted(&mut self, _: ChannelId, _: u32, _: &mut server::Session) -> Result<()> {
        self.update_brake();
        Ok(())
    }

    fn adjust_window(&mut self, channel: ChannelId, _: u32) -> u32 {
        let held = self.channels.get(&channel).is_some_and(|asked| asked.inbox.is_spooling());
        if held { TRICKLE } else { WINDOW }
    }
}
