//! What others do at a proxy while somebody else measures it: clients that hardly read, and uploads as fast as they go. They go on until
//! they are ended, or for so many seconds.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::listen;
use crate::pairs::Pairs;
use crate::tunnel::{head, read};

/// Takes what is sent, and answers with nothing.
pub async fn sink(arguments: &[String]) -> io::Result<()> {
    let listener: TcpListener = listen(arguments.first().map_or("", |port| port)).await?;
    loop {
        let (client, _) = listener.accept().await?;
        tokio::task::spawn_local(swallow(client));
    }
}

async fn swallow(mut client: TcpStream) -> io::Result<()> {
    let mut buf = vec![0; CHUNK];
    loop {
        let (head, come) = head(&mut client, &mut buf).await?;
        let mut left = head.length.unwrap_or_default().saturating_sub(come);
        while left > 0 {
            left = left.saturating_sub(read(&mut client, &mut buf).await? as u64);
        }
        client.write_all(NOTHING).await?;
    }
}

/// Sends one content after the other on one connection; prints what was sent.
pub async fn upload(pairs: &Pairs<'_>) -> io::Result<()> {
    let (to, target): (SocketAddr, String) = (pairs.need("to")?, pairs.need("target")?);
    let (host, size): (String, u64) = (pairs.need("host")?, pairs.need("bytes")?);
    let head_of =
        format!("POST {target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {size}\r\n\r\n");
    let sent = Rc::new(RefCell::new((0_u64, 0_u64)));
    let sending = async {
        let mut stream = TcpStream::connect(to).await?;
        let (content, mut buf) = (vec![b'x'; CHUNK], vec![0; CHUNK]);
        loop {
            stream.write_all(head_of.as_bytes()).await?;
            let mut left = size;
            while left > 0 {
                let part = left.min(CHUNK as u64);
                stream
                    .write_all(content.get(..part as usize).unwrap_or_default())
                    .await?;
                left -= part;
                sent.borrow_mut().0 += part;
            }
            let (answer, _) = head(&mut stream, &mut buf).await?;
            if !answer.ok {
                return io::Result::<()>::Err(io::Error::other(
                    "an upload was not answered by 200",
                ));
            }
            sent.borrow_mut().1 += 1;
        }
    };
    // That it is cut off in the end is as it should be; that it ends before is not.
    if let Ok(ended) = timeout(Duration::from_secs_f64(pairs.need("seconds")?), sending).await {
        ended?;
    }
    let (bytes, answers) = *sent.borrow();
    println!("{{\"bytes\": {bytes}, \"answers\": {answers}}}");
    Ok(())
}

/// Asks on so many connections, and reads a byte a second of each; prints how many were being answered to the end.
pub async fn slow(pairs: &Pairs<'_>) -> io::Result<()> {
    let (to, target): (SocketAddr, String) = (pairs.need("to")?, pairs.need("target")?);
    let (host, at_once): (String, usize) = (pairs.need("host")?, pairs.need("at-once")?);
    let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let all: Vec<_> = (0..at_once)
        .map(|_| tokio::task::spawn_local(sip(to, request.clone())))
        .collect();
    sleep(Duration::from_secs_f64(pairs.need("seconds")?)).await;
    let reading = all.iter().filter(|one| !one.is_finished()).count();
    println!("{{\"reading\": {reading}}}");
    Ok(())
}

async fn sip(to: SocketAddr, request: String) -> io::Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(request.as_bytes()).await?;
    loop {
        read(&mut stream, &mut [0]).await?;
        sleep(Duration::from_secs(1)).await;
    }
}

const NOTHING: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const CHUNK: usize = 256 << 10;
