"""Mail servers that keep what they take, a line of JSON for each message: mail_server.py LEAF OTHER FILE

Prints the port that speaks TLS at once with LEAF, the port that wants STARTTLS with OTHER, and one that wants STARTTLS with
LEAF. LEAF.pem and LEAF.key are a certificate and its key. All want a login; a mailbox named `gone` is none.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

LEAF, OTHER, FILE = sys.argv[1:]


class Keeper:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        kept = {"port": server.transport.get_extra_info("sockname")[1], "from": envelope.mail_from}
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        head = "".join(f"{name}: {value}\n" for name, value in message.items())
        kept |= {"to": envelope.rcpt_tos, "text": f"{head}\n{message.get_content()}"}
        with open(FILE, "a") as file:
            file.write(json.dumps(kept) + "\n")
        return "250 OK"


def known(server, session, envelope, mechanism, login):
    return AuthResult(success=(login.login, login.password) == (b"gate", b"mail-hunter2"))


def shows(leaf):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{leaf}.pem", f"{leaf}.key")
    return context


async def main():
    login = {"auth_required": True, "authenticator": known}
    over_tls = lambda: SMTP(Keeper(), auth_require_tls=False, **login)
    starttls = lambda leaf: lambda: SMTP(Keeper(), tls_context=shows(leaf), require_starttls=True, **login)
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(over_tls, "127.0.0.1", 0, ssl=shows(LEAF)),
        await loop.create_server(starttls(OTHER), "127.0.0.1", 0),
        await loop.create_server(starttls(LEAF), "127.0.0.1", 0),
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print("ports", *ports, flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
