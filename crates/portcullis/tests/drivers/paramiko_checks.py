"""paramiko: programs, file transfers, shells, and what a careless client sends in the wrong order."""

import os
import threading

import paramiko

from checks import check, equal, finish, gateway, parameters, report, selected

P = parameters()
WAIT = 60


def connected():
    client = paramiko.SSHClient()
    client.load_host_keys(P["known_hosts"])
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(P["host"], int(P["port"]), P["user"], key_filename=P["key"], allow_agent=False, look_for_keys=False)
    return client


def unproved():
    transport = paramiko.Transport((P["host"], int(P["port"])))
    transport.start_client(timeout=WAIT)
    return transport


def channel(client):
    opened = client.get_transport().open_session(timeout=WAIT)
    opened.settimeout(WAIT)
    return opened


def drained(opened):
    """Both outputs to their ends, read side by side, and the status."""
    err = []
    reader = threading.Thread(target=lambda: err.append(opened.makefile_stderr("rb").read()))
    reader.start()
    out = opened.makefile("rb").read()
    reader.join()
    return out, err[0], opened.recv_exit_status()


def ran(client, command, data=b""):
    opened = channel(client)
    opened.exec_command(command)
    if data:
        opened.sendall(data)
    opened.shutdown_write()
    return drained(opened)


def fails(act, kind=paramiko.SSHException):
    try:
        act()
    except kind as error:
        return str(error)
    raise AssertionError(f"{act} was not refused")


@check
def output_and_status():
    with connected() as client:
        equal(ran(client, "echo out; echo err >&2; exit 7"), (b"out\n", b"err\n", 7))
        equal(ran(client, "cat", b"x" * 300_000), (b"x" * 300_000, b"", 0))


@gateway
def a_refusal_has_words_and_a_status():
    with connected() as client:
        out, err, status = ran(client, "python3 -c 1")
        equal((out, status), (b"", 126))
        assert b"refused by policy" in err, err
        equal(ran(client, "echo on"), (b"on\n", b"", 0))


@check
def ten_thousand_single_bytes():
    with connected() as client:
        opened = channel(client)
        opened.exec_command("cat")
        for number in range(10_000):
            opened.sendall(bytes([number % 251]))
        opened.shutdown_write()
        out, err, status = drained(opened)
        equal((len(out), err, status), (10_000, b"", 0))
        equal(out, bytes(number % 251 for number in range(10_000)))


@check
def files_are_put_listed_renamed_and_fetched():
    data = os.urandom(2_000_003)
    with connected() as client, client.open_sftp() as sftp:
        where = f"{P['work']}/paramiko"
        sftp.mkdir(where)
        with sftp.open(f"{where}/a", "wb") as file:
            file.set_pipelined(True)
            file.write(data)
        sftp.rename(f"{where}/a", f"{where}/b")
        equal(sftp.listdir(where), ["b"])
        equal(sftp.stat(f"{where}/b").st_size, len(data))
        with sftp.open(f"{where}/b", "rb") as file:
            file.prefetch()
            equal(file.read() == data, True)
        with sftp.open(f"{where}/b", "r+b") as file:
            file.seek(10)
            file.write(b"changed")
            file.truncate(100)
        with sftp.open(f"{where}/b", "rb") as file:
            equal(file.read(), data[:10] + b"changed" + data[17:100])
        sftp.remove(f"{where}/b")
        sftp.rmdir(where)


@gateway
def a_refused_file_says_why_and_the_transfer_goes_on():
    with connected() as client, client.open_sftp() as sftp:
        for act in (lambda: sftp.open(f"{P['work']}/secret.txt"), lambda: sftp.remove(f"{P['work']}/secret.txt"),
                    lambda: sftp.open(f"{P['work']}/secret.new", "w"), lambda: sftp.chmod(f"{P['work']}/secret.txt", 0o777),
                    lambda: sftp.open("/tmp/not-ours", "w")):
            fails(act, PermissionError)
        sftp.mkdir(f"{P['work']}/after")


@gateway
def a_second_program_on_a_channel_is_refused():
    with connected() as client:
        opened = channel(client)
        opened.exec_command("cat")
        fails(lambda: opened.exec_command(f"touch {P['work']}/second"))
        equal(os.path.exists(f"{P['work']}/second"), False)
        equal(ran(client, "echo on"), (b"on\n", b"", 0))


@gateway
def a_terminal_behind_the_program_is_refused():
    with connected() as client:
        opened = channel(client)
        opened.exec_command("cat")
        fails(opened.get_pty)
        equal(ran(client, "echo on"), (b"on\n", b"", 0))


@gateway
def other_subsystems_are_refused():
    with connected() as client:
        opened = channel(client)
        opened.invoke_subsystem("netconf")
        out, err, status = drained(opened)
        equal((out, status), (b"", 126))
        assert b"refused by policy" in err, err


@gateway
def forwarding_is_refused():
    with connected() as client:
        fails(lambda: channel(client).request_x11())
        fails(lambda: client.get_transport().request_port_forward("127.0.0.1", 0))
        opened = channel(client)
        opened.request_forward_agent(lambda _: None)
        opened.exec_command("printenv SSH_AUTH_SOCK")
        opened.shutdown_write()
        equal(drained(opened), (b"", b"", 1))


@gateway
def data_before_the_program_is_nobodys():
    with connected() as client:
        opened = channel(client)
        opened.sendall(b"early")
        opened.exec_command("cat")
        opened.sendall(b"late")
        opened.shutdown_write()
        equal(drained(opened), (b"late", b"", 0))


@gateway
def many_and_long_variables_change_nothing():
    with connected() as client:
        opened = channel(client)
        for number in range(300):
            opened.set_environment_variable(f"LC_{'ABCDEFGHIJ'[number % 10]}", "C")
        opened.set_environment_variable("LANG", "x" * 30_000)
        opened.set_environment_variable("A" * 10_000, "x")
        opened.exec_command("printenv LANG LC_A")
        opened.shutdown_write()
        equal(drained(opened), (b"C\n", b"", 1))


@gateway
def channels_are_bounded_and_those_that_are_open_work():
    with connected() as client:
        opened, refused = [], 0
        for _ in range(100):
            try:
                opened.append(channel(client))
            except paramiko.ChannelException:
                refused += 1
        assert len(opened) >= 10 and refused > 0, (len(opened), refused)
        for number, one in enumerate(opened[:5] + opened[-5:]):
            one.exec_command(f"echo {number}")
            one.shutdown_write()
            equal(drained(one), (f"{number}\n".encode(), b"", 0))
        for one in opened:
            one.close()
        equal(ran(client, "echo on"), (b"on\n", b"", 0))


@gateway
def nobody_is_let_in_without_a_proof():
    transport = unproved()
    fails(lambda: transport.auth_none(P["user"]), paramiko.BadAuthenticationType)
    transport.close()


@gateway
def wrong_passwords_are_limited():
    transport, tried = unproved(), 0
    while transport.is_active() and tried < 100:
        tried += 1
        try:
            transport.auth_password(P["user"], f"wrong-{tried}", fallback=False)
        except paramiko.AuthenticationException:
            continue
        except (paramiko.SSHException, EOFError):
            break
    assert 1 < tried <= 20, tried
    equal(transport.is_authenticated(), False)
    transport.close()


@gateway
def a_token_is_a_password():
    transport = unproved()
    transport.auth_password(P["user"], P["token"])
    equal(transport.is_authenticated(), True)
    transport.close()


@gateway
def unreadable_commands_are_refused():
    with connected() as client:
        for command in (b"echo a\0touch b", b"echo \xff\xfe", b"echo a\x1b[2J"):
            out, err, status = ran(client, command)
            equal((out, status), (b"", 126))
            assert b"portcullis:" in err, (command, err)
        equal(ran(client, ""), (b"", b"", 0))
        equal(ran(client, "echo on"), (b"on\n", b"", 0))


@gateway
def a_long_command_runs_or_says_why_not():
    with connected() as client:
        out, err, status = ran(client, "echo " + "x" * 100_000)
        equal((len(out), err, status), (100_001, b"", 0))
        out, err, status = ran(client, "echo " + "x" * 200_000)
        assert status in (0, 1, 126, 127, 255) and (status == 0) == (len(out) == 200_001), (status, err, len(out))
        if status:
            assert err, "it says nothing"
        equal(ran(client, "echo on"), (b"on\n", b"", 0))


@gateway
def a_guarded_shell_on_a_terminal():
    with connected() as client:
        probe = channel(client)
        probe.get_pty()
        probe.exec_command("tty")
        if drained(probe)[0][:9] != b"/dev/pts/":
            print("skipped: the server gets no terminal here")
            return
        opened = client.invoke_shell("xterm", 100, 30)
        opened.settimeout(WAIT)
        shown = b""

        def until(wanted):
            nonlocal shown
            while wanted not in shown:
                piece = opened.recv(4096)
                assert piece, (wanted, shown)
                shown += piece
            before, _, shown = shown.partition(wanted)
            return before

        # What is typed while a line runs is its program's, so each line waits for its prompt.
        until(b"$ ")
        opened.sendall(b"seq 41 43\r")
        until(b"41\r\n42\r\n43\r\n")
        until(b"$ ")
        opened.sendall(b"python3\r")
        until(b"refused by policy")
        until(b"$ ")
        opened.resize_pty(160, 20)
        opened.sendall(f"cd {P['work']}\r".encode())
        until(b"$ ")
        opened.sendall(b"pwd\r")
        until(f"{P['work']}\r\n".encode())
        until(b"$ ")
        opened.sendall(b"exit 5\r")
        equal(opened.recv_exit_status(), 5)


def main():
    chosen = selected()
    for function in chosen:
        function()
        report(function.__name__)
    finish(len(chosen))


if __name__ == "__main__":
    main()
