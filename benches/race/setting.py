"""What `race` and `worst` share: the options, the cores, the origins, and where a proxy is to run."""

import os
import tempfile
from pathlib import Path

import peers
from files import Files
from machine import free_ports, run

ROOT = Path(__file__).resolve().parent.parent.parent
LOAD_FOLDER = ROOT / "target/race"


class Setting:
    """Where things are in one run, and the origins that all proxies stand in front of."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        # Some proxies give up root's rights before they read what is here.
        folder.chmod(0o755)
        # The proxy has a core of its own; origin and load share another one.
        self.proxy_core, self.load_core = sorted(os.sched_getaffinity(0))[:2]
        self.files = Files(folder)
        # The last one is for what stands beside the origins.
        *self.ports, self.port_beside = free_ports(5)
        self.origins = [f"127.0.0.1:{port}" for port in self.ports]

    def place(self, kind, origins, cold=0, denied=0):
        """Where a proxy is to run, in a folder of its own."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        folder.chmod(0o755)
        return peers.At(kind, free_ports(1)[0], origins, folder, self.files, self.files.hosts(cold), self.files.denied(denied),
                        self.options.egret, self.options.load)


def read_options(parser, kind, known):
    """What the command line says; of a kind of things that may be named, those that are known. Builds the load."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--egret", type=Path, default=ROOT / "target/release/egret")
    parser.add_argument("named", nargs="*", metavar=kind.upper(), help=f"of {', '.join(known)}; all of them where none is named")
    given = parser.parse_args()
    for name in given.named:
        if name not in known:
            parser.error(f"there is no {kind} {name}")
    given.named = given.named or list(known)
    if len(os.sched_getaffinity(0)) < 2:
        parser.error("two cores are needed: one for the proxy, and one for origin and load")
    if not given.egret.exists():
        parser.error(f"{given.egret} is missing: cargo build --release")
    run(["cargo", "build", "--quiet", "--release", "--manifest-path", ROOT / "benches/race/load/Cargo.toml", "--target-dir", LOAD_FOLDER])
    given.load = LOAD_FOLDER / "release/load"
    return given
