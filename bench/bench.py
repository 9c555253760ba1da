"""Compares the same work done directly, through a byte relay, through pgbouncer, and through Portcullis, in one run.

Started by scripts/bench beside a throwaway server. Every contender listens in plaintext on loopback and reaches the
server in plaintext, so that the rows differ by the contender alone. Absolute figures belong to the machine; the ratios
carry. Measured: transactions per second, p50 and p99 of `pgbench -S` (simple, extended, prepared) for several client
counts, CPU time of the contender's process per transaction, rows per second of a million-row SELECT and COPY, resident
memory per idle session. Prints Markdown, for docs/performance.md.
"""

import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import ground
from ground import free_port, wait_for_port

MODES = ("simple", "extended", "prepared")


class Endpoint:
    """Where clients connect, and the process that costs: None for the server itself."""

    def __init__(self, name, port, user, password, database, process=None):
        self.name, self.port, self.process = name, port, process
        self.environment = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": user,
                            "PGPASSWORD": password, "PGDATABASE": database, "PGSSLMODE": "disable"}

    def cpu_seconds(self):
        if self.process is None:
            return 0.0
        return ground.cpu_seconds(self.process)

    def resident_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def pgbench(endpoint, mode, clients, seconds, work):
    prefix = os.path.join(work, "latency")
    for old in glob.glob(prefix + ".*"):
        os.remove(old)
    before = endpoint.cpu_seconds()
    said = subprocess.run(["pgbench", "-n", "-S", "-M", mode, "-c", str(clients), "-j", str(min(clients, os.cpu_count())),
                           "-T", str(seconds), "--log", f"--log-prefix={prefix}"],
                          env=endpoint.environment, capture_output=True, text=True, check=False)
    spent = endpoint.cpu_seconds() - before
    if said.returncode != 0:
        sys.exit(f"{endpoint.name}, {mode}, {clients} clients: {said.stdout}{said.stderr}")
    latencies = []
    for name in glob.glob(prefix + ".*"):
        with open(name, encoding="ascii") as lines:
            latencies.extend(int(line.split()[2]) for line in lines)
    if not latencies:
        sys.exit(f"{endpoint.name}, {mode}, {clients} clients: no transaction ended in {seconds} s; is the machine busy?")
    latencies.sort()
    tps = float(re.search(r"tps = ([\d.]+) \(without", said.stdout).group(1))
    return {"tps": tps, "p50": percentile(latencies, 0.5), "p99": percentile(latencies, 0.99),
            "cpu": 1e6 * spent / len(latencies)}


def rows_per_second(endpoint, load, sql, rounds=3):
    best, spent = 0.0, 0.0
    for _ in range(rounds):
        before = endpoint.cpu_seconds()
        said = subprocess.run([load, "rows", sql], env=endpoint.environment, capture_output=True, text=True, check=False)
        if said.returncode != 0:
            sys.exit(f"{endpoint.name}: {said.stderr}")
        rows, _bytes, seconds = said.stdout.split()
        if int(rows) / float(seconds) > best:
            best, spent = int(rows) / float(seconds), 1e9 * (endpoint.cpu_seconds() - before) / int(rows)
    return best, spent


def kib_per_idle_session(endpoint, load, count):
    before = endpoint.resident_kib()
    holder = subprocess.Popen([load, "idle", str(count)], env=endpoint.environment, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if holder.stdout.readline().strip() != "ready":
        return f"failed: {holder.communicate()[1].strip()}"
    time.sleep(2)                          # what is freed when idle may take a moment
    grown = (endpoint.resident_kib() - before) / count
    holder.stdin.close()
    holder.wait()
    return grown


# --- contenders --------------------------------------------------------------------------------------------------------

def start_relay(server, examples, work):
    user, password = server.environment["PGUSER"], server.environment["PGPASSWORD"]
    if shutil.which("haproxy"):
        port = free_port()
        config = os.path.join(work, "haproxy.cfg")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"global\n  maxconn 2000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 10m\n"
                       f"  timeout server 10m\nlisten pg\n  bind 127.0.0.1:{port}\n  server pg 127.0.0.1:{server.port}\n")
        process = subprocess.Popen(["haproxy", "-db", "-q", "-f", config])
        wait_for_port(port, process)
        return Endpoint("haproxy (TCP)", port, user, password, "postgres", process)
    process = subprocess.Popen([f"{examples}/relay", f"127.0.0.1:{server.port}"], stdout=subprocess.PIPE, text=True)
    port = int(process.stdout.readline().rsplit(":", 1)[1])
    return Endpoint("byte relay", port, user, password, "postgres", process)


def start_pgbouncer(server, work):
    if not shutil.which("pgbouncer"):
        return None
    user, password = server.environment["PGUSER"], server.environment["PGPASSWORD"]
    port = free_port()
    home = os.path.join(work, "pgbouncer")
    os.mkdir(home)
    with open(f"{home}/users.txt", "w", encoding="ascii") as file:
        file.write(f'"{user}" "{password}"\n')
    with open(f"{home}/pgbouncer.ini", "w", encoding="ascii") as file:
        file.write(f"[databases]\npostgres = host=127.0.0.1 port={server.port} dbname=postgres user={user} password={password}\n"
                   f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
                   f"auth_file = {home}/users.txt\npool_mode = session\nmax_client_conn = 2000\ndefault_pool_size = 1500\n"
                   f"ignore_startup_parameters = extra_float_digits\nlog_connections = 0\nlog_disconnections = 0\n")
    command = ["pgbouncer", "-q", f"{home}/pgbouncer.ini"]
    if os.getuid() == 0:
        for path in (work, home, f"{home}/users.txt", f"{home}/pgbouncer.ini"):
            shutil.chown(path, "postgres")
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]
    process = subprocess.Popen(command)
    wait_for_port(port, process)
    return Endpoint("pgbouncer (session)", port, user, password, "postgres", process)


POLICY = """bundle: bench
applies_to: { connections: ["*"], principals: { groups: [owners] } }
rules:
  - id: everything
    allow: { actions: [any, unknown], objects: ["*"], marks: [dynamic, privileged, irreversible] }
mask:
  - id: digest
    columns: [public.protected.digest]
    with: redact
"""


def start_portcullis(server, binary, durability, work):
    home = os.path.join(work, f"portcullis-{durability}")
    configuration = (f'connections:\n  shop: {{ protocol: postgres, address: "127.0.0.1:{server.port}", database: postgres, '
                     f'username: {server.environment["PGUSER"]}, password: {{ env: BENCH_PASSWORD }}, tls: disable }}\n'
                     f"audit: {{ durability: {durability} }}\n"
                     f"limits: {{ sessions: 4000, unauthenticated_per_address: 2000 }}\n")
    secrets = {"BENCH_PASSWORD": server.environment["PGPASSWORD"]}
    port, process = ground.start_gateway(binary, home, "postgres", configuration, {"bench": POLICY}, secrets)
    return Endpoint(f"Portcullis ({durability})", port, "bench", ground.token(binary, home), "shop", process)


# --- the run -----------------------------------------------------------------------------------------------------------

def prepare(server, rows):
    run = lambda *command: subprocess.run(command, env=server.environment, check=True, capture_output=True)
    run("pgbench", "-i", "-q", "-s", "10")
    run("psql", "-X", "-q", "-c", f"CREATE TABLE big AS SELECT n AS id, md5(n::text) AS digest FROM generate_series(1, {rows}) AS n",
        "-c", "CREATE TABLE protected AS SELECT * FROM big",
        "-c", "VACUUM (FREEZE, ANALYZE) big, protected")


def transactions(endpoints, options, work):
    print("\n## Transactions (`pgbench -S`)\n")
    print("| mode | clients | contender | tps | of direct | of relay | p50 µs | p99 µs | added p50 µs | CPU µs/txn |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for mode in options.modes:
        for clients in options.clients:
            results = {}
            for endpoint in endpoints:
                r = results[endpoint.name] = pgbench(endpoint, mode, clients, options.seconds, work)
                direct, relay = results[endpoints[0].name], results.get(endpoints[1].name)
                of_relay = f"{r['tps'] / relay['tps']:.2f}" if relay else ""
                cpu = f"{r['cpu']:.1f}" if endpoint.process else ""
                print(f"| {mode} | {clients} | {endpoint.name} | {r['tps']:.0f} | {r['tps'] / direct['tps']:.2f} | {of_relay} "
                      f"| {r['p50']} | {r['p99']} | {r['p50'] - direct['p50']:+d} | {cpu} |", flush=True)


def rows(endpoints, options, load):
    print(f"\n## Rows ({options.rows:,} rows of an integer and 32 characters)\n")
    print("| statement | contender | rows/s | of direct | of relay | CPU ns/row |")
    print("|---|---|---|---|---|---|")
    # Of the contenders only Portcullis masks, and only `protected`: for the others the last two are the first two again.
    for name, sql in (("SELECT", "SELECT * FROM big"), ("COPY", "COPY big TO STDOUT"),
                      ("SELECT, the text masked", "SELECT * FROM protected"), ("COPY, the text masked", "COPY protected TO STDOUT")):
        rates = []
        for endpoint in endpoints:
            rate, cpu = rows_per_second(endpoint, load, sql)
            rates.append(rate)
            of_relay = f"{rate / rates[1]:.2f}" if len(rates) > 1 else ""
            print(f"| {name} | {endpoint.name} | {rate:,.0f} | {rate / rates[0]:.2f} | {of_relay} | {f'{cpu:.0f}' if endpoint.process else ''} |", flush=True)


def memory(endpoints, options, load):
    print(f"\n## Memory ({options.idle} idle sessions)\n")
    print("| contender | KiB per session |")
    print("|---|---|")
    for endpoint in endpoints:
        if endpoint.process:
            grown = kib_per_idle_session(endpoint, load, options.idle)
            print(f"| {endpoint.name} | {grown if isinstance(grown, str) else f'{grown:.1f}'} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--binary", required=True, help="the portcullis to measure")
    parser.add_argument("--examples", required=True, help="the directory of testkit's examples")
    parser.add_argument("--seconds", type=int, default=5, help="for each pgbench run")
    parser.add_argument("--modes", type=lambda text: text.split(","), default=MODES)
    parser.add_argument("--clients", type=lambda text: [int(n) for n in text.split(",")], default=[1, 8, 64])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--without", action="append", default=[], choices=["pgbouncer", "portcullis", "transactions", "rows", "memory"])
    options = parser.parse_args()

    port, user, password = (os.environ.pop(name) for name in ("PGPORT", "PGUSER", "PGPASSWORD"))
    server = Endpoint("direct", port, user, password, "postgres")
    work = tempfile.mkdtemp(prefix="pc-bench-", dir=os.environ.get("PORTCULLIS_BENCH_DIR"))
    os.chmod(work, 0o711)
    endpoints = [server]
    try:
        prepare(server, options.rows)
        endpoints.append(start_relay(server, options.examples, work))
        if "pgbouncer" not in options.without and (bouncer := start_pgbouncer(server, work)):
            endpoints.append(bouncer)
        if "portcullis" not in options.without:
            endpoints.extend(start_portcullis(server, options.binary, durability, work) for durability in ("batched", "strict"))
        print(f"{ground.machine()}; "
              f"{subprocess.run(['pgbench', '--version'], capture_output=True, text=True, check=True).stdout.strip()}; "
              f"{options.seconds} s a run; server, client and contender share the cores.")
        load = f"{options.examples}/load"
        if "transactions" not in options.without:
            transactions(endpoints, options, work)
        if "rows" not in options.without:
            rows(endpoints, options, load)
        if "memory" not in options.without:
            memory(endpoints, options, load)
    finally:
        for endpoint in endpoints:
            if endpoint.process:
                endpoint.process.terminate()
                endpoint.process.wait()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
