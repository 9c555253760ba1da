//! What the gateway writes itself, to either side.
//!
//! Promises: every function of [`write`] appends exactly one well-formed frame. A string of the protocol cannot hold a
//! NUL, so one inside a text becomes a space; nothing written here can begin a second frame.
//! Does not promise: that the message is legal where it is sent. What clients sent is never passed through here, but for the
//! values of a held Bind, for its preview.
//! Held by: `message/tests.rs`, which reads everything back with the decoders and with another implementation.

use std::borrow::Cow;

/// How bad a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The command failed; the session lives on.
    Error,
    /// The session ends.
    Fatal,
    /// Nothing failed.
    Notice,
    /// Nothing failed yet.
    Warning,
}

impl Severity {
    const fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
        }
    }
}

/// An error or notice in the words of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    /// How bad.
    pub severity: Severity,
    /// SQLSTATE, five characters.
    pub code: &'a str,
    /// What happened, one line.
    pub message: Cow<'a, str>,
    /// More about it.
    pub detail: Option<Cow<'a, str>>,
    /// What to do next.
    pub hint: Option<Cow<'a, str>>,
}

impl<'a> Report<'a> {
    /// A report of one line.
    pub fn new(severity: Severity, code: &'a str, message: impl Into<Cow<'a, str>>) -> Self {
        Self { severity, code, message: message.into(), detail: None, hint: None }
    }

    /// The same with more about it.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'a, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'a, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// One function for each message; each appends one frame.
pub mod write {
    use super::super::client::{Params, Target};
    use super::super::server::TransactionStatus;
    use super::{Report, Severity};
    use bytes::{BufMut, BytesMut};

    /// Appends a frame: tag, length, and what `body` writes.
    fn frame(out: &mut BytesMut, tag: Option<u8>, body: impl FnOnce(&mut BytesMut)) {
        out.extend(tag);
        let start = out.len();
        out.put_i32(0);
        body(out);
        // What the gateway writes is short; a text beyond 2 GiB cannot have been allocated by it.
        let length = i32::try_from(out.len() - start).unwrap_or(i32::MAX);
        if let Some(field) = out.get_mut(start..start + 4) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }

    fn string(out: &mut BytesMut, text: &str) {
        out.extend(text.bytes().map(|byte| if byte == 0 { b' ' } else { byte }));
        out.put_u8(0);
    }

    /// An unsigned 16-bit count; what is beyond it cannot be written and is not.
    fn counted<T>(out: &mut BytesMut, items: &[T], mut each: impl FnMut(&mut BytesMut, &T)) {
        let count = u16::try_from(items.len()).unwrap_or(u16::MAX);
        out.put_u16(count);
        items.iter().take(usize::from(count)).for_each(|item| each(out, item));
    }

    fn report(out: &mut BytesMut, report: &Report<'_>) {
        let tag = match report.severity {
            Severity::Error | Severity::Fatal => b'E',
            Severity::Notice | Severity::Warning => b'N',
        };
        frame(out, Some(tag), |out| {
            let word = report.severity.word();
            let always = [(b'S', word), (b'V', word), (b'C', report.code), (b'M', report.message.as_ref())];
            let sometimes = [(b'D', &report.detail), (b'H', &report.hint)];
            let sometimes = sometimes.into_iter().filter_map(|(code, text)| Some((code, text.as_deref()?)));
            for (code, text) in always.into_iter().chain(sometimes) {
                out.put_u8(code);
                string(out, text);
            }
            out.put_u8(0);
        });
    }

    /// ErrorResponse or NoticeResponse, as its severity says.
    pub fn error(out: &mut BytesMut, what: &Report<'_>) {
        report(out, what);
    }

    /// AuthenticationOk.
    pub fn authentication_ok(out: &mut BytesMut) {
        frame(out, Some(b'R'), |out| out.put_i32(0));
    }

    /// AuthenticationCleartextPassword.
    pub fn authentication_cleartext(out: &mut BytesMut) {
        frame(out, Some(b'R'), |out| out.put_i32(3));
    }

    /// AuthenticationSASL: the mechanisms, those to be preferred first.
    pub fn authentication_sasl(out: &mut BytesMut, mechanisms: &[&str]) {
        frame(out, Some(b'R'), |out| {
            out.put_i32(10);
            mechanisms.iter().for_each(|mechanism| string(out, mechanism));
            out.put_u8(0);
        });
    }

    /// AuthenticationSASLContinue.
    pub fn authentication_sasl_continue(out: &mut BytesMut, challenge: &[u8]) {
        frame(out, Some(b'R'), |out| {
            out.put_i32(11);
            out.put_slice(challenge);
        });
    }

    /// AuthenticationSASLFinal.
    pub fn authentication_sasl_final(out: &mut BytesMut, outcome: &[u8]) {
        frame(out, Some(b'R'), |out| {
            out.put_i32(12);
            out.put_slice(outcome);
        });
    }

    /// NegotiateProtocolVersion: the version spoken from now on, and the options not known.
    pub fn negotiate_protocol_version(out: &mut BytesMut, version: u32, options: &[String]) {
        frame(out, Some(b'v'), |out| {
            out.put_u32(version);
            out.put_u32(u32::try_from(options.len()).unwrap_or(u32::MAX));
            options.iter().for_each(|option| string(out, option));
        });
    }

    /// ParameterStatus.
    pub fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
        frame(out, Some(b'S'), |out| {
            string(out, name);
            string(out, value);
        });
    }

    /// BackendKeyData.
    pub fn backend_key_data(out: &mut BytesMut, pid: i32, secret: &[u8]) {
        frame(out, Some(b'K'), |out| {
            out.put_i32(pid);
            out.put_slice(secret);
        });
    }

    /// ReadyForQuery. After startup only the server's own are sent.
    pub fn ready_for_query(out: &mut BytesMut, status: TransactionStatus) {
        frame(out, Some(b'Z'), |out| out.put_u8(status.letter()));
    }

    /// Query.
    pub fn query(out: &mut BytesMut, sql: &str) {
        frame(out, Some(b'Q'), |out| string(out, sql));
    }

    /// Parse.
    pub fn parse(out: &mut BytesMut, statement: &str, sql: &str, types: &[u32]) {
        frame(out, Some(b'P'), |out| {
            string(out, statement);
            string(out, sql);
            counted(out, types, |out, oid| out.put_u32(*oid));
        });
    }

    /// Bind with parameters in text form, and all results in text or binary form.
    pub fn bind(out: &mut BytesMut, portal: &str, statement: &str, params: &[Option<&str>], binary_results: bool) {
        frame(out, Some(b'B'), |out| {
            string(out, portal);
            string(out, statement);
            out.put_u16(0);
            counted(out, params, |out, param| match param {
                Some(text) => {
                    out.put_i32(i32::try_from(text.len()).unwrap_or(i32::MAX));
                    out.put_slice(text.as_bytes());
                }
                None => out.put_i32(-1),
            });
            out.put_u16(1);
            out.put_u16(u16::from(binary_results));
        });
    }

    /// Bind with the values of another Bind in their own forms, and all results in text form.
    pub fn bind_again(out: &mut BytesMut, portal: &str, statement: &str, values: Params<'_>) {
        let forms: Vec<u16> = (0..values.len()).map(|index| u16::from(values.is_binary(index))).collect();
        let values: Vec<Option<&[u8]>> = values.iter().collect();
        frame(out, Some(b'B'), |out| {
            string(out, portal);
            string(out, statement);
            counted(out, &forms, |out, form| out.put_u16(*form));
            counted(out, &values, |out, value| match value {
                Some(bytes) => {
                    out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
                    out.put_slice(bytes);
                }
                None => out.put_i32(-1),
            });
            out.put_u16(0);
        });
    }

    fn target(out: &mut BytesMut, tag: u8, what: Target<'_>) {
        frame(out, Some(tag), |out| {
            let (kind, name) = match what {
                Target::Portal(name) => (b'P', name),
                Target::Statement(name) => (b'S', name),
            };
            out.put_u8(kind);
            string(out, name);
        });
    }

    /// Describe.
    pub fn describe(out: &mut BytesMut, what: Target<'_>) {
        target(out, b'D', what);
    }

    /// Close.
    pub fn close(out: &mut BytesMut, what: Target<'_>) {
        target(out, b'C', what);
    }

    /// Execute; zero rows is all.
    pub fn execute(out: &mut BytesMut, portal: &str, max_rows: i32) {
        frame(out, Some(b'E'), |out| {
            string(out, portal);
            out.put_i32(max_rows);
        });
    }

    /// Sync.
    pub fn sync(out: &mut BytesMut) {
        frame(out, Some(b'S'), |_| ());
    }

    /// Flush.
    pub fn flush(out: &mut BytesMut) {
        frame(out, Some(b'H'), |_| ());
    }

    /// Terminate.
    pub fn terminate(out: &mut BytesMut) {
        frame(out, Some(b'X'), |_| ());
    }

    /// CopyFail.
    pub fn copy_fail(out: &mut BytesMut, reason: &str) {
        frame(out, Some(b'f'), |out| string(out, reason));
    }

    /// SASLInitialResponse.
    pub fn sasl_initial(out: &mut BytesMut, mechanism: &str, response: &[u8]) {
        frame(out, Some(b'p'), |out| {
            string(out, mechanism);
            out.put_i32(i32::try_from(response.len()).unwrap_or(i32::MAX));
            out.put_slice(response);
        });
    }

    /// SASLResponse.
    pub fn sasl_response(out: &mut BytesMut, response: &[u8]) {
        frame(out, Some(b'p'), |out| out.put_slice(response));
    }

    /// SSLRequest, which has no tag.
    pub fn ssl_request(out: &mut BytesMut) {
        frame(out, None, |out| out.put_i32(80_877_103));
    }

    /// StartupMessage, which has no tag.
    pub fn startup(out: &mut BytesMut, version: u32, parameters: &[(&str, &str)]) {
        frame(out, None, |out| {
            out.put_u32(version);
            for (name, value) in parameters {
                string(out, name);
                string(out, value);
            }
            out.put_u8(0);
        });
    }

    /// CancelRequest, which has no tag.
    pub fn cancel_request(out: &mut BytesMut, pid: i32, secret: &[u8]) {
        frame(out, None, |out| {
            out.put_i32(80_877_102);
            out.put_i32(pid);
            out.put_slice(secret);
        });
    }
}
