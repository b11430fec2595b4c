//! One connection, read and written byte by byte, on the client's side and on the origin's.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// A blocking connection with a buffer of what was read too far. A peer that is silent for [`PATIENCE`] ends the wait.
pub(crate) struct Wire {
    tcp: TcpStream,
    stream: Box<dyn Duplex>,
    buffer: Vec<u8>,
}

trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

/// Header fields in order, names as they came.
pub(crate) type Fields = Vec<(String, String)>;

/// An answer, read to its end by its own framing.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The head as it came, with its last empty line.
    pub(crate) head: String,
    pub(crate) headers: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        Self::from_tcp(tcp)
    }

    pub(crate) fn from_tcp(tcp: TcpStream) -> Self {
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        let stream = Box::new(tcp.try_clone().unwrap());
        Self {
            tcp,
            stream,
            buffer: Vec::new(),
        }
    }

    /// TLS over this connection; `wrap` makes the stream.
    pub(crate) fn wrapped<S: Read + Write + Send + 'static>(
        self,
        wrap: impl FnOnce(TcpStream) -> S,
    ) -> Self {
        assert!(self.buffer.is_empty(), "bytes came before TLS");
        let stream = Box::new(wrap(self.tcp.try_clone().unwrap()));
        Self { stream, ..self }
    }

    /// The connection itself, for a handshake; nothing may have been read beyond it.
    pub(crate) fn tcp(&self) -> TcpStream {
        assert!(self.buffer.is_empty(), "bytes came before TLS");
        self.tcp.try_clone().unwrap()
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.tcp.peer_addr().unwrap()
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.tcp.local_addr().unwrap()
    }

    /// Waits this long for the peer, instead of [`PATIENCE`].
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.tcp.set_read_timeout(Some(patience)).unwrap();
    }

    /// Writes all of it.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// Writes all of it, where the peer may have closed.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Says that nothing more comes from this side.
    pub(crate) fn half_close(&mut self) {
        self.tcp.shutdown(Shutdown::Write).unwrap();
    }

    /// As [`Self::half_close`], where the peer may have closed.
    pub(crate) fn half_close_quietly(&mut self) {
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Whatever has come, at least one byte.
    pub(crate) fn try_some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Ends the connection with RST.
    pub(crate) fn reset(mut self) {
        self.reset_now();
    }

    /// Ends the connection with RST as soon as this side lets go of it, which an origin's play does by returning.
    pub(crate) fn reset_now(&mut self) {
        socket2::SockRef::from(&self.tcp)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    /// A head with its empty line; panics where none comes.
    pub(crate) fn head(&mut self) -> String {
        match self.try_head() {
            Ok(head) => head,
            Err(error) => panic!("no whole head came ({error}); what came is {}", self.seen()),
        }
    }

    pub(crate) fn try_head(&mut self) -> io::Result<String> {
        let head = self.try_until(b"\r\n\r\n")?;
        Ok(String::from_utf8_lossy(&head).into_owned())
    }

    /// Bytes up to and with these.
    pub(crate) fn until(&mut self, end: &[u8]) -> Vec<u8> {
        match self.try_until(end) {
            Ok(bytes) => bytes,
            Err(error) => panic!(
                "{:?} did not come ({error}); what came is {}",
                String::from_utf8_lossy(end),
                self.seen()
            ),
        }
    }

    pub(crate) fn try_until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut from = 0;
        loop {
            let found = self.buffer[from..]
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                return Ok(self.buffer.drain(..from + at + end.len()).collect());
            }
            from = self.buffer.len().saturating_sub(end.len() - 1);
            self.fill()?;
        }
    }

    /// Exactly so many bytes.
    pub(crate) fn exact(&mut self, length: usize) -> Vec<u8> {
        match self.try_exact(length) {
            Ok(bytes) => bytes,
            Err(error) => panic!(
                "{length} bytes did not come ({error}); what came is {}",
                self.seen()
            ),
        }
    }

    pub(crate) fn try_exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Everything until the peer closes in order; panics where it stays open or resets.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) => panic!(
                    "the connection did not end ({error}); what came is {}",
                    self.seen()
                ),
            }
        }
        std::mem::take(&mut self.buffer)
    }

    /// Everything until the peer closes or resets; panics where it stays open.
    pub(crate) fn read_to_any_end(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) if is_silence(&error) => {
                    panic!("the connection stayed open; what came is {}", self.seen())
                }
                Err(_) => return std::mem::take(&mut self.buffer),
            }
        }
    }

    /// Reads and drops everything to the end, where megabytes come; gives their number. Panics where it does not end
    /// within a minute.
    pub(crate) fn drain(&mut self) -> u64 {
        let mut total = self.buffer.len() as u64;
        self.buffer.clear();
        let mut block = vec![0; 1 << 16];
        let until = Instant::now() + PATIENCE * 6;
        while let Ok(read @ 1..) = self.stream.read(&mut block) {
            total += read as u64;
            assert!(Instant::now() < until, "bytes come without an end");
        }
        total
    }

    /// Whether nothing comes for so long: only for what must not happen.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        if !self.buffer.is_empty() {
            return false;
        }
        self.set_patience(time);
        let silent = self.fill().is_err_and(|error| is_silence(&error));
        self.set_patience(PATIENCE);
        silent
    }

    /// An answer to a request of this method, with its body by its framing.
    pub(crate) fn response(&mut self, method: &str) -> Response {
        let head = self.head();
        let status = status(&head);
        let headers = fields(&head);
        let mut response = Response {
            status,
            head,
            headers,
            body: Vec::new(),
            trailers: Vec::new(),
        };
        let tunnel = method == "CONNECT" && status / 100 == 2;
        if method == "HEAD" || tunnel || status / 100 == 1 || status == 204 || status == 304 {
            return response;
        }
        if response.header("transfer-encoding").is_some() {
            (response.body, response.trailers) = self.chunked();
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().unwrap();
            response.body = self.exact(length);
        } else {
            response.body = self.read_to_end();
        }
        response
    }

    /// A chunked body and its trailers.
    pub(crate) fn chunked(&mut self) -> (Vec<u8>, Fields) {
        match self.try_chunked() {
            Ok(read) => read,
            Err(error) => panic!(
                "the chunked body did not end ({error}); what came is {}",
                self.seen()
            ),
        }
    }

    pub(crate) fn try_chunked(&mut self) -> io::Result<(Vec<u8>, Fields)> {
        let mut body = Vec::new();
        loop {
            let chunk = self.try_chunk()?;
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.try_until(b"\r\n")?;
            if line == b"\r\n" {
                return Ok((body, trailers));
            }
            trailers.extend(field(&String::from_utf8_lossy(&line)));
        }
    }

    /// One chunk, empty for the last; what follows the last is not read.
    pub(crate) fn try_chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.try_until(b"\r\n")?;
        let size = String::from_utf8_lossy(&line).trim().to_owned();
        // Nothing after the size: chunk extensions are of one hop.
        let Ok(size) = usize::from_str_radix(&size, 16) else {
            return Err(io::Error::other(format!("chunk size {size:?}")));
        };
        if size == 0 {
            return Ok(Vec::new());
        }
        let chunk = self.try_exact(size)?;
        let end = self.try_exact(2)?;
        assert_eq!(end, b"\r\n", "a chunk must end with CRLF");
        Ok(chunk)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut block = [0; 1 << 14];
        loop {
            match self.stream.read(&mut block) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.buffer.extend_from_slice(&block[..read]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn seen(&self) -> String {
        let start = &self.buffer[..self.buffer.len().min(2000)];
        format!("{:?}", String::from_utf8_lossy(start))
    }
}

impl Response {
    /// The only field of this name; panics where there are more.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        only(&self.headers, name)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The error token of Proxy-Status, as in `egret; error=dns_error`.
    pub(crate) fn proxy_error(&self) -> Option<&str> {
        let (_, rest) = self.header("proxy-status")?.split_once("error=")?;
        rest.split([';', ',', ' ']).next()
    }
}

/// The only field of this name.
pub(crate) fn only<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut named = fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    let first = named.next();
    assert!(named.next().is_none(), "{name} stands twice in {fields:?}");
    first.map(|(_, value)| value.as_str())
}

/// The fields of a head, in order, names as they came.
pub(crate) fn fields(head: &str) -> Fields {
    head.split("\r\n").skip(1).filter_map(field).collect()
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_owned(), value.trim().to_owned()))
}

fn status(head: &str) -> u16 {
    let word = head.split(' ').nth(1).unwrap_or_default();
    word.parse()
        .unwrap_or_else(|_| panic!("no status line: {head:?}"))
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
