"""A login with a code over SSH, with the library that is named first: paramiko or asyncssh.

Prints the instructions that it is shown, answers requests that ask nothing with nothing, then runs `echo in`. With a token
asyncssh does not answer, and shows the token as a password instead.
Arguments: library, port, known_hosts, a file with a token.
"""

import asyncio
import sys

library, port, known_hosts = sys.argv[1], int(sys.argv[2]), sys.argv[3]
token = open(sys.argv[4]).read().strip() if len(sys.argv) > 4 else None


def show(instructions, prompts):
    assert not prompts, prompts
    if instructions:
        print(instructions, flush=True)
    return []


def with_paramiko():
    import paramiko

    client = paramiko.SSHClient()
    client.load_host_keys(known_hosts)
    transport = paramiko.Transport(("127.0.0.1", port))
    transport.auth_timeout = 120
    transport.start_client(timeout=30)
    shown = transport.get_remote_server_key().get_base64()
    assert any(shown == key.get_base64() for host in client.get_host_keys().values() for key in host.values())
    transport.auth_interactive("build-box", lambda title, instructions, prompts: show(instructions, prompts))
    channel = transport.open_session()
    channel.exec_command("echo in")
    print(channel.makefile("rb").read().decode(), end="", flush=True)
    transport.close()


async def with_asyncssh():
    import asyncssh

    class Person(asyncssh.SSHClient):
        def kbdint_auth_requested(self):
            return ""

        def kbdint_challenge_received(self, name, instructions, lang, prompts):
            shown = show(instructions, prompts)
            return None if token else shown

        def password_auth_requested(self):
            return token

    options = {"username": "build-box", "known_hosts": known_hosts, "client_keys": None, "agent_path": None}
    made = await asyncssh.create_connection(
        Person, "127.0.0.1", port, preferred_auth="keyboard-interactive,password", config=None, **options
    )
    async with made[0] as connection:
        ran = await connection.run("echo in", check=True)
        print(ran.stdout, end="", flush=True)


if library == "paramiko":
    with_paramiko()
else:
    asyncio.run(with_asyncssh())
