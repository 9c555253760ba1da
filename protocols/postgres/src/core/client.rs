//! What clients send, frame by frame: decoded, held back where it must wait, and brought before the gate.
//!
//! Held by: `core/tests/*`.

use super::analysed::Before;
use super::run::RunId;
use super::{Core, Discarded, MANY_DISCARDED, Portal, Prepared, State, Steps};
use crate::answer::{Shape, parameter};
use crate::classify::{Read, WaitFor};
use crate::core::names::Found;
use crate::core::ruling::Asked;
use crate::expect::Work;
use crate::frame::{Frame, FrameError};
use crate::message::{ClientMessage, DecodeError, Formats, Params, Target};
use crate::own::Passage;
use portcullis_model::{Command, Digest, Fault, Followed, Lineage, Parameter, Source, Text};
use std::sync::Arc;

impl Core {
    /// A frame of the client. Only to be given while [`Core::wants_client`].
    pub(crate) fn on_client(&mut self, frame: Frame, steps: &mut Steps) {
        let held = frame.clone();
        let message = match ClientMessage::decode(held.tag(), held.body()) {
            Ok(message) => message,
            Err(error) if error.is_fatal() => return self.malformed(&error.to_string(), steps),
            Err(error) => return self.unacceptable(held.tag(), error, &frame, steps),
        };
        if self.foreign_names && !names(&message).iter().all(|name| name.is_ascii()) {
            return self.unacceptable(held.tag(), DecodeError::ForeignName, &frame, steps);
        }
        if self.copy.is_active() && !is_of_copy(&message) {
            // It was kept back before the server said that it reads COPY data, and may not come now.
            return self.malformed(&FrameError::Tag { tag: held.tag() }.to_string(), steps);
        }
        if let Some(slot) = self.must_wait_for(&message) {
            return self.wait(slot, frame, steps);
        }
        if is_judged(&message) {
            if self.reloading {
                return self.state = State::Refreshing(frame);
            }
            if self.at_boundary && self.scope.asks(self.transaction.status()) {
                let slot = self.ask_scope(steps);
                return self.wait(slot, frame, steps);
            }
        }
        self.take(message, frame, steps);
    }

    /// The client broke the protocol.
    pub(crate) fn malformed(&mut self, why: &str, steps: &mut Steps) {
        self.end("08P01", why, "the client broke the protocol", steps);
    }

    fn take(&mut self, message: ClientMessage<'_>, frame: Frame, steps: &mut Steps) {
        match message {
            ClientMessage::Query(sql) => self.query(sql, frame, steps),
            ClientMessage::Parse { statement, sql, types } => self.parse(statement, sql, types, frame, steps),
            ClientMessage::Bind { portal, statement, params, results } => {
                self.bind(portal, statement, params, results, frame, steps);
            }
            ClientMessage::Execute { portal, max_rows: _ } => self.execute(portal, frame, steps),
            ClientMessage::FunctionCall { function } => {
                let message = "FunctionCall runs a function without a statement that can be judged; use SELECT";
                let fault = Fault::Unsupported { message: message.into() };
                let text = Text::plain(format!("FunctionCall {function}"));
                self.ask_faulty(Source::Message, text, fault, &frame, Asked::Call, steps);
            }
            ClientMessage::Describe(target) => self.describe(target, frame, steps),
            ClientMessage::Close(target) => self.close(target, frame, steps),
            ClientMessage::Sync => self.sync(frame, steps),
            ClientMessage::Flush => {
                if !self.copy.is_active() {
                    steps.up.push(self.session.pass(Passage::Flush(frame)));
                }
            }
            ClientMessage::CopyData(_) => self.copy_data(frame, steps),
            ClientMessage::CopyDone => self.copy_ends(frame, false, steps),
            ClientMessage::CopyFail(_) => self.copy_ends(frame, true, steps),
            ClientMessage::Terminate => {
                steps.up.push(self.session.pass(Passage::Terminate(frame)));
                self.state = State::Ended;
                steps.end = Some(super::TERMINATED);
            }
        }
    }

    /// The slot whose answer must be read before this frame is judged.
    fn must_wait_for(&self, message: &ClientMessage<'_>) -> Option<u64> {
        let open = |slot: &u64| !self.queue.is_answered(*slot);
        if !self.copy.is_active()
            && let Some(slot) = self.alone.filter(open)
        {
            return Some(slot);
        }
        if !is_judged(message) {
            return None;
        }
        // A transaction's end may take back what it changed about names, and not only a Sync ends one: what comes behind it
        // waits for it, and then for the server's word where that must be asked.
        let end = if self.scope.is_unsettled() { self.queue.last_ready() } else { None };
        let asked = self.queue.asked_scope();
        // A text that another encoding or other rules for strings would cut differently waits until nothing runs that
        // could have changed them: the server says so before it is ready.
        let text = match message {
            ClientMessage::Query(text) | ClientMessage::Parse { sql: text, .. } => text,
            ClientMessage::Bind { .. }
            | ClientMessage::Close(_)
            | ClientMessage::CopyData(_)
            | ClientMessage::CopyDone
            | ClientMessage::CopyFail(_)
            | ClientMessage::Describe(_)
            | ClientMessage::Execute { .. }
            | ClientMessage::Flush
            | ClientMessage::FunctionCall { .. }
            | ClientMessage::Sync
            | ClientMessage::Terminate => "",
        };
        let risky = text.bytes().any(|byte| byte == b'\\' || byte >= 0x80);
        let running = if risky { self.queue.last_running() } else { None };
        let ready = if risky && self.surroundings.is_unsaid() { self.queue.last_ready() } else { None };
        [self.barrier.filter(open), end, asked, running, ready].into_iter().flatten().max()
    }

    fn query(&mut self, sql: &str, frame: Frame, steps: &mut Steps) {
        let text: Arc<str> = sql.into();
        let read = match self.read_new(&text) {
            Ok(read) => read,
            Err(WaitFor(slot)) => return self.wait(slot, frame, steps),
        };
        if read.is_missing() && !self.refreshed {
            return self.await_catalogue(frame, steps);
        }
        if read.may_be_limited()
            && let Some(slot) = self.queue.last()
        {
            // Whether a transaction is open around it must be known, and nothing else may be under way in it.
            return self.wait(slot, frame, steps);
        }
        let mut command = read.command(Digest::of(frame.bytes()));
        command.context = Some(self.scope.context());
        self.ask(frame.into_bytes(), command, Asked::Query(Arc::new(read)), steps);
    }

    fn parse(&mut self, statement: &str, sql: &str, types: &[u8], frame: Frame, steps: &mut Steps) {
        let text: Arc<str> = sql.into();
        let read = match self.read_new(&text) {
            Ok(read) => read,
            Err(WaitFor(slot)) => return self.wait(slot, frame, steps),
        };
        if read.is_missing() && !self.refreshed {
            return self.await_catalogue(frame, steps);
        }
        let digest = Digest::of(frame.bytes());
        let held = self.held.take(text.len());
        let moment = self.moment();
        let asked = |read, analysed| Asked::Parse {
            name: statement.into(),
            prepared: Box::new(Prepared {
                text,
                types: types.as_chunks::<4>().0.iter().map(|oid| u32::from_be_bytes(*oid)).collect(),
                columns: None,
                number: None,
                read,
                analysed,
                kept: Some(moment),
                held,
            }),
        };
        if self.statements.is_full() || self.held.exceeded() {
            let message = "this session holds as many prepared statements as it may; close some";
            let fault = Fault::TooLarge { message: message.into() };
            return self.ask_faulty(Source::Sql, Text::plain(sql), fault, &frame, asked(None, Arc::default()), steps);
        }
        let command = read.command(digest).preparing();
        let analysed = self.analysed(&read);
        let read = (moment.0, moment.1, Arc::new(read));
        self.ask(frame.into_bytes(), command, asked(Some(read), analysed), steps);
    }

    fn bind(
        &mut self,
        portal: &str,
        statement: &str,
        params: Params<'_>,
        results: Formats<'_>,
        frame: Frame,
        steps: &mut Steps,
    ) {
        let prepared = match self.statements.find(statement, self.stretch) {
            Found::Here(prepared) => prepared,
            Found::Wait(slot) => return self.wait(slot, frame, steps),
            Found::Absent => {
                let what = format!("prepared statement \"{statement}\" does not exist");
                return self.unknown(&what, "26000", &frame, |sqlstate| Asked::Bind(sqlstate, None), steps);
            }
        };
        let (read, used) = match self.read_prepared(statement, &prepared) {
            Ok(read) => read,
            Err(WaitFor(slot)) => return self.wait(slot, frame, steps),
        };
        if read.is_missing() && !self.refreshed {
            return self.await_catalogue(frame, steps);
        }
        let digest = Digest::of_parts(&[prepared.text.as_bytes(), frame.bytes()]);
        let mut command = read.command(digest).with_parameters(bound(&prepared, params));
        command.prepared_by = prepared.number;
        command.context = Some(self.scope.context());
        let shape = Shape::of_portal(prepared.columns.as_ref(), results);
        let values = (Arc::clone(&prepared.types), frame.bytes().slice_ref(frame.body()));
        let bound = super::ruling::Bound { portal: portal.into(), read, used, shape, values };
        self.ask(frame.into_bytes(), command, Asked::Bind(None, Some(Box::new(bound))), steps);
    }

    fn execute(&mut self, portal: &str, frame: Frame, steps: &mut Steps) {
        if let Some(slot) = self.may_end_portal(portal) {
            return self.wait(slot, frame, steps);
        }
        let opened = match self.portals.find(portal, self.stretch) {
            Found::Wait(slot) => return self.wait(slot, frame, steps),
            Found::Absent => {
                let what = format!("portal \"{portal}\" does not exist");
                return self.unknown(&what, "34000", &frame, Asked::Execute, steps);
            }
            Found::Here(Portal::Bound(id)) => {
                let Some(run) = self.runs.get(id) else {
                    return self.malformed("the portal's command is gone", steps);
                };
                // Whether it can go on is known when its last Execute was answered.
                if let Some(slot) = run.executing.filter(|slot| !self.queue.is_answered(*slot)) {
                    return self.wait(slot, frame, steps);
                }
                if run.read.by_name && !run.ran {
                    return self.execute_by_name(id, portal, frame, steps);
                }
                if run.read.late && !run.ran {
                    return self.execute_late(id, portal, frame, steps);
                }
                return self.execute_bound(id, portal, frame, steps);
            }
            Found::Here(Portal::Cursor { opened, .. }) => opened,
        };
        let text: Arc<str> = format!("FETCH FROM \"{}\"", portal.replace('"', "\"\"")).into();
        let operations = Arc::clone(&opened.operations);
        let mut command =
            Command::new(Source::Message, Text::plain(Arc::clone(&text)), operations, Digest::of(frame.bytes()));
        let lineage = Lineage { bound: Vec::new(), ..Lineage::clone(&opened.lineage) };
        command.followed = Some(Followed::new(Arc::clone(&opened.catalogue), [Arc::new(lineage)], text, []));
        let read = Arc::new(Read::of_cursor(&opened));
        self.ask(frame.into_bytes(), command, Asked::Fetch { read, portal: portal.into() }, steps);
    }

    /// Execute of a portal that means what was judged when it was bound.
    fn execute_bound(&mut self, id: RunId, portal: &str, frame: Frame, steps: &mut Steps) {
        let Some(run) = self.runs.get(id) else { return };
        if let Some(permit) = &run.permit {
            let cleared = self.session.follow(permit, frame.into_bytes());
            return self.executed(id, portal, cleared, steps);
        }
        // It ran to its end before: what runs now is asked anew.
        let (command, portal) = (run.command.clone(), portal.into());
        self.ask(frame.into_bytes(), command, Asked::Again { run: id, portal, read: None }, steps);
    }

    /// Execute of a portal that was never run and whose names the server looks up only now. It was judged, and perhaps
    /// approved, as what they meant at Bind: where they mean something else it is refused. Another catalogue alone is no
    /// other meaning, or a Bind that people let wait could never run.
    fn execute_late(&mut self, id: RunId, portal: &str, frame: Frame, steps: &mut Steps) {
        let Some(before) = self.runs.get(id).map(|run| Arc::clone(&run.read)) else { return };
        let mut now = match self.read(&before.text) {
            Ok(now) => now,
            Err(WaitFor(slot)) => return self.wait(slot, frame, steps),
        };
        now.besides(&before);
        if now.means_the_same(&before) {
            return self.execute_bound(id, portal, frame, steps);
        }
        if now.is_missing() && !self.refreshed {
            return self.await_catalogue(frame, steps);
        }
        let Some(bound) = self.runs.get(id).map(|run| run.command.clone()) else { return };
        now.refuse("what it names means something else than when it was bound: bind it again".to_owned());
        let mut command = now.command(bound.digest).with_parameters(bound.parameters);
        command.prepared_by = bound.prepared_by;
        command.context = Some(self.scope.context());
        self.ask(frame.into_bytes(), command, Asked::Execute(now.sqlstate), steps);
    }

    /// Execute of a portal that was never run and runs something by name. The server looks the name up now, not at Bind:
    /// so what it would do is read now, and asked anew if it is something else.
    fn execute_by_name(&mut self, id: RunId, portal: &str, frame: Frame, steps: &mut Steps) {
        let Some(run) = self.runs.get(id) else { return };
        let (before, command) = (Arc::clone(&run.read), run.command.clone());
        let read = match self.read(&before.text) {
            Ok(read) => read,
            Err(WaitFor(slot)) => return self.wait(slot, frame, steps),
        };
        if read.is_missing() && !self.refreshed {
            return self.await_catalogue(frame, steps);
        }
        let Some(run) = self.runs.get_mut(id) else { return };
        run.shape.doubt();
        if let Some(permit) = run.permit.as_ref().filter(|_| read.is_same(&before)) {
            let cleared = self.session.follow(permit, frame.into_bytes());
            self.keep_executed(&read);
            return self.executed(id, portal, cleared, steps);
        }
        let mut anew = read.command(command.digest).with_parameters(command.parameters);
        anew.prepared_by = command.prepared_by;
        anew.context = Some(self.scope.context());
        let asked = Asked::Again { run: id, portal: portal.into(), read: Some(Arc::new(read)) };
        self.ask(frame.into_bytes(), anew, asked, steps);
    }

    /// The unanswered frame behind which the server may have ended the transaction, and this portal with it.
    pub(super) fn may_end_portal(&self, name: &str) -> Option<u64> {
        let ready = self.queue.last_ready()?;
        self.portals.newest_change(name).is_none_or(|made| made < ready).then_some(ready)
    }

    /// A name that this session did not define.
    fn unknown(
        &mut self,
        what: &str,
        sqlstate: &'static str,
        frame: &Frame,
        asked: impl FnOnce(Option<&'static str>) -> Asked,
        steps: &mut Steps,
    ) {
        let fault = Fault::Missing { message: what.into(), position: None };
        let word = if sqlstate == "26000" { "Bind" } else { "Execute" };
        self.ask_faulty(Source::Message, Text::plain(word), fault, frame, asked(Some(sqlstate)), steps);
    }

    fn describe(&mut self, target: Target<'_>, frame: Frame, steps: &mut Steps) {
        match self.keep_described(target) {
            Ok(()) => {}
            Err(Before::Answer(slot)) => return self.wait(slot, frame, steps),
            Err(Before::Catalogue) => return self.await_catalogue(frame, steps),
        }
        steps.up.push(self.session.pass(Passage::Describe(frame)));
        let work = match target {
            Target::Statement(name) => Work::DescribeStatement {
                name: name.into(),
                text: match self.statements.find(name, self.stretch) {
                    Found::Here(prepared) => Some(Arc::clone(&prepared.text)),
                    Found::Absent | Found::Wait(_) => None,
                },
            },
            Target::Portal(name) => Work::DescribePortal(match self.portals.find(name, self.stretch) {
                Found::Here(Portal::Bound(run)) => Some(run),
                Found::Here(Portal::Cursor { .. }) | Found::Absent | Found::Wait(_) => None,
            }),
        };
        self.owe(work);
    }

    fn close(&mut self, target: Target<'_>, frame: Frame, steps: &mut Steps) {
        steps.up.push(self.session.pass(Passage::Close(frame)));
        match target {
            Target::Statement(name) => {
                let slot = self.owe(Work::CloseStatement(name.into()));
                self.statements.propose(name, slot, self.stretch, None);
            }
            Target::Portal(name) => {
                let slot = self.owe(Work::ClosePortal(name.into()));
                self.portals.propose(name, slot, self.stretch, None);
            }
        }
    }

    fn sync(&mut self, frame: Frame, steps: &mut Steps) {
        if self.copy.is_active() {
            return;
        }
        steps.up.push(self.session.pass(Passage::Sync(frame)));
        self.skipping = false;
        self.settle_discarded();
        self.owe(Work::Sync);
        self.stretch += 1;
    }

    /// The server owes an answer to what was just sent, unless it discards it.
    pub(super) fn owe(&mut self, work: Work) -> u64 {
        self.at_boundary = false;
        if !self.skipping {
            return self.queue.push(work);
        }
        let slot = self.queue.unowed(work);
        let number = slot.number;
        self.discarded.push(Discarded { slot, failed: false });
        if self.discarded.len() >= MANY_DISCARDED {
            self.settle_discarded();
        }
        number
    }

    /// A frame that is well formed and cannot be accepted: refused in its place, and the session lives on.
    fn unacceptable(&mut self, tag: u8, error: DecodeError, frame: &Frame, steps: &mut Steps) {
        let fault = Fault::Unsupported { message: error.to_string().into() };
        let code = Some(error.sqlstate());
        let asked = match tag {
            b'P' => Asked::Unread { code, parse: true, then_ready: false },
            b'Q' | b'F' => Asked::Unread { code, parse: false, then_ready: true },
            b'f' => return self.malformed(&error.to_string(), steps),
            _ => Asked::Unread { code, parse: false, then_ready: false },
        };
        self.ask_faulty(
            Source::Message,
            Text::plain(format!("message {}", char::from(tag))),
            fault,
            frame,
            asked,
            steps,
        );
    }

    /// A statement or Bind longer than is read arrived and was dropped.
    pub(crate) fn on_oversize(&mut self, tag: u8, length: usize, limit: usize, steps: &mut Steps) {
        let message = format!("message of {length} bytes is longer than the {limit} bytes that are read");
        let fault = Fault::TooLarge { message: message.into() };
        let asked = Asked::Unread { code: None, parse: tag == b'P', then_ready: matches!(tag, b'Q' | b'F') };
        let text = Text::plain(format!("message {}", char::from(tag)));
        let command = Command::faulty(Source::Message, text, fault, Digest::of(&[tag]));
        self.ask(bytes::Bytes::new(), command, asked, steps);
    }

    fn ask_faulty(&mut self, source: Source, text: Text, fault: Fault, frame: &Frame, asked: Asked, steps: &mut Steps) {
        let command = Command::faulty(source, text, fault, Digest::of(frame.bytes()));
        self.ask(frame.bytes().clone(), command, asked, steps);
    }

    /// A frame was sent that runs this text.
    pub(super) fn runs_now(&mut self, read: &Read, limited: bool, slot: u64) {
        if read.barrier {
            self.barrier = Some(slot);
        }
        if read.copies_in || limited {
            self.alone = Some(slot);
        }
    }
}

/// Whether the frame is one that the gate judges, or makes the server look names up: what they mean must be known then.
const fn is_judged(message: &ClientMessage<'_>) -> bool {
    match message {
        ClientMessage::Query(_)
        | ClientMessage::Parse { .. }
        | ClientMessage::Bind { .. }
        | ClientMessage::Describe(_)
        | ClientMessage::Execute { .. }
        | ClientMessage::FunctionCall { .. } => true,
        ClientMessage::Close(_)
        | ClientMessage::CopyData(_)
        | ClientMessage::CopyDone
        | ClientMessage::CopyFail(_)
        | ClientMessage::Flush
        | ClientMessage::Sync
        | ClientMessage::Terminate => false,
    }
}

/// The names of a portal and a prepared statement in a frame; empty where it has none.
const fn names<'m>(message: &ClientMessage<'m>) -> [&'m str; 2] {
    match message {
        ClientMessage::Parse { statement, .. } => ["", *statement],
        ClientMessage::Bind { portal, statement, .. } => [*portal, *statement],
        ClientMessage::Execute { portal, .. } => [*portal, ""],
        ClientMessage::Describe(Target::Portal(name) | Target::Statement(name))
        | ClientMessage::Close(Target::Portal(name) | Target::Statement(name)) => [*name, ""],
        ClientMessage::Query(_)
        | ClientMessage::FunctionCall { .. }
        | ClientMessage::CopyData(_)
        | ClientMessage::CopyDone
        | ClientMessage::CopyFail(_)
        | ClientMessage::Flush
        | ClientMessage::Sync
        | ClientMessage::Terminate => ["", ""],
    }
}

/// Whether the frame may come while the server reads COPY data.
const fn is_of_copy(message: &ClientMessage<'_>) -> bool {
    match message {
        ClientMessage::CopyData(_)
        | ClientMessage::CopyDone
        | ClientMessage::CopyFail(_)
        | ClientMessage::Flush
        | ClientMessage::Sync
        | ClientMessage::Terminate => true,
        ClientMessage::Query(_)
        | ClientMessage::Parse { .. }
        | ClientMessage::Bind { .. }
        | ClientMessage::Execute { .. }
        | ClientMessage::FunctionCall { .. }
        | ClientMessage::Close(_)
        | ClientMessage::Describe(_) => false,
    }
}

/// The parameters of a Bind as recorded, with the statement's types.
fn bound(prepared: &Prepared, params: Params<'_>) -> Vec<Parameter> {
    let type_of = |index: usize| prepared.types.get(index).copied().unwrap_or(0);
    params.iter().enumerate().map(|(index, value)| parameter(value, type_of(index), params.is_binary(index))).collect()
}
