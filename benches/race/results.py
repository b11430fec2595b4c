"""What the proxies came to, and the tables of it."""

from dataclasses import dataclass, field
from statistics import median

import peers
from machine import spread


@dataclass
class Result:
    """What one proxy came to in the rounds of one workload."""

    costs: list = field(default_factory=list)
    rates: list = field(default_factory=list)
    busy: list = field(default_factory=list)
    # Seconds until it served, and bytes that were resident after all the requests.
    starts: list = field(default_factory=list)
    memory: list = field(default_factory=list)
    errors: int = 0
    remarks: set = field(default_factory=set)

    def fails(self, why, count=1):
        self.errors += count
        self.remarks.add(why)


# What a cost is, and what there is of it in a second (or at once).
UNITS = {"request": ("CPU µs/request", "requests/s"), "GB": ("CPU s/GB", "GB/s"), "tunnel": ("KB/tunnel", "tunnels")}


def cost_and_rate(workload, came, spent):
    """In the units of the workload; `spent` are seconds of CPU."""
    if workload.per == "tunnel":
        return came["bytes"] / 1e3 / came["requests"], came["requests"]
    if workload.per == "GB":
        return spent / (came["bytes"] / 1e9), came["bytes"] / 1e9 / came["seconds"]
    return spent / came["requests"] * 1e6, came["requests"] / came["seconds"]


def table(name, workload, results):
    """Prints the results of one workload, and returns the line for the summary."""
    costs = {proxy: median(result.costs) for proxy, result in results.items() if result.costs and not result.errors}
    best = min((proxy for proxy in costs if proxy in peers.PEERS), key=costs.get, default=None)
    unit, rate = UNITS[workload.per]
    # A list is paid for before the first request.
    more = ["serves after s", "resident MB"] if workload.kind == "names" else []
    print(f"\n**{name}**: {workload.about}\n")
    head = ["proxy", f"{unit}: median (min..max)", "of the best peer", f"{rate}: median (min..max)", "its core busy", *more]
    print(f"| {' | '.join(head)} | |")
    print("| --- | --: | --: | --: | --: |" + " --: |" * len(more) + " --- |")
    for proxy, result in results.items():
        ratio = f"{costs[proxy] / costs[best]:.2f}" if best and proxy in costs else "-"
        remarks = [f"{result.errors} errors"] if result.errors else []
        remarks = ", ".join(remarks + sorted(result.remarks))
        busy = f"{median(result.busy):.0f} %" if result.busy else "-"
        cells = [proxy, spread(result.costs), ratio, spread(result.rates), busy]
        cells += [spread(result.starts), spread([size / 1e6 for size in result.memory])] if more else []
        print(f"| {' | '.join([*cells, remarks])} |", flush=True)
    peer = f"{best} {spread(results[best].costs)}" if best else "-"
    ratio = f"{costs['Egret'] / costs[best]:.2f}" if best and "Egret" in costs else "-"
    return f"| {name} | {unit} | {spread(results['Egret'].costs)} | {peer} | {ratio} |"


def left_out(name, workload, why):
    """The same for one that can not be asked here."""
    print(f"\n**{name}**: {workload.about}\n\nLeft out: {why}.", flush=True)
    return f"| {name} | left out: {why} | - | - | - |"
