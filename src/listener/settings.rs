//! Limits of the client's side, each with a default that holds on the open Internet.
//! Not the listener's other settings, which config reads.
//! Start at [`Limits`].

use std::time::Duration;

use crate::fault::{Fault, Faults};
use crate::message::http1::HeadLimits;
use crate::settings::{ByteSize, FromValue, Located, Table};

/// Limits of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections of this listener at once, over all workers.
    pub connections: usize,
    /// Connections of one client address at once.
    pub connections_per_client: usize,
    /// Longest wait for the first byte of a connection.
    pub first_byte: Duration,
    /// Longest wait from the first byte of a request to the end of its header section.
    pub header_time: Duration,
    /// Size and count of a header section.
    pub head: HeadLimits,
    /// Longest silence between two requests of a connection.
    pub idle: Duration,
    /// Longest silence inside a request body, and longest wait for a client to take a byte.
    pub body_idle: Duration,
    /// Largest request body; `None` for no limit.
    pub body_size: Option<u64>,
    /// Longest silence in a tunnel.
    pub tunnel_idle: Duration,
    /// Longest life of a tunnel; `None` for no limit.
    pub tunnel_total: Option<Duration>,
    /// HTTP/2 streams of one connection at once.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            connections_per_client: 10_000,
            first_byte: Duration::from_secs(15),
            header_time: Duration::from_secs(15),
            head: HeadLimits::default(),
            idle: Duration::from_secs(60),
            body_idle: Duration::from_secs(60),
            body_size: None,
            tunnel_idle: Duration::from_secs(600),
            tunnel_total: None,
            streams: 100,
        }
    }
}

impl Limits {
    /// Reads `[listener.limits]`.
    pub fn read(table: Table, faults: &Faults) -> Self {
        let default = Self::default();
        let limits = Self {
            connections: positive(&table, ("connections", 0), default.connections, faults),
            connections_per_client: positive(
                &table,
                ("connections-per-client", 0),
                default.connections_per_client,
                faults,
            ),
            first_byte: table.take_or("first-byte", default.first_byte, faults),
            header_time: table.take_or("header-time", default.header_time, faults),
            head: HeadLimits {
                size: positive(
                    &table,
                    ("header-size", ByteSize(0)),
                    ByteSize(default.head.size as u64),
                    faults,
                )
                .as_usize(),
                count: positive(&table, ("header-count", 0), default.head.count, faults),
            },
            idle: table.take_or("idle", default.idle, faults),
            body_idle: table.take_or("body-idle", default.body_idle, faults),
            body_size: table
                .take::<ByteSize>("body-size", faults)
                .map(|size| size.0),
            tunnel_idle: table.take_or("tunnel-idle", default.tunnel_idle, faults),
            tunnel_total: table.take("tunnel-total", faults),
            streams: positive(&table, ("streams", 0), default.streams, faults),
        };
        table.finish(faults);
        limits
    }
}

/// Reads a limit that may not be 0: it would let nothing in, where some expect that it lets everything in.
fn positive<T: FromValue + PartialEq>(
    table: &Table,
    (key, zero): (&'static str, T),
    default: T,
    faults: &Faults,
) -> T {
    let Some(given) = table.take::<Located<T>>(key, faults) else {
        return default;
    };
    if given.value == zero {
        faults.push(Fault::at(
            &given.at,
            format!("with {key} at 0, no client could be served"),
            "write at least 1, or leave it out for the default",
        ));
        return default;
    }
    given.value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Source;

    #[test]
    fn a_limit_of_nothing_is_a_fault_with_its_place() {
        for (line, place) in [
            ("connections = 0", 15),
            ("connections-per-client = 0", 26),
            ("header-size = \"0KiB\"", 15),
            ("header-count = 0", 16),
            ("streams = 0", 11),
        ] {
            let faults = Faults::new();
            let source = Source::new("egret.toml", line);
            Limits::read(Table::parse(&source, &faults), &faults);
            let told: String = faults.into_vec().iter().map(Fault::render).collect();
            assert!(told.contains("at 0, no client"), "{line}: {told}");
            assert!(
                told.contains(&format!("egret.toml:1:{place}")),
                "{line}: {told}"
            );
        }
    }
}
