"""Compares HTTP done directly, through nginx as a reverse proxy, and through Portcullis, in one run.

Started by scripts/bench-http. The service, the proxies and the load (wrk) are on one machine and share its cores, so that
absolute figures belong to the machine and the ratios carry. The service is nginx with files; the stream is a small
server's of its own. Measured: requests per second and latency of a 1 KiB JSON document, the rate of a 1 MiB document with
100 fields that are masked (and the same without masks), the small one over a single connection too, where what the proxies
add is not hidden in queues, and the time to the first event of a stream. Prints Markdown, for docs/performance.md.
"""

import argparse
import getpass
import http.client
import http.server
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import ground
from ground import cpu_seconds, free_port, wait_for_port


POLICY = """bundle: bench
applies_to: { connections: [plain, masked], principals: { groups: [owners] } }
rules:
  - id: reads
    allow: { actions: [read], objects: ["endpoint GET /**"] }
"""

MASKS = """bundle: bench-masks
applies_to: { connections: [masked] }
mask:
  - id: fields
    json: ["$..ssn"]
    with: redact
"""

NGINX = """daemon off;
user {user} {user};
worker_processes 1;
pid {work}/{name}.pid;
error_log {work}/{name}.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 10000000;
  types {{ application/json json; }}
  client_body_temp_path {work}/{name}-body;
  proxy_temp_path {work}/{name}-proxy;
  fastcgi_temp_path {work}/{name}-fastcgi;
  uwsgi_temp_path {work}/{name}-uwsgi;
  scgi_temp_path {work}/{name}-scgi;
  {upstream}
  server {{ listen 127.0.0.1:{port}; {location} }}
}}
"""


class Contender:
    """A way to the service: a port, the path before the service's own, the headers, and the process that costs."""

    def __init__(self, name, port, prefix="", headers=(), process=None):
        self.name, self.port, self.prefix, self.headers, self.process = name, port, prefix, dict(headers), process

    def load(self, path, options, clients):
        """Requests per second, median and 99th percentile in milliseconds, and bytes per second."""
        words = ["wrk", "-t1", f"-c{clients}", f"-d{options.seconds}s", "--latency"]
        for name, value in self.headers.items():
            words += ["-H", f"{name}: {value}"]
        said = subprocess.run([*words, f"http://127.0.0.1:{self.port}{self.prefix}{path}"], capture_output=True, text=True, check=True).stdout
        wrong = re.search(r"Non-2xx.*", said) or re.search(r"Socket errors:.*", said)
        if wrong:
            sys.exit(f"{self.name}: {wrong.group(0)}")
        units = {"us": 0.001, "ms": 1.0, "s": 1000.0}

        def percentile(which):
            value, unit = re.search(rf"{which}%\s+([\d.]+)(us|ms|s)", said).groups()
            return float(value) * units[unit]

        scale = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
        rate, unit = re.search(r"Transfer/sec:\s+([\d.]+)(B|KB|MB|GB)", said).groups()
        return float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1)), percentile(50), percentile(99), float(rate) * scale[unit]

    def first_event(self):
        """Milliseconds from the request to the first bytes of the stream."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.connect()
        began = time.monotonic()
        connection.request("GET", f"{self.prefix}/events", headers=self.headers)
        answer = connection.getresponse()
        answer.read1(1)
        took = 1000 * (time.monotonic() - began)
        connection.close()
        return took


# --- contenders --------------------------------------------------------------------------------------------------------

class Events(http.server.BaseHTTPRequestHandler):
    """A stream whose first event comes at once and whose last does not come."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"data: {\"n\": 1}\n\n")
        self.wfile.flush()
        self.rfile.read(1)

    def log_message(self, *_):
        pass


def start_events():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Events)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def start_nginx(work, name, location, upstream=""):
    port, config = free_port(), os.path.join(work, f"{name}.conf")
    with open(config, "w", encoding="ascii") as file:
        file.write(NGINX.format(user=getpass.getuser(), work=work, name=name, port=port, location=location, upstream=upstream))
    process = subprocess.Popen(["nginx", "-c", config, "-p", work], stderr=subprocess.DEVNULL)
    wait_for_port(port, process)
    return port, process


def start_portcullis(binary, work, service, durability):
    home = os.path.join(work, "portcullis")
    configuration = (f'connections:\n  plain: {{ protocol: http, upstream: "http://127.0.0.1:{service}", api: rest }}\n'
                     f'  masked: {{ protocol: http, upstream: "http://127.0.0.1:{service}", api: rest }}\n'
                     f"audit: {{ durability: {durability} }}\n")
    port, process = ground.start_gateway(binary, home, "http", configuration, {"bench": POLICY, "masks": MASKS})
    return port, {"authorization": f"Bearer {ground.token(binary, home)}"}, process


def files(work):
    root = os.path.join(work, "files")
    os.mkdir(root)
    small = {"id": 7, "name": "x", "note": "y" * 960}
    with open(f"{root}/small.json", "w", encoding="ascii") as file:
        json.dump(small, file)
    row = {"id": 1234567, "name": "A Customer", "city": "Somewhere", "notes": "lorem ipsum dolor sit amet " * 380}
    rows = [{**row, "ssn": f"123-45-{n:04}"} for n in range(100)]
    with open(f"{root}/large.json", "w", encoding="ascii") as file:
        json.dump({"rows": rows}, file)
    return root


def contenders(binary, work, durability):
    events = start_events()
    stream = f"location /events {{ proxy_pass http://127.0.0.1:{events}; proxy_buffering off; }}"
    service, service_process = start_nginx(work, "service", f"root {files(work)}; {stream}")
    upstream = f"upstream service {{ server 127.0.0.1:{service}; keepalive 64; }}"
    location = 'location / { proxy_pass http://service; proxy_http_version 1.1; proxy_set_header connection ""; proxy_buffering off; }'
    proxy, proxy_process = start_nginx(work, "proxy", location, upstream)
    gateway, headers, gateway_process = start_portcullis(binary, work, service, durability)
    plain = [Contender("direct", service), Contender("nginx", proxy, process=proxy_process),
             Contender("Portcullis", gateway, "/plain", headers, gateway_process)]
    masked = Contender("Portcullis, masked", gateway, "/masked", headers, gateway_process)
    return plain, masked, [service_process, proxy_process, gateway_process]


# --- the run -----------------------------------------------------------------------------------------------------------

def measure(plain, masked, options):
    print("| what | contender | requests a second | of nginx | p50 ms | p99 ms | added p50 ms | added p99 ms | MiB/s | CPU us a request |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    loads = (("1 KiB JSON, one connection", "/small.json", 1, plain), ("1 KiB JSON", "/small.json", options.clients, plain),
             ("1 MiB JSON", "/large.json", options.clients, [*plain, masked]))
    for name, path, clients, ways in loads:
        of = direct = None
        for way in ways:
            before = cpu_seconds(way.process) if way.process else 0.0
            requests, median, worst, rate = way.load(path, options, clients)
            spent = f"{1e6 * (cpu_seconds(way.process) - before) / (requests * options.seconds):.0f}" if way.process else ""
            if way.name == "nginx":
                of = requests
            ratio = f"{requests / of:.2f}" if of else ""
            added = f"{median - direct[0]:+.2f} | {worst - direct[1]:+.2f}" if direct else " | "
            direct = direct or (median, worst)
            print(f"| {name} | {way.name} | {requests:.0f} | {ratio} | {median:.2f} | {worst:.2f} | {added} | {rate / (1 << 20):.0f} | {spent} |", flush=True)
    print("\n| what | contender | ms |\n|---|---|---|")
    for way in plain:
        took = statistics.median(way.first_event() for _ in range(options.rounds))
        print(f"| first event of a stream, median of {options.rounds} | {way.name} | {took:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--binary", required=True, help="the portcullis to measure")
    parser.add_argument("--seconds", type=int, default=10, help="of each load")
    parser.add_argument("--clients", type=int, default=16, help="connections of each load")
    parser.add_argument("--rounds", type=int, default=50, help="of the first event")
    parser.add_argument("--durability", default="batched", choices=["strict", "batched"])
    options = parser.parse_args()
    work = tempfile.mkdtemp(prefix="pc-bench-http-", dir=os.environ.get("PORTCULLIS_BENCH_DIR"))
    processes = []
    try:
        plain, masked, processes = contenders(options.binary, work, options.durability)
        version = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr.strip()
        print(f"{ground.machine()}; {version}; {options.clients} connections, "
              f"{options.seconds} s a load; durability {options.durability}; load before the run {os.getloadavg()[0]:.1f}.\n")
        measure(plain, masked, options)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
