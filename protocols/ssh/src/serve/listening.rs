//! The listeners at the target that one client asked for (`ssh -R`), where a rule grants `connect listener A:P`, and
//! what comes to them.
//!
//! Promises: the target is asked for a listener only once the gate has cleared it; all listeners of a client share one
//! connection to the target, which is made for them and ends with the last of them and what came to it; of what the
//! target opens by itself only what came to a listener in force is taken, while its permit holds, and only once the
//! client has taken it; a listener whose permit does not hold any more is given up when something comes to it. What
//! came is relayed as a channel to another host is, by a task of its own. At most [`LISTENERS`] and [`CARRIED`]. A
//! permit is settled once its listener is given up and the last that came to it has ended, or with the session.
//! Does not promise to wait for people: the library's callback waits for the answer, and with it the client's
//! connection. A request that is held stays open, and who asks again when it was approved has it.
//! Held by: `tests/it/ssh_forwards.rs` of the binary, with OpenSSH and with a target that turns on it.

mod asking;

use super::Ssh;
use super::channel::Line;
use super::front::{Confirmed, Entered, ListenAsked, Opened, UnlistenAsked};
use crate::frame::ToTarget;
use crate::inbox::Inbox;
use crate::listener::{Granted, Place, Under};
use crate::login::arrivals::{Arrival, Arrivals};
use crate::login::target::Connecting;
use crate::upstream::carry_out;
use crate::wire::Brake;
use asking::{Carried, Offered, Worked, bind, offer, release};
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use portcullis_gate::Session;
use russh::{ChannelId, ChannelWriteHalf, server};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Listeners that one client may have.
const LISTENERS: usize = 16;
/// Connections that are carried at once for one client.
pub(super) const CARRIED: usize = 64;

/// The listeners of one client.
pub(super) struct Listening {
    ssh: Arc<Ssh>,
    entered: Entered,
    brake: Brake,
    target: Option<AtTarget>,
    listeners: Vec<Listener>,
    /// The key of the next listener.
    next: u64,
    /// What the target is asked.
    work: FuturesUnordered<BoxFuture<'static, Worked>>,
    /// What the client is offered.
    offers: FuturesUnordered<BoxFuture<'static, Offered>>,
    /// Channels that the client has taken, as its callbacks say.
    confirmed: mpsc::Receiver<Confirmed>,
    inboxes: HashMap<ChannelId, Inbox>,
    /// And as their offers say.
    taken: HashMap<ChannelId, (ChannelWriteHalf<server::Msg>, Carried)>,
    running: JoinSet<()>,
    /// Permits of listeners that were given up, and why.
    ending: Vec<(Arc<Granted>, &'static str)>,
}

/// The connection that listeners share.
struct AtTarget {
    connecting: Connecting,
    /// Ends with the connection.
    arrivals: mpsc::Receiver<Arrival>,
}

struct Listener {
    key: u64,
    place: Place,
    handle: server::Handle,
    state: State,
}

enum State {
    /// The target is asked for it.
    Asked,
    /// In force, at this port.
    Open(u32, Arc<Granted>),
    /// The target is asked to give it up.
    Closing,
}

/// What [`Listening::turn`] found.
enum Found {
    Worked(Worked),
    Offered(Offered),
    Confirmed(Confirmed),
    /// Something that was carried has ended.
    Ended,
    Arrived(Box<Arrival>),
    TargetGone,
}

impl Listening {
    pub(super) fn new(ssh: Arc<Ssh>, entered: Entered, brake: Brake, confirmed: mpsc::Receiver<Confirmed>) -> Self {
        Self {
            ssh,
            entered,
            brake,
            target: None,
            listeners: Vec::new(),
            next: 0,
            work: FuturesUnordered::new(),
            offers: FuturesUnordered::new(),
            confirmed,
            inboxes: HashMap::new(),
            taken: HashMap::new(),
            running: JoinSet::new(),
            ending: Vec::new(),
        }
    }

    /// Whether there is neither a listener nor anything that came to one.
    pub(super) fn is_empty(&self) -> bool {
        self.listeners.is_empty() && self.offers.is_empty() && self.taken.is_empty() && self.running.is_empty()
    }

    /// Whether a listener is in force.
    pub(super) fn listens(&self) -> bool {
        self.listeners.iter().any(|listener| matches!(listener.state, State::Open(..)))
    }

    /// The client asks for one. Dropping its answer refuses it.
    pub(super) fn on_listen(&mut self, asked: ListenAsked) {
        let ListenAsked { place, handle, done } = asked;
        let there = |listener: &Listener| place.port() != 0 && listener.is_at(place.sent(), place.port().into());
        if self.listeners.len() >= LISTENERS || self.listeners.iter().any(there) {
            done.send(Err("portcullis: there is such a listener, or there are too many\n".to_owned())).ok();
            return;
        }
        let key = self.next;
        self.next += 1;
        let (ssh, session) = (&self.ssh, &self.entered.session);
        let target = self.target.get_or_insert_with(|| {
            let (sender, arrivals) = Arrivals::new();
            AtTarget { connecting: ssh.connect(session, Some(sender)), arrivals }
        });
        let work = bind(Arc::clone(session), target.connecting.clone(), place.clone(), key, done);
        self.work.push(work.boxed());
        self.listeners.push(Listener { key, place, handle, state: State::Asked });
    }

    /// The client gives one up.
    pub(super) fn on_unlisten(&mut self, asked: UnlistenAsked) {
        let UnlistenAsked { address, port, done } = asked;
        let found = self.listeners.iter().find(|listener| {
            matches!(listener.state, State::Open(at, _) if at == port) && listener.place.asked() == address
        });
        match found.map(|listener| listener.key) {
            Some(key) => self.give_up(key, "cancelled", Some(done)),
            None => drop(done.send(false)),
        }
    }

    /// Gives all of them up; what came to them goes on.
    pub(super) fn close(&mut self, why: &'static str) {
        let keys: Vec<u64> = self.listeners.iter().map(|listener| listener.key).collect();
        for key in keys {
            self.give_up(key, why, None);
        }
    }

    fn give_up(&mut self, key: u64, why: &'static str, done: Option<oneshot::Sender<bool>>) {
        let Some(listener) = self.listeners.iter_mut().find(|listener| listener.key == key) else { return };
        let State::Open(port, _) = listener.state else { return };
        if let State::Open(_, granted) = std::mem::replace(&mut listener.state, State::Closing) {
            self.ending.push((granted, why));
        }
        if let Some(target) = &self.target {
            let session = Arc::clone(&self.entered.session);
            let work = release(session, target.connecting.clone(), listener.place.clone(), port, key, done);
            self.work.push(work.boxed());
        }
    }

    /// Waits for the next thing that happens, and sees to it. May be dropped at any moment.
    pub(super) async fn turn(&mut self) {
        let found = tokio::select! {
            biased;
            Some(worked) = self.work.next() => Found::Worked(worked),
            Some(offered) = self.offers.next() => Found::Offered(offered),
            Some(confirmed) = self.confirmed.recv() => Found::Confirmed(confirmed),
            Some(_) = self.running.join_next() => Found::Ended,
            arrived = next_arrival(&self.entered.session, &mut self.target) => match arrived {
                Some(arrival) => Found::Arrived(Box::new(arrival)),
                None => Found::TargetGone,
            },
        };
        match found {
            Found::Worked(worked) => self.on_worked(worked),
            Found::Offered(offered) => self.on_offered(offered),
            Found::Confirmed(Confirmed { id, inbox }) => {
                self.inboxes.insert(id, inbox);
                self.carry(id);
            }
            Found::Ended => {}
            Found::Arrived(arrival) => {
                // The target said yes to a listener before something came to it.
                while let Some(Some(worked)) = self.work.next().now_or_never() {
                    self.on_worked(worked);
                }
                self.on_arrival(*arrival);
            }
            Found::TargetGone => self.on_target_gone(),
        }
        self.tidy();
    }

    fn on_worked(&mut self, worked: Worked) {
        match worked {
            Worked::Bound { key, bound: Ok((granted, port)), done } => {
                let twin = self.listeners.iter().any(|other| {
                    other.key != key && self.place_of(key).is_some_and(|place| other.is_at(place.sent(), port))
                });
                let Some(listener) = self.listeners.iter_mut().find(|listener| listener.key == key) else { return };
                let said = format!("portcullis: listening on {}\n", listener.place.at(port));
                self.entered.session.answer(Some(granted.permit())).output("notice", &said);
                listener.state = State::Open(port, Arc::new(granted));
                // A target that gives one port twice is not believed, and nobody is left who would give it up.
                if twin || done.send(Ok(port)).is_err() {
                    self.give_up(key, "not wanted any more", None);
                }
            }
            Worked::Bound { key, bound: Err(why), done } => {
                self.listeners.retain(|listener| listener.key != key);
                done.send(Err(why)).ok();
            }
            Worked::Released { key, done } => {
                self.listeners.retain(|listener| listener.key != key);
                if let Some((done, good)) = done {
                    done.send(good).ok();
                }
            }
        }
    }

    fn place_of(&self, key: u64) -> Option<&Place> {
        self.listeners.iter().find(|listener| listener.key == key).map(|listener| &listener.place)
    }

    /// Something came to a listener; what is dropped here is refused.
    fn on_arrival(&mut self, arrival: Arrival) {
        let carried = self.offers.len() + self.taken.len() + self.running.len();
        let addresses = &arrival.addresses;
        let found = self.listeners.iter().find_map(|listener| match &listener.state {
            State::Open(port, granted) if *port == addresses.port && listener.place.sent() == addresses.address => {
                Some((listener, Arc::clone(granted)))
            }
            State::Open(..) | State::Asked | State::Closing => None,
        });
        let (Some((listener, granted)), Some(target)) = (found, &self.target) else { return };
        if carried >= CARRIED {
            return;
        }
        let session = &self.entered.session;
        let Ok(cleared) = session.follow(granted.permit(), ToTarget::Accept) else {
            let key = listener.key;
            self.give_up(key, "not permitted any more", None);
            return;
        };
        granted.connected();
        let from = format!("{}:{}", addresses.originator, addresses.originator_port).escape_debug().to_string();
        let said = format!("portcullis: a connection to {} from {from}\n", listener.place.at(addresses.port));
        session.answer(Some(granted.permit())).output("notice", &said);
        let (handle, address) = (listener.handle.clone(), listener.place.asked().to_owned());
        let carried = Carried { arrival, cleared, granted, connecting: target.connecting.clone(), handle };
        self.offers.push(offer(address, carried).boxed());
    }

    /// The client has taken an offer, or not.
    fn on_offered(&mut self, offered: Offered) {
        let Offered { taken, carried } = offered;
        let Some(half) = taken else { return };
        match carried {
            Some(carried) => {
                let id = half.id();
                self.taken.insert(id, (half, carried));
                self.carry(id);
            }
            // Too late.
            None => {
                self.inboxes.remove(&half.id());
                self.running.spawn(async move { drop(half.close().await) });
            }
        }
    }

    /// Relays a channel once both its offer and the callbacks say that the client has taken it.
    fn carry(&mut self, id: ChannelId) {
        if !self.inboxes.contains_key(&id) || !self.taken.contains_key(&id) {
            return;
        }
        let (Some(inbox), Some((half, carried))) = (self.inboxes.remove(&id), self.taken.remove(&id)) else { return };
        let Carried { arrival, cleared, granted, connecting, handle } = carried;
        let opened = Opened { inbox, half, handle };
        let line = Line::new(&self.ssh, &self.entered, connecting, opened, self.brake.clone());
        let session = Arc::clone(&self.entered.session);
        self.running.spawn(async move {
            let Arrival { half, reply, sent, addresses: _ } = arrival;
            let accepting = carry_out(&session, cleared, |_| reply.accept().boxed()).await;
            // Without a record the session is at its end.
            if accepting.is_some() {
                line.carrying(Under::Listener(granted), half, sent).run().await;
            }
        });
    }

    /// The connection that the listeners shared has ended, and they with it.
    fn on_target_gone(&mut self) {
        self.target = None;
        for listener in &mut self.listeners {
            if let State::Open(_, granted) = std::mem::replace(&mut listener.state, State::Closing) {
                self.ending.push((granted, "the target left"));
            }
        }
        // Those that were asked for, or asked to be given up, are told so by that.
        self.work.clear();
        self.listeners.clear();
    }

    /// Settles what has ended, and leaves the target when nothing is there any more.
    fn tidy(&mut self) {
        let session = &self.entered.session;
        for (granted, why) in std::mem::take(&mut self.ending) {
            match Arc::try_unwrap(granted) {
                Ok(granted) => granted.settle(session, why),
                Err(granted) => self.ending.push((granted, why)),
            }
        }
        if self.listeners.is_empty() && self.offers.is_empty() && self.taken.is_empty() {
            // What is carried keeps it for itself.
            self.target = None;
        }
        if self.offers.is_empty() {
            // Of channels that the client took too late, or closed before they were relayed.
            self.inboxes.clear();
        }
    }

    /// The client's connection has ended; `left` says whether that was its own doing. Else what ran was interrupted.
    pub(super) async fn end(mut self, left: bool) {
        self.running.shutdown().await;
        self.offers.clear();
        self.taken.clear();
        self.work.clear();
        if !left {
            return;
        }
        for listener in self.listeners {
            if let State::Open(_, granted) = listener.state {
                self.ending.push((granted, "the client left"));
            }
        }
        for (granted, why) in self.ending {
            if let Ok(granted) = Arc::try_unwrap(granted) {
                granted.settle(&self.entered.session, why);
            }
        }
    }
}

impl Listener {
    /// Whether it is, or is to be, there.
    fn is_at(&self, address: &str, port: u32) -> bool {
        let at = match self.state {
            State::Open(port, _) => port,
            State::Asked | State::Closing => self.place.port().into(),
        };
        self.place.sent() == address && at == port
    }
}

/// The next that comes to a listener; `None` where the connection to the target has ended. It is not taken while the
/// record has no room.
async fn next_arrival(session: &Session, target: &mut Option<AtTarget>) -> Option<Arrival> {
    session.room().await;
    match target {
        Some(target) => target.arrivals.recv().await,
        None => std::future::pending().await,
    }
}
