//! Where lines go, and what happens when they can not: counted, told once, tried again with the next batch.
//! Knows lines, not records.
//! Start at [`Output::write`].

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::{Destination, Settings};
use crate::fault::Fault;

/// An open destination.
#[derive(Debug)]
pub(super) struct Output {
    /// `None` where the log is off.
    file: Option<File>,
    /// The name of the file, to open it anew.
    path: Option<PathBuf>,
    /// What is missing of a line that was written in part: it comes before anything else.
    torn: Vec<u8>,
    /// Lines lost since writing began to fail; `None` while it works.
    failing: Option<u64>,
    /// How long a stream that takes nothing (non-blocking, by another's will) is waited for.
    patience: Duration,
}

/// What became of the lines of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) written: u64,
    pub(super) lost: u64,
}

impl Output {
    pub(super) fn open(settings: &Settings) -> Result<Self, Fault> {
        let stream = |fd: io::Result<std::os::fd::OwnedFd>, name| {
            fd.map(File::from).map_err(|error| {
                Fault::new(
                    format!("cannot write the access log to {name}: {error}"),
                    "write [log.access] to = \"path\" or \"off\"",
                )
            })
        };
        // Copies of the descriptors: std's own handles buffer, and hide how much of a batch got out.
        let (file, path) = match &settings.to {
            Destination::Off => (None, None),
            Destination::Stdout => (
                Some(stream(io::stdout().as_fd().try_clone_to_owned(), "stdout")?),
                None,
            ),
            Destination::Stderr => (
                Some(stream(io::stderr().as_fd().try_clone_to_owned(), "stderr")?),
                None,
            ),
            Destination::File(path) => (
                Some(append(path).map_err(|error| cannot_open(path, &error))?),
                Some(path.clone()),
            ),
        };
        let torn = path.as_deref().map(missing_end).unwrap_or_default();
        Ok(Self {
            torn,
            ..Self::over(file, path)
        })
    }

    fn over(file: Option<File>, path: Option<PathBuf>) -> Self {
        Self {
            file,
            path,
            torn: Vec::new(),
            failing: None,
            patience: Duration::from_secs(1),
        }
    }

    /// Whether lines go anywhere.
    pub(super) fn is_on(&self) -> bool {
        self.file.is_some()
    }

    /// Writes whole lines, with one system call where the destination takes them. Blocks.
    pub(super) fn write(&mut self, lines: &[u8]) -> Outcome {
        let total = count_lines(lines);
        if self.file.is_none() || lines.is_empty() {
            return Outcome::default();
        }
        let result = self.finish_torn().and_then(|()| {
            self.put(lines)
                .map_err(|(done, error)| (lines.get(..done).unwrap_or_default(), error))
        });
        match result {
            Ok(()) => {
                self.recovered();
                Outcome {
                    written: total,
                    lost: 0,
                }
            }
            Err((done, error)) => {
                let mut written = count_lines(done);
                let begun = done.iter().rev().take_while(|byte| **byte != b'\n').count();
                if begun > 0 {
                    // The rest of this line comes first next time: a line is whole or not there at all.
                    let rest = lines.get(done.len()..).unwrap_or_default();
                    self.torn = rest
                        .split_inclusive(|byte| *byte == b'\n')
                        .next()
                        .unwrap_or_default()
                        .to_vec();
                    written += 1;
                }
                self.failed(total - written, &error);
                Outcome {
                    written,
                    lost: total - written,
                }
            }
        }
    }

    /// Opens the file anew under its name. Where that fails the old one stays.
    pub(super) fn reopen(&mut self) {
        let Some(path) = self.path.clone() else {
            return;
        };
        match append(&path) {
            Ok(file) => {
                self.retire();
                self.torn = missing_end(&path);
                self.file = Some(file);
                tracing::info!(path = %path.display(), "access log reopened");
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot reopen the access log, writing on to the old file");
            }
        }
    }

    /// Completes a line that was cut, if that is possible by now: the last thing done to a file.
    pub(super) fn retire(&mut self) {
        // What fails here has been told and counted when the line was cut.
        let _ = self.finish_torn();
        self.torn.clear();
    }

    fn finish_torn(&mut self) -> Result<(), (&'static [u8], io::Error)> {
        let torn = std::mem::take(&mut self.torn);
        self.put(&torn).map_err(|(done, error)| {
            self.torn = torn.get(done..).unwrap_or_default().to_vec();
            (Default::default(), error)
        })
    }

    /// Writes all, or says how many bytes got out before the error.
    fn put(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match file.write(rest) {
                Ok(0) => return Err((done, ErrorKind::WriteZero.into())),
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if error.kind() == ErrorKind::WouldBlock && is_ready(file, self.patience) => {}
                Err(error) => return Err((done, error)),
            }
        }
        Ok(())
    }

    fn failed(&mut self, lost: u64, error: &io::Error) {
        if self.failing.is_none() {
            let to = self
                .path
                .as_deref()
                .map_or_else(|| "stream".into(), Path::to_string_lossy);
            tracing::warn!(to = %to, %error, "cannot write the access log; records are lost until it works again, traffic goes on");
        }
        self.failing = Some(self.failing.unwrap_or(0) + lost);
    }

    fn recovered(&mut self) {
        if let Some(lost) = self.failing.take() {
            tracing::info!(lost, "the access log works again");
        }
    }
}

/// Waits until a stream takes bytes, at most `patience`.
fn is_ready(file: &File, patience: Duration) -> bool {
    let limit = Timespec::try_from(patience).ok();
    let mut polled = [PollFd::new(file, PollFlags::OUT)];
    poll(&mut polled, limit.as_ref()).is_ok_and(|ready| ready > 0)
}

/// Never waits: a FIFO that nobody reads is an error, one that is full is waited for with patience when it is written.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        // Who went where is not for everyone on the machine.
        .mode(0o640)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
}

/// The newline that a file lacks, if an earlier process could not finish its last line.
fn missing_end(path: &Path) -> Vec<u8> {
    let last = || {
        // Only a regular file: opening others to read may wait, or take what is meant for another.
        if !path.metadata()?.is_file() {
            return Ok(b'\n');
        }
        let mut file = File::open(path)?;
        let mut byte = [b'\n'];
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut byte)?;
        }
        let [byte] = byte;
        io::Result::Ok(byte)
    };
    // A file that may be written but not read is taken as whole.
    match last() {
        Ok(b'\n') | Err(_) => Vec::new(),
        Ok(_) => vec![b'\n'],
    }
}

fn cannot_open(path: &Path, error: &io::Error) -> Fault {
    let remedy = REMEDIES
        .iter()
        .find(|(kind, _)| *kind == error.kind())
        .map_or("name another file in [log.access] to", |(_, remedy)| remedy);
    Fault::new(
        format!("cannot open the access log {}: {error}", path.display()),
        remedy,
    )
}

const REMEDIES: &[(ErrorKind, &str)] = &[
    (ErrorKind::NotFound, "make the folder first"),
    (
        ErrorKind::PermissionDenied,
        "let this process's user write there, or name another file",
    ),
    (ErrorKind::IsADirectory, "name a file in this folder"),
];

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
impl Output {
    /// An output over a stream, with no patience.
    pub(super) fn of_stream(file: File) -> Self {
        Self {
            patience: Duration::ZERO,
            ..Self::over(Some(file), None)
        }
    }
}
