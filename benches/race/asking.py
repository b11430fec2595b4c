"""Asks a proxy for what a workload says, from the load's core."""

import contextlib
import http.client
import json
import re
import subprocess
import time

from files import DOMAIN, HOST, denied_samples
from machine import memory_of, pinned, run
from peers import FORWARD
from workloads import TUNNELS


def ask(race, workload, port, proxy, seconds, first=0):
    """What came of so many seconds. `first` is the number of the first name, where each connection is for one of its own."""
    if workload.h2load:
        return h2load(race, workload, port, seconds)
    forward = workload.kind in FORWARD or (workload.kind == "cache" and proxy == "Squid")
    host = host_of(race, workload) if forward else HOST
    absolute = forward and not workload.connect and not workload.socks and proxy is not None
    anchor = {"tls": race.files.authority, "intercept": race.files.interceptor}.get(workload.kind)
    wanted = {
        "to": f"127.0.0.1:{port}", "target": f"http://{host}{workload.path}" if absolute else workload.path,
        "host": host, "seconds": seconds, "at-once": workload.at_once,
        "connect": host if workload.connect and proxy else None, "socks": host if workload.socks and proxy else None,
        "anchor": anchor.certificate if anchor else None, "once": "yes" if workload.once else None,
        "names": first if workload.cold else None, "datagrams": 512 if workload.kind == "udp" else None,
    }
    return json.loads(run(load_command(race, "ask", wanted)))


def host_of(race, workload):
    """Whom a forward proxy is asked for. The load puts a number in place of an asterisk."""
    if workload.kind == "names":
        return f"{HOST}:{race.ports[0]}"
    if workload.kind == "intercept":
        return f"{f'n*.{DOMAIN}' if workload.cold else HOST}:{race.port_beside}"
    return race.origins[0]


def load_command(race, command, wanted):
    pairs = [f"{key}={value}" for key, value in wanted.items() if value is not None]
    return pinned([race.options.load, command, *pairs], race.load_core)


def h2load(race, workload, port, seconds):
    """The same from h2load, which does not look at certificates."""
    command = ["h2load", "-t", 1, "-c", 16, "-m", 8, "-D", f"{seconds * 1000:.0f}ms", f"--connect-to=127.0.0.1:{port}", f"https://{HOST}:{port}{workload.path}"]
    said = run(pinned(command, race.load_core))

    def number(pattern):
        found = re.search(pattern, said)
        return int(found[1]) if found else 0

    done, good = number(r"(\d+) succeeded"), number(r"(\d+) 2xx")
    content, size = number(r"\((\d+)\) data"), int(workload.path.strip("/"))
    # Among those that it calls failed are answers of 400 and more.
    errors = number(r"(\d+) failed") + number(r"(\d+) 3xx")
    first = f"{errors} answers are no 200" if errors else ""
    if "Application protocol: h2" not in said:
        errors, first = errors + 1, "not HTTP/2"
    # The answers that were under way at the end may have come in part.
    elif not done * size <= content <= (done + 16 * 8) * size:
        errors, first = errors + 1, f"{content} bytes in {done} answers"
    return {"requests": min(done, good), "bytes": content, "seconds": seconds, "errors": errors, "first": first}


def hold(race, port, process):
    """Opens tunnels, and sees what a proxy's memory grows by. What came of it: `bytes` are those of the memory."""
    before = memory_of(process.pid)
    wanted = {"to": f"127.0.0.1:{port}", "connect": race.origins[0], "tunnels": TUNNELS, "seconds": 3}
    command = load_command(race, "hold", wanted)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holding:
        try:
            opened = json.loads(holding.stdout.readline())
            time.sleep(1)
            grown = memory_of(process.pid) - before
            alive = json.loads(holding.stdout.readline())
        finally:
            holding.kill()
    errors = opened["errors"] + alive["errors"]
    return {"requests": alive["requests"], "bytes": grown, "seconds": opened["seconds"], "errors": errors, "first": opened["first"] or alive["first"]}


def not_refused(workload, port):
    """A name of the deny list that a proxy does not answer with 403 as it should."""
    for name in denied_samples(workload.denied) if workload.denied else []:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", f"http://{name}/1024")
            status = connection.getresponse().status
        if status != 403:
            return f"{name}, which is on the list, was answered {status}"
    return None
