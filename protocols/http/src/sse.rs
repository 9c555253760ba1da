//! Server-sent events (WHATWG HTML §9.2), read as every client must read them and written in one way.
//!
//! Promises: lines end in LF, CR or CRLF wherever the stream was cut; a byte order mark at the start, comments and unknown
//! fields are gone; an event is at most [`LONGEST`] bytes, and text that is not UTF-8 is refused. What is written has one
//! field a line, LF, and no line that its data could have added. Does not promise that the data of an event is anything:
//! the API reads it. An event that the stream broke off in was never given.
//! Held by: the tests below, which cut every stream everywhere.

use bytes::Bytes;

/// Bytes of one event.
pub(crate) const LONGEST: usize = 1 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// What kind it says it is.
    pub(crate) name: Option<String>,
    /// Its lines, with LF between them.
    pub(crate) data: String,
    /// Where a client would go on from, if it was sent in this event.
    pub(crate) id: Option<String>,
    /// Milliseconds until a client comes again, if they were sent in this event.
    pub(crate) retry: Option<u64>,
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotEvents {
    #[error("an event of the stream is too long")]
    TooLong,
    #[error("the stream of events is not UTF-8")]
    NotText,
}

impl Event {
    /// An event of this kind.
    pub(crate) fn new(name: Option<&str>, data: impl Into<String>) -> Self {
        Self { name: name.map(ToOwned::to_owned), data: data.into(), ..Self::default() }
    }

    /// As it goes over the wire.
    pub(crate) fn written(&self) -> Bytes {
        let mut out = String::with_capacity(self.data.len() + 64);
        for (field, value) in [("event: ", &self.name), ("id: ", &self.id)] {
            if let Some(value) = value {
                out.push_str(field);
                out.extend(value.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')));
                out.push('\n');
            }
        }
        if let Some(retry) = self.retry {
            out.push_str(&format!("retry: {retry}\n"));
        }
        // A lone CR ends a line too, so each of the three begins a new field.
        for line in self.data.replace("\r\n", "\n").split(['\n', '\r']) {
            out.push_str("data: ");
            out.push_str(line);
            out.push('\n');
        }
        out.push('\n');
        Bytes::from(out)
    }
}

/// A comment, which no client acts on.
pub(crate) fn comment(text: &str) -> Bytes {
    let line: String = text.chars().filter(|c| !c.is_control()).collect();
    Bytes::from(format!(": {line}\n\n"))
}

/// Reads a stream in whatever pieces it comes.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The line that has not ended.
    line: Vec<u8>,
    /// The last byte was a CR: an LF belongs to it.
    after_cr: bool,
    /// A line was read: a byte order mark is no mark any more.
    begun: bool,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// The events that end in these bytes, in order.
    ///
    /// # Errors
    /// [`NotEvents`]; the stream cannot be read on.
    pub(crate) fn feed(&mut self, mut data: &[u8], events: &mut impl Extend<Event>) -> Result<(), NotEvents> {
        while let Some((&first, rest)) = data.split_first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                data = rest;
                continue;
            }
            let end = memchr::memchr2(b'\n', b'\r', data).unwrap_or(data.len());
            let (part, ended) = data.split_at(end);
            if self.line.len() + self.weight() + part.len() > LONGEST {
                return Err(NotEvents::TooLong);
            }
            self.line.extend_from_slice(part);
            let Some((&end, rest)) = ended.split_first() else { return Ok(()) };
            self.after_cr = end == b'\r';
            data = rest;
            let line = std::mem::take(&mut self.line);
            events.extend(self.on_line(&line)?);
            // The room of a line is used again: a stream of short lines allocates once.
            self.line = line;
            self.line.clear();
        }
        Ok(())
    }

    /// Whether nothing of an event was read since the last one.
    #[cfg(test)]
    pub(crate) fn is_between(&self) -> bool {
        self.line.is_empty() && !self.has_data && self.event == Event::default()
    }

    fn weight(&self) -> usize {
        self.event.data.len()
            + self.event.name.as_ref().map_or(0, String::len)
            + self.event.id.as_ref().map_or(0, String::len)
    }

    /// The event that this line ends, if it ends one.
    fn on_line(&mut self, line: &[u8]) -> Result<Option<Event>, NotEvents> {
        let line = if std::mem::replace(&mut self.begun, true) {
            line
        } else {
            line.strip_prefix(b"\xef\xbb\xbf".as_slice()).unwrap_or(line)
        };
        let line = std::str::from_utf8(line).map_err(|_| NotEvents::NotText)?;
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // An empty name is the name of an event without one.
            "event" => self.event.name = (!value.is_empty()).then(|| value.to_owned()),
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => self.event.retry = value.parse().ok(),
            // What a client ignores is not passed on either; a comment is a field without a name.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<Event>, NotEvents> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for piece in pieces {
            parser.feed(piece, &mut events)?;
        }
        Ok(events)
    }

    /// What a stream says, whole and cut at every place and into bytes.
    fn everywhere(stream: &[u8]) -> Result<Vec<Event>, NotEvents> {
        let whole = read(&[stream]);
        for at in 0..=stream.len() {
            let (left, right) = stream.split_at(at);
            assert_eq!(read(&[left, right]), whole, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&bytes), whole);
        whole
    }

    fn event(name: &str, data: &str) -> Event {
        Event::new((!name.is_empty()).then_some(name), data)
    }

    #[test]
    fn a_stream_is_read_as_the_standard_says() {
        let cases: &[(&str, &[Event])] = &[
            ("", &[]),
            ("data: a\n\n", &[event("", "a")]),
            ("event: x\ndata: a\n\ndata: b\n\n", &[event("x", "a"), event("", "b")]),
            ("event: x\r\ndata: a\r\ndata: b\r\n\r\n", &[event("x", "a\nb")]),
            ("event: x\rdata: a\r\r", &[event("x", "a")]),
            ("data: a\r\n\rdata: b\n\r\n", &[event("", "a"), event("", "b")]),
            ("data:a\ndata:  b\ndata\n\n", &[event("", "a\n b\n")]),
            ("data:\n\n", &[event("", "")]),
            ("data: ä €\n\n", &[event("", "ä €")]),
            ("\u{feff}data: a\n\n", &[event("", "a")]),
            ("\u{feff}\u{feff}data: a\n\n", &[]),
            ("data: a\n\n\u{feff}data: b\n\n", &[event("", "a")]),
            (": hold\n\n:\n\ndata: a\n: mid\n\n", &[event("", "a")]),
            ("event: x\n\ndata: a\n\n", &[event("", "a")]),
            ("event: x\nevent:\ndata: a\n\n", &[event("", "a")]),
            ("Data: a\n data: b\nunknown: c\n\n", &[]),
            ("data: never ended", &[]),
            ("data: never ended\n", &[]),
        ];
        for (stream, expected) in cases {
            assert_eq!(everywhere(stream.as_bytes()).as_deref(), Ok(*expected), "{stream:?}");
        }
        let given = everywhere(b"id: 7\nretry: 10\ndata: a\n\nid: x\0y\nretry: 1s\ndata: b\n\n").unwrap();
        assert_eq!(given[0], Event { id: Some("7".into()), retry: Some(10), ..event("", "a") });
        assert_eq!(given[1], event("", "b"));
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused() {
        assert_eq!(everywhere(b"data: \xff\n\n"), Err(NotEvents::NotText));
        let piece = vec![b'a'; LONGEST / 4];
        let mut parser = Parser::default();
        let mut given: Vec<Event> = Vec::new();
        // In one line that never ends, and in lines that never end an event.
        let fed = (0..5).try_for_each(|_| parser.feed(&piece, &mut given));
        assert_eq!(fed, Err(NotEvents::TooLong));
        let mut parser = Parser::default();
        let fed = (0..5).try_for_each(|_| {
            parser.feed(b"data:", &mut given)?;
            parser.feed(&piece, &mut given)?;
            parser.feed(b"\n", &mut given)
        });
        assert_eq!((fed, given.len()), (Err(NotEvents::TooLong), 0));
        // Comments may be as many as they like: nothing of them stays.
        let mut parser = Parser::default();
        for _ in 0..8 {
            parser.feed(b":", &mut given).unwrap();
            parser.feed(&piece, &mut given).unwrap();
            parser.feed(b"\n", &mut given).unwrap();
        }
        assert!(parser.is_between());
    }

    #[test]
    fn nothing_in_an_event_can_add_a_field() {
        let event = Event { id: Some("1\nevent: z".into()), ..Event::new(Some("a\r\ndata: x"), "b\rc\r\nd\n\ne") };
        let written = event.written();
        let read = everywhere(&written).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].name.as_deref(), Some("adata: x"));
        assert_eq!(read[0].id.as_deref(), Some("1event: z"));
        assert_eq!(read[0].data, "b\nc\nd\n\ne");
        assert_eq!(everywhere(&comment("hold")), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn how_a_stream_is_cut_changes_nothing(
            lines in proptest::collection::vec("(data|event|id|retry|)(:| : ?|)[a-c0-9\u{feff} ]{0,4}(\n|\r|\r\n|\n\n|\r\r\n)", 0..12),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let stream = lines.concat().into_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            at.extend([0, stream.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let whole = read(&[&stream]);
            prop_assert_eq!(read(&pieces), whole.clone());
            // What was read and written anew reads the same.
            let events = whole.unwrap();
            let written: Vec<u8> = events.iter().flat_map(|event| event.written()).collect();
            prop_assert_eq!(read(&[&written]), Ok(events));
        }
    }
}
