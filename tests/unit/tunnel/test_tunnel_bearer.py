"""A password that a browser shows, and the bearer token that the page gets in its place: whole requests, byte by byte."""

from __future__ import annotations

import base64
import re

import pytest

from kprov.transport.base import Stream
from kprov.tunnel.bearer import USER, BearerStream, Renewed, Requests
from kprov.tunnel.target import TOKEN_SECONDS, Token
from kprov.values.errors import TransportError
from kprov.values.secret import Secret

PASSWORD = "s3cret-for-this-block"


def basic(password: str = PASSWORD, user: str = USER) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def request(line: str, *headers: str, body: str = "") -> bytes:
    return "\r\n".join([line, "Host: 127.0.0.1:8427", *headers, "", body]).encode()


def requests() -> Requests:
    return Requests(Secret(PASSWORD), "one.two.three")


def logins(text: bytes) -> list[bytes]:
    return [line for line in text.split(b"\r\n") if line.lower().startswith(b"authorization")]


def test_who_shows_the_password_is_sent_on_with_the_token_alone() -> None:
    asked = request("GET /vmui/?q=a%20b HTTP/1.1", f"Authorization: {basic()}", "Accept: */*")
    made = requests().feed(asked)
    assert made.startswith(b"GET /vmui/?q=a%20b HTTP/1.1\r\n")
    assert b"Accept: */*\r\n" in made
    assert logins(made) == [b"Authorization: Bearer one.two.three"]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (f"Authorization: {basic('wrong')}",),
        (f"Authorization: {basic(user='admin')}",),
        ("Authorization: Bearer one.two.three",),
        (f"authorization: {basic()}x",),
        (f"Cookie: {basic()}",),
    ],
    ids=["nothing", "wrong password", "wrong user", "a token of its own", "more", "elsewhere"],
)
def test_who_does_not_is_sent_on_without_any_login(headers: tuple[str, ...]) -> None:
    made = requests().feed(request("GET / HTTP/1.1", *headers))
    assert made.startswith(b"GET / HTTP/1.1\r\n")
    assert logins(made) == []


def test_each_request_of_a_connection_is_judged_by_itself_however_its_bytes_come() -> None:
    let_in = f"Authorization: {basic()}"
    body = "query=up&step=1"
    together = b"".join(
        [
            request("POST /a HTTP/1.1", let_in, f"Content-Length: {len(body)}", body=body),
            request("GET /b HTTP/1.1"),
            request("POST /c HTTP/1.1", let_in, "Transfer-Encoding: chunked", body="5\r\nhello\r\n0\r\n\r\n"),
            request("GET /d HTTP/1.1", let_in),
        ]
    )
    whole = requests().feed(together)
    assert re.findall(rb"(?:GET|POST) (/\w) HTTP/1.1\r\n", whole) == [b"/a", b"/b", b"/c", b"/d"]
    assert len(logins(whole)) == 3
    assert body.encode() in whole
    assert b"5\r\nhello\r\n0\r\n\r\n" in whole
    one = requests()
    pieces = [one.feed(together[at : at + 1]) for at in range(len(together))]
    assert len(logins(b"".join(pieces))) == 3
    # Bodies pass as they come, in chunks as large as they come in.
    assert b"".join(pieces).replace(b"1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n", b"5\r\nhello\r\n") == whole


def test_a_request_in_somebodys_body_gets_no_token() -> None:
    inner = request("GET /inner HTTP/1.1", f"Authorization: {basic()}").decode()
    made = requests().feed(request("POST /outer HTTP/1.1", f"Content-Length: {len(inner)}", body=inner))
    assert made.endswith(inner.encode())
    assert b"Bearer" not in made


def test_an_address_may_be_as_long_as_pages_make_them() -> None:
    made = requests().feed(request(f"GET /q?{'x' * 100_000} HTTP/1.1", f"Authorization: {basic()}"))
    assert len(logins(made)) == 1


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nno header\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"]
)
def test_what_is_no_request_is_told_without_what_it_was(data: bytes) -> None:
    with pytest.raises(TransportError, match="cannot be read") as caught:
        requests().feed(data)
    assert caught.value.needed == "HTTP/1.1"


class _Far(Stream):
    def __init__(self) -> None:
        self.got: list[bytes] = []

    def read(self) -> bytes:
        return b"HTTP/1.1 200 OK\r\n\r\n"

    def write(self, data: bytes) -> None:
        self.got.append(data)

    def end(self) -> None:
        self.got.append(b"end")

    def close(self) -> None:
        self.got.append(b"close")


def test_a_stream_writes_whole_heads_and_reads_what_comes() -> None:
    far = _Far()
    stream = BearerStream(far, requests())
    asked = request("GET / HTTP/1.1")
    stream.write(asked[:10])
    assert far.got == []
    stream.write(asked[10:])
    stream.end()
    stream.close()
    assert [far.got[0][:6], *far.got[1:]] == [b"GET / ", b"end", b"close"]
    assert stream.read() == far.read()


def test_a_token_is_asked_for_again_when_half_of_its_life_is_over() -> None:
    now, asked = [1000.0], []

    def ask() -> Token:
        asked.append(now[0])
        return Token(text=f"token{len(asked)}", expires="")

    token = Renewed(ask, lambda: now[0])
    assert asked == []
    texts = []
    for later in (0, TOKEN_SECONDS / 2 - 1, 1, TOKEN_SECONDS / 2 - 1, TOKEN_SECONDS):
        now[0] += later
        texts.append(token.text())
    assert texts == ["token1", "token1", "token2", "token2", "token3"]


def test_a_token_that_cannot_be_had_is_asked_for_again_by_the_next_one() -> None:
    answers: list[Token | None] = [None, Token(text="now", expires="")]

    def ask() -> Token:
        answer = answers.pop(0)
        if answer is None:
            raise TransportError("the host is lost")
        return answer

    token = Renewed(ask)
    with pytest.raises(TransportError):
        token.text()
    assert token.text() == "now"
