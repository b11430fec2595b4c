//! Opens tunnels and leaves them alone, so that what they cost can be looked at; at the end, each one must still carry an answer.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::came::Came;
use crate::pairs::Pairs;
use crate::tunnel;

pub async fn hold(pairs: &Pairs<'_>) -> io::Result<()> {
    let to: SocketAddr = pairs.need("to")?;
    let authority: Rc<str> = pairs.need::<String>("connect")?.into();
    let left = Rc::new(Cell::new(pairs.need::<u64>("tunnels")?));
    let time = Duration::from_secs_f64(pairs.need("seconds")?);
    let came = Rc::new(RefCell::new(Came::default()));
    let started = Instant::now();
    let all: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (authority, left, came) = (authority.clone(), left.clone(), came.clone());
            tokio::task::spawn_local(async move {
                let mut held = Vec::new();
                while let Some(fewer) = left.get().checked_sub(1) {
                    left.set(fewer);
                    match patiently(open(to, &authority)).await {
                        Ok(tunnel) => {
                            came.borrow_mut().answer(0);
                            held.push(tunnel);
                        }
                        Err(error) => came.borrow_mut().error(&error),
                    }
                }
                held
            })
        })
        .collect();
    let mut held = Vec::new();
    for one in all {
        held.extend(one.await.map_err(io::Error::other)?);
    }
    came.borrow().print(started.elapsed());
    sleep(time).await;
    let (mut alive, started) = (Came::default(), Instant::now());
    let request = format!("GET /1 HTTP/1.1\r\nhost: {authority}\r\n\r\n");
    let mut buf = vec![0; 4 << 10];
    for tunnel in &mut held {
        match patiently(tunnel::exchange(tunnel, request.as_bytes(), &mut buf)).await {
            Ok(bytes) => alive.answer(bytes),
            Err(error) => alive.error(&error),
        }
    }
    alive.print(started.elapsed());
    Ok(())
}

async fn open(to: SocketAddr, authority: &str) -> io::Result<TcpStream> {
    let mut stream = tunnel::dial(to).await?;
    tunnel::connect(&mut stream, authority, &mut [0; 4 << 10]).await?;
    Ok(stream)
}

async fn patiently<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// How many are being opened at a time.
const AT_ONCE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);
