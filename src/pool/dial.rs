//! The one place that opens connections (datagrams: `datagram`): to the addresses of a permit, and to nothing else.
//! Resolves nothing and judges nothing: the permit has the addresses.
//! Start at [`dial`].

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

use super::Failure;
use crate::message::ProxyError;
use crate::policy::Permit;
use crate::upstream::balance::Equals;

/// The addresses of a permit in the order in which they are tried. Made from a permit alone.
#[derive(Debug)]
pub(super) struct InTurn<'a> {
    addresses: &'a [SocketAddr],
    first: usize,
}

impl<'a> InTurn<'a> {
    /// Lets the balancer choose among the addresses of the family that is preferred.
    pub(super) fn new(permit: &'a Permit, balancer: &Equals) -> Self {
        let addresses = permit.addresses();
        let Some(preferred) = addresses.first().filter(|_| addresses.len() > 1) else {
            return Self {
                addresses,
                first: 0,
            };
        };
        let equal = || {
            addresses
                .iter()
                .enumerate()
                .filter(|(_, address)| address.is_ipv4() == preferred.is_ipv4())
        };
        let first = equal()
            .nth(balancer.pick(equal().count()))
            .map_or(0, |(place, _)| place);
        Self { addresses, first }
    }

    fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        let front = self.addresses.get(self.first).copied();
        let rest = self
            .addresses
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != self.first)
            .map(|(_, address)| *address);
        front.into_iter().chain(rest)
    }
}

/// Connects to one of a permit's addresses within `limit`. Several addresses race with a head start each (RFC 8305 §5).
/// Dropping the future drops every attempt.
pub(super) async fn dial(
    places: &InTurn<'_>,
    limit: Duration,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let Some(first) = places.iter().next() else {
        return Err(Failure::new(
            ProxyError::DnsError,
            "the name has no address",
        ));
    };
    let attempts = match places.addresses {
        [only] => timeout(limit, connect(*only)).await,
        _several => timeout(limit, race(places.iter().collect())).await,
    };
    match attempts {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err((error, address))) => Err(Failure::dial(&error, address)),
        Err(_) => Err(Failure::new(
            ProxyError::ConnectionTimeout,
            format!("{first} did not answer within {limit:?}"),
        )),
    }
}

async fn connect(address: SocketAddr) -> Result<(TcpStream, SocketAddr), (io::Error, SocketAddr)> {
    #[expect(clippy::disallowed_methods, reason = "the one place that dials")]
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| (error, address))?;
    // A proxy forwards whole writes: waiting for more only adds delay. A failure to say so is no failure to connect.
    let _ = stream.set_nodelay(true);
    Ok((stream, address))
}

type Attempt =
    Pin<Box<dyn Future<Output = Result<(TcpStream, SocketAddr), (io::Error, SocketAddr)>>>>;

/// Happy Eyeballs: the next address is tried after a delay, or at once when one failed; the first to connect wins.
async fn race(
    addresses: Vec<SocketAddr>,
) -> Result<(TcpStream, SocketAddr), (io::Error, SocketAddr)> {
    let mut attempts: Vec<Attempt> = Vec::with_capacity(addresses.len());
    let mut waiting = addresses.into_iter();
    let mut delay: Pin<Box<Sleep>> = Box::pin(sleep(ATTEMPT_DELAY));
    let mut last_error = None;
    if let Some(first) = waiting.next() {
        attempts.push(Box::pin(connect(first)));
    }
    std::future::poll_fn(move |cx| {
        loop {
            let mut failed = false;
            let mut at = 0;
            while let Some(attempt) = attempts.get_mut(at) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(connected)) => return Poll::Ready(Ok(connected)),
                    Poll::Ready(Err(error)) => {
                        drop(attempts.swap_remove(at));
                        last_error = Some(error);
                        failed = true;
                    }
                    Poll::Pending => at += 1,
                }
            }
            if !failed && delay.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match (waiting.next(), last_error.take()) {
                (Some(next), error) => {
                    last_error = error;
                    attempts.push(Box::pin(connect(next)));
                    delay
                        .as_mut()
                        .reset(tokio::time::Instant::now() + ATTEMPT_DELAY);
                }
                (None, Some(error)) if attempts.is_empty() => return Poll::Ready(Err(error)),
                (None, error) => {
                    last_error = error;
                    return Poll::Pending;
                }
            }
        }
    })
    .await
}

/// Connection Attempt Delay (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
