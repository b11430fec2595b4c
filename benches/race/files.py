"""Files that the proxies and the load share: certificates, names with their addresses, and a list of names that are denied."""

from dataclasses import dataclass, field
from pathlib import Path

from machine import run

DOMAIN = "race.example"
HOST = f"www.{DOMAIN}"
# More than any of them takes in a second, each with a host of its own.
COLD_A_SECOND = 5000


@dataclass
class Pair:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path

    def both(self):
        return self.certificate.read_text() + self.key.read_text()


@dataclass
class Files:
    """Written when they are first asked for, into one folder."""

    folder: Path
    # Who certifies the origins, what they show, and who certifies in their place.
    authority: Pair = field(init=False)
    origin: Pair = field(init=False)
    interceptor: Pair = field(init=False)

    def __post_init__(self):
        signs = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
        serves = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth",
                  f"subjectAltName=DNS:{DOMAIN},DNS:*.{DOMAIN}"]
        self.authority = self.certify("authority", signs)
        self.interceptor = self.certify("interceptor", signs)
        self.origin = self.certify(HOST, serves, self.authority)

    def certify(self, name, extensions, by=None):
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        issuer = ["-CA", by.certificate, "-CAkey", by.key] if by else []
        added = [word for extension in extensions for word in ("-addext", extension)]
        run(["openssl", "req", "-x509", *issuer, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", f"/CN={name}", *added, "-keyout", pair.key, "-out", pair.certificate])
        pair.key.chmod(0o600)
        return pair

    def hosts(self, cold):
        """A hosts file: of the one host, or of that many others too."""
        names = [HOST, *(f"n{number}.{DOMAIN}" for number in range(cold))]
        return self.once(f"hosts-{cold}", (f"127.0.0.1 {name}\n" for name in names))

    def denied(self, count):
        """Each of these and what is below it, in the form that Egret's lists and Squid's share."""
        return self.once(f"denied-{count}", (f".{name}\n" for name in map(denied_name, range(count)))) if count else None

    def once(self, name, lines):
        path = self.folder / name
        if not path.exists():
            path.write_text("".join(lines))
        return path


def denied_name(number):
    # In no order: lists are not sorted, and some trees suffer where they are.
    return f"site{number * 2654435761 % 2 ** 32:08x}.{('com', 'net', 'org')[number % 3]}.example"


def denied_samples(count):
    first, middle, last = (denied_name(number) for number in (0, count // 2, count - 1))
    return [first, middle, last, f"www.{first}"]
