//! Errors, notices and notifications, without the values that they carry.
//!
//! Promises, where a statement touches protected data: details, hints, contexts, internal queries and places in the
//! server's source go; the message itself stays only where `data/sqlstate_classes.tsv` says that it can hold no value and
//! the error has no context and no internal query, since procedural code can raise any code with any text, and an error it
//! raises has a context. A code that no server knows becomes P0001. Names of schema, table, column, type and constraint
//! stay where the server itself filled them in. A notice keeps its severity only: its code can be chosen too, and there
//! may be one for each row.
//! Where nothing protected is touched but detectors are in force, every text that can hold data is searched.
//!
//! Does not promise that which error came, or how many notices, tells nothing. Nor anything about ParameterStatus, the tags
//! of CommandComplete and names of columns. Held by: `message/tests.rs` and `fixtures/postgres/mask_messages.tsv`.

use super::value::Replace;
use crate::message::Fields;
use bytes::{BufMut, Bytes, BytesMut};

mod states;
#[cfg(test)]
mod tests;

/// What is said in place of a notice.
const WITHHELD_NOTICE: &str = "a notice was withheld because it may hold protected values";
/// What stands behind the words for a code.
const WITHHELD: &str = "the server's own words were withheld because they may hold protected values";
/// What is said in place of a field that is no text.
const UNREADABLE: &str = "withheld: not valid UTF-8";
/// Whatever a server calls a text, no number of a position is longer.
const LONGEST_POSITION: usize = 10;

/// An ErrorResponse (`E`) or NoticeResponse (`N`) as the client may see it, a whole frame. None where nothing changes,
/// because the statement touches nothing protected.
pub(crate) fn scrub(tag: u8, fields: &Fields<'_>, touches: bool) -> Option<Bytes> {
    if !touches {
        return None;
    }
    Some(if tag == b'E' { error(fields) } else { notice(fields) })
}

/// The severity that is never translated; one that no server has becomes `otherwise`.
fn severity(fields: &Fields<'_>, otherwise: &'static str) -> &'static str {
    const ALL: [&str; 8] = ["DEBUG", "ERROR", "FATAL", "INFO", "LOG", "NOTICE", "PANIC", "WARNING"];
    let said = fields.get(b'V').or_else(|| fields.get(b'S')).unwrap_or_default();
    ALL.into_iter().find(|known| known.as_bytes() == said).unwrap_or(otherwise)
}

fn notice(fields: &Fields<'_>) -> Bytes {
    let severity = severity(fields, "NOTICE");
    let code = if severity == "WARNING" { "01000" } else { "00000" };
    let (severity, code) = (severity.as_bytes(), code.as_bytes());
    frame(b'N', [(b'S', severity), (b'V', severity), (b'C', code), (b'M', WITHHELD_NOTICE.as_bytes())])
}

fn error(fields: &Fields<'_>) -> Bytes {
    // Raised by procedural code, or inside a query that it ran.
    let is_raised = [b'W', b'q', b'p'].into_iter().any(|field| fields.get(field).is_some());
    let state = states::of(fields.get(b'C').unwrap_or_default());
    let position = fields.get(b'P').filter(|position| is_position(position));
    let stays = !is_raised
        && match state.ruling {
            states::Ruling::Keep => true,
            states::Ruling::Position => position.is_some(),
            states::Ruling::Replace => false,
        };
    let words = format!("{} ({}); {WITHHELD}", state.class, state.condition);
    let message = if stays { fields.get(b'M').unwrap_or_default() } else { words.as_bytes() };
    let severity = severity(fields, "ERROR").as_bytes();
    let always = [(b'S', severity), (b'V', severity), (b'C', state.code.as_bytes()), (b'M', message)];
    let position = position.filter(|_| stays).map(|position| (b'P', position));
    let named = !is_raised && !state.is_users;
    let names = [b's', b't', b'c', b'd', b'n'].into_iter().filter(|_| named);
    let names = names.filter_map(|field| Some((field, fields.get(field)?)));
    frame(b'E', always.into_iter().chain(position).chain(names))
}

fn is_position(position: &[u8]) -> bool {
    (1..=LONGEST_POSITION).contains(&position.len()) && position.iter().all(u8::is_ascii_digit)
}

/// The same error (`E`) or notice (`N`) with what detectors found rewritten in every field that can hold data, a whole
/// frame. None where they found nothing.
pub(crate) fn detect_in(tag: u8, fields: &Fields<'_>, detectors: &dyn Replace) -> Option<Bytes> {
    let mut found = false;
    let searched: Vec<_> = fields
        .iter()
        .map(|(code, text)| match code {
            // Severities, the code, positions and places in the server's source.
            b'S' | b'V' | b'C' | b'P' | b'p' | b'F' | b'L' | b'R' => (code, None, text),
            _ => {
                let new = searched(text, detectors);
                found |= new.is_some();
                (code, new, text)
            }
        })
        .collect();
    let field = |(code, new, text): &(u8, Option<String>, &'_ [u8])| {
        (*code, new.as_ref().map_or_else(|| text.to_vec(), |new| new.clone().into_bytes()))
    };
    found.then(|| frame(tag, searched.iter().map(field)))
}

fn searched(text: &[u8], detectors: &dyn Replace) -> Option<String> {
    match std::str::from_utf8(text) {
        Ok(text) => detectors.detected(text),
        Err(_) => Some(UNREADABLE.to_owned()),
    }
}

/// A NotificationResponse without its payload, a whole frame.
pub(crate) fn withhold(pid: i32, channel: &[u8]) -> Bytes {
    notification(pid, channel, b"")
}

/// A NotificationResponse with what detectors found in its payload rewritten. None where they found nothing.
pub(crate) fn detect_in_notification(
    pid: i32,
    channel: &[u8],
    payload: &[u8],
    detectors: &dyn Replace,
) -> Option<Bytes> {
    searched(payload, detectors).map(|payload| notification(pid, channel, payload.as_bytes()))
}

fn notification(pid: i32, channel: &[u8], payload: &[u8]) -> Bytes {
    whole(b'A', |out| {
        out.put_i32(pid);
        string(out, channel);
        string(out, payload);
    })
}

fn frame<T: AsRef<[u8]>>(tag: u8, fields: impl IntoIterator<Item = (u8, T)>) -> Bytes {
    whole(tag, |out| {
        for (code, text) in fields {
            out.put_u8(code);
            string(out, text.as_ref());
        }
        out.put_u8(0);
    })
}

/// A text of the protocol; a NUL in it would end it early and begin something else.
fn string(out: &mut BytesMut, text: &[u8]) {
    out.extend(text.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }));
    out.put_u8(0);
}

fn whole(tag: u8, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(tag);
    out.put_i32(0);
    body(&mut out);
    // What a server said fitted into a frame, and what is added here is short.
    let length = i32::try_from(out.len() - 1).unwrap_or(i32::MAX);
    if let Some(field) = out.get_mut(1..5) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    out.freeze()
}
