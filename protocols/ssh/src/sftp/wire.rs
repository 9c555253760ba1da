//! Fields of packets: numbers, strings and attributes (draft 02, sections 3 and 5).
//!
//! Promises: a field that does not fit in what is there, a flag of attributes that version 3 does not have, and bytes
//! behind the last field are errors; what is read shares the packet's memory; nothing is taken for text here.
//! Does not promise anything about names: `read.rs` says which are refused.
//! Held by: `packet.rs`, whose tests cut and lengthen every packet and read it back as it was.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// How a packet is not what its kind says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// It ends inside a field.
    #[error("a packet ends inside one of its fields")]
    Short,
    /// Something follows its last field.
    #[error("{0} bytes follow the last field of a packet")]
    Trailing(usize),
    /// A length that no packet has.
    #[error("a packet of {0} bytes; the least is 5 and the most 262144")]
    Length(u32),
    /// Attributes with a flag that version 3 does not have.
    #[error("attributes with the flags {0:#x}, which version 3 does not have")]
    Attributes(u32),
    /// More items than a packet can hold.
    #[error("a list of {0} items that cannot be there")]
    Count(u32),
    /// A kind that this side never sends.
    #[error("a packet of kind {0}, which this side does not send")]
    Kind(u8),
}

/// The fields of one packet, from the front.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    rest: Bytes,
}

impl Cursor {
    pub(crate) fn new(rest: Bytes) -> Self {
        Self { rest }
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.rest.try_get_u32().map_err(|_| Malformed::Short)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.rest.try_get_u64().map_err(|_| Malformed::Short)
    }

    pub(crate) fn string(&mut self) -> Result<Bytes, Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| Malformed::Short)?;
        if length > self.rest.len() {
            return Err(Malformed::Short);
        }
        Ok(self.rest.split_to(length))
    }

    pub(crate) fn attributes(&mut self) -> Result<Attributes, Malformed> {
        let flags = self.u32()?;
        if flags & !Attributes::FLAGS != 0 {
            return Err(Malformed::Attributes(flags));
        }
        let mut attributes = Attributes::default();
        if flags & Attributes::SIZE != 0 {
            attributes.size = Some(self.u64()?);
        }
        if flags & Attributes::OWNER != 0 {
            attributes.owner = Some((self.u32()?, self.u32()?));
        }
        if flags & Attributes::PERMISSIONS != 0 {
            attributes.permissions = Some(self.u32()?);
        }
        if flags & Attributes::TIMES != 0 {
            attributes.times = Some((self.u32()?, self.u32()?));
        }
        if flags & Attributes::EXTENDED != 0 {
            let count = self.u32()?;
            // Each takes two lengths at least: a count beyond that is not followed.
            if usize::try_from(count).map_or(true, |count| count > self.left() / 8) {
                return Err(Malformed::Count(count));
            }
            let mut pairs = Vec::new();
            for _ in 0..count {
                pairs.push((self.string()?, self.string()?));
            }
            attributes.extended = Some(pairs);
        }
        Ok(attributes)
    }

    /// The packet ends here.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing(self.rest.len())) }
    }
}

/// Attributes of a file (draft 02, section 5). What is `None` is not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// In bytes: setting it truncates or extends.
    pub(crate) size: Option<u64>,
    /// User and group.
    pub(crate) owner: Option<(u32, u32)>,
    /// Permissions, with the kind of file where a server says them.
    pub(crate) permissions: Option<u32>,
    /// Last read, last written.
    pub(crate) times: Option<(u32, u32)>,
    /// Of vendors: a name and a value.
    pub(crate) extended: Option<Vec<(Bytes, Bytes)>>,
}

impl Attributes {
    const SIZE: u32 = 1;
    const OWNER: u32 = 2;
    const PERMISSIONS: u32 = 4;
    const TIMES: u32 = 8;
    const EXTENDED: u32 = 0x8000_0000;
    const FLAGS: u32 = Self::SIZE | Self::OWNER | Self::PERMISSIONS | Self::TIMES | Self::EXTENDED;

    fn flags(&self) -> u32 {
        let flag = |said: bool, flag: u32| if said { flag } else { 0 };
        flag(self.size.is_some(), Self::SIZE)
            | flag(self.owner.is_some(), Self::OWNER)
            | flag(self.permissions.is_some(), Self::PERMISSIONS)
            | flag(self.times.is_some(), Self::TIMES)
            | flag(self.extended.is_some(), Self::EXTENDED)
    }
}

/// A packet being written. Its length is set when it is finished.
#[derive(Debug)]
pub(crate) struct Writer {
    out: BytesMut,
}

impl Writer {
    pub(crate) fn new(kind: u8) -> Self {
        let mut out = BytesMut::with_capacity(64);
        out.put_u32(0);
        out.put_u8(kind);
        Self { out }
    }

    pub(crate) fn u32(mut self, number: u32) -> Self {
        self.out.put_u32(number);
        self
    }

    pub(crate) fn u64(mut self, number: u64) -> Self {
        self.out.put_u64(number);
        self
    }

    /// A string. What is written comes out of packets and bounded texts, so its length always fits.
    pub(crate) fn string(mut self, text: &[u8]) -> Self {
        self.out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.out.put_slice(text);
        self
    }

    pub(crate) fn attributes(mut self, attributes: &Attributes) -> Self {
        self = self.u32(attributes.flags());
        if let Some(size) = attributes.size {
            self = self.u64(size);
        }
        if let Some((user, group)) = attributes.owner {
            self = self.u32(user).u32(group);
        }
        if let Some(permissions) = attributes.permissions {
            self = self.u32(permissions);
        }
        if let Some((read, written)) = attributes.times {
            self = self.u32(read).u32(written);
        }
        if let Some(pairs) = &attributes.extended {
            self = self.u32(u32::try_from(pairs.len()).unwrap_or(u32::MAX));
            for (name, value) in pairs {
                self = self.string(name).string(value);
            }
        }
        self
    }

    /// The packet, its length in front.
    pub(crate) fn finish(mut self) -> Bytes {
        let length = u32::try_from(self.out.len().saturating_sub(4)).unwrap_or(u32::MAX);
        if let Some(front) = self.out.first_chunk_mut::<4>() {
            *front = length.to_be_bytes();
        }
        self.out.freeze()
    }
}
