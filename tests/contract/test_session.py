"""What every session can do, whatever carries it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kprov.transport import Count, Session, Transport
from kprov.transport import pump as pump_module
from kprov.transport.local import LocalSession
from kprov.values.errors import TransportError

FIVE_MB = bytes(range(256)) * (5 * 4096)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or while it was read
        return False


def test_streams_and_exit_code_are_kept_apart(session: Session) -> None:
    result = session.execute("echo out; echo err >&2; exit 7")
    assert (result.status, result.stdout, result.stderr) == (7, b"out\n", b"err\n")


def test_five_megabytes_there_and_back(session: Session) -> None:
    assert session.execute("cat", stdin=FIVE_MB).stdout == FIVE_MB


def test_streamed_input_arrives_in_order(session: Session) -> None:
    pieces = [bytes([number]) * 300_000 for number in range(10)]
    assert session.execute("cat", stdin=iter(pieces)).stdout == b"".join(pieces)


def test_both_outputs_and_input_big_at_once(session: Session) -> None:
    command = "head -c 5000000 /dev/zero >&2 & head -c 5000000 /dev/zero; wait; wc -c >&2"
    result = session.execute(command, stdin=FIVE_MB)
    assert (len(result.stdout), result.stderr[:5_000_000].count(0)) == (5_000_000, 5_000_000)
    assert result.stderr[5_000_000:].strip() == str(len(FIVE_MB)).encode()


def test_input_nobody_reads_is_no_error(session: Session) -> None:
    assert session.execute("exec 0<&-; echo done; exit 3", stdin=FIVE_MB).status == 3


def test_signal_is_status_minus_one(session: Session) -> None:
    assert session.execute("kill -9 $$").status == -1


def test_syntax_error_is_the_commands_own(session: Session) -> None:
    result = session.execute("if then")
    assert result.status == 2
    assert b"yntax" in result.stderr


@pytest.mark.parametrize("text", ["ünïcödé ☃", "a'b\"c", "$HOME `id` \\ !x", "*?[a]", "-n", "tab\tand\nnewline", "%s"])
def test_command_text_arrives_unchanged(session: Session, text: str) -> None:
    import shlex

    assert session.execute(f"printf %s {shlex.quote(text)}").stdout.decode() == text


def test_locale_is_c(session: Session) -> None:
    assert session.execute("printf %s $LC_ALL").stdout == b"C"


def test_nothing_on_a_host_goes_through_its_proxy(real: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root's logins have one from /etc/environment: it is for the internet, and the cluster is not there."""
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")  # as this machine's own session has it; sshd's passes none on
    done = real.execute("env | grep -i no_proxy | sort", root=False)
    host_has = "localhost,127.0.0.1" if isinstance(real, LocalSession) else ""
    assert done.stdout.decode().splitlines() == [f"KPROV_NO_PROXY={host_has}", "NO_PROXY=*", "no_proxy=*"]


def test_output_comes_as_it_is_printed(session: Session) -> None:
    pieces: list[bytes] = []
    result = session.execute("echo one; echo two", on_output=pieces.append)
    assert b"".join(pieces) == result.stdout == b"one\ntwo\n"


def test_counters_are_exact(transport: Transport, session: Session) -> None:
    for _ in range(3):
        session.execute("cat; echo xy >&2", stdin=b"abc")
    assert transport.counters["one"] == Count(connections=1, execs=3, bytes_sent=9, bytes_received=18)
    assert transport.counters["other"] == Count()
    assert transport.counters.total == transport.counters["one"]


def test_several_commands_at_once(session: Session) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: session.execute(f"cat; exit {n}", stdin=b"%d" % n), range(8)))
    assert [(result.status, result.stdout) for result in results] == [(n, b"%d" % n) for n in range(8)]


def test_hold_keeps_the_command_until_closed(session: Session) -> None:
    held = session.hold("echo held; cat")
    assert held.first_line(10) == "held"
    assert held.alive
    assert session.execute("echo meanwhile").stdout == b"meanwhile\n"
    assert held.close().status == 0
    assert not held.alive
    assert held.lines == ("held",)


def test_what_is_written_to_a_held_command_is_read_while_it_runs(real: Session) -> None:
    held = real.hold('read -r line; echo "got $line"; cat > /dev/null; echo end')
    held.write(b"one 'two' $(three)\n")
    assert held.first_line(10) == "got one 'two' $(three)"
    assert held.alive
    assert held.close().status == 0
    assert held.lines[-1] == "end"


def test_hold_of_a_command_that_gives_up(session: Session) -> None:
    held = session.hold("echo busy: somebody; exit 75")
    assert held.first_line(10) == "busy: somebody"
    assert until(lambda: not held.alive)
    assert held.close().status == 75


def test_hold_without_a_line(session: Session) -> None:
    assert session.hold("exit 4").first_line(10) == ""


def test_closed_session_refuses(session: Session) -> None:
    held = session.hold("echo held; cat")
    held.first_line(10)
    session.close()
    with pytest.raises(TransportError, match="connection lost"):
        session.execute("true")
    with pytest.raises(TransportError, match="connection lost"):
        held.close()


def test_a_file_is_fetched_whole(session: Session, transport: Transport, tmp_path: Path) -> None:
    file = tmp_path / "it's a $file"
    file.write_bytes(FIVE_MB)
    pieces: list[bytes] = []
    before = transport.counters["one"]
    assert session.fetch(str(file), pieces.append) == len(FIVE_MB)
    assert b"".join(pieces) == FIVE_MB
    after = transport.counters["one"]
    assert (after.execs - before.execs, after.bytes_received - before.bytes_received) == (1, len(FIVE_MB))


def test_a_file_that_cannot_be_read_is_an_error_and_not_an_empty_one(session: Session, tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "one"), (tmp_path, "directory")):
        with pytest.raises(TransportError, match="could not be read") as caught:
            session.fetch(str(path), lambda _: None)
        assert str(path) in caught.value.found
        assert why in caught.value.log


def test_a_sink_that_fails_is_the_callers_error(real: Session, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(FIVE_MB)

    def full(_: bytes) -> None:
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        real.fetch(str(tmp_path / "file"), full)
    assert real.execute("echo usable").stdout == b"usable\n"


def test_a_large_file_is_never_in_memory(real: Session, tmp_path: Path) -> None:
    """300 MB, with a sink that is slower than the host at first: the host has to wait, and no buffer grows."""
    size = 300 * 1000 * 1000
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again with what is there now
    before = _peak()
    count = 0

    def sink(piece: bytes) -> None:
        nonlocal count
        if count == 0:
            time.sleep(1)
        count += len(piece)

    assert real.fetch(str(tmp_path / "large"), sink) == count == size
    assert _peak() - before < 64 * 1024


def _peak() -> int:
    """KiB that this process had in memory at most."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def test_timeout_stops_the_command(real: Session) -> None:
    seen: list[bytes] = []
    with pytest.raises(TransportError, match="too long") as caught:
        real.execute("echo $$; exec sleep 600", timeout=0.5, on_output=seen.append)
    assert "stopped after 0." in caught.value.found
    pid = b"".join(seen).decode().strip()
    assert until(lambda: not runs(pid))
    assert real.execute("echo usable").stdout == b"usable\n"


def test_first_line_has_a_timeout(real: Session) -> None:
    held = real.hold("cat")
    with pytest.raises(TransportError, match="no line"):
        held.first_line(0.2)
    assert held.close().status == 0


def test_streamed_input_is_never_all_in_memory(real: Session) -> None:
    produced = 0

    def pieces() -> Iterator[bytes]:
        nonlocal produced
        for _ in range(1000):
            produced += 1
            yield bytes(1 << 20)

    with pytest.raises(TransportError, match="too long"):
        real.execute("exec sleep 600", stdin=pieces(), timeout=0.7)
    assert produced < 100


def test_failing_input_is_the_callers_error(real: Session) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"begin"
        raise ValueError("the file vanished")

    with pytest.raises(ValueError, match="vanished"):
        real.execute("cat", stdin=pieces())
    assert real.execute("echo usable").stdout == b"usable\n"


def test_failing_listener_is_the_callers_error(real: Session) -> None:
    def listen(data: bytes) -> None:
        raise RuntimeError("display is gone")

    with pytest.raises(RuntimeError, match="display"):
        real.execute("echo x; cat", on_output=listen)


def test_endless_output_is_stopped(real: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "MAX_OUTPUT", 1_000_000)
    with pytest.raises(TransportError, match="too much"):
        real.execute("exec cat /dev/zero")


def test_command_running_when_the_session_closes(real: Session) -> None:
    started = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            real.execute("echo x; exec sleep 600", on_output=lambda _: started.set())
        except TransportError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(10)
    real.close()
    thread.join(10)
    assert "connection lost" in str(errors[0])
