//! Reads a list's file, and knows whether it is still the one that was read.
//! Not a watcher of the system's: an identity is compared, which works on every file system, and through renames.
//! Start at [`read`].

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::parse::{Loaded, parse};
use super::report::Form;

/// What tells one state of a file from another. The time of change (ctime) catches a writer that restores the time of modification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    /// The identity of what stands at a path now. Errors: a text for the operator.
    pub(super) fn of(path: &Path) -> Result<Self, String> {
        let metadata = std::fs::metadata(path).map_err(|error| cannot_read(path, &error))?;
        Self::of_metadata(&metadata, path)
    }

    fn of_metadata(metadata: &Metadata, path: &Path) -> Result<Self, String> {
        if !metadata.is_file() {
            return Err(format!("{} is not a regular file", path.display()));
        }
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Reads a list's file. One that is written or replaced meanwhile is read again.
/// Errors: a text for the operator.
pub(super) fn read(path: &Path, form: Option<Form>) -> Result<(Loaded, Identity), String> {
    for _ in 0..ATTEMPTS {
        // Asked before opening, as opening a pipe would wait for its writer.
        let before = Identity::of(path)?;
        if before.size > MAX_SIZE {
            return Err(format!("{} is larger than 1 GiB", path.display()));
        }
        let loaded =
            read_once(path, before.size, form).map_err(|error| cannot_read(path, &error))?;
        if loaded.report.bytes == before.size && Identity::of(path)? == before {
            return Ok((loaded, before));
        }
    }
    Err(format!(
        "{} changes faster than it can be read",
        path.display()
    ))
}

fn read_once(path: &Path, size: u64, form: Option<Form>) -> std::io::Result<Loaded> {
    // One byte more than expected shows that the file grew.
    parse(File::open(path)?.take(size + 1), size, form)
}

fn cannot_read(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

/// Enough for a writer that is just finishing; one that goes on is waited for at the next check.
const ATTEMPTS: usize = 5;
const MAX_SIZE: u64 = 1 << 30;
