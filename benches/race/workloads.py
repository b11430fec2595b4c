"""What is asked of the proxies: one entry for each row of the results."""

import shutil
from dataclasses import dataclass

from machine import descriptors


@dataclass
class Workload:
    """What is asked of a proxy of some kind, and what its cost is divided by."""

    kind: str
    about: str
    path: str = "/1024"
    at_once: int = 64
    # A tunnel by CONNECT, or a connection by SOCKS5, first.
    connect: bool = False
    socks: bool = False
    # A connection for each request; to a host of its own.
    once: bool = False
    cold: bool = False
    # By another program than our own load.
    h2load: bool = False
    # Names on a deny list.
    denied: int = 0
    per: str = "request"

    def missing(self):
        """A program that this wants, and that is not installed."""
        return "h2load" if self.h2load and not shutil.which("h2load") else None


# A tunnel takes two of a proxy's descriptors, and it has others.
TUNNELS = descriptors() * 9 // 20

WORKLOADS = {
    "forward-1k": Workload("forward", "forward proxy, GET, 1 KiB"),
    "forward-64k": Workload("forward", "forward proxy, GET, 64 KiB", "/65536"),
    "connect": Workload("forward", "CONNECT, one GET of 1 KiB, close", at_once=32, connect=True, once=True),
    "tunnel-1": Workload("forward", "download through one CONNECT tunnel", "/268435456", 1, connect=True, per="GB"),
    "tunnel-8": Workload("forward", "download through 8 CONNECT tunnels", "/67108864", 8, connect=True, per="GB"),
    "idle": Workload("idle", f"{TUNNELS} idle CONNECT tunnels", at_once=1, connect=True, once=True, per="tunnel"),
    "socks": Workload("socks", "SOCKS5, one GET of 1 KiB, close", at_once=32, socks=True, once=True),
    "names-0": Workload("names", "forward proxy, GET by host name, 1 KiB"),
    "names-1m": Workload("names", "names-0 with a deny list of 1,000,000 names", denied=1_000_000),
    "intercept-new": Workload("intercept", "CONNECT, intercepted TLS, one GET of 1 KiB, close", at_once=32, connect=True, once=True),
    "intercept-cold": Workload("intercept", "intercept-new, to a new host each time", at_once=32, connect=True, once=True, cold=True),
    "intercept-1k": Workload("intercept", "GETs of 1 KiB inside 32 intercepted tunnels", at_once=32, connect=True),
    "cache-1k": Workload("cache", "cache hit, 1 KiB", "/1024/kept"),
    "cache-64k": Workload("cache", "cache hit, 64 KiB", "/65536/kept"),
    "reverse-1k": Workload("reverse", "reverse proxy to 4 origins, GET, 1 KiB"),
    "reverse-64k": Workload("reverse", "reverse proxy to 4 origins, GET, 64 KiB", "/65536"),
    "tls-1k": Workload("tls", "reverse-1k behind TLS, HTTP/1.1"),
    "h2": Workload("tls", "tls-1k over HTTP/2, 16 connections of 8 streams", h2load=True),
    "handshake": Workload("tls", "TLS 1.3 handshake, one GET of 1 KiB, close", at_once=32, once=True),
    "tcp": Workload("tcp", "layer 4 to 4 origins: connection, one GET of 1 KiB, close", at_once=32, once=True),
    "tcp-bulk": Workload("tcp", "download through 4 connections at layer 4", "/67108864", 4, per="GB"),
    "udp": Workload("udp", "32 flows of datagrams to 4 origins, 512 bytes there and back", at_once=32),
}
