"""asyncssh: programs side by side, terminals and their sizes, signals, file transfers, and requests out of order."""

import asyncio
import os

import asyncssh

from checks import check, equal, finish, gateway, parameters, report, selected

P = parameters()
WAIT = 60


def connected():
    return asyncssh.connect(P["host"], int(P["port"]), username=P["user"], client_keys=[P["key"]], agent_path=None,
                            known_hosts=P["known_hosts"], config=None)


async def refused(awaitable, *kinds):
    try:
        await awaitable
    except kinds as error:
        return str(error)
    raise AssertionError("it was not refused")


@check
async def output_and_status():
    async with connected() as conn:
        done = await conn.run("echo out; echo err >&2; exit 7")
        equal((done.stdout, done.stderr, done.exit_status), ("out\n", "err\n", 7))


@check
async def many_programs_side_by_side():
    async with connected() as conn:
        data = os.urandom(200_000)
        done = await asyncio.gather(*(conn.run("cat", input=data, encoding=None) for _ in range(8)))
        equal([one.stdout == data and one.exit_status == 0 for one in done], [True] * 8)


@gateway
async def a_refusal_has_words_and_a_status():
    async with connected() as conn:
        done = await conn.run("python3")
        equal((done.stdout, done.exit_status), ("", 126))
        assert "refused by policy" in done.stderr, done.stderr


@gateway
async def a_terminal_and_its_first_size():
    async with connected() as conn:
        done = await conn.run("tty", term_type="xterm", term_size=(100, 30))
        # A server that is not root may get none (devpts without gid=5): then it says so, and the gateway still has an end.
        assert done.stdout.startswith("/dev/pts/") or done.exit_status != 0, done.stdout


@check
async def a_signal_ends_a_program():
    async with connected() as conn:
        process = await conn.create_process("echo began; cat")
        equal(await process.stdout.readline(), "began\n")
        process.send_signal("TERM")
        done = await asyncio.wait_for(process.wait(), WAIT)
        assert done.exit_signal or done.exit_status, done


@check
async def files_come_and_go():
    data = os.urandom(2_000_003)
    async with connected() as conn, conn.start_sftp_client() as sftp:
        where = f"{P['work']}/asyncssh"
        await sftp.mkdir(where)
        async with sftp.open(f"{where}/a", "wb") as file:
            await file.write(data)
        async with sftp.open(f"{where}/a", "rb") as file:
            equal(await file.read() == data, True)
        await sftp.posix_rename(f"{where}/a", f"{where}/b")
        equal(sorted(await sftp.listdir(where)), [".", "..", "b"])
        equal([name async for name in sftp.scandir(where) if name.filename == "b"] != [], True)
        await sftp.rmtree(where)
        equal(os.path.exists(where), False)


@gateway
async def a_refused_file_says_why():
    async with connected() as conn, conn.start_sftp_client() as sftp:
        said = await refused(sftp.open(f"{P['work']}/secret.txt", "rb"), asyncssh.SFTPPermissionDenied)
        assert "Ask the owner" in said, said
        await refused(sftp.symlink(f"{P['work']}/secret.txt", f"{P['work']}/innocent"), asyncssh.SFTPError)
        await refused(sftp.link(f"{P['work']}/secret.txt", f"{P['work']}/twin"), asyncssh.SFTPError)
        equal(os.path.lexists(f"{P['work']}/twin"), False)
        await sftp.mkdir(f"{P['work']}/after-refusals")


@gateway
async def forwarding_and_odd_channels_are_refused():
    async with connected() as conn:
        await refused(conn.open_unix_connection("/tmp/any"), asyncssh.ChannelOpenError)
        await refused(conn.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 1), asyncssh.ChannelListenError)
        done = await conn.run("echo on")
        equal(done.stdout, "on\n")


@gateway
async def requests_out_of_order_are_refused_and_the_program_goes_on():
    async with connected() as conn:
        process = await conn.create_process("cat")
        opened = process.channel
        for request, *arguments in ((b"exec", asyncssh.packet.String(b"echo two")), (b"shell",),
                                    (b"subsystem", asyncssh.packet.String(b"sftp")),
                                    (b"pty-req", asyncssh.packet.String(b"xterm"), *[asyncssh.packet.UInt32(9)] * 4,
                                     asyncssh.packet.String(b"\0")),
                                    (b"nobody-knows@example.com",)):
            equal(await asyncio.wait_for(opened._make_request(request, *arguments), WAIT), False)
        process.stdin.write("still here\n")
        process.stdin.write_eof()
        done = await asyncio.wait_for(process.wait(), WAIT)
        equal((done.stdout, done.exit_status), ("still here\n", 0))


@gateway
async def a_terminal_asked_for_with_a_strange_name_is_refused():
    async with connected() as conn:
        await refused(conn.run("tty", term_type="x\x1b]0;y\x07"), asyncssh.ChannelOpenError)


async def run(chosen):
    for function in chosen:
        await asyncio.wait_for(function(), 4 * WAIT)
        report(function.__name__)


def main():
    chosen = selected()
    asyncio.run(run(chosen))
    finish(len(chosen))


if __name__ == "__main__":
    main()
