//! Where PostgreSQL's programs are: the system's, and further versions under `PORTCULLIS_PG_BINARIES`.
//!
//! Promises: an installation names its own `postgres` and `initdb`, and client programs come from it or, where it has
//! none, from the search path. Does not promise a version: what is absent is [`TestkitError::Absent`] with the remedy.
//! Held by: `tests/it/postgres.rs`, which starts one server of each version found.

use crate::account::Account;
use crate::error::TestkitError;
use crate::process::run;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that names the directory with further versions: `DIR/MAJOR/bin/postgres`.
const BINARIES: &str = "PORTCULLIS_PG_BINARIES";

/// The programs of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    bin: PathBuf,
    version: u32,
}

impl Installation {
    /// The newest of the system: `/usr/lib/postgresql/*/bin`, then the search path.
    ///
    /// # Errors
    /// [`TestkitError::Absent`].
    pub fn system() -> Result<Self, TestkitError> {
        let debian = children(Path::new("/usr/lib/postgresql")).into_iter().map(|version| version.join("bin"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let newest = debian.filter_map(Self::at).max_by_key(|found| found.version);
        newest.or_else(|| std::env::split_paths(&path).find_map(Self::at)).ok_or_else(|| {
            TestkitError::Absent("PostgreSQL's server programs (Debian and Ubuntu: apt install postgresql)".to_owned())
        })
    }

    /// A given major version: the system's if that is it, else from `PORTCULLIS_PG_BINARIES`.
    ///
    /// # Errors
    /// [`TestkitError::Absent`].
    pub fn of_version(major: u32) -> Result<Self, TestkitError> {
        Self::all().into_iter().find(|found| found.version == major).ok_or_else(|| {
            TestkitError::Absent(format!(
                "PostgreSQL {major}: not installed, and {BINARIES} names no directory with {major}/bin (scripts/test fetches it)"
            ))
        })
    }

    /// Every version to be had, oldest first, the system's before a fetched one.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = Self::system().into_iter().collect();
        let debian = children(Path::new("/usr/lib/postgresql"));
        let fetched = std::env::var_os(BINARIES).map(|directory| children(Path::new(&directory))).unwrap_or_default();
        all.extend(debian.into_iter().chain(fetched).filter_map(|version| Self::at(version.join("bin"))));
        all.sort_by_key(|found| found.version);
        all.dedup_by_key(|found| found.version);
        all
    }

    fn at(bin: PathBuf) -> Option<Self> {
        if !bin.join("initdb").is_file() {
            return None;
        }
        // "postgres (PostgreSQL) 15.18 (Debian …)", "18beta1" for a pre-release.
        let said = run(Command::new(bin.join("postgres")).arg("--version")).ok()?;
        let number = said.split_whitespace().nth(2)?;
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        Some(Self { bin, version: digits.parse().ok()? })
    }

    /// The major version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The path of a server program of this installation.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// The path of a client program (`psql`, `pg_dump`, `pgbench`): this installation's, else the search path's.
    ///
    /// # Errors
    /// [`TestkitError::Absent`].
    pub fn client(&self, name: &str) -> Result<PathBuf, TestkitError> {
        let own = self.program(name);
        if own.is_file() {
            return Ok(own);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .map(|directory| directory.join(name))
            .find(|program| program.is_file())
            .ok_or_else(|| TestkitError::Absent(format!("{name} (Debian and Ubuntu: apt install postgresql-client)")))
    }

    /// That the account servers run as can run them: a cache below root's home is closed to it.
    pub(super) fn check_readable_by(&self, account: &Account) -> Result<(), TestkitError> {
        if account.can_run(&self.program("postgres")) {
            return Ok(());
        }
        let bin = self.bin.display();
        Err(TestkitError::Absent(format!("a PostgreSQL {} that the account for servers may run: {bin}", self.version)))
    }
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}
