//! SSH keys and certificates that were taken back, as the files of `identity.ssh_revoked_keys` say: key revocation lists of
//! OpenSSH, or public keys one a line, both as sshd reads them for its `RevokedKeys`.
//!
//! Promises: a listed key opens nothing, by itself, inside a certificate or as the authority of one, nor does a certificate
//! that is listed by serial number or key id; whoever has a session by it is told within [`LOOK`]. A file is read again
//! once a second, whatever its times say. What any look found counts until two looks one after the other find the same, so
//! that one that is being written in place gives nobody back for a moment. A file that cannot be read or understood at two
//! looks one after the other, that changes at [`RESTLESS`] looks, or does not answer within [`PATIENCE`], refuses every SSH
//! key and certificate, and takes the standing of those that are there, until it is good again; the log says both, once.
//!
//! Does not promise that a list is genuine or whole: who may write the file decides. Nor to know which principal a listed
//! key was: what a person was granted meanwhile is theirs by whatever else they prove themselves with.
//! Held by: `tests/revoked_keys.rs` and `tests/krl.rs`, and end to end by `tests/it/ssh_revoked.rs` of the binary.

pub(crate) mod fuzz;
mod krl;
mod list;
mod serials;
mod shown;

pub use shown::SshProof;

use crate::error::{IdentityError, Why};
use arc_swap::ArcSwap;
use list::{By, List};
use portcullis_model::Digest;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long all of them may take to be read.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks one after the other that each find another list, beyond which a file is not understood.
pub(crate) const RESTLESS: usize = 16;

/// Bytes of a file at most.
const LARGEST: u64 = 16 * 1024 * 1024;

/// The files that say what is revoked, as they were when they were read.
#[derive(Clone, Debug, Default)]
pub struct RevokedKeys(Vec<Followed>);

impl RevokedKeys {
    /// Whatever this file lists is revoked, from now on and whatever it lists later. Blocks: call it at start.
    ///
    /// # Errors
    /// [`IdentityError::RevokedKeys`] says what is wrong with the file.
    pub fn read(&mut self, file: PathBuf) -> Result<(), IdentityError> {
        let read = read(&file, None);
        let failed = |why| IdentityError::RevokedKeys { file: file.display().to_string(), why };
        let Some(Read { digest, list, origin: _ }) = read.map_err(failed)? else { return Ok(()) };
        let (settled, since) = (Arc::new(list), Vec::new());
        self.0.push(Followed { file, digest, settled, since, failing: Failing::Not });
        Ok(())
    }

    /// Looks at all of the files; whether anybody's standing may have changed.
    pub(crate) fn look(&mut self) -> bool {
        // All of them: no `any`, which stops at the first.
        let changes = self.0.iter_mut().filter_map(|one| {
            let found = read(&one.file, Some(&one.digest));
            one.take(found).then_some(())
        });
        changes.count() > 0
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let lists = self.0.iter().flat_map(|file| std::iter::once(&file.settled).chain(&file.since));
        let unread = self.0.iter().any(|file| file.failing == Failing::Still);
        Snapshot { lists: lists.map(Arc::clone).collect(), unread }
    }
}

/// What a file was found to be.
struct Read {
    digest: Digest,
    list: List,
    origin: Origin,
}

/// What is said of a list in the log.
struct Origin(Option<krl::Head>);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Bytes of a comment that are shown.
        const LONGEST: usize = 128;
        let Some(head) = &self.0 else { return f.write_str("public keys") };
        let generated = i64::try_from(head.generated).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        write!(f, "KRL {}", head.version)?;
        generated.map_or(Ok(()), |at| write!(f, " of {at}"))?;
        let comment = head.comment.get(..LONGEST).unwrap_or(&head.comment);
        if comment.is_empty() { Ok(()) } else { write!(f, ": {}", comment.escape_ascii()) }
    }
}

/// Reads a file; `None` where it has this digest still.
fn read(file: &Path, known: Option<&Digest>) -> Result<Option<Read>, String> {
    // Opening a pipe waits for whoever writes to it.
    let metadata = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a plain file".to_owned());
    }
    let opened = File::open(file).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    opened.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err("it is larger than 16 MiB".to_owned());
    }
    let digest = Digest::of(&bytes);
    if known == Some(&digest) {
        return Ok(None);
    }
    let (list, head) = List::read(&bytes).map_err(|malformed| malformed.to_string())?;
    Ok(Some(Read { digest, list, origin: Origin(head) }))
}

/// Whether a file is bad, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    Not,
    /// At the last look, and not before: it may be being written.
    Once,
    /// For longer.
    Still,
}

/// A file, and what it was found to be.
#[derive(Clone, Debug)]
struct Followed {
    file: PathBuf,
    /// Of what was read last.
    digest: Digest,
    /// What two looks found, one after the other, or the start.
    settled: Arc<List>,
    /// What each look found since, the newest last. All of them count.
    since: Vec<Arc<List>>,
    failing: Failing,
}

impl Followed {
    /// Takes what a look found; whether anybody's standing may have changed.
    fn take(&mut self, found: Result<Option<Read>, String>) -> bool {
        let before = self.failing;
        let again = before == Failing::Still;
        let restless = self.since.len() >= RESTLESS;
        self.failing = match (&found, before) {
            (Ok(Some(_)), _) if restless => Failing::Still,
            (Ok(_), _) => Failing::Not,
            (Err(_), Failing::Not) => Failing::Once,
            (Err(_), Failing::Once | Failing::Still) => Failing::Still,
        };
        let file = self.file.display();
        if self.failing == Failing::Still && !again {
            let why = found.as_ref().err().map_or("it is another at every look", String::as_str);
            tracing::error!(%file, %why, "revoked SSH keys cannot be read; no SSH key and no certificate stands");
        }
        match found {
            Ok(Some(Read { digest, list, origin })) => {
                // While none stands, no list is needed but the one that may come to be settled.
                if restless {
                    self.since.pop();
                } else {
                    tracing::info!(%file, "revoked SSH keys were read again: {origin}");
                }
                self.digest = digest;
                self.since.push(Arc::new(list));
                !restless || !again
            }
            Ok(None) => {
                if again {
                    tracing::info!(%file, "revoked SSH keys can be read again");
                }
                let newest = self.since.pop();
                let settles = newest.is_some();
                self.settled = newest.unwrap_or_else(|| Arc::clone(&self.settled));
                self.since.clear();
                settles || again
            }
            Err(_) => self.failing == Failing::Still && !again,
        }
    }
}

/// What counts now.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    lists: Vec<Arc<List>>,
    /// A file cannot be read: anybody may be revoked.
    unread: bool,
}

impl Snapshot {
    /// Whether what was shown is not revoked, as far as is known.
    pub(crate) fn judge(&self, shown: &SshProof) -> Result<(), Why> {
        if let Some(by) = self.lists.iter().find_map(|list| list.revokes(shown)) {
            return Err(match by {
                By::Key => Why::KeyRevoked,
                By::Certificate => Why::CertificateListed,
                By::Authority => Why::AuthorityRevoked,
            });
        }
        if self.unread { Err(Why::RevokedKeysUnread) } else { Ok(()) }
    }
}

/// Follows the files until it is dropped.
pub(crate) struct Following {
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Ends with this value.
    _follower: JoinSet<()>,
}

impl Following {
    /// Whenever a standing may have changed, `changed` is told.
    pub(crate) fn start(mut files: RevokedKeys, changed: watch::Sender<u64>) -> Self {
        let snapshot = Arc::new(ArcSwap::from_pointee(files.snapshot()));
        let mut follower = JoinSet::new();
        let shared = Arc::clone(&snapshot);
        // Without files there is nothing to look at.
        if !files.0.is_empty() {
            follower.spawn(async move {
                loop {
                    tokio::time::sleep(LOOK).await;
                    let mut looked = tokio::task::spawn_blocking(move || {
                        let changes = files.look();
                        (files, changes)
                    });
                    let tell = |snapshot| {
                        shared.store(Arc::new(snapshot));
                        changed.send_modify(|count| *count = count.wrapping_add(1));
                    };
                    let in_time = tokio::time::timeout(PATIENCE, &mut looked).await;
                    let late = in_time.is_err();
                    let looked = match in_time {
                        Ok(looked) => looked,
                        Err(_) => {
                            tracing::error!(
                                "files of revoked SSH keys do not answer; no SSH key and no certificate stands"
                            );
                            tell(Snapshot { lists: shared.load().lists.clone(), unread: true });
                            looked.await
                        }
                    };
                    let Ok((looked, changes)) = looked else {
                        tracing::error!("revoked SSH keys are not looked at any more; no SSH key stands");
                        return tell(Snapshot { lists: Vec::new(), unread: true });
                    };
                    files = looked;
                    if changes || late {
                        tell(files.snapshot());
                    }
                }
            });
        }
        Self { snapshot, _follower: follower }
    }

    /// Whether what was shown is not revoked, as far as is known.
    pub(crate) fn judge(&self, shown: &SshProof) -> Result<(), Why> {
        self.snapshot.load().judge(shown)
    }
}
