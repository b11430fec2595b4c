//! The directory of the cache: who may write to it, who holds it, its folders, and the opening of files in it.
//! Not what stands in the files (layout), nor which there are (index). Start at [`Place::open`].
//!
//! ```text
//! <path>/lock           held by the running process, until it gives way to one that follows
//! <path>/bans           what was purged and is not yet swept
//! <path>/writing/…      files that are not complete; emptied at the start
//! <path>/3/f1/3f1…-…    objects
//! ```
//! What has another name is left alone.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;

use super::name::{Name, hex};
use crate::cache::Digest;
use crate::fault::Fault;

/// The directory, held by this process as long as this lives, or until it is given back.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    /// Folders that are known to be folders of ours: a bit for each.
    known: Box<[AtomicU64]>,
    lock: File,
}

/// An object that a scan saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) name: Name,
    /// Of its file.
    pub(super) length: u64,
    /// Seconds and nanoseconds.
    pub(super) written: (i64, i64),
}

/// How many folders there are.
pub(super) const FOLDERS: usize = 16 * 256;
const WRITING: &str = "writing";

impl Place {
    /// Makes the directory if it is not there, and takes hold of it; `None` where another process holds it. Faults: it is not a
    /// directory, or others may write to it.
    pub(super) fn open(root: &Path) -> Result<Option<Self>, Fault> {
        let fault = |problem: String, remedy: &str| fault(root, &problem, remedy);
        let remedy = "give a directory that this user may make or owns, on a local disk";
        make_folders(root).map_err(|error| fault(error.to_string(), remedy))?;
        let metadata = fs::metadata(root).map_err(|error| fault(error.to_string(), remedy))?;
        if !metadata.is_dir() {
            return Err(fault("is not a directory".into(), remedy));
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(fault(
                "belongs to another user".into(),
                "chown it to the user that egret runs as",
            ));
        }
        if metadata.permissions().mode() & 0o022 != 0 {
            return Err(fault("others may write to it".into(), "chmod it to 700"));
        }
        let lock = open_new(
            &root.join("lock"),
            OpenOptions::new().read(true).write(true).create(true),
        )
        .map_err(|error| fault(format!("its lock: {error}"), remedy))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                return Err(fault(format!("its lock: {error}"), remedy));
            }
        }
        let place = Self {
            root: root.to_owned(),
            known: (0..FOLDERS / 64).map(|_| AtomicU64::new(0)).collect(),
            lock,
        };
        match ensure_folder(&place.root.join(WRITING)) {
            Ok(()) => Ok(Some(place)),
            Err(error) => Err(fault(format!("its folder {WRITING:?}: {error}"), remedy)),
        }
    }

    /// That another process holds a directory.
    pub(super) fn held(root: &Path) -> Fault {
        let remedy = "give each process a cache directory of its own";
        fault(root, "another process holds it", remedy)
    }

    /// Lets another process take hold of it.
    pub(super) fn give_back(&self) -> io::Result<()> {
        self.lock.unlock()
    }

    /// Whether there are no objects in it, as far as can be seen without a search.
    pub(super) fn is_new(&self) -> bool {
        (0..16u8).all(|first| fs::symlink_metadata(self.root.join(format!("{first:x}"))).is_err())
    }

    /// The file of the bans.
    pub(super) fn bans(&self) -> PathBuf {
        self.root.join("bans")
    }

    /// Empties the file of the bans, which takes no room of a disk that is full.
    pub(super) fn spoil_bans(&self) -> io::Result<()> {
        let file = open_new(&self.bans(), OpenOptions::new().write(true).create(true))?;
        file.set_len(0)?;
        file.sync_all()
    }

    /// The directory itself, to have its names written through.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.root)?.sync_all()
    }

    /// The path of an object; fails if a folder on it is not one of ours.
    pub(super) fn object(&self, name: &Name) -> io::Result<PathBuf> {
        Ok(self.folder(&name.uri, false)?.join(name.text()))
    }

    /// The same, and its folders are made.
    pub(super) fn new_object(&self, name: &Name) -> io::Result<PathBuf> {
        Ok(self.folder(&name.uri, true)?.join(name.text()))
    }

    /// The path of a file being written; its folder is made.
    pub(super) fn writing(&self, number: u64) -> io::Result<PathBuf> {
        let folder = self.root.join(WRITING);
        ensure_folder(&folder)?;
        Ok(folder.join(format!("{number:016x}")))
    }

    /// Removes what a process before this one left half written.
    pub(super) fn clear_writing(&self) -> io::Result<()> {
        let folder = self.root.join(WRITING);
        check_folder(&fs::symlink_metadata(&folder)?)?;
        for file in fs::read_dir(folder)? {
            let file = file?;
            let ours = file.file_name().to_str().is_some_and(is_writing_name);
            if ours && file.file_type()?.is_file() {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }

    /// The objects of a URI, by a look at its folder.
    pub(super) fn list(&self, uri: &Digest) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        let folder = match self.folder(uri, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            other => other?,
        };
        for file in fs::read_dir(folder)? {
            let name = file?.file_name().to_str().and_then(Name::parse);
            names.extend(name.filter(|name| name.uri == *uri));
        }
        Ok(names)
    }

    /// The objects of one of the folders. `None` beyond the last.
    pub(super) fn scan(&self, number: usize) -> Option<io::Result<Vec<Seen>>> {
        (number < FOLDERS).then(|| match self.scan_folder(number) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        })
    }

    fn scan_folder(&self, number: usize) -> io::Result<Vec<Seen>> {
        let mut found = Vec::new();
        let folder = self.numbered_folder(number, false)?;
        for file in fs::read_dir(folder)? {
            let file = file?;
            let Some(name) = file.file_name().to_str().and_then(Name::parse) else {
                continue;
            };
            let metadata = match file.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            if metadata.is_file() && folder_number(&name.uri) == number {
                found.push(Seen {
                    name,
                    length: metadata.len(),
                    written: (metadata.mtime(), metadata.mtime_nsec()),
                });
            }
        }
        Ok(found)
    }

    fn folder(&self, uri: &Digest, make: bool) -> io::Result<PathBuf> {
        self.numbered_folder(folder_number(uri), make)
    }

    fn numbered_folder(&self, number: usize, make: bool) -> io::Result<PathBuf> {
        let outer = self.root.join(format!("{:x}", number / 256));
        let inner = outer.join(format!("{:02x}", number % 256));
        let bit = 1 << (number % 64);
        let Some(known) = self.known.get(number / 64) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if known.load(Ordering::Relaxed) & bit != 0 {
            return Ok(inner);
        }
        for folder in [&outer, &inner] {
            if make {
                ensure_folder(folder)?;
            } else {
                check_folder(&fs::symlink_metadata(folder)?)?;
            }
        }
        known.fetch_or(bit, Ordering::Relaxed);
        Ok(inner)
    }

    /// Forgets which folders there are: someone removed them.
    pub(super) fn forget_folders(&self) {
        for known in &self.known {
            known.store(0, Ordering::Relaxed);
        }
    }
}

/// Makes a file that is not there yet, for this user alone.
pub(super) fn create(path: &Path) -> io::Result<File> {
    open_new(
        path,
        OpenOptions::new().read(true).write(true).create_new(true),
    )
}

/// Opens an object. Links are not followed, and only files are opened.
pub(super) fn open(path: &Path, write: bool) -> io::Result<File> {
    let file = open_new(path, OpenOptions::new().read(true).write(write))?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Reads a small file whole; one that is larger than `most` is not read.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path, false)?;
    if file.metadata()?.len() > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn fault(root: &Path, problem: &str, remedy: &str) -> Fault {
    let problem = format!("cache directory {}: {problem}", root.display());
    Fault::new(problem, remedy)
}

fn open_new(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // A pipe in a file's place must not hold the thread up.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    options
        .mode(0o600)
        .custom_flags(flags.cast_signed())
        .open(path)
}

fn make_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn ensure_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            check_folder(&fs::symlink_metadata(path)?)
        }
        other => other,
    }
}

/// Whether it is a folder (not a link to one) that only this user may write to.
fn check_folder(metadata: &Metadata) -> io::Result<()> {
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    if own && metadata.permissions().mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// The folder that all of a URI is in.
pub(super) fn folder_number(uri: &Digest) -> usize {
    let [first, second, ..] = *uri;
    usize::from(first) << 4 | usize::from(second) >> 4
}

fn is_writing_name(name: &str) -> bool {
    name.len() == 16
        && name
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The folder and the name of an object as they stand below the directory, for messages.
pub(super) fn shown(name: &Name) -> String {
    let uri = hex(&name.uri);
    format!("{}…", uri.get(..12).unwrap_or_default())
}
