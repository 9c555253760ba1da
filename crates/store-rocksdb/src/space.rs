//! How much room the disk has left. RocksDB that meets a full disk in the middle of a flush stops for good; refusing
//! writes before that keeps it whole, and what runs can go on once there is room again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The disk is asked at most this often.
const EVERY: Duration = Duration::from_millis(500);

/// Watches the free space of one directory.
#[derive(Debug)]
pub(crate) struct Space {
    directory: PathBuf,
    reserve: u64,
    since: Instant,
    /// When to ask again, in milliseconds since `since`.
    next: AtomicU64,
    /// What was found, as 0 or 1.
    enough: AtomicU64,
}

impl Space {
    pub(crate) fn new(directory: &Path, reserve: u64) -> Self {
        let directory = directory.to_owned();
        Self { directory, reserve, since: Instant::now(), next: AtomicU64::new(0), enough: AtomicU64::new(1) }
    }

    /// Whether there is more than the reserve; asked anew when the last answer has aged, or was no.
    pub(crate) fn is_enough(&self) -> bool {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        if now >= self.next.load(Ordering::Relaxed) || self.enough.load(Ordering::Relaxed) == 0 {
            let every = u64::try_from(EVERY.as_millis()).unwrap_or(u64::MAX);
            self.next.store(now.saturating_add(every), Ordering::Relaxed);
            // A disk that cannot be asked will tell when it is written to.
            let free = rustix::fs::statvfs(&self.directory)
                .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
            self.enough.store(u64::from(free >= self.reserve), Ordering::Relaxed);
        }
        self.enough.load(Ordering::Relaxed) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_the_reserve_is_not_enough() {
        let directory = std::env::temp_dir();
        assert!(Space::new(&directory, 1).is_enough());
        assert!(!Space::new(&directory, u64::MAX).is_enough());
    }
}
