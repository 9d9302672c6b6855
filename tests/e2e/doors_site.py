"""What stands outside the API server's doors, as one HTTPS program on a lab's bridge: issuers of tokens (OIDC) with whom
people sign on, a webhook that authorizes, and one that takes audit events. The API server's own code judges; nothing here
decides for it.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qsl, urlencode

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from mirror_site import certified


class Issuer:
    """One issuer: `name` is its path. Its keys can be rotated, and it can be away.

    clients: id → secret of those that people sign on with, and `redirects` where it sends them back; `person`: the claims of
    whoever signs on.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.clients: dict[str, str] = {}
        self.redirects: set[str] = set()
        self.person: dict[str, Any] = {}
        self._codes: dict[str, dict[str, str]] = {}
        self.base = ""
        self.rotations = 0
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def url(self) -> str:
        return f"{self.base}/{self.name}"

    @property
    def key_id(self) -> str:
        return f"{self.name}-{self.rotations}"

    def rotate(self) -> None:
        """Sign with another key from now on, and publish that one alone."""
        self.rotations += 1
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, *, audience: str = "kubernetes", seconds: int = 600, key_id: str = "", **claims: Any) -> str:
        """A signed token; `seconds` from now until it ends."""
        now = int(time.time())
        header = {"alg": "RS256", "typ": "JWT", "kid": key_id or self.key_id}
        body = {"iss": self.url, "aud": audience, "iat": now - 60, "exp": now + seconds, **claims}
        signed = f"{_part(json.dumps(header).encode())}.{_part(json.dumps(body).encode())}"
        return f"{signed}.{_part(self._key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"

    def keys(self) -> dict[str, Any]:
        numbers = self._key.public_key().public_numbers()
        entry = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id}
        return {"keys": [entry | {"n": _number(numbers.n), "e": _number(numbers.e)}]}

    def sends_back(self, asked: dict[str, str]) -> str:
        """Return where somebody goes who has signed on: with a code, once; empty for a client that it does not know."""
        if asked.get("client_id") not in self.clients or asked.get("redirect_uri") not in self.redirects:
            return ""
        assert (asked["response_type"], "openid" in asked["scope"].split()) == ("code", True)
        code = token_urlsafe(16)
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def redeems(self, asked: dict[str, str], login: str) -> dict[str, Any] | None:
        """Return a token for a code: to the client that asked for it, which shows its secret and what it hid (PKCE)."""
        before = self._codes.pop(asked.get("code", ""), {})
        client = before.get("client_id", "")
        hidden = _part(sha256(asked.get("code_verifier", "").encode()).digest())
        known = b64decode(login.removeprefix("Basic ")).decode() == f"{client}:{self.clients.get(client)}"
        if not client or not known or hidden != before.get("code_challenge"):
            return None
        return {"token_type": "Bearer", "access_token": "x", "id_token": self.token(audience=client, **self.person)}

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }


class Site:
    """issuers by name; `away`: first parts of paths that get no answer; `events`: what came to the audit webhook;
    `allowed`: users whom the authorization webhook lets do everything."""

    def __init__(self, *issuers: str) -> None:
        self.issuers = {name: Issuer(name) for name in issuers}
        self.away: set[str] = set()
        self.events: list[dict[str, Any]] = []
        self.allowed: set[str] = set()
        self.reviews: list[dict[str, Any]] = []
        self.base = ""

    def answer(self, path: str, body: bytes, login: str) -> dict[str, Any] | str | None:
        """What is said to a request, a place to go to, or None for 503. login: the header Authorization."""
        path, _, question = path.partition("?")
        first, _, rest = path.strip("/").partition("/")
        if first in self.away:
            return None
        if first in self.issuers:
            issuer = self.issuers[first]
            if rest == "authorize":
                return issuer.sends_back(dict(parse_qsl(question))) or None
            if rest == "token":
                return issuer.redeems(dict(parse_qsl(body.decode())), login)
            return issuer.keys() if rest == "keys" else issuer.discovery()
        document = json.loads(body)
        if first == "audit":
            self.events += document["items"]
            return {}
        self.reviews.append(document["spec"])
        allowed = document["spec"].get("user") in self.allowed
        return {**document, "status": {"allowed": allowed, "reason": "the webhook of the test"}}


def _part(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _number(value: int) -> str:
    return _part(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@contextmanager
def serving(site: Site, address: str, ca: Path) -> Iterator[Site]:
    """The site over HTTPS on that address; `ca` is written, the CA that whoever asks has to trust."""
    server = ThreadingHTTPServer((address, 0), type("Handler", (_Handler,), {"site": site}))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certified(address, ca))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    site.base = f"https://{address}:{server.server_address[1]}"
    for issuer in site.issuers.values():
        issuer.base = site.base
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        return

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        said = self.site.answer(self.path, body, self.headers.get("Authorization", ""))
        text = json.dumps(said or {}).encode()
        self.send_response(503 if said is None else 302 if isinstance(said, str) else 200)
        if isinstance(said, str):
            self.send_header("Location", said)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
