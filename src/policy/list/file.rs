//! Reads a list's file, and knows whether it is still the one that was read.
//! Not a watcher of the system's: a stamp is compared, which works on every file system, and through renames.
//! Start at [`read`].

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::parse::{Loaded, parse};
use super::report::Form;
use crate::settings::Stamp;

/// The stamp and the size of what stands at a path now. Errors: a text for the operator.
fn look(path: &Path) -> Result<(Stamp, u64), String> {
    let metadata = std::fs::metadata(path).map_err(|error| cannot_read(path, &error))?;
    if !metadata.is_file() {
        return Err(format!("{} is not a regular file", path.display()));
    }
    Ok((Stamp::from(&metadata), metadata.len()))
}

/// The stamp of a list's file. Errors: a text for the operator.
pub(super) fn stamp(path: &Path) -> Result<Stamp, String> {
    look(path).map(|(stamp, _)| stamp)
}

/// Reads a list's file. One that is written or replaced meanwhile is read again.
/// Errors: a text for the operator.
pub(super) fn read(path: &Path, form: Option<Form>) -> Result<(Loaded, Stamp), String> {
    for _ in 0..ATTEMPTS {
        // Asked before opening, as opening a pipe would wait for its writer.
        let (before, size) = look(path)?;
        if size > MAX_SIZE {
            return Err(format!("{} is larger than 1 GiB", path.display()));
        }
        let loaded = read_once(path, size, form).map_err(|error| cannot_read(path, &error))?;
        if loaded.report.bytes == size && stamp(path)? == before {
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
