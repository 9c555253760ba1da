//! Messages (RFC 6455 §5.4), put together from frames.
//!
//! Promises: one message is put together at a time, of so many bytes and fragments at most; text is UTF-8 and nothing else;
//! control frames come out between the pieces of a message, in their place; behind a close, and behind what could not be
//! read, nothing is read. Does not promise that a message means anything: `core.rs` asks.
//! Held by: the tests below, and `fuzz/websocket.rs`.

use super::close::{Close, Code};
use super::frame::{Broken, Frame, Frames, Kind, Peer};
use bytes::{Bytes, BytesMut};

/// Frames of one message.
const FRAGMENTS: usize = 4096;

/// What a peer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Text(String),
    Binary(Bytes),
    Ping(Bytes),
    Pong,
    /// With the code that it gave.
    Close(Option<Code>),
}

/// The messages of one side.
#[derive(Debug)]
pub(crate) struct Messages {
    frames: Frames,
    /// Bytes of one.
    most: usize,
    begun: Option<Begun>,
    over: bool,
}

/// A message of which more is to come.
#[derive(Debug)]
struct Begun {
    is_text: bool,
    payload: BytesMut,
    fragments: usize,
}

impl Messages {
    pub(crate) fn of(from: Peer, most: usize) -> Self {
        Self { frames: Frames::of(from), most, begun: None, over: false }
    }

    /// Bytes that came. Behind the end they are thrown away.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if !self.over {
            self.frames.feed(bytes);
        }
    }

    /// Bytes that came and are not read.
    pub(crate) fn held(&self) -> usize {
        self.frames.held()
    }

    /// Nothing more is read.
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    /// What was said next. With `control` only, what stands before the next piece of a message.
    ///
    /// # Errors
    /// [`Broken`]: nothing behind it can be read.
    pub(crate) fn next(&mut self, control: bool) -> Result<Option<Heard>, Broken> {
        let read = self.read(control);
        if matches!(read, Err(_) | Ok(Some(Heard::Close(_)))) {
            self.over = true;
            self.begun = None;
            self.frames.clear();
        }
        read
    }

    fn read(&mut self, control: bool) -> Result<Option<Heard>, Broken> {
        while !(self.over || (control && self.frames.is_before_data())) {
            let begun = self.begun.as_ref().map_or(0, |begun| begun.payload.len());
            let Some(frame) = self.frames.next(self.most - begun)? else { return Ok(None) };
            if let Some(heard) = self.take(frame)? {
                return Ok(Some(heard));
            }
        }
        Ok(None)
    }

    fn take(&mut self, frame: Frame) -> Result<Option<Heard>, Broken> {
        let Frame { last, kind, payload } = frame;
        let begun = match (kind, self.begun.take()) {
            (Kind::Continuation, Some(mut begun)) => {
                begun.fragments += 1;
                if begun.fragments > FRAGMENTS {
                    return Err(Broken { code: Code::TOO_LARGE, why: "a message in too many pieces" });
                }
                begun.payload.unsplit(payload);
                begun
            }
            (Kind::Continuation, None) => return Err(Broken::protocol("a piece of no message")),
            (Kind::Text | Kind::Binary, Some(_)) => return Err(Broken::protocol("a message within a message")),
            (Kind::Text | Kind::Binary, None) => Begun { is_text: kind == Kind::Text, payload, fragments: 1 },
            (Kind::Close, _) => return Ok(Some(Heard::Close(Close::read(&payload)?))),
            (Kind::Ping, begun) => {
                self.begun = begun;
                return Ok(Some(Heard::Ping(payload.freeze())));
            }
            (Kind::Pong, begun) => {
                self.begun = begun;
                return Ok(Some(Heard::Pong));
            }
        };
        if !last {
            self.begun = Some(begun);
            return Ok(None);
        }
        let payload = begun.payload.freeze();
        if !begun.is_text {
            return Ok(Some(Heard::Binary(payload)));
        }
        let not_text = Broken { code: Code::NOT_TEXT, why: "a text that is not UTF-8" };
        String::from_utf8(payload.into()).map(|text| Some(Heard::Text(text))).map_err(|_| not_text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hear(messages: &mut Messages, control: bool) -> Result<Vec<Heard>, Broken> {
        let mut heard = Vec::new();
        while let Some(one) = messages.next(control)? {
            heard.push(one);
        }
        Ok(heard)
    }

    fn all(bytes: &[u8], most: usize) -> Result<Vec<Heard>, Broken> {
        let mut messages = Messages::of(Peer::Backend, most);
        messages.feed(bytes);
        hear(&mut messages, false)
    }

    /// "hëllo" in three pieces, cut within its second letter, with a ping between them.
    const PIECES: &[u8] = b"\x01\x02h\xc3\x89\x01!\x00\x02\xabl\x80\x02lo\x82\x01\x00\x8a\x00\x88\x02\x03\xe9";

    #[test]
    fn pieces_are_one_message_and_control_frames_stand_between_them() {
        let expected = [
            Heard::Ping(Bytes::from("!")),
            Heard::Text("h\u{eb}llo".to_owned()),
            Heard::Binary(Bytes::from("\0")),
            Heard::Pong,
            Heard::Close(Some(Code::GOING_AWAY)),
        ];
        assert_eq!(all(PIECES, 6).unwrap(), expected);
        for cut in 0..=PIECES.len() {
            let mut messages = Messages::of(Peer::Backend, 6);
            messages.feed(&PIECES[..cut]);
            let mut heard = hear(&mut messages, false).unwrap();
            messages.feed(&PIECES[cut..]);
            heard.extend(hear(&mut messages, false).unwrap());
            assert_eq!(heard, expected, "{cut}");
        }
    }

    #[test]
    fn frames_out_of_their_order_are_refused() {
        for (bytes, code) in [
            (&b"\x80\x01a"[..], Code::PROTOCOL),
            (b"\x00\x01a", Code::PROTOCOL),
            (b"\x01\x01a\x81\x01b", Code::PROTOCOL),
            (b"\x01\x01a\x02\x01b", Code::PROTOCOL),
            (b"\x81\x01a\x80\x01b", Code::PROTOCOL),
            (b"\x81\x01\xff", Code::NOT_TEXT),
            (b"\x81\x03\xed\xa0\x80", Code::NOT_TEXT),
            (b"\x01\x01\xc3\x80\x01a", Code::NOT_TEXT),
            (b"\x88\x01\x03", Code::PROTOCOL),
            (b"\x88\x02\x03\xed", Code::PROTOCOL),
            (b"\x82\x05aaaaa", Code::TOO_LARGE),
            (b"\x02\x03aaa\x80\x02aa", Code::TOO_LARGE),
        ] {
            assert_eq!(all(bytes, 4).map_err(|broken| broken.code), Err(code), "{bytes:?}");
        }
    }

    #[test]
    fn nothing_is_read_behind_the_end() {
        for end in [&b"\x88\x00"[..], b"\xff"] {
            let mut messages = Messages::of(Peer::Backend, 99);
            messages.feed(&[end, b"\x81\x01a"].concat());
            let first = messages.next(false);
            assert!(matches!(first, Ok(Some(Heard::Close(None))) | Err(_)), "{first:?}");
            messages.feed(b"\x81\x01b");
            assert!(messages.is_over() && messages.next(false) == Ok(None) && messages.held() == 0);
        }
    }

    #[test]
    fn pieces_are_counted_also_where_they_are_empty() {
        let many = |count: usize| {
            let middle = b"\x00\x00".repeat(count - 2);
            all(&[&b"\x02\x00"[..], &middle, b"\x80\x00"].concat(), 0)
        };
        assert_eq!(many(FRAGMENTS).unwrap(), [Heard::Binary(Bytes::new())]);
        assert_eq!(many(FRAGMENTS + 1).unwrap_err().code, Code::TOO_LARGE);
    }

    #[test]
    fn while_a_message_waits_only_what_stands_before_the_next_is_read() {
        let mut messages = Messages::of(Peer::Backend, 99);
        messages.feed(b"\x89\x01a\x8a\x00\x81\x01b\x89\x01c");
        assert_eq!(hear(&mut messages, true).unwrap(), [Heard::Ping(Bytes::from("a")), Heard::Pong]);
        assert_eq!(messages.held(), 6);
        assert_eq!(hear(&mut messages, false).unwrap().len(), 2);
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_changes_nothing(
            frames in prop::collection::vec((prop::sample::select(vec![0_u8, 1, 2, 8, 9, 10, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a]), "[a-c\u{eb}]{0,3}"), 0..9),
            junk in prop::collection::vec(any::<u8>(), 0..4),
            cuts in prop::collection::vec(1_usize..5, 1..40),
        ) {
            let mut bytes: Vec<u8> =
                frames.iter().flat_map(|(first, text)| [&[*first, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()).collect();
            bytes.extend(junk);
            let collected = |pieces: &mut dyn Iterator<Item = &[u8]>| {
                let mut messages = Messages::of(Peer::Backend, 8);
                let (mut heard, mut broken) = (Vec::new(), None);
                for piece in pieces {
                    messages.feed(piece);
                    loop {
                        match messages.next(false) {
                            Ok(Some(one)) => heard.push(one),
                            Ok(None) => break,
                            Err(why) => broken = Some(why),
                        }
                    }
                }
                (heard, broken)
            };
            let whole = collected(&mut std::iter::once(&bytes[..]));
            let (mut rest, mut pieces, mut cuts) = (&bytes[..], Vec::new(), cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                pieces.push(piece);
                rest = behind;
            }
            prop_assert_eq!(whole, collected(&mut pieces.into_iter()));
        }
    }
}
