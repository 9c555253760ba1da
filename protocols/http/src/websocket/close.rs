//! Why a socket is closed, as a close frame says it (RFC 6455 §5.5.1, §7.4).
//!
//! Promises: a code is one that may stand in a frame, read or written; a reason is the gateway's own and fits. What a peer
//! gives as its reason goes no further: it is words that nobody judged. Held by: the tests below.

use super::frame::Broken;
use bytes::{BufMut as _, Bytes, BytesMut};
use std::fmt;

/// Bytes of a reason: a control frame has 125, two of which are the code.
pub(super) const REASON: usize = 123;

/// A code that may stand in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(u16);

impl Code {
    #[cfg(test)]
    pub(crate) const NORMAL: Self = Self(1000);
    pub(crate) const GOING_AWAY: Self = Self(1001);
    pub(crate) const PROTOCOL: Self = Self(1002);
    pub(crate) const UNSUPPORTED: Self = Self(1003);
    pub(crate) const NOT_TEXT: Self = Self(1007);
    pub(crate) const POLICY: Self = Self(1008);
    pub(crate) const TOO_LARGE: Self = Self(1009);
    pub(crate) const FAILED: Self = Self(1011);

    /// Those of the standard and its registry that are not for use inside a program only, and those of applications.
    pub(crate) const fn of(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A close, to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    code: Option<Code>,
    reason: String,
}

impl Close {
    /// With no reason, and with no code where the other side gave none.
    pub(crate) const fn bare(code: Option<Code>) -> Self {
        Self { code, reason: String::new() }
    }

    /// With a reason of the gateway's own; of a longer one the beginning.
    pub(crate) fn because(code: Code, reason: &str) -> Self {
        let reason = reason.get(..reason.floor_char_boundary(REASON)).unwrap_or_default();
        Self { code: Some(code), reason: reason.to_owned() }
    }

    /// What stands in the frame.
    pub(crate) fn payload(&self) -> Bytes {
        let mut payload = BytesMut::new();
        if let Some(Code(code)) = self.code {
            payload.put_u16(code);
            payload.put_slice(self.reason.as_bytes());
        }
        payload.freeze()
    }

    /// The code of a close that came.
    ///
    /// # Errors
    /// [`Broken`]: half a code, one that may not be sent, or a reason that is no text.
    pub(super) fn read(payload: &[u8]) -> Result<Option<Code>, Broken> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            return if payload.is_empty() { Ok(None) } else { Err(Broken::protocol("a close frame with half a code")) };
        };
        let unsendable = Broken::protocol("a close frame with a code that none may have");
        let code = Code::of(u16::from_be_bytes(*code)).ok_or(unsendable)?;
        match std::str::from_utf8(reason) {
            Ok(_) => Ok(Some(code)),
            Err(_) => Err(Broken { code: Code::NOT_TEXT, why: "the reason of a close frame is not UTF-8" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_are_read() {
        for code in 0..=u16::MAX {
            let read = Close::read(&code.to_be_bytes());
            let may = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            assert_eq!(read.is_ok(), may, "{code}");
            if may {
                assert_eq!(Close::bare(read.unwrap()).payload(), &code.to_be_bytes()[..]);
            }
        }
        assert_eq!(Close::read(b""), Ok(None));
        assert_eq!(Close::bare(None).payload(), &b""[..]);
        assert_eq!(Close::read(b"\x03").unwrap_err().code, Code::PROTOCOL);
        assert_eq!(Close::read(b"\x03\xe8bye"), Ok(Some(Code::NORMAL)));
        assert_eq!(Close::read(b"\x03\xe8\xff").unwrap_err().code, Code::NOT_TEXT);
    }

    #[test]
    fn a_reason_fits_into_a_control_frame() {
        for reason in ["a".repeat(200), "ä".repeat(100)] {
            let payload = Close::because(Code::POLICY, &reason).payload();
            assert!((124..=125).contains(&payload.len()), "{}", payload.len());
            assert_eq!(Close::read(&payload), Ok(Some(Code::POLICY)));
        }
    }
}
