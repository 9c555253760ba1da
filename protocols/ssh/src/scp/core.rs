//! One copy as a state machine: who has files announces, who takes them answers, one line at a time.
//!
//! The caller drives it: bytes go in ([`Scp::push_client`], [`Scp::push_target`]); [`Scp::next`] says what to do;
//! [`Scp::granted`] and [`Scp::refused`] say what became of what was to be judged. Between `Ask` and its ruling nothing passes.
//! Promises: what passes to either side are whole lines and answers in their order, and as much content as was announced;
//! what a directory's answer did not confirm is not entered, so a path here is the path there. Content is counted and its
//! digest taken. An answer waits until there is something that it answers: one that is said ahead, and passed on at once,
//! would be taken for the answer to what comes next, and from then on the two ends would speak of different files. So what
//! passes does not depend on who is faster. Does not promise to survive an end that breaks the protocol: it has no way to find the next line.
//! Held by: `scp/tests.rs` and the fuzzer.

use crate::scp::line::{Answer, Line, message, name, take_answer, take_line};
use crate::scp::steps::{ScpAction, ScpRefusal, ScpSettled, Side};
use crate::sftp::{Content, StreamFault, Touch, Wanted, words};
use bytes::{Bytes, BytesMut};
use portcullis_model::{Action, Denial, Fault, Outcome};

/// The most that waits of either side besides content on its way.
const WAITING: usize = 64 * 1024;
/// The most content that goes out at once.
const PIECE: usize = 256 * 1024;
/// The deepest tree.
const DEEPEST: usize = 256;

/// What was announced and let through, until it is answered.
#[derive(Debug)]
enum Sent<P> {
    Times,
    End,
    File { permit: P, size: u64 },
    Directory { permit: P, path: String },
}

#[derive(Debug)]
enum State<P> {
    /// Who takes files has not said that it is ready.
    Ready,
    /// A line comes next.
    Line,
    /// A line waits for its ruling.
    Asked { bytes: Bytes, file: Option<u64>, path: String },
    /// A line was granted and goes to the client.
    Granted { bytes: Bytes, sent: Sent<P> },
    /// A line waits for its answer.
    Sent(Sent<P>),
    /// Content comes.
    Content { permit: P, left: u64, content: Box<Content> },
    /// The word of who had the file, behind its content.
    Behind { permit: P, content: Box<Content> },
    /// The word of who took it.
    Kept { permit: P, content: Box<Content>, failed: Option<String> },
    /// One end has given up; what it says still passes.
    Over,
}

/// One copy.
#[derive(Debug)]
pub(crate) struct Scp<P> {
    side: Side,
    /// Of who has files.
    has: BytesMut,
    /// Of who takes them.
    takes: BytesMut,
    state: State<P>,
    /// Paths of the directories that were entered.
    inside: Vec<String>,
    /// How many paths of the command line were announced.
    given: usize,
    settled: Option<ScpSettled<P>>,
    ended: Option<StreamFault>,
}

impl<P> Scp<P> {
    /// A copy that was just started.
    pub(crate) fn new(side: Side) -> Self {
        Self {
            side,
            has: BytesMut::new(),
            takes: BytesMut::new(),
            state: State::Ready,
            inside: Vec::new(),
            given: 0,
            settled: None,
            ended: None,
        }
    }

    const fn client_has(&self) -> bool {
        matches!(self.side, Side::Sink { .. })
    }

    /// Bytes of the client.
    pub(crate) fn push_client(&mut self, bytes: &[u8]) {
        if self.client_has() { self.has.extend_from_slice(bytes) } else { self.takes.extend_from_slice(bytes) }
    }

    /// Bytes of the target.
    pub(crate) fn push_target(&mut self, bytes: &[u8]) {
        if self.client_has() { self.takes.extend_from_slice(bytes) } else { self.has.extend_from_slice(bytes) }
    }

    /// Bytes that wait of who has files. A caller that takes no more of them while it is high bounds the memory.
    pub(crate) fn buffered(&self) -> usize {
        self.has.len()
    }

    /// What is to be done next.
    pub(crate) fn next(&mut self) -> ScpAction<'_, P> {
        if let Some(settled) = self.settled.take() {
            return ScpAction::Settle(settled);
        }
        if let Some(fault) = &self.ended {
            return ScpAction::End(fault.clone());
        }
        match self.step() {
            Ok(None) => ScpAction::Wait,
            Ok(Some(Out::Ask(wanted))) => ScpAction::Ask(wanted),
            Ok(Some(Out::Forth(bytes))) => self.out(bytes, self.client_has()),
            Ok(Some(Out::Back(bytes))) => self.out(bytes, !self.client_has()),
            Err(fault) => {
                self.ended = Some(fault.clone());
                ScpAction::End(fault)
            }
        }
    }

    fn out(&self, bytes: Bytes, to_target: bool) -> ScpAction<'_, P> {
        let permit = match &self.state {
            State::Sent(Sent::File { permit, .. } | Sent::Directory { permit, .. })
            | State::Content { permit, .. }
            | State::Behind { permit, .. }
            | State::Kept { permit, .. } => Some(permit),
            State::Ready
            | State::Line
            | State::Asked { .. }
            | State::Granted { .. }
            | State::Sent(Sent::Times | Sent::End)
            | State::Over => None,
        };
        if to_target { ScpAction::ToTarget { permit, bytes } } else { ScpAction::ToClient { permit, bytes } }
    }

    fn announcer(&self, what: &str) -> StreamFault {
        if self.client_has() { StreamFault::client(what) } else { StreamFault::target(what) }
    }

    fn taker(&self, what: &str) -> StreamFault {
        if self.client_has() { StreamFault::target(what) } else { StreamFault::client(what) }
    }

    fn step(&mut self) -> Result<Option<Out>, StreamFault> {
        if self.takes.len() > WAITING {
            return Err(self.taker("more said than was asked"));
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Ready => self.ready(),
            State::Line => self.line(),
            asked @ State::Asked { .. } => {
                self.state = asked;
                Ok(None)
            }
            State::Granted { bytes, sent } => {
                self.state = State::Sent(sent);
                Ok(Some(Out::Forth(bytes)))
            }
            State::Sent(sent) => self.answered(sent),
            State::Content { permit, left: 0, content } => self.behind(permit, content),
            State::Content { permit, left, content } => self.content(permit, left, content),
            State::Behind { permit, content } => self.behind(permit, content),
            State::Kept { permit, content, failed } => self.kept(permit, content, failed),
            State::Over => {
                self.has.clear();
                let said = self.takes.split().freeze();
                // What a client still says is not read any more, so it goes nowhere.
                Ok((self.client_has() && !said.is_empty()).then_some(Out::Back(said)))
            }
        }
    }

    fn answer(&mut self) -> Result<Option<(Answer, Bytes)>, StreamFault> {
        take_answer(&mut self.takes).map_err(|why| self.taker(why))
    }

    fn ready(&mut self) -> Result<Option<Out>, StreamFault> {
        self.state = State::Ready;
        let Some((answer, bytes)) = self.answer()? else { return Ok(None) };
        self.state = match answer {
            Answer::Good => State::Line,
            Answer::Warning | Answer::Fatal => State::Over,
        };
        Ok(Some(Out::Back(bytes)))
    }

    fn line(&mut self) -> Result<Option<Out>, StreamFault> {
        self.state = State::Line;
        let Some((line, bytes)) = take_line(&mut self.has).map_err(|why| self.announcer(why))? else { return Ok(None) };
        match line {
            Line::Warning => {}
            Line::Fatal => self.state = State::Over,
            Line::Times => self.state = State::Sent(Sent::Times),
            Line::End if self.inside.is_empty() => {
                return Err(self.announcer("the end of a directory that was not begun"));
            }
            Line::End => self.state = State::Sent(Sent::End),
            Line::File { size, name } => return Ok(Some(self.announced(bytes, Some(size), &name))),
            Line::Directory { name } => {
                if self.inside.len() >= DEEPEST || matches!(self.side, Side::Sink { recursive: false, .. }) {
                    return Err(self.announcer("a directory that was not asked for"));
                }
                return Ok(Some(self.announced(bytes, None, &name)));
            }
        }
        Ok(Some(Out::Forth(bytes)))
    }

    /// A file or directory: what it touches.
    fn announced(&mut self, bytes: Bytes, file: Option<u64>, announced: &Bytes) -> Out {
        let verb = match (&self.side, file) {
            (Side::Sink { .. }, Some(_)) => "scp put",
            (Side::Sink { .. }, None) => "scp mkdir",
            (Side::Source { .. }, Some(_)) => "scp get",
            (Side::Source { .. }, None) => "scp ls",
        };
        let path = match name(announced).and_then(|name| self.place(&name)) {
            Ok(path) => path,
            Err(fault) => {
                self.state = State::Asked { bytes, file, path: String::new() };
                let shown = String::from_utf8_lossy(announced).escape_debug().to_string();
                return Out::Ask(Box::new(Wanted::faulty(verb, shown, fault)));
            }
        };
        let (frame, actions): (_, &[Action]) = match &self.side {
            Side::Sink { .. } => (bytes.clone(), &[Action::Insert, Action::Update]),
            Side::Source { .. } => (Bytes::new(), &[Action::Read]),
        };
        // Both ends open what is named, links and all.
        let wanted = Wanted::bytes(verb, frame, Touch::new(path.clone(), true, actions));
        self.state = State::Asked { bytes, file, path };
        Out::Ask(Box::new(wanted))
    }

    /// The path that a name stands for at the target.
    fn place(&mut self, name: &str) -> Result<String, Fault> {
        if let Some(directory) = self.inside.last() {
            return Ok(format!("{}/{name}", directory.trim_end_matches('/')));
        }
        match &self.side {
            Side::Sink { path, directory: true, .. } => Ok(format!("{}/{name}", path.trim_end_matches('/'))),
            Side::Sink { path, directory: false, .. } => Ok(path.clone()),
            Side::Source { paths } => {
                // Those before it could not be opened, or it would have announced them.
                let rest = paths.iter().enumerate().skip(self.given);
                let mut named = rest.filter(|(_, path)| path.trim_end_matches('/').rsplit('/').next() == Some(name));
                let Some((at, path)) = named.next() else {
                    let message = "the target announced a file that was not asked for";
                    return Err(Fault::Ambiguous { message: message.into() });
                };
                let path = path.clone();
                self.given = at + 1;
                Ok(path)
            }
        }
    }

    /// What was asked may pass.
    pub(crate) fn granted(&mut self, permit: P) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Asked { bytes, file, path } => {
                let sent = match file {
                    Some(size) => Sent::File { permit, size },
                    None => Sent::Directory { permit, path },
                };
                self.state = if self.client_has() { State::Sent(sent) } else { State::Granted { bytes, sent } };
            }
            other => self.state = other,
        }
    }

    /// What was asked may not pass. It is skipped: the ends are told, and go on with what comes next.
    #[must_use]
    pub(crate) fn refused(&mut self, denial: &Denial) -> ScpRefusal {
        if matches!(self.state, State::Asked { .. }) {
            self.state = State::Line;
        }
        let to_client = format!("\u{1}scp: {}\n", words(denial)).into();
        let to_target = (!self.client_has()).then(|| Bytes::from_static(b"\x01refused\n"));
        ScpRefusal { to_client, to_target }
    }

    fn answered(&mut self, sent: Sent<P>) -> Result<Option<Out>, StreamFault> {
        let Some((answer, bytes)) = self.answer()? else {
            self.state = State::Sent(sent);
            return Ok(None);
        };
        self.state = match (answer, sent) {
            (Answer::Good, Sent::Times) => State::Line,
            (Answer::Good, Sent::End) => {
                self.inside.pop();
                State::Line
            }
            (Answer::Good, Sent::File { permit, size }) => {
                State::Content { permit, left: size, content: Box::default() }
            }
            (Answer::Good, Sent::Directory { permit, path }) => {
                self.inside.push(path);
                self.settle(permit, &Content::default(), None);
                State::Line
            }
            (Answer::Warning | Answer::Fatal, Sent::File { permit, .. } | Sent::Directory { permit, .. }) => {
                self.settle(permit, &Content::default(), Some(message(&bytes)));
                if answer == Answer::Fatal { State::Over } else { State::Line }
            }
            (Answer::Warning, Sent::Times) => State::Line,
            (Answer::Warning, Sent::End) => {
                // Who has the files has left the directory whatever it is answered.
                self.inside.pop();
                State::Line
            }
            (Answer::Fatal, Sent::Times | Sent::End) => State::Over,
        };
        Ok(Some(Out::Back(bytes)))
    }

    fn content(&mut self, permit: P, left: u64, mut content: Box<Content>) -> Result<Option<Out>, StreamFault> {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.has.len()).min(PIECE);
        let piece = self.has.split_to(most).freeze();
        content.take(None, &piece);
        self.state = State::Content { permit, left: left.saturating_sub(most as u64), content };
        Ok((!piece.is_empty()).then_some(Out::Forth(piece)))
    }

    /// Who had the file says whether it could read it to its end.
    fn behind(&mut self, permit: P, content: Box<Content>) -> Result<Option<Out>, StreamFault> {
        let said = take_answer(&mut self.has).map_err(|why| self.announcer(why))?;
        let Some((answer, bytes)) = said else {
            self.state = State::Behind { permit, content };
            return Ok(None);
        };
        let failed = (answer != Answer::Good).then(|| message(&bytes));
        if answer == Answer::Fatal {
            self.settle(permit, &content, failed);
        } else {
            self.state = State::Kept { permit, content, failed };
        }
        Ok(Some(Out::Forth(bytes)))
    }

    /// Who took the file says whether it could keep it.
    fn kept(&mut self, permit: P, content: Box<Content>, failed: Option<String>) -> Result<Option<Out>, StreamFault> {
        let Some((answer, bytes)) = self.answer()? else {
            self.state = State::Kept { permit, content, failed };
            return Ok(None);
        };
        self.state = if answer == Answer::Fatal { State::Over } else { State::Line };
        let failed = failed.or_else(|| (answer != Answer::Good).then(|| message(&bytes)));
        self.settle(permit, &content, failed);
        Ok(Some(Out::Back(bytes)))
    }

    fn settle(&mut self, permit: P, content: &Content, failed: Option<String>) {
        let outcome = match failed {
            None => Outcome::Completed { status: "0".into(), rows: 0, bytes: content.bytes() },
            Some(message) => {
                Outcome::Failed { status: "1".into(), message: (!message.is_empty()).then(|| message.into()) }
            }
        };
        let digest = content.digest().filter(|_| content.bytes() > 0);
        self.settled = Some(ScpSettled { permit, outcome, digest });
    }
}

/// What goes out: forth from who has files, or back from who takes them.
enum Out {
    Ask(Box<Wanted>),
    Forth(Bytes),
    Back(Bytes),
}
