"""What every benchmark stands on: ports, processes and what they cost, a gateway, the machine in words.

Used by bench.py (PostgreSQL), ssh.py and services.py (HTTP), so that they measure and say the same in the same way.
"""

import os
import re
import socket
import subprocess
import sys
import time

TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process):
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended with {process.returncode}")
        time.sleep(0.05)
    sys.exit(f"{process.args[0]} does not listen")


def cpu_seconds(process):
    """Of the process and its children that live: a server may leave its work to them."""
    return sum(_cpu_seconds(pid) for pid in [process.pid, *_children(process.pid)])


def _cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        return [int(child) for child in children.read().split()]


def start_gateway(binary, home, listener, configuration, bundles, secrets=None):
    """Starts a gateway from its configuration (all but data_dir, listen, tls and policies) and bundles by name. Its port for
    `listener`, and the process."""
    os.mkdir(home, 0o700)
    for name, text in bundles.items():
        with open(f"{home}/{name}.yaml", "w", encoding="ascii") as file:
            file.write(text)
    listed = ", ".join(f"{name}.yaml" for name in bundles)
    with open(f"{home}/portcullis.yaml", "w", encoding="ascii") as file:
        file.write(f'data_dir: ./data\nlisten: {{ {listener}: "127.0.0.1:0", console: "127.0.0.1:0" }}\ntls: off\n'
                   f"{configuration}policies: [{listed}]\n")
    log = open(f"{home}/log", "w", encoding="utf-8")
    process = subprocess.Popen([binary, "serve", "--config", f"{home}/portcullis.yaml"], stdout=subprocess.PIPE, stderr=log,
                               env={"RUST_LOG": "warn", **os.environ, **(secrets or {})}, text=True)
    line = process.stdout.readline()
    while line and "ready" not in line:
        line = process.stdout.readline()
    if not line:
        sys.exit(open(f"{home}/log", encoding="utf-8").read())
    return int(re.search(rf"{listener}\W+127\.0\.0\.1:(\d+)", line).group(1)), process


def ask_gateway(binary, home, *words):
    """What a client command says of the gateway in `home`."""
    said = subprocess.run([binary, *words, "--config", f"{home}/portcullis.yaml"], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def token(binary, home):
    return ask_gateway(binary, home, "token", "create", "--user", "bench", "--group", "owners")


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        model = re.search(r"model name\s*: (.*)", cpuinfo.read())
    return f"{os.cpu_count()} cores, {model.group(1) if model else os.uname().machine}"
