//! Whether a file is still the one that was read, told by its metadata.
//! Not a watcher of the system's: a stamp is compared, which works on every file system, and through renames.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells one state of a file from another: device, inode, size, time of modification, time of change. A copy that keeps the
/// first time has another second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64, u64, u64, (i64, i64), (i64, i64));

impl Stamp {
    /// The stamp of what stands at a path now; `None` where nothing does. Follows links: where secrets are mounted, a change is
    /// a link that leads elsewhere. Blocks on the disk.
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::from)
    }
}

impl From<&Metadata> for Stamp {
    fn from(data: &Metadata) -> Self {
        Self(
            data.dev(),
            data.ino(),
            data.size(),
            (data.mtime(), data.mtime_nsec()),
            (data.ctime(), data.ctime_nsec()),
        )
    }
}
