"""What a race needs of the machine: processes on cores of their own, what they cost, ports that are free."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

TICK = os.sysconf("SC_CLK_TCK")
DESCRIPTORS = 20_000
PAGE = os.sysconf("SC_PAGE_SIZE")


class NotServing(SystemExit):
    """A server that was started ended, or answers nobody."""


@contextlib.contextmanager
def running(command, core):
    """A server, which ends with this block: it, and everything that it has started."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(pinned(command, core), stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
        process.said = said
        try:
            yield process
        finally:
            for sign in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, sign)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=3)


def descriptors():
    """As many as a process may have here, but not so many more than are needed that one of them makes room for them all."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return DESCRIPTORS if most == resource.RLIM_INFINITY else min(DESCRIPTORS, most)


def let_have(count):
    """Lets all that is started from here have so many descriptors."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def pinned(command, core):
    return ["taskset", "-c", str(core), *(str(word) for word in command)]


def run(command):
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def wait_for(port, process, datagrams=False):
    """Waits until a server answers there. A list of a million names takes some of them their time."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
        with contextlib.suppress(OSError), socket.socket(type=kind) as probe:
            probe.settimeout(1)
            probe.connect(("127.0.0.1", port))
            # A connection is an answer; a datagram has to come back.
            if not datagrams or (probe.send(b"?") and probe.recv(1)):
                return
        time.sleep(0.02)
    process.said.seek(0)
    raise NotServing(f"{' '.join(process.args)} does not serve:\n{process.said.read()}")


def free_ports(count):
    """Ports that are free now. Below those that the kernel gives to connections, which the load makes many of."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = []
    for port in range(first - 1, 1024, -1):
        if len(found) == count:
            break
        with socket.socket() as probe, socket.socket(type=socket.SOCK_DGRAM) as datagrams, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            datagrams.bind(("127.0.0.1", port))
            found.append(port)
    return found


def tree(root):
    """Of a process and all it has started: what stands in /proc/PID/stat, from the state on."""
    children, all_fields = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(entry.name))
            all_fields[int(entry.name)] = fields
    left = [root]
    while left:
        process = left.pop()
        left += children.get(process, [])
        if process in all_fields:
            yield all_fields[process]


def cpu_of(root):
    """Seconds that a process and all it has started have used, in user and in system mode."""
    # With the children that each has waited for.
    return sum(int(ticks) for fields in tree(root) for ticks in fields[11:15]) / TICK


def memory_of(root):
    """Resident bytes of a process and all it has started; what they share counts for each."""
    return sum(int(fields[21]) for fields in tree(root)) * PAGE


def busy(core):
    """Seconds that a core has not been idle."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _iowait, *rest = map(int, line.split()[1:9])
    return (user + nice + system + sum(rest)) / TICK


def spread(values):
    if not values:
        return "-"
    digits = 0 if min(values) >= 1000 else 1 if min(values) >= 10 else 2
    return "{:.{d}f} ({:.{d}f}..{:.{d}f})".format(median(values), min(values), max(values), d=digits)
