//! A set of addresses: sorted ranges that do not overlap, found by bisection.
//! Not a routing table: nested networks and exceptions are flattened when the set is built.
//! Start at [`Addresses::lists`].

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The addresses of one list, as inclusive ranges.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Addresses {
    /// Whether an address is listed. An IPv4-mapped address is the IPv4 address that it wraps.
    pub(super) fn lists(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => within(&self.v4, u32::from(ip)),
            IpAddr::V6(ip) => within(&self.v6, u128::from(ip)),
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.v4) + size_of_val(&*self.v6)
    }
}

fn within<T: Copy + Ord>(ranges: &[(T, T)], ip: T) -> bool {
    let after = ranges.partition_point(|(start, _)| *start <= ip);
    let range = after.checked_sub(1).and_then(|at| ranges.get(at));
    range.is_some_and(|(_, end)| ip <= *end)
}

/// Networks as they are read, each listed or excepted. The narrowest network decides; of two equal ones, the exception.
#[derive(Debug, Default)]
pub(super) struct AddressesBuilder {
    v4: Vec<(Ipv4Net, bool)>,
    v6: Vec<(Ipv6Net, bool)>,
    listing: usize,
}

impl AddressesBuilder {
    /// How many networks are listed.
    pub(super) fn listing(&self) -> usize {
        self.listing
    }

    /// Adds a network; bits after its prefix are dropped.
    pub(super) fn insert(&mut self, net: IpNet, excepted: bool) {
        self.listing += usize::from(!excepted);
        match unmapped(net.trunc()) {
            IpNet::V4(net) => self.v4.push((net, excepted)),
            IpNet::V6(net) => self.v6.push((net, excepted)),
        }
    }

    /// Sorts and flattens.
    pub(super) fn build(mut self) -> Addresses {
        // Wider first, so that what is nested comes after what it is nested in.
        self.v4
            .sort_unstable_by_key(|(net, excepted)| (net.network(), net.prefix_len(), *excepted));
        self.v6
            .sort_unstable_by_key(|(net, excepted)| (net.network(), net.prefix_len(), *excepted));
        let v4 = self.v4.iter().map(|(net, excepted)| Span {
            start: u128::from(u32::from(net.network())),
            end: u128::from(u32::from(net.broadcast())),
            listed: !excepted,
        });
        let v6 = self.v6.iter().map(|(net, excepted)| Span {
            start: u128::from(net.network()),
            end: u128::from(net.broadcast()),
            listed: !excepted,
        });
        Addresses {
            // Ends came from 32 bits, so they fit.
            v4: flatten(v4)
                .into_iter()
                .map(|(start, end)| (start as u32, end as u32))
                .collect(),
            v6: flatten(v6).into(),
        }
    }
}

/// `::ffff:0:0/96` and what is within is IPv4: addresses are judged in that form, so networks are stored in it.
fn unmapped(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let narrow = v6.prefix_len().checked_sub(96);
    let mapped = v6.network().to_ipv4_mapped();
    match (mapped, narrow) {
        (Some(network), Some(prefix)) => Ipv4Net::new(network, prefix).map_or(net, IpNet::V4),
        (None, _) | (_, None) => net,
    }
}

struct Span {
    start: u128,
    end: u128,
    listed: bool,
}

/// Nested spans, wider first, to the disjoint ranges where the innermost span is listed.
fn flatten(spans: impl Iterator<Item = Span>) -> Vec<(u128, u128)> {
    let mut ranges: Vec<(u128, u128)> = Vec::new();
    let mut open: Vec<Span> = Vec::new();
    // An open span's `start` moves on to what of it has not been told yet.
    for span in spans {
        close_before(span.start, &mut open, &mut ranges);
        if let Some(outer) = open.last().filter(|outer| outer.listed)
            && let Some(end) = span.start.checked_sub(1).filter(|end| outer.start <= *end)
        {
            append(&mut ranges, outer.start, end);
        }
        open.push(span);
    }
    while let Some(span) = open.pop() {
        close(span, &mut open, &mut ranges);
    }
    ranges
}

fn close_before(start: u128, open: &mut Vec<Span>, ranges: &mut Vec<(u128, u128)>) {
    while let Some(span) = open.pop_if(|span| span.end < start) {
        close(span, open, ranges);
    }
}

fn close(span: Span, open: &mut [Span], ranges: &mut Vec<(u128, u128)>) {
    if span.listed && span.start <= span.end {
        append(ranges, span.start, span.end);
    }
    if let Some(outer) = open.last_mut() {
        match span.end.checked_add(1) {
            Some(next) => outer.start = next,
            // The very last address is told: nothing is left of any span around it.
            None => (outer.start, outer.listed) = (span.end, false),
        }
    }
}

fn append(ranges: &mut Vec<(u128, u128)>, start: u128, end: u128) {
    match ranges.last_mut() {
        Some(last) if last.1.checked_add(1) == Some(start) => last.1 = end,
        Some(_) | None => ranges.push((start, end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_network_decides() {
        let mut builder = AddressesBuilder::default();
        for (net, excepted) in [
            ("10.0.0.0/8", false),
            ("10.1.0.0/16", true),
            ("10.1.2.0/24", false),
            ("10.1.2.3/32", true),
            ("192.0.2.128/25", false),
            ("192.0.2.0/25", false),
            ("255.255.255.0/24", false),
            ("255.255.255.255/32", true),
            ("198.51.100.1/32", false),
            ("198.51.100.1/32", true),
            ("::ffff:203.0.113.0/120", false),
            ("2001:db8::/32", false),
            ("2001:db8:1::/48", true),
            ("ffff::/16", false),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", true),
        ] {
            builder.insert(net.parse().expect("the table holds networks"), excepted);
        }
        let set = builder.build();
        for (ip, listed) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.0.255.255", true),
            ("10.1.0.0", false),
            ("10.1.2.2", true),
            ("10.1.2.3", false),
            ("10.1.2.4", true),
            ("10.1.3.0", false),
            ("10.2.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("192.0.2.0", true),
            ("192.0.2.255", true),
            ("255.255.255.254", true),
            ("255.255.255.255", false),
            ("198.51.100.1", false),
            ("203.0.113.7", true),
            ("::ffff:10.0.0.1", true),
            ("2001:db8::1", true),
            ("2001:db8:1::1", false),
            ("2001:db8:2::", true),
            ("2001:db9::", false),
            ("ffff::1", true),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", true),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
            ("::", false),
        ] {
            let address = ip.parse().expect("the table holds addresses");
            assert_eq!(set.lists(address), listed, "{ip}");
        }
        assert!(
            set.v4.contains(&(0xc000_0200, 0xc000_02ff)),
            "neighbours are joined"
        );
    }
}
