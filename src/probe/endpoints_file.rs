//! Endpoints by file: looked at each second, read when it has changed. One that is not there, that is empty or that has a fault
//! replaces nothing.
//! Not what its lines mean (upstream).
//! Start at [`EndpointsFile::ask`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::discovery::Found;
use crate::fault::{Faults, Source};
use crate::settings::Stamp;
use crate::upstream::{Resolved, read_file};

/// A file of endpoints.
pub(super) struct EndpointsFile {
    path: PathBuf,
    /// Of what was last read, whatever came of it.
    read: Option<Stamp>,
}

impl EndpointsFile {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: None,
        }
    }

    /// Reads it the next time, even if it seems to be the same.
    pub(super) fn anew(&mut self) {
        self.read = None;
    }

    /// Looks at it, and reads it where it is another one. The disk is not waited for on this thread.
    pub(super) async fn ask(&mut self) -> (Found, Duration) {
        let found = self.look().await;
        (found.unwrap_or_else(Found::Failed), LOOK)
    }

    async fn look(&mut self) -> Result<Found, String> {
        let stamp = self.stamp().await;
        if stamp.is_err() {
            // Should it come back, it is to be read, be it the same.
            self.read = None;
        }
        let stamp = stamp?;
        if self.read == Some(stamp) {
            return Ok(Found::Same);
        }
        let text = self.text().await?;
        if self.stamp().await? != stamp {
            // It is being written: what is there of it is not to be taken for the whole.
            return Ok(Found::Same);
        }
        self.read = Some(stamp);
        self.parse(text).map(Found::Endpoints)
    }

    fn parse(&self, text: String) -> Result<Vec<Resolved>, String> {
        let faults = Faults::new();
        let endpoints = read_file(&Source::new(&self.path, text), &faults);
        let faults = faults.into_vec();
        for fault in &faults {
            tracing::error!("{}", fault.render());
        }
        match faults.first() {
            Some(fault) => Err(fault.to_string()),
            // More likely than a service that is to have none is a file that somebody has only begun to write.
            None if endpoints.is_empty() => Err("the file has no endpoint".to_owned()),
            None => Ok(endpoints),
        }
    }

    async fn stamp(&self) -> Result<Stamp, String> {
        let data = tokio::fs::metadata(&self.path).await;
        let data = data.map_err(|error| cannot_read(&error))?;
        if !data.is_file() {
            return Err("this is not a regular file".to_owned());
        }
        Ok(Stamp::from(&data))
    }

    async fn text(&self) -> Result<String, String> {
        let file = tokio::fs::File::open(&self.path).await;
        let file = file.map_err(|error| cannot_read(&error))?;
        let mut text = String::new();
        let read = file.take(LARGEST + 1).read_to_string(&mut text).await;
        let length = read.map_err(|error| cannot_read(&error))?;
        if length as u64 > LARGEST {
            return Err("the file is larger than 16 MiB".to_owned());
        }
        Ok(text)
    }
}

fn cannot_read(error: &std::io::Error) -> String {
    format!("it can not be read: {error}")
}

const LOOK: Duration = Duration::from_secs(1);
const LARGEST: u64 = 16 << 20;
