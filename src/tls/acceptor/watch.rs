//! Whether files have changed, told by their metadata; a change counts when it has come to rest.
//! Reads no file's content.
//! Start at [`Watch::changed`].

use std::path::Path;

use crate::settings::Stamp;

/// What the files were when they were loaded, and when they were last looked at.
#[derive(Debug)]
pub(super) struct Watch {
    loaded: Stamps,
    seen: Stamps,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Failed {
    stamps: Stamps,
    fault: Option<String>,
}

/// One for each file, in their order; `None` for one that is not there.
pub(super) type Stamps = Vec<Option<Stamp>>;

impl Watch {
    /// To be called before the files are read: what changes while they are read is then seen later.
    pub(super) fn begin<'a>(files: impl Iterator<Item = &'a Path>) -> Self {
        let loaded = stamps(files);
        Self {
            seen: loaded.clone(),
            loaded,
            failed: None,
        }
    }

    /// The files' stamps, where they are others than those loaded, were the same at the last look, and have not failed already:
    /// a certificate and its key are two files, and between the writing of one and of the other they do not match.
    pub(super) fn changed<'a>(&mut self, files: impl Iterator<Item = &'a Path>) -> Option<Stamps> {
        let now = stamps(files);
        if now == self.loaded {
            self.failed = None;
            self.seen = now;
            return None;
        }
        if now != self.seen {
            self.seen = now;
            return None;
        }
        let failed = self.failed.as_ref();
        (!failed.is_some_and(|failed| failed.stamps == now)).then_some(now)
    }

    pub(super) fn loaded(&mut self, stamps: Stamps) {
        self.loaded = stamps;
        self.failed = None;
    }

    pub(super) fn failed(&mut self, stamps: Stamps, fault: Option<String>) {
        self.failed = Some(Failed { stamps, fault });
    }

    pub(super) fn standing(&self) -> Option<&str> {
        self.failed.as_ref()?.fault.as_deref()
    }
}

fn stamps<'a>(files: impl Iterator<Item = &'a Path>) -> Stamps {
    files.map(Stamp::of).collect()
}
