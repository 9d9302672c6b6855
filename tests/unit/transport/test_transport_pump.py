"""The dialogue with sudo and the order of bytes, played with scripted streams."""

from __future__ import annotations

import queue

import pytest

from kprov.transport import pump as pump_module
from kprov.transport.outcome import result_of
from kprov.transport.pump import Outcome, Pump
from kprov.transport.shell import Wrapped
from kprov.values.errors import TransportError
from kprov.values.secret import Secret

ASKING = Wrapped(line="", mark=b"MARK", prompt=b"PROMPT:", password=Secret("tell nobody"))
PLAIN = Wrapped(line="", mark=b"MARK")


class Scripted:
    """Streams of a command that answers each write by what `script` says, and starts with its first entry."""

    def __init__(self, *script: bytes, ends: bool = True) -> None:
        self.script = list(script)
        self.ends = ends
        self.written: list[bytes] = []
        self.aborted = False
        self.out: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.err: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._next()

    def _next(self) -> None:
        if self.script:
            said = self.script.pop(0)
            self.err.put(said)
            if b"MARK" in said:
                self.out.put(b"MARK")
        if not self.script and self.ends:
            self.abort_streams()

    def abort_streams(self) -> None:
        self.out.put(b"")
        self.err.put(b"")

    def read_output(self) -> bytes:
        return self.out.get(timeout=10)

    def read_error(self) -> bytes:
        return self.err.get(timeout=10)

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self._next()

    def end_input(self) -> None:
        self.written.append(b"<end>")

    def abort(self) -> None:
        self.aborted = True
        self.abort_streams()

    def status(self) -> int:
        return 1


def play(pipes: Scripted, wrapped: Wrapped = ASKING, stdin: bytes = b"payload") -> Outcome:
    return Pump(pipes, wrapped, stdin, None, None).run()


def test_password_then_payload_only_after_the_start() -> None:
    pipes = Scripted(b"lecture\nPROM", b"PT:", b"\nMARK", b"err")
    pipes.script.insert(0, b"")
    pipes.err.put(b"PT:")
    pipes.script[:] = [b"\nMARK", b"err"]
    outcome = play(pipes)
    assert pipes.written[:2] == [b"tell nobody\n", b"payload"]
    assert outcome.started
    assert (outcome.stderr, outcome.sent) == (b"err", 7)
    assert b"lecture" in outcome.noise


def test_no_prompt_no_password() -> None:
    pipes = Scripted(b"MARK", b"")
    assert play(pipes).started
    assert pipes.written[0] == b"payload"


def test_second_prompt_is_the_end() -> None:
    pipes = Scripted(b"PROMPT:", b"\nSorry, try again.\nPROMPT:", ends=False)
    outcome = play(pipes)
    assert pipes.written == [b"tell nobody\n", b"<end>"]
    assert pipes.aborted
    assert (outcome.stopped, outcome.started) == ("password", False)
    with pytest.raises(TransportError, match="refused the password"):
        result_of(outcome, ASKING, "h", sudo=True, seconds=1, lost=None)


def test_refusal_gets_no_password_and_no_payload() -> None:
    pipes = Scripted(b"bob is not in the sudoers file")
    outcome = play(pipes)
    assert pipes.written == [b"<end>"]
    with pytest.raises(TransportError, match="may not use sudo"):
        result_of(outcome, ASKING, "h", sudo=True, seconds=1, lost=None)


def test_silent_sudo_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "PROMPT_SECONDS", 0.05)
    pipes = Scripted(b"Verification code: ", ends=False)
    outcome = play(pipes)
    assert outcome.stopped == "prompt"
    with pytest.raises(TransportError, match="neither asked"):
        result_of(outcome, ASKING, "h", sudo=True, seconds=1, lost=None)


def test_big_input_is_cut_in_pieces() -> None:
    pipes = Scripted(b"MARK", ends=False)
    pipes.script = [b"", b"", b"", b"x"]
    pipes.ends = True
    data = bytes(3 * pump_module.CHUNK + 5)
    assert play(pipes, PLAIN, data).sent == len(data)
    assert [len(piece) for piece in pipes.written[:-1]] == [pump_module.CHUNK] * 3 + [5]


def test_lost_connection_tells_how_long_and_what_was_said() -> None:
    outcome = Outcome(
        status=-1, stdout=b"half an answer\n", stderr=b"step 1\nstep 2\n", noise=b"", started=True, stopped="", sent=0
    )
    with pytest.raises(TransportError) as caught:
        result_of(outcome, PLAIN, "h", sudo=False, seconds=12.34, lost="the host hung up")
    assert caught.value.found == "the host hung up after 12.3 s"
    assert caught.value.log == "step 1\nstep 2"
    assert result_of(outcome, PLAIN, "h", sudo=False, seconds=1, lost=None).status == -1
