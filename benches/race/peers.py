"""The proxies that race: for each kind of workload, the configuration of each one that takes part.

One worker each, no access log, connections kept on both sides, and otherwise as a careful operator would have them.
A kind is "forward", "idle", "socks", "names", "intercept" (a forward proxy), "cache", "reverse", "tls", "tcp" or "udp". A function writes what it
needs into `at.folder`, and returns the command that serves on `at.port`, in front of `at.origins` if it is no forward proxy, or None where it
does not take part.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from files import Files
from machine import run


@dataclass
class At:
    """Where a proxy is to run."""

    kind: str
    port: int
    origins: list[str]
    folder: Path
    files: Files
    # The names that a forward proxy is asked for, and those that it refuses, if any.
    hosts: Path
    denied: Optional[Path]
    # Paths of our own programs.
    egret: Path
    load: Path

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)


def find(name):
    """A program's path, also where only root looks for it; None where it is not installed."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")


FORWARD = ("forward", "idle", "socks", "names", "intercept")


def egret(at):
    mode = "forward" if at.kind in FORWARD else "balanced" if at.kind in ("tcp", "udp") else "reverse"
    listener = {
        "tcp": 'to = "origins"\n',
        "udp": 'to = "origins"\ntransport = "udp"\n',
        "tls": f'tls = {{ certificates = [{egret_pair(at.files.origin)}] }}\n',
    }
    text = f"""
        workers = 1
        [log.access]
        to = "off"
        [admin]
        socket = "{at.folder}/egret.sock"
        [[listener]]
        name = "race"
        bind = "127.0.0.1:{at.port}"
        mode = "{mode}"
        {listener.get(at.kind, "")}
        """
    if mode == "forward":
        # The listener is the last table above.
        text += egret_policy(at)
    else:
        text += f"""
        [upstream.origins]
        endpoints = {json.dumps(at.origins)}
        balance = "round-robin"
        """
    if mode == "reverse":
        text += '[[route]]\nto = "origins"\n'
    if at.kind == "cache":
        text += '[cache]\nmemory = "64MiB"\n'
    return [at.egret, "run", "-c", at.write("egret.toml", text)]


def egret_policy(at):
    allow, text = "{}", 'policy = "race"\n'
    if at.kind in ("names", "intercept"):
        text += f'[dns]\nhosts = "{at.hosts}"\n'
    if at.kind == "intercept":
        allow = "{ intercept = true }"
        text += f"""
        [intercept]
        authority = {egret_pair(at.files.interceptor)}
        [tls]
        roots = ["{at.files.authority.certificate}"]
        """
    if at.denied:
        text += f"""
        [policy.race.list.denied]
        file = "{at.denied}"
        [[policy.race.rule]]
        name = "what is denied"
        deny = {{}}
        host = "@denied"
        """
    return text + f"""
        [[policy.race.rule]]
        name = "the origins of the race"
        allow = {allow}
        address = "loopback"
        """


def egret_pair(pair):
    return f'{{ cert = "{pair.certificate}", key = {{ file = "{pair.key}" }} }}'


def nginx(at):
    program = find("nginx")
    if not program or at.kind in FORWARD:
        return None
    servers = "".join(f"server {origin};" for origin in at.origins)
    temporary = "".join(f"{name}_temp_path {at.folder};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    root = "user root;" if os.geteuid() == 0 else ""
    head = f"{root} daemon off; worker_processes 1; pid {at.folder}/pid; error_log stderr crit; events {{ worker_connections 4096; }}"
    if at.kind in ("tcp", "udp"):
        stream = nginx_stream(program)
        if stream is None:
            return None
        text = f"""{stream} {head}
            stream {{
                upstream origins {{ {servers} }}
                server {{ listen 127.0.0.1:{at.port} {"udp" if at.kind == "udp" else ""}; proxy_pass origins; tcp_nodelay on; proxy_buffer_size 64k; }}
            }}"""
    else:
        pair = at.files.origin
        tls = f"ssl http2; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {pair.certificate}; ssl_certificate_key {pair.key}" if at.kind == "tls" else ""
        cached = at.kind == "cache"
        # Without tcp_nopush: with it, a large answer from the cache waits for the client's acknowledgement.
        text = f"""{head}
            http {{
                access_log off; sendfile on; tcp_nodelay on; server_tokens off; {temporary}
                keepalive_requests 1000000000; keepalive_timeout 300s;
                {f"proxy_cache_path {at.folder}/kept keys_zone=kept:10m use_temp_path=off; open_file_cache max=100;" if cached else ""}
                upstream origins {{ {servers} keepalive 256; keepalive_requests 1000000000; }}
                server {{
                    listen 127.0.0.1:{at.port} {tls};
                    location / {{
                        proxy_pass http://origins; proxy_http_version 1.1; proxy_set_header Connection "";
                        proxy_buffers 8 32k; proxy_buffer_size 16k; proxy_busy_buffers_size 64k;
                        {"proxy_cache kept;" if cached else ""}
                    }}
                }}
            }}"""
    return [program, "-p", at.folder, "-c", at.write("nginx.conf", text)]


def nginx_stream(program):
    """The line that loads nginx's module for connections: empty where it is built in, None where there is none."""
    built = subprocess.run([program, "-V"], capture_output=True, text=True).stderr
    if re.search(r"--with-stream(\s|$)", built):
        return ""
    folder = re.search(r"--modules-path=(\S+)", built)
    module = Path(folder[1] if folder else "/usr/lib/nginx/modules") / "ngx_stream_module.so"
    return f"load_module {module};" if module.exists() else None


def haproxy(at):
    program = find("haproxy")
    if not program or at.kind in (*FORWARD, "udp"):
        return None
    tls = f"ssl crt {at.write('both.pem', at.files.origin.both())} alpn h2,http/1.1" if at.kind == "tls" else ""
    servers = "\n".join(f"server s{n} {origin}" for n, origin in enumerate(at.origins))
    mode = "mode tcp\noption splice-auto" if at.kind == "tcp" else "mode http\nhttp-reuse always"
    cached = at.kind == "cache"
    text = f"""
global
    nbthread 1
    maxconn 4000
defaults
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    {mode}
{"cache kept" if cached else ""}
    {"total-max-size 64" if cached else ""}
    {"max-object-size 1000000" if cached else ""}
    {"max-age 3600" if cached else ""}
frontend race
    bind 127.0.0.1:{at.port} {tls}
    default_backend origins
backend origins
    balance roundrobin
    {"http-request cache-use kept" if cached else ""}
    {"http-response cache-store kept" if cached else ""}
    {servers}
"""
    return [program, "-db", "-f", at.write("haproxy.cfg", text)]


def squid(at):
    program = find("squid")
    if not program or at.kind not in ("forward", "idle", "names", "intercept", "cache"):
        return None
    port, bump = "", ""
    if at.kind == "intercept":
        if not (generator := squid_generator(program)):
            return None
        port, bump = squid_bump(at, *generator)
    memory = "cache_mem 64 MB\nmaximum_object_size_in_memory 2 MB" if at.kind == "cache" else "cache deny all"
    hosts = f"hosts_file {at.hosts}" if at.kind in ("names", "intercept") else ""
    denied = f'acl denied dstdomain "{at.denied}"\nhttp_access deny denied' if at.denied else ""
    text = f"""
http_port 127.0.0.1:{at.port} {port}
{bump}
{hosts}
{denied}
http_access allow all
{memory}
access_log none
cache_log /dev/null
cache_store_log none
pid_filename none
coredump_dir /
pinger_enable off
icp_port 0
netdb_filename none
client_db off
shutdown_lifetime 0 seconds
visible_hostname race
"""
    return [program, "-N", "-f", at.write("squid.conf", text)]


def squid_generator(program):
    """What makes certificates for Squid, and the user that it runs as; None where Squid can not look into TLS."""
    built = subprocess.run([program, "-v"], capture_output=True, text=True).stdout
    folder = re.search(r"--libexecdir=([^' ]+)", built)
    generator = Path(folder[1] if folder else "/usr/lib/squid") / "security_file_certgen"
    if "--with-openssl" not in built or "--enable-ssl-crtd" not in built or not generator.exists():
        return None
    user = re.search(r"--with-default-user=([^' ]+)", built)
    return generator, user[1] if user else "nobody"


def squid_bump(at, generator, user):
    """What stands behind the port, and the lines for looking into TLS: at the origin's certificate first, as Egret does."""
    kept = f"{at.folder}/certificates"
    run([generator, "-c", "-s", kept, "-M", "64MB"])
    if os.geteuid() == 0:
        for path in (Path(kept), *Path(kept).rglob("*")):
            shutil.chown(path, user)
    pem = at.write("both.pem", at.files.interceptor.both())
    return f"ssl-bump tls-cert={pem} generate-host-certificates=on dynamic_cert_mem_cache_size=64MB", f"""
sslcrtd_program {generator} -s {kept} -M 64MB
sslcrtd_children 8 startup=2 idle=1
tls_outgoing_options cafile={at.files.authority.certificate}
acl hello at_step SslBump1
ssl_bump peek hello
ssl_bump bump all"""


def tinyproxy(at):
    program = find("tinyproxy")
    if not program or at.kind != "idle":
        return None
    root = "User root\nGroup root" if os.geteuid() == 0 else ""
    text = f"""
{root}
Port {at.port}
Listen 127.0.0.1
Allow 127.0.0.1
Timeout 600
MaxClients 12000
LogLevel Critical
LogFile "{at.folder}/tinyproxy.log"
"""
    return [program, "-d", "-c", at.write("tinyproxy.conf", text)]


def microsocks(at):
    program = find("microsocks")
    if not program or at.kind != "socks":
        return None
    usage = subprocess.run([program, "-h"], capture_output=True, text=True)
    # It writes a line for each connection, unless it can be told not to.
    quiet = ["-q"] if re.search(r"\s-q\b", usage.stdout + usage.stderr) else []
    return [program, *quiet, "-i", "127.0.0.1", "-p", at.port]


def dante(at):
    program = find("danted") or find("sockd")
    if not program or at.kind != "socks":
        return None
    users = "user.privileged: root\nuser.unprivileged: root" if os.geteuid() == 0 else ""
    text = f"""
logoutput: /dev/null
errorlog: stderr
internal: 127.0.0.1 port = {at.port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
{users}
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
"""
    return [program, "-f", at.write("danted.conf", text), "-p", at.folder / "pid"]


def envoy(at):
    program = find("envoy")
    if not program or at.kind not in ("reverse", "tls", "tcp"):
        return None

    def socket(place):
        host, port = place.rsplit(":", 1)
        return {"socket_address": {"address": host, "port_value": int(port)}}

    def typed(kind, **fields):
        return {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **fields}

    def named(name, config):
        return {"name": f"envoy.filters.{name}", "typed_config": config}

    if at.kind == "tcp":
        filters = [named("network.tcp_proxy", typed("filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="race", cluster="origins"))]
    else:
        route = {"match": {"prefix": "/"}, "route": {"cluster": "origins"}}
        router = named("http.router", typed("filters.http.router.v3.Router", suppress_envoy_headers=True))
        manager = typed(
            "filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix="race", generate_request_id=False, http_filters=[router],
            route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        )
        filters = [named("network.http_connection_manager", manager)]
    chain = {"filters": filters}
    if at.kind == "tls":
        pair = {"certificate_chain": {"filename": str(at.files.origin.certificate)}, "private_key": {"filename": str(at.files.origin.key)}}
        common = {"tls_certificates": [pair], "alpn_protocols": ["h2", "http/1.1"]}
        context = typed("transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context=common)
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    endpoints = [{"endpoint": {"address": socket(origin)}} for origin in at.origins]
    cluster = {
        "name": "origins", "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "origins", "endpoints": [{"lb_endpoints": endpoints}]},
    }
    listener = {"name": "race", "address": socket(f"127.0.0.1:{at.port}"), "filter_chains": [chain]}
    text = json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}})
    return [program, "-c", at.write("envoy.json", text), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]


def relay(at):
    if at.kind not in ("reverse", "tcp"):
        return None
    return [at.load, "relay", at.port, *at.origins]


# In the order of the tables. The relay parses nothing: no proxy, but the limit for one.
PROXIES = {
    "Egret": egret, "nginx": nginx, "HAProxy": haproxy, "Squid": squid, "Envoy": envoy,
    "tinyproxy": tinyproxy, "microsocks": microsocks, "Dante": dante, "bare relay": relay,
}
PEERS = PROXIES.keys() - {"Egret", "bare relay"}


def version(name, egret):
    """The version that a program says it has."""
    if name == "microsocks":
        # It says none.
        return name
    programs = {"Egret": [egret], "Dante": ["danted", "sockd"]}.get(name, [name.lower()])
    program = next(filter(None, (find(str(program)) for program in programs)))
    said = subprocess.run([program, "--version" if name in ("Egret", "Envoy") else "-v"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = re.search(r"\d+\.\d+(\.\d+)?", said.stdout + said.stderr)
    return f"{name} {found[0] if found else '?'}"
