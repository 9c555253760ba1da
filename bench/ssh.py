"""Compares SSH done directly, through a second server (OpenSSH's ProxyJump), and through Portcullis, in one run.

Started by scripts/bench-ssh. Servers, clients and the gateway are on one machine and share its cores, so that absolute
figures belong to the machine and the ratios carry. Clients are OpenSSH's with their own choice of algorithms; both
servers are OpenSSH's, without anything of the machine's configuration. Measured: bulk down and up, 32 programs started
at once, and the time of one `true` from connecting to its end. Prints Markdown, for docs/performance.md.
"""

import argparse
import getpass
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import ground
from ground import cpu_seconds, free_port, wait_for_port

SERVERS = ("/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd")

POLICY = """bundle: bench
applies_to: { connections: ["*"], principals: { groups: [owners] } }
rules:
  - id: programs
    allow: { actions: [execute], objects: ["program {true,head,cat}"] }
"""


def keygen(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", path], check=True)
    with open(path + ".pub", encoding="ascii") as file:
        return " ".join(file.read().split()[:2])


class Contender:
    """A way to the target: the words before a command, and the process that costs, where it is one."""

    def __init__(self, name, words, process=None):
        self.name, self.words, self.process = name, words, process

    def start(self, command, **streams):
        return subprocess.Popen(["ssh", "-F", "/dev/null", *self.words, command], stderr=subprocess.PIPE, **streams)

    def run(self, command, **streams):
        began = time.monotonic()
        running = self.start(command, **streams)
        _, said = running.communicate()
        if running.returncode != 0:
            sys.exit(f"{self.name}: `{command}` ended with {running.returncode}: {said.decode()}")
        return time.monotonic() - began


# --- contenders --------------------------------------------------------------------------------------------------------

def start_sshd(work, name):
    program = next((path for path in SERVERS if os.path.exists(path)), None)
    if program is None:
        sys.exit("no sshd on this machine (package openssh-server)")
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    port, config = free_port(), os.path.join(work, f"{name}.config")
    host_key = keygen(os.path.join(work, f"{name}.host"))
    with open(config, "w", encoding="ascii") as file:
        file.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {work}/{name}.host\nAuthorizedKeysFile {work}/client.pub\n"
                   "PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
                   "PrintMotd no\nPrintLastLog no\nMaxStartups 200\nMaxSessions 100\nSubsystem sftp internal-sftp\n"
                   "LogLevel ERROR\n")
    process = subprocess.Popen([program, "-D", "-e", "-f", config], stderr=open(f"{work}/{name}.log", "wb"))
    wait_for_port(port, process)
    return port, host_key, process


def start_portcullis(binary, work, target_port, target_key):
    home, client_key = os.path.join(work, "portcullis"), keygen(os.path.join(work, "gateway-client"))
    configuration = (f'identity: {{ ssh_keys: [{{ user: bench, groups: [owners], key: "{client_key}" }}] }}\n'
                     f'connections:\n  box: {{ protocol: ssh, address: "127.0.0.1:{target_port}", username: "{getpass.getuser()}", '
                     f'private_key: {{ file: "{work}/client" }}, host_key: "{target_key}" }}\n'
                     f"limits: {{ sessions: 4000, unauthenticated_per_address: 2000 }}\n")
    port, process = ground.start_gateway(binary, home, "ssh", configuration, {"bench": POLICY})
    host_key = re.search(r"ssh-ed25519 \S+", ground.ask_gateway(binary, home, "ssh-ca")).group(0)
    return port, host_key, process


def contenders(binary, work):
    keygen(os.path.join(work, "client"))
    target, target_key, target_process = start_sshd(work, "target")
    jump, jump_key, jump_process = start_sshd(work, "jump")
    gateway, gateway_key, gateway_process = start_portcullis(binary, work, target, target_key)
    with open(f"{work}/known_hosts", "w", encoding="ascii") as file:
        for port, key in ((target, target_key), (jump, jump_key), (gateway, gateway_key)):
            file.write(f"[127.0.0.1]:{port} {key}\n")

    def words(port, user, key):
        return ["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={work}/known_hosts", "-o",
                "StrictHostKeyChecking=yes", "-i", key, "-p", str(port), "-l", user, "127.0.0.1"]

    me, key = getpass.getuser(), f"{work}/client"
    through = " ".join(["ssh -F /dev/null -W 127.0.0.1:%p", *words(jump, me, key)])
    return [Contender("direct", words(target, me, key)),
            Contender("OpenSSH ProxyJump", ["-o", f"ProxyCommand={through}", *words(target, me, key)]),
            Contender("Portcullis", words(gateway, "box", f"{work}/gateway-client"), gateway_process)], \
        [target_process, jump_process, gateway_process]


# --- the run -----------------------------------------------------------------------------------------------------------

def down(contender, options):
    size = options.mib << 20
    return size / contender.run(f"head -c {size} /dev/zero", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) / (1 << 20)


def up(contender, options):
    size = options.mib << 20
    source = subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=subprocess.PIPE)
    rate = size / contender.run("cat > /dev/null", stdin=source.stdout, stdout=subprocess.DEVNULL) / (1 << 20)
    source.stdout.close()
    source.wait()
    return rate


def side_by_side(contender, options):
    began = time.monotonic()
    running = [contender.start("true", stdin=subprocess.DEVNULL) for _ in range(options.programs)]
    for one in running:
        _, said = one.communicate()
        if one.returncode != 0:
            sys.exit(f"{contender.name}: {said.decode()}")
    return options.programs / (time.monotonic() - began)


def latency(contender, options):
    return 1000 * statistics.median(contender.run("true", stdin=subprocess.DEVNULL) for _ in range(options.rounds))


def measure(ways, options):
    print("| what | contender | measured | of direct | of ProxyJump | CPU s of the gateway |")
    print("|---|---|---|---|---|---|")
    for name, unit, act in (("bulk down", "MiB/s", down), ("bulk up", "MiB/s", up),
                            (f"{options.programs} `true` at once", "a second", side_by_side),
                            (f"one `true`, median of {options.rounds}", "ms", latency)):
        results = []
        for way in ways:
            before = cpu_seconds(way.process) if way.process else 0.0
            results.append(act(way, options))
            spent = f"{cpu_seconds(way.process) - before:.2f}" if way.process else ""
            of_jump = f"{results[-1] / results[1]:.2f}" if len(results) > 1 else ""
            print(f"| {name} | {way.name} | {results[-1]:.1f} {unit} | {results[-1] / results[0]:.2f} | {of_jump} | {spent} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--binary", required=True, help="the portcullis to measure")
    parser.add_argument("--mib", type=int, default=512, help="of each bulk transfer")
    parser.add_argument("--programs", type=int, default=32, help="started at once")
    parser.add_argument("--rounds", type=int, default=30, help="of the latency")
    options = parser.parse_args()
    work = tempfile.mkdtemp(prefix="pc-bench-ssh-", dir=os.environ.get("PORTCULLIS_BENCH_DIR"))
    processes = []
    try:
        ways, processes = contenders(options.binary, work)
        version = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr.strip()
        print(f"{ground.machine()}; {version}; {options.mib} MiB of zeros "
              f"a transfer; load before the run {os.getloadavg()[0]:.1f}.\n")
        measure(ways, options)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
