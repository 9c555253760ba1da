//! What either side of a socket may send.

use crate::websocket::{Code, Heard, Kind, LARGEST_HEAD, Messages, Peer, write};
use bytes::BytesMut;

/// What came of bytes: what was heard, and the code of what ended it.
type Came = (Vec<Heard>, Option<Code>);

/// Reads the frames of one side: the first byte says of which, how much a message may hold and how the bytes are cut. Cut
/// otherwise they come to the same; a message is no larger than it may be; written again it is the same; nothing comes
/// behind an end; no more is kept than may become one message.
pub fn fuzz_websocket(data: &[u8]) {
    let Some((how, bytes)) = data.split_first() else { return };
    let peer = if how & 1 == 0 { Peer::Client } else { Peer::Backend };
    let most = usize::from(how >> 1 & 7) * 16;
    let whole = come(peer, most, &mut std::iter::once(bytes));
    let cut = usize::from(how >> 4) + 1;
    assert_eq!(come(peer, most, &mut bytes.chunks(cut)), whole, "cut otherwise it comes to something else");
    for (at, heard) in whole.0.iter().enumerate() {
        let (kind, payload) = match heard {
            Heard::Text(text) => (Kind::Text, text.as_bytes().to_vec()),
            Heard::Binary(bytes) => (Kind::Binary, bytes.to_vec()),
            Heard::Ping(bytes) => (Kind::Ping, bytes.to_vec()),
            Heard::Pong => (Kind::Pong, Vec::new()),
            Heard::Close(code) => {
                assert_eq!(at + 1, whole.0.len(), "something is read behind a close");
                (Kind::Close, crate::websocket::Close::bare(*code).payload().to_vec())
            }
        };
        assert!(payload.len() <= most.max(125), "a message is larger than it may be");
        let mut out = BytesMut::new();
        let mask = (peer == Peer::Client).then_some([*how, 1, 2, 3]);
        write(kind, &payload, mask, &mut out);
        assert!(out.len() <= payload.len() + LARGEST_HEAD);
        assert_eq!(
            come(peer, most, &mut std::iter::once(&out[..])),
            (vec![heard.clone()], None),
            "it is read otherwise"
        );
    }
}

fn come(peer: Peer, most: usize, pieces: &mut dyn Iterator<Item = &[u8]>) -> Came {
    let mut messages = Messages::of(peer, most);
    let (mut heard, mut broken) = (Vec::new(), None);
    for piece in pieces {
        messages.feed(piece);
        loop {
            match messages.next(false) {
                Ok(Some(one)) => heard.push(one),
                Ok(None) => break,
                Err(why) => {
                    assert!(broken.is_none(), "it breaks twice");
                    broken = Some(why.code);
                }
            }
        }
        assert!(messages.held() <= most.max(125) + LARGEST_HEAD, "more is kept than may become a message");
        assert!(!messages.is_over() || messages.held() == 0);
    }
    (heard, broken)
}
