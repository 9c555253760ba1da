//! Copies played against a gate with the rules of the corpus: what passes, and what must not.

use crate::scp::{Scp, ScpAction, Side};
use crate::sftp::tests::tree::{HOME, Tree};
use crate::sftp::tests::world::rules;
use portcullis_model::{Action as Deed, Denial, Digest, Outcome, Reason};

struct Copy {
    scp: Scp<usize>,
    tree: Tree,
    decided: Vec<(String, bool)>,
    to_target: Vec<u8>,
    to_client: Vec<u8>,
    settled: Vec<(usize, Outcome, Option<Digest>)>,
    fault: Option<String>,
}

impl Copy {
    fn new(side: Side) -> Self {
        Self {
            scp: Scp::new(side),
            tree: Tree::sandbox(),
            decided: Vec::new(),
            to_target: Vec::new(),
            to_client: Vec::new(),
            settled: Vec::new(),
            fault: None,
        }
    }

    fn sink(path: &str, directory: bool) -> Self {
        Self::new(Side::Sink { path: path.to_owned(), directory, recursive: true })
    }

    fn source(paths: &[&str]) -> Self {
        Self::new(Side::Source { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
    }

    /// What reaches the target of this.
    fn client(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.scp.push_client(bytes);
        let before = self.to_target.len();
        self.pump();
        self.to_target[before..].to_vec()
    }

    /// What reaches the client of this.
    fn target(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.scp.push_target(bytes);
        let before = self.to_client.len();
        self.pump();
        self.to_client[before..].to_vec()
    }

    fn pump(&mut self) {
        loop {
            match self.scp.next() {
                ScpAction::Wait => return,
                ScpAction::ToTarget { bytes, .. } => self.to_target.extend_from_slice(&bytes),
                ScpAction::ToClient { bytes, .. } => self.to_client.extend_from_slice(&bytes),
                ScpAction::Settle(settled) => self.settled.push((settled.permit, settled.outcome, settled.digest)),
                ScpAction::End(fault) => {
                    self.fault = Some(fault.to_string());
                    return;
                }
                ScpAction::Ask(wanted) => {
                    let judged = match self.tree.all(wanted.touches()) {
                        Ok(resolved) => wanted.judged(&resolved, Some(HOME)),
                        Err(why) => wanted.unresolved(why),
                    };
                    let command = &judged.command;
                    let ruled = command.operations().iter().find(|one| one.action != Deed::Session && !rules(one));
                    let reason = match (&command.fault, ruled) {
                        (Some(fault), _) => Some(Reason::Unreadable(fault.clone())),
                        (None, Some(one)) => Some(Reason::NoRule { operation: one.to_string().into() }),
                        (None, None) => None,
                    };
                    self.decided.push((command.text.as_str().to_owned(), reason.is_none()));
                    match reason {
                        None => {
                            self.to_target.extend_from_slice(&judged.frame);
                            self.scp.granted(self.decided.len() - 1);
                        }
                        Some(reason) => {
                            let denial = Denial { decision: None, reason, message: None };
                            let told = self.scp.refused(&denial);
                            self.to_client.extend_from_slice(&told.to_client);
                            self.to_target.extend_from_slice(&told.to_target.unwrap_or_default());
                        }
                    }
                }
            }
        }
    }
}

fn done(bytes: u64) -> Outcome {
    Outcome::Completed { status: "0".into(), rows: 0, bytes }
}

#[test]
fn a_tree_is_put_file_by_file() {
    let mut copy = Copy::sink("sandbox/out", true);
    assert_eq!(copy.target(b"\0"), b"\0");
    assert_eq!(copy.client(b"T1 0 1 0\n"), b"T1 0 1 0\n");
    copy.target(b"\0");
    assert_eq!(copy.client(b"D0755 0 d\n"), b"D0755 0 d\n");
    copy.target(b"\0");
    assert_eq!(copy.client(b"C0644 3 x\n"), b"C0644 3 x\n");
    copy.target(b"\0");
    assert_eq!(copy.client(b"on"), b"on");
    assert_eq!(copy.client(b"e\0"), b"e\0");
    assert_eq!(copy.target(b"\0"), b"\0");
    assert_eq!(copy.client(b"E\n"), b"E\n");
    copy.target(b"\0");
    copy.client(b"C0644 0 empty\n");
    copy.target(b"\0");
    assert_eq!(copy.client(b"\0"), b"\0");
    copy.target(b"\x01scp: disk full\n");
    let texts: Vec<_> = copy.decided.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(texts, ["scp mkdir ~/sandbox/out/d", "scp put ~/sandbox/out/d/x", "scp put ~/sandbox/out/empty"]);
    let full = Outcome::Failed { status: "1".into(), message: Some("scp: disk full".into()) };
    let settled = [(0, done(0), None), (1, done(3), Some(Digest::of(b"one"))), (2, full, None)];
    assert_eq!((copy.settled, copy.fault), (settled.to_vec(), None));
}

#[test]
fn what_is_refused_is_skipped_and_the_rest_goes_on() {
    let mut copy = Copy::sink("sandbox/work", true);
    copy.target(b"\0");
    for line in ["C0644 3 .env\n", "C0644 1 dangling\n", "C0644 1 a/b\n", "D0755 0 shortcut\n", "C0644 1 ..\n"] {
        assert_eq!(copy.client(line.as_bytes()), b"", "{line}");
        assert_eq!(copy.to_client.pop(), Some(b'\n'));
    }
    assert_eq!(copy.to_client.iter().filter(|byte| **byte == 1).count(), 5, "each is told");
    assert_eq!(copy.client(b"C0644 1 fine\n"), b"C0644 1 fine\n");
    assert_eq!(copy.fault, None);
    let mut over = Copy::sink("sandbox/work/shortcut/config.yml", false);
    over.target(b"\0");
    assert_eq!(over.client(b"C0644 3 x\nbad\0"), b"", "the link leads to what may not be written");
    assert_eq!(over.decided, [("scp put ~/sandbox/victim/config.yml".to_owned(), false)]);
}

#[test]
fn nothing_is_sent_ahead_of_the_answer_that_says_where_it_would_go() {
    let mut copy = Copy::sink("sandbox/out", true);
    // All at once: were it passed on, a directory that the target cannot make would leave the file beside it.
    assert_eq!(copy.client(b"D0755 0 d\nC0644 3 x\none\0E\n"), b"", "not even before the target is ready");
    copy.target(b"\0");
    assert_eq!(copy.to_target, b"D0755 0 d\n");
    copy.target(b"\x01scp: d: Not a directory\n");
    assert_eq!(copy.decided[1].0, "scp put ~/sandbox/out/x", "it is not inside");
}

#[test]
fn ends_that_break_the_protocol_end_it() {
    let client = |copy: &mut Copy, bytes: &[u8], said: &str| {
        copy.client(bytes);
        assert_eq!(
            copy.fault.as_deref(),
            Some(format!("the client broke the file transfer protocol: {said}").as_str())
        );
        assert_eq!(copy.client(b"C0644 1 a\n"), b"");
    };
    let ready = || {
        let mut copy = Copy::sink("sandbox/out", true);
        copy.target(b"\0");
        copy
    };
    client(&mut ready(), b"E\n", "the end of a directory that was not begun");
    client(&mut ready(), b"rm -rf x\n", "a control line that cannot be read");
    client(&mut ready(), &[b'C'; 4000], "a control line that is too long");
    let mut flat = Copy::new(Side::Sink { path: "sandbox/out".into(), directory: true, recursive: false });
    flat.target(b"\0");
    client(&mut flat, b"D0755 0 d\n", "a directory that was not asked for");
    client(&mut Copy::source(&["a"]), b"x", "an answer that is none");
}

#[test]
fn an_answer_said_ahead_answers_what_comes_next_and_nothing_else() {
    let mut copy = Copy::source(&["sandbox/work/a.txt", "sandbox/work/docs/one"]);
    assert_eq!(copy.client(b"\0\x01no\n\0\0"), b"\0", "the others wait");
    copy.target(b"C0644 3 a.txt\n");
    assert_eq!(copy.to_target, b"\0\x01no\n", "the target skips it");
    copy.target(b"C0644 3 one\none\0");
    assert_eq!(copy.to_client, b"C0644 3 a.txt\nC0644 3 one\none\0");
    let no = Outcome::Failed { status: "1".into(), message: Some("no".into()) };
    assert_eq!(copy.settled, [(0, no, None), (1, done(3), Some(Digest::of(b"one")))]);
}

#[test]
fn what_is_got_is_judged_by_what_the_target_announces() {
    let mut copy = Copy::source(&["sandbox/work", "sandbox/none", "sandbox/work/absolute"]);
    assert_eq!(copy.client(b"\0"), b"\0");
    assert_eq!(copy.target(b"D0755 0 work\n"), b"D0755 0 work\n");
    assert_eq!(copy.client(b"\0"), b"\0");
    assert_eq!(copy.target(b"C0644 3 a.txt\n"), b"C0644 3 a.txt\n");
    // The client answers ahead: each answer waits for its turn.
    assert_eq!(copy.client(b"\0\0"), b"\0");
    assert_eq!(copy.target(b"one\0"), b"one\0");
    assert_eq!(copy.to_target, b"\0\0\0\0");
    copy.target(b"D0755 0 app\n");
    copy.client(b"\0");
    let told = copy.target(b"C0600 5 .env\n");
    assert!(told.starts_with(b"\x01scp: refused by policy: no rule allows read file ~/sandbox/work/app/.env"));
    assert!(copy.to_target.ends_with(b"\x01refused\n"), "the target is told to go on without it");
    copy.target(b"E\n");
    copy.client(b"\0");
    copy.target(b"E\n");
    copy.client(b"\0");
    assert_eq!(copy.target(b"\x01scp: sandbox/none: No such file\n"), b"\x01scp: sandbox/none: No such file\n");
    let told = copy.target(b"C0600 5 absolute\n");
    assert!(told.starts_with(b"\x01scp: refused by policy: no rule allows read file ~/.pgpass"));
    let told = copy.target(b"C0600 5 other\n");
    assert!(told.starts_with(b"\x01scp: refused: the target announced a file that was not asked for"));
    let settled = [(0, done(0), None), (1, done(3), Some(Digest::of(b"one"))), (2, done(0), None)];
    assert_eq!((copy.settled, copy.fault), (settled.to_vec(), None));
}

#[test]
fn where_the_stream_is_split_changes_nothing() {
    let whole = b"T1 0 1 0\nD0755 0 d\nC0644 3 x\none\0C0644 9 .env\nE\n";
    let play = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut copy = Copy::sink("sandbox/out", true);
        for piece in pieces {
            copy.client(piece);
        }
        for _ in 0..6 {
            copy.target(b"\0");
        }
        assert_eq!(copy.fault, None);
        (copy.to_target, copy.to_client, copy.decided)
    };
    let at_once = play(&mut std::iter::once(whole.as_slice()));
    assert_eq!(at_once.0, b"T1 0 1 0\nD0755 0 d\nC0644 3 x\none\0E\n");
    for step in 1..whole.len() {
        assert_eq!(play(&mut whole.chunks(step)), at_once, "in steps of {step}");
    }
}
