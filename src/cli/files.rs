//! Files that belong together, such as a certificate and its key: written all or not at all.
//! Knows nothing of what is in them.
//! Start at [`Files::new`].

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::fault::Fault;

/// Files that are written all or not at all.
pub(super) struct Files {
    force: bool,
    written: Vec<PathBuf>,
}

impl Files {
    /// Refuses files that are there, unless they shall be replaced.
    pub(super) fn new(force: bool, paths: [&Path; 2]) -> Result<Self, Fault> {
        let [one, other] = paths;
        if one == other {
            return Err(Fault::new(
                format!("{} is named twice", one.display()),
                "give the key a file of its own",
            ));
        }
        let there = paths
            .into_iter()
            .find(|path| path.symlink_metadata().is_ok());
        if let (Some(path), false) = (there, force) {
            return Err(exists(path));
        }
        Ok(Self {
            force,
            written: Vec::new(),
        })
    }

    /// A new file has its mode from its first moment, and none that is there, or linked to, is written into. To replace
    /// one, a new one is put in its place.
    pub(super) fn write(&mut self, path: &Path, mode: u32, text: &str) -> Result<(), Fault> {
        let unwritten = |error: std::io::Error| {
            if error.kind() == ErrorKind::AlreadyExists {
                return exists(path);
            }
            Fault::new(
                format!("cannot write {}: {error}", path.display()),
                "check that the folder is there and can be written to",
            )
        };
        let place = if self.force {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{}.new", std::process::id()));
            PathBuf::from(name)
        } else {
            path.to_owned()
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&place)
            .map_err(unwritten)?;
        self.written.push(place.clone());
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(unwritten)?;
        if self.force {
            std::fs::rename(&place, path).map_err(unwritten)?;
            self.written.pop();
        }
        Ok(())
    }

    /// All are there, and stay.
    pub(super) fn keep(mut self) {
        self.written.clear();
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.written {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn exists(path: &Path) -> Fault {
    Fault::new(
        format!("{} is there already", path.display()),
        "name another file, or replace it with --force: what it has signed is not trusted any more then",
    )
}
