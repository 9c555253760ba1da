#!/usr/bin/env python3
"""Writes the first inputs of a fuzz target into a folder: what the fixtures hold, and hand-made messages.

    fuzz/seeds.py TARGET FOLDER

An input is named by its content, so a second run adds nothing. What fuzzing itself finds stays beside them.
"""

import gzip
import hashlib
import json
import re
import struct
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def frame(tag, body=b""):
    return tag + struct.pack("!i", len(body) + 4) + body


def z(*texts):
    return b"".join(text.encode() + b"\0" for text in texts)


def short(number):
    return struct.pack("!h", number)


def long(number):
    return struct.pack("!i", number)


ID, COLUMN = 23, b"id\0" + long(16384) + short(1) + long(23) + short(4) + long(-1) + short(0)

CLIENT = {
    "query": (b"Q", z("SELECT id FROM items")),
    "parse": (b"P", z("a", "SELECT name FROM others WHERE id = $1") + short(1) + long(ID)),
    "bind": (b"B", z("", "a") + short(1) + short(0) + short(1) + long(1) + b"7" + short(1) + short(1)),
    "describe": (b"D", b"S" + z("a")),
    "execute": (b"E", z("") + long(0)),
    "close": (b"C", b"P" + z("")),
    "sync": (b"S", b""),
    "flush": (b"H", b""),
    "copy data": (b"d", b"1\ta\n"),
    "copy done": (b"c", b""),
    "copy fail": (b"f", z("stop")),
    "terminate": (b"X", b""),
    "password": (b"p", z("pct_x")),
}

SERVER = {
    "ready": (b"Z", b"I"),
    "row description": (b"T", short(1) + COLUMN),
    "row": (b"D", short(2) + long(1) + b"1" + long(-1)),
    "complete": (b"C", z("SELECT 1")),
    "parsed": (b"1", b""),
    "bound": (b"2", b""),
    "closed": (b"3", b""),
    "no data": (b"n", b""),
    "suspended": (b"s", b""),
    "empty": (b"I", b""),
    "parameters": (b"t", short(1) + long(ID)),
    "error": (b"E", b"S" + z("ERROR") + b"V" + z("ERROR") + b"C" + z("42P01") + b"M" + z("no") + b"P" + z("3") + b"\0"),
    "notice": (b"N", b"S" + z("NOTICE") + b"C" + z("00000") + b"M" + z("so") + b"\0"),
    "status": (b"S", z("client_encoding", "UTF8")),
    "key": (b"K", long(4711) + b"\1\2\3\4"),
    "notification": (b"A", long(1) + z("channel", "payload")),
    "copy in": (b"G", b"\0" + short(1) + short(0)),
    "copy out": (b"H", b"\0" + short(1) + short(0)),
    "sasl": (b"R", long(10) + z("SCRAM-SHA-256", "")),
    "scram": (b"R", long(11) + b"r=abc,s=QUJD,i=4096"),
    "scram end": (b"R", long(12) + b"v=QUJD"),
    "md5": (b"R", long(5) + b"salt"),
    "ok": (b"R", long(0)),
    "version": (b"v", long(0) + long(1) + z("_pq_.x")),
}


def startups():
    plain = long(196608) + z("user", "app", "database", "shop", "application_name", "psql") + b"\0"
    yield plain
    yield long(196610) + z("user", "u", "options", "-c search_path=public --work_mem=4MB", "_pq_.x", "1") + b"\0"
    yield long(196608) + z("user", "u", "client_encoding", "UTF8", "DateStyle", "ISO", "replication", "database") + b"\0"
    yield long(80877103)
    yield long(80877104)
    yield long(80877102) + long(1) + long(2)


def first_columns():
    for path in sorted((ROOT / "fixtures/sql").glob("*.tsv")):
        if path.name in ("dialects.tsv", "functions.tsv"):
            continue
        for line in path.read_text().splitlines():
            text = line.split("\t")[0]
            if not text or text.startswith("#"):
                continue
            if path.name == "lexical.tsv":
                text = json.loads(text)
            yield text.encode("utf-8", "surrogatepass")


def files(*patterns):
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            yield path.read_bytes()


def messages():
    return [tag + body for tag, body in [*CLIENT.values(), *SERVER.values()]]


def streams():
    client = [frame(*CLIENT[name]) for name in CLIENT]
    server = [frame(*SERVER[name]) for name in SERVER]
    for single in client + server:
        yield b"\7" + single
    yield b"\x0b" + b"".join(client)
    yield b"\x1d" + b"".join(server)
    for startup in startups():
        yield b"\3" + long(len(startup) + 4) + startup


def export_edits():
    yield b"\1"
    yield b"\3"
    for base in (1, 3):
        for how in range(8):
            for at in range(0, 18, 3):
                edit = bytes([how, 0, at, 0, at + 1])
                splice = bytes([0, 40, 1, 1]) + b"0"
                yield bytes([base]) + edit + splice + b"\5\0\0\0\0"


def store_edits():
    for how in range(6):
        for at in range(0, 60, 4):
            yield bytes([how, 0, at, 0, at + 1, 0, 20, 1, 1]) + b"0"


def plays():
    by_the_book = bytes([7, 0])
    for said in range(43):
        yield by_the_book + bytes([4, said, 7, 2, 4, 36, 7, 0])
        for how in (1, 3, 5, 6, 23):
            yield by_the_book + bytes([4, said, 4, 26, 4, 30, 4, 36, 6, how, 6, how, 6, how, 7, 0])
    for said in range(27):
        yield by_the_book + bytes([4, 0, 8, said, 7, 2])
    for text in list(first_columns())[::8]:
        if len(text) < 200:
            yield by_the_book + bytes([2, len(text)]) + text + bytes([7, 2])
            yield by_the_book + bytes([3, len(text)]) + text + bytes([4, 26, 4, 30, 4, 36, 7, 2])


def values():
    for which in range(40):
        for size in (0, 1, 2, 4, 8, 16):
            yield bytes([which]) + bytes(range(size))
    numeric = 35
    for words in ([2, 0, 0, 2, 12, 5000], [1, 1, 0x4000, 0, 3], [1, 0xFFFF, 0, 4, 7], [0, 0, 0xC000, 0]):
        yield bytes([numeric]) + b"".join(struct.pack("!H", word) for word in words)


def scram():
    yield b"r=abcd,s=W22Z,i=4096"
    yield b"d,s=W22Z,i=100000"
    yield b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    yield b"e=invalid-proof"


def sasl():
    firsts = (b"n,,n=,r=rOprNGfwEbeRWgbNEkqO", b"y,,n=*,r=abc", b"p=tls-server-end-point,,n=,r=abc,x=1")
    bearers = (b"n,,\1auth=\1\1", b"n,a=agent,\1host=gw\1port=6442\1auth=Bearer a.b-c==\1\1")
    for mechanism, messages in ((b"SCRAM-SHA-256-PLUS", firsts), (b"OAUTHBEARER", bearers)):
        for message in messages:
            yield message
            yield mechanism + b"\0" + struct.pack(">i", len(message)) + message
    proof = b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    yield b"c=biws,r=theirsours,p=" + proof
    yield b"c=eSws,r=theirsours,x=1,p=" + proof


def tokens():
    yield b"pct_" + b"A" * 86
    yield bytes([4, 1]) + b"A"
    yield bytes([89, 1]) + b"B"
    yield bytes([0, 0])


def providers():
    yield b"eyJhbGciOiJFZERTQSJ9.e30.AAAA"
    yield bytes([0, 40, 1]) + b"A"
    yield bytes([0, 0, 0])
    yield b'{"iss":"https://idp.example","aud":"portcullis","sub":"s","iat":1800000000,"exp":1800000060,"groups":["a"]}'
    yield b'{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'


def certificates():
    yield bytes([0, 0])
    yield bytes([128, 1]) + b"A"
    yield bytes([200, 8]) + b"agent-8"
    yield bytes([250, 64]) + bytes(64)


def revocations():
    def string(content):
        return long(len(content)) + content

    def serials(*numbers):
        return b"".join(struct.pack("!Q", number) for number in numbers)

    extension = string(b"later@example.com") + b"\0" + string(b"x")
    parts = {
        0x20: serials(5, 9),
        0x21: serials(10, 2**64 - 1),
        0x22: serials(60) + string(b"\0\x81\0"),
        0x23: string(b"alice") + string(b"bob"),
        0x39: extension,
    }
    parts = b"".join(bytes([kind]) + string(body) for kind, body in parts.items())
    key = string(b"ssh-ed25519") + string(bytes(32))
    sections = {
        1: string(key) + string(b"") + parts,
        2: string(key),
        3: string(bytes(20)),
        5: string(bytes(32)),
        255: extension,
    }
    sections = b"".join(bytes([kind]) + string(body) for kind, body in sections.items())
    yield parts
    yield sections
    yield b"SSHKRL\n\0" + long(1) + serials(7, 1_800_000_000, 0) + string(b"") + string(b"stolen") + sections
    line = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBF2fdpgSh/pv2oCKr3ALq1NbVVNiGBnxs7eXYzKM1KG"
    yield b"# stolen\n\n" + line + b" laptop\n"


def screens():
    escapes = [b"\x1b[0m", b"\x1b[2J\x1b[H", b"\x1b[?1049h", b"\x1b]0;t\x07", b"\x1bPq\x1b\\", b"\x1b(0", b"\r", b"\b"]
    escapes += [b"\xc2\x9b1m", b"\x1b[6n", b"\x1b]52;c;eA==\x1b\\"]
    values = [b"4111 1111 1111 1111", b"ann@example.com", b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"]
    for value in values:
        for escape in escapes:
            yield b"\x07" + value[:9] + escape + value[9:] + b"\r\n$ " + escape


def documents():
    value = b'{"a": "ann@example.com", "b": [{"c": 1, "\\u0061": null}], "x y": {"z": [true, -1.5e3]}, "4111111111111111": 4111111111111111}'
    yield value
    yield b'[' + value + b', "' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"]'
    for path in (b"$.a.b", b"$..a", b"$['x y'][0].*"):
        yield path


def runs(said):
    """What two sides say in turn, as the players of SSH's streams read it: a byte of side and length, then bytes."""
    for target, content in said:
        for at in range(0, len(content), 64):
            piece = content[at : at + 64]
            yield bytes([(0x80 if target else 0) | len(piece) - 1]) + piece


def text(content):
    return struct.pack("!I", len(content)) + content


def packet(kind, number, body=b""):
    return text(bytes([kind]) + struct.pack("!I", number) + body)


def sftp_packets():
    """Requests of version 3 (draft-ietf-secsh-filexfer-02), each with an answer that fits it."""
    no_attributes, handle, name = long(0), text(b"h"), text(b"a.txt")
    status, entry = long(0) + text(b"") + text(b""), long(1) + text(b"/x/y") + text(b"") + long(0)
    for kind, body, answer, result in [
        (3, name + long(1) + no_attributes, 102, handle),
        (3, name + long(0x1A) + no_attributes, 102, handle),
        (11, text(b"."), 102, handle),
        (5, handle + bytes(8) + long(32768), 103, text(b"data")),
        (6, handle + bytes(8) + text(b"data"), 101, status),
        (12, handle, 104, entry),
        (4, handle, 101, status),
        (7, name, 105, no_attributes),
        (8, handle, 105, no_attributes),
        (17, name, 105, no_attributes),
        (9, name + long(4) + long(0o644), 101, status),
        (10, handle + long(1) + bytes(8), 101, status),
        (13, name, 101, status),
        (14, name + no_attributes, 101, status),
        (15, name, 101, status),
        (16, text(b"."), 104, entry),
        (18, name + text(b"b.txt"), 101, status),
        (19, name, 104, entry),
        (20, text(b"b.txt") + name, 101, status),
        (200, text(b"posix-rename@openssh.com") + name + text(b"b.txt"), 101, status),
        (200, text(b"hardlink@openssh.com") + name + text(b"b.txt"), 101, status),
        (200, text(b"copy-data") + handle + bytes(16) + handle + bytes(8), 101, status),
        (200, text(b"statvfs@openssh.com") + name, 201, bytes(88)),
    ]:
        yield packet(kind, 7, body), packet(answer, 7, result)


def sftp():
    begin = [(False, text(b"\3" + long(3))), (True, text(b"\2" + long(3)))]
    opening = [(False, packet(3, 1, text(b"a.txt") + long(0x1A) + long(0))), (True, packet(102, 1, text(b"h")))]
    for seed in (b"\0", b"\1", b"\7"):
        for request, answer in sftp_packets():
            said = [(False, request), (True, answer)]
            yield seed + b"".join(runs(begin + said))
            yield seed + b"".join(runs(begin + opening + said))


def scp():
    put = [(True, b"\0"), (False, b"C0644 3 a\n"), (True, b"\0"), (False, b"one\0"), (True, b"\0")]
    tree = [(True, b"\0"), (False, b"T1 0 1 0\n"), (True, b"\0"), (False, b"D0755 0 b\n"), *put, (False, b"E\n")]
    odd = [(True, b"\0"), (False, b"C0644 0 ..\n"), (True, b"\1no\n"), (False, b"\2no\n")]
    for seed in range(16):
        for said in (put, tree, odd):
            # Of the two ends, the lowest bit says which one takes.
            yield bytes([seed]) + b"".join(runs((target ^ (seed & 1 == 1), content) for target, content in said))


def keys():
    """The keys of fixtures/guarded: ^X a control character, \\e escape, \\xNN a byte, \\\\ a backslash."""
    meant = re.compile(rb"\^(.)|\\x([0-9a-f]{2})|\\(e)|\\(.)")

    def byte(found):
        control, number, escape, itself = found.groups()
        if control:
            return bytes([control[0] & 0x1F])
        return bytes([int(number, 16)]) if number else b"\x1b" if escape else itself

    for name, column in (("keys", 0), ("screens", 2)):
        for line in (ROOT / f"fixtures/guarded/{name}.tsv").read_bytes().splitlines():
            if line and not line.startswith(b"#"):
                typed = meant.sub(byte, line.split(b"\t")[column])
                yield b"\0" + typed
                yield b"\x82" + typed
    for trailer in (b"\x1b]7337;n e 0 /a /", b"\x1b]7337;n x 3 / / x:1=$'a\\nb'\x07"):
        yield b"\3out" + trailer + b"more"


def rows(name):
    for line in (ROOT / f"fixtures/http/{name}.tsv").read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def messages_of_http():
    for _, method, headers, body in rows("mcp"):
        lines = [f"{method} /", *(line for line in headers.split(" | ") if line)]
        yield ("\n".join(lines) + "\n\n" + body).encode()


def heads():
    for _, path in rows("paths"):
        yield path.encode()
        yield f"GET /crm{path}\nhost: gw\nauthorization: Bearer x\nprefer: respond-async".encode()


TURN = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"SECRET"}],"tools":[{"name":"Bash"}]}'


def requests_of_http():
    for which in range(3):
        yield bytes([which]) + b"POST /\n\n" + TURN
        for message in messages_of_http():
            yield bytes([which]) + message
    yield b"\3POST /\n\n" + b'{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]},{"type":"function_call","call_id":"c","name":"Bash","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"a SECRET"}],"tools":[{"type":"function","name":"Bash"}],"stream":true}'


def answers():
    events = [
        '{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[]}}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_1","name":"Bash","input":{}}}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\\"command\\":\\"ls\\"}"}}',
        '{"type":"content_block_stop","index":0}',
        '{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":2}}',
        '{"type":"message_stop"}',
        '{"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":"a SECRET"},"finish_reason":"stop"}]}',
        "[DONE]",
        '{"type":"response.created","response":{"id":"r","object":"response","status":"in_progress","output":[]}}',
        '{"type":"response.output_item.added","output_index":0,"item":{"id":"f","type":"function_call","call_id":"c","name":"Bash","arguments":""}}',
        '{"type":"response.function_call_arguments.delta","output_index":0,"item_id":"f","delta":"{\\"command\\":\\"ls\\"}"}',
        '{"type":"response.output_item.done","output_index":0,"item":{"id":"f","type":"function_call","call_id":"c","name":"Bash","arguments":"{\\"command\\":\\"ls\\"}"}}',
        '{"type":"response.completed","response":{"id":"r","object":"response","status":"completed","output":[]}}',
        '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"a SECRET"}]}}',
        '{"ssn":"1","a":["SECRET"]}',
    ]
    stream = "".join(f"data: {event}\n\n" for event in events).encode()
    for which in range(36):
        yield bytes([which, 7]) + stream
        for event in events:
            yield bytes([which, 3]) + event.encode()


def codings():
    for content in (gzip.compress(b"{}" * 99, mtime=0), zlib.compress(b"{}" * 99), b"\x0b\x00\x80{}\x03"):
        yield b"\3" + content


def lines_of_shell():
    for path in sorted((ROOT / "fixtures/shell").glob("*.tsv")):
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                escaped = {"n": "\n", "t": "\t", "\\": "\\"}
                yield re.sub(r"\\(.)", lambda found: escaped.get(found[1], found[0]), line.split("\t")[0]).encode()


def detected():
    for line in (ROOT / "fixtures/masking/detectors.tsv").read_text().splitlines():
        if line and not line.startswith("#"):
            value = json.loads(line.split("\t")[1]).encode("utf-8", "surrogatepass")
            yield b"\0" + value
            yield b"\x06a " + value + b"\n"


def masked_rows():
    cells = [b"7", b"a value", b"{1,2}", b"41", b'{"pan":"4111111111111111"}']
    for seed in range(4):
        yield bytes([seed]) + b"".join(cells)
        body = short(len(cells)) + b"".join(long(len(cell)) + cell for cell in cells)
        yield bytes([seed]) + frame(b"D", body)
        yield bytes([seed]) + frame(b"D", short(5) + long(-1) * 5)


def copies():
    text = b"7\ta\\tb\t{1,2}\t\\N\t41\n8\t\tx\t1\t2\n\\.\n"
    csv = b'7,"a ""b"",\nc","{1,2}",,41\n8,,x,1,2\n'
    tuples = b"".join(short(5) + b"".join(long(1) + b"7" for _ in range(5)) for _ in range(2))
    binary = b"PGCOPY\n\xff\r\n\0" + long(0) + long(0) + tuples + short(-1)
    for seed in range(15):
        for content in (text, csv, binary):
            yield bytes([seed]) + content


def frames():
    # Which side, how much a message may hold, and how the bytes are cut stand in the first byte.
    pieces = b"\x01\x02h\xc3\x89\x01!\x00\x02\xabl\x80\x02lo\x82\x01\x00\x8a\x00\x88\x02\x03\xe9"
    masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8"
    for how in (0x0F, 0x1F, 0x3F):
        yield bytes([how]) + pieces
        yield bytes([how & 0xFE]) + masked
        yield bytes([how]) + b"\x82\x7e\x00\x7e" + bytes(126)


def stored(target):
    return lambda: files(f"fuzz/seeds/{target}/*")


SEEDS = {
    "approvals_stored": lambda: (content + bytes(8) for content in files("fuzz/seeds/approvals_stored/*")),
    "audit_export": export_edits,
    "audit_screen": screens,
    "audit_store": store_edits,
    "config_document": lambda: files("fixtures/config/*/*.yaml"),
    "console_token": stored("console_token"),
    "http_answers": answers,
    "http_coding": codings,
    "http_document": lambda: (row[1].encode() for row in rows("tools")),
    "http_events": lambda: (content[1:] for content in answers()),
    "http_head": heads,
    "http_mcp": messages_of_http,
    "http_request": requests_of_http,
    "http_tool": lambda: ("\0".join(row[:2]).encode() for row in rows("tools")),
    "http_websocket": frames,
    "identity_certificate": certificates,
    "identity_krl": revocations,
    "identity_oidc": providers,
    "identity_stored": stored("identity_stored"),
    "identity_token": tokens,
    "masking_detect": detected,
    "masking_json": documents,
    "masking_terminal": screens,
    "policy_set": lambda: files("fixtures/policy/*/*.yaml", "policies/*.yaml"),
    "postgres_core": plays,
    "postgres_frame": streams,
    "postgres_login": scram,
    "postgres_mask_copy": copies,
    "postgres_mask_row": masked_rows,
    "postgres_message": messages,
    "postgres_sasl": sasl,
    "postgres_startup": startups,
    "postgres_values": values,
    "shell_read": lines_of_shell,
    "sql_lexical": first_columns,
    "sql_read": first_columns,
    "ssh_guarded": keys,
    "ssh_scp": scp,
    "ssh_sftp": sftp,
}


def main():
    target, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for content in SEEDS.get(target, lambda: [])():
        (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)


if __name__ == "__main__":
    main()
