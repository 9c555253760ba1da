//! Extensions: which are offered, and what each is for.
//!
//! | extension | offered | why |
//! |---|---|---|
//! | posix-rename, hardlink, lsetstat | yes | each names the files it changes, so it is judged as such |
//! | fsync, fstatvfs | yes | belong to a handle that was judged |
//! | statvfs, limits | yes | say numbers of a file system and of the server |
//! | expand-path, home-directory, users-groups-by-id | yes | say names only |
//! | copy-data | yes | a read of one file and an update of another, both known by their handles |
//! | any other | no | what it does is not known, so it can be neither judged nor recorded |
//!
//! Promises: a client sees no other extension in the target's greeting, and none in another version than the one read
//! here; one that was not offered is refused when it is used all the same.
//! Held by: `answer.rs`, whose tests filter a greeting, and `sftp/tests/core.rs`.

/// An extension that is read and judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extension {
    PosixRename,
    StatVfs,
    FStatVfs,
    HardLink,
    Fsync,
    LSetStat,
    Limits,
    ExpandPath,
    CopyData,
    HomeDirectory,
    NamesOfIds,
}

impl Extension {
    /// All of them, in the order in which OpenSSH says them.
    pub(crate) const ALL: [Self; 11] = [
        Self::PosixRename,
        Self::StatVfs,
        Self::FStatVfs,
        Self::HardLink,
        Self::Fsync,
        Self::LSetStat,
        Self::Limits,
        Self::ExpandPath,
        Self::CopyData,
        Self::HomeDirectory,
        Self::NamesOfIds,
    ];

    /// Its name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PosixRename => "posix-rename@openssh.com",
            Self::StatVfs => "statvfs@openssh.com",
            Self::FStatVfs => "fstatvfs@openssh.com",
            Self::HardLink => "hardlink@openssh.com",
            Self::Fsync => "fsync@openssh.com",
            Self::LSetStat => "lsetstat@openssh.com",
            Self::Limits => "limits@openssh.com",
            Self::ExpandPath => "expand-path@openssh.com",
            Self::CopyData => "copy-data",
            Self::HomeDirectory => "home-directory",
            Self::NamesOfIds => "users-groups-by-id@openssh.com",
        }
    }

    /// The version that is read here.
    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::StatVfs | Self::FStatVfs => "2",
            Self::PosixRename
            | Self::HardLink
            | Self::Fsync
            | Self::LSetStat
            | Self::Limits
            | Self::ExpandPath
            | Self::CopyData
            | Self::HomeDirectory
            | Self::NamesOfIds => "1",
        }
    }

    /// The extension of this name.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|extension| extension.name().as_bytes() == name)
    }
}

/// A set of extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions(u16);

impl Extensions {
    /// With one more.
    pub(crate) const fn with(self, extension: Extension) -> Self {
        Self(self.0 | 1 << extension as u16)
    }

    /// Whether it is among them.
    pub(crate) const fn contains(self, extension: Extension) -> bool {
        self.0 & 1 << extension as u16 != 0
    }
}
