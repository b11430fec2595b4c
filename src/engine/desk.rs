//! The admin socket: one JSON request a line, one JSON answer a line. Only the user of the process can connect to it.
//! Not what the commands do (admin). Callers are served beside one another: none of them makes the main loop wait.
//! Start at [`Desk::next`].

use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::handover::Inherited;
use crate::fault::Fault;

/// The socket, the file that it is, and who is being served.
#[derive(Debug, Default)]
pub(super) struct Desk {
    socket: Option<(UnixListener, PathBuf)>,
    asking: FuturesUnordered<Pin<Box<dyn Future<Output = Option<Asked>>>>>,
    waiting: FuturesUnordered<Pin<Box<dyn Future<Output = ()>>>>,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Value,
    stream: BufReader<UnixStream>,
}

/// An answer, or what was wrong with the request. Borrows nothing, so that the process goes on while it is made.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Value, String>>>>;

/// Where the socket is where nobody says otherwise: a folder of the user's own, which nobody else can put a file into.
pub fn default_path() -> Option<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let system = || {
        rustix::process::geteuid()
            .is_root()
            .then(|| PathBuf::from("/run"))
    };
    runtime
        .or_else(system)
        .map(|folder| folder.join("egret.sock"))
}

impl Desk {
    /// Binds the socket, or takes the one of the process before this, where that is at the same place. One that was asked for
    /// must work; the default one is left out with a warning where it does not.
    pub(super) fn open(asked: Option<&Path>, inherited: &mut Inherited) -> Result<Self, Fault> {
        let Some(path) = asked.map(Path::to_owned).or_else(default_path) else {
            return Ok(Self::default());
        };
        let kept = inherited.admin().and_then(|socket| keep(socket, &path));
        match kept.map_or_else(|| bind(&path), Ok) {
            Ok(socket) => Ok(Self {
                socket: Some((socket, path)),
                ..Self::default()
            }),
            Err(error) if asked.is_some() => {
                let problem = format!("cannot open the admin socket {}: {error}", path.display());
                Err(Fault::new(
                    problem,
                    "name another place: [admin] socket = \"…\"",
                ))
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "no admin socket: reload, drain and status do not work");
                Ok(Self::default())
            }
        }
    }

    /// Waits for the next request; forever where there is no socket. Cancel-safe: who has been accepted stays, and keeps the
    /// time that it has left.
    pub(super) async fn next(&mut self) -> Asked {
        loop {
            tokio::select! {
                asked = self.asking.next(), if !self.asking.is_empty() => {
                    if let Some(Some(asked)) = asked {
                        return asked;
                    }
                }
                _ = self.waiting.next(), if !self.waiting.is_empty() => {}
                stream = accept(self.socket.as_ref()), if self.asking.len() + self.waiting.len() < CALLERS => {
                    self.asking.push(Box::pin(read(stream)));
                }
            }
        }
    }

    /// Answers a request as soon as the answer is there, while others are served.
    pub(super) fn reply(&mut self, asked: Asked, answer: Answer) {
        let mut stream = asked.stream;
        self.waiting.push(Box::pin(async move {
            let answer = answer.await;
            let answer = answer.unwrap_or_else(|error| json!({ "error": error }));
            let text = format!("{answer}\n");
            // Who asked may have gone, or not read.
            let _ = tokio::time::timeout(PATIENCE, stream.write_all(text.as_bytes())).await;
        }));
    }

    /// Another handle of the socket, for the process that takes over.
    pub(super) fn copy(&self) -> std::io::Result<Option<OwnedFd>> {
        let socket = self.socket.as_ref().map(|(socket, _)| socket.as_fd());
        socket.map(|socket| socket.try_clone_to_owned()).transpose()
    }

    /// The socket is another process's from now on: nobody is let in here any more, and its file stays.
    pub(super) fn leave(&mut self) {
        self.socket = None;
    }

    /// Lets those who wait have their answer, and removes the socket.
    pub(super) async fn close(mut self) {
        let all = async { while self.waiting.next().await.is_some() {} };
        let _ = tokio::time::timeout(PATIENCE, all).await;
        if let Some((_, path)) = self.socket {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The socket of the process before this one, where it is at this place.
fn keep(socket: std::os::unix::net::UnixListener, path: &Path) -> Option<UnixListener> {
    let local = socket.local_addr().ok()?;
    if local.as_pathname() != Some(path) {
        return None;
    }
    socket.set_nonblocking(true).ok()?;
    UnixListener::from_std(socket).ok()
}

fn bind(path: &Path) -> std::io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(std::io::Error::new(
            std::io::ErrorKind::AddrInUse,
            "another process answers there",
        ));
    }
    if std::fs::symlink_metadata(path)
        .is_ok_and(|file| std::os::unix::fs::FileTypeExt::is_socket(&file.file_type()))
    {
        std::fs::remove_file(path)?;
    }
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

async fn accept(socket: Option<&(UnixListener, PathBuf)>) -> UnixStream {
    let Some((socket, _)) = socket else {
        return std::future::pending().await;
    };
    loop {
        match socket.accept().await {
            Ok((stream, _)) => return stream,
            // Most likely there is no descriptor left: one may come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A caller's request; `None` from one that sends none in time, or no JSON.
async fn read(stream: UnixStream) -> Option<Asked> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut bounded = (&mut stream).take(REQUEST_LIMIT);
    let read = tokio::time::timeout(PATIENCE, bounded.read_line(&mut line)).await;
    read.ok()?.ok()?;
    let request = serde_json::from_str(&line).ok()?;
    Some(Asked { request, stream })
}

const REQUEST_LIMIT: u64 = 64 << 10;
/// How long a caller may take to ask, and to take its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Callers at a time; more wait in the socket's queue.
const CALLERS: usize = 64;
