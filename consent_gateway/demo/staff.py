"""The demo's OpenID provider for officers: a page with a button for each, on this machine alone; it asks for no factor.

It plays the company's own provider, which would ask for two. Codes are good once and for a minute, and only for whoever
brings the client's secret and the verifier of PKCE. It stands outside the gateway, which checks all it says.
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey

from consent_gateway.console.accounts import MFA
from consent_gateway.errors import Conflict
from consent_gateway.officers.registry import Role
from consent_gateway.ports import Clock
from consent_gateway.wiring import Services

CLIENT = "consent-gateway"
STAFF: Mapping[str, tuple[Role, ...]] = {
    "olga.officer": (Role.OFFICER,),
    "aziz.auditor": (Role.AUDITOR,),
    "opal.operator": (Role.OPERATOR,),
    "edda.editor": (Role.POLICY_EDITOR,),
}
"""The demo's officers, and what each may do."""

_LIFE = timedelta(minutes=1)
_MOST_BYTES = 16 * 1024
_JSON = "application/json"
_PAGE = """\
<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Who are you? – Morgenrot staff</title></head>
<body><main><h1>Morgenrot staff: who are you?</h1>
<p>This stands for the company's own sign-in, with its second factor.</p>
{buttons}</main></body></html>"""
_BUTTON = '<p><a href="{address}">{name}: {roles}</a></p>'


@dataclass(frozen=True, slots=True)
class _Code:
    account: str
    nonce: str
    challenge: str
    redirect_uri: str
    until: datetime


class StaffProvider:
    """The provider, listening. `redirect_uri` is the one address it sends browsers back to."""

    def __init__(self, clock: Clock, redirect_uri: str) -> None:
        self._clock = clock
        self._redirect_uri = redirect_uri
        self._secret = secrets.token_urlsafe(24)
        self._key = ECKey.generate_key("P-256", {"kid": "staff", "alg": "ES256", "use": "sig"})
        self._codes: dict[str, _Code] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    @property
    def variables(self) -> dict[str, str]:
        """The settings by which the gateway knows this provider."""
        prefix = "CONSENT_GATEWAY_OFFICER_"
        return {f"{prefix}ISSUER": self.issuer, f"{prefix}CLIENT_ID": CLIENT, f"{prefix}CLIENT_SECRET": self._secret}

    def introduce(self, services: Services) -> None:
        """Register the demo's officers with the gateway, once, and say which accounts here are theirs."""
        known = {one.name for one in services.desk.officers.all()}
        for name, roles in STAFF.items():
            if name not in known:
                services.desk.officers.add(name, roles)
            try:
                services.console.accounts.link(name, self.issuer, name)
            except Conflict:
                continue  # said before

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def described(self) -> dict[str, Any]:
        """The discovery document."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "authorization_response_iss_parameter_supported": True,
        }

    def keys(self) -> dict[str, Any]:
        """The public key."""
        return {"keys": [self._key.as_dict(private=False)]}

    def page(self, asked: Mapping[str, str]) -> str | None:
        """The page with a button for each officer; None for a request that is not the gateway's."""
        if asked.get("client_id") != CLIENT or asked.get("redirect_uri") != self._redirect_uri:
            return None
        kept = {name: asked.get(name, "") for name in ("state", "nonce", "code_challenge")}
        buttons = (
            _BUTTON.format(
                address=escape(f"/chosen?{urlencode({**kept, 'account': name})}"), name=name, roles=", ".join(roles)
            )
            for name, roles in STAFF.items()
        )
        return _PAGE.format(buttons="\n".join(buttons))

    def chosen(self, asked: Mapping[str, str]) -> str | None:
        """Where the browser goes with a code for the officer chosen; None for one who does not work here."""
        account = asked.get("account", "")
        if account not in STAFF:
            return None
        code, until = secrets.token_urlsafe(24), self._clock.now() + _LIFE
        made = _Code(account, asked.get("nonce", ""), asked.get("code_challenge", ""), self._redirect_uri, until)
        with self._lock:
            self._codes[code] = made
        told = {"code": code, "state": asked.get("state", ""), "iss": self.issuer}
        return f"{self._redirect_uri}?{urlencode(told)}"

    def token(self, authorization: str, form: Mapping[str, str]) -> dict[str, Any] | None:
        """The answer to a code; None where the code, the secret or the verifier is wrong."""
        expected = base64.b64encode(f"{CLIENT}:{self._secret}".encode()).decode()
        with self._lock:
            code = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not hmac.compare_digest(authorization.encode(), f"Basic {expected}".encode()) or code is None:
            return None
        if code.until < self._clock.now() or not hmac.compare_digest(challenge.encode(), code.challenge.encode()):
            return None
        now = int(self._clock.now().timestamp())
        claims = {"iss": self.issuer, "sub": code.account, "aud": CLIENT, "nonce": code.nonce, "iat": now}
        signed = jwt.encode(
            {"alg": "ES256", "kid": "staff"}, {**claims, "exp": now + 300, "amr": ["pwd", MFA]}, self._key, ["ES256"]
        )
        return {"id_token": signed, "access_token": secrets.token_urlsafe(16), "token_type": "Bearer"}


def _handler(provider: StaffProvider) -> type[BaseHTTPRequestHandler]:
    documents: Mapping[str, Callable[[], dict[str, Any]]] = {
        "/.well-known/openid-configuration": provider.described,
        "/keys": provider.keys,
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path in documents:
                self._answer(200, json.dumps(documents[parts.path]()), _JSON)
            elif parts.path == "/authorize" and (page := provider.page(asked)) is not None:
                self._answer(200, page, "text/html; charset=utf-8")
            elif parts.path == "/chosen" and (target := provider.chosen(asked)) is not None:
                self._answer(303, "", "text/plain", Location=target)
            else:
                self._answer(400, "", "text/plain")

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            told = None
            if self.path == "/token" and length.isdecimal() and int(length) <= _MOST_BYTES:
                form = parse_qs(self.rfile.read(int(length)).decode())
                authorization = self.headers.get("Authorization", "")
                told = provider.token(authorization, {name: values[0] for name, values in form.items()})
            self._answer(400 if told is None else 200, json.dumps(told or {"error": "invalid_grant"}), _JSON)

        def _answer(self, status: int, text: str, content_type: str, **headers: str) -> None:
            body = text.encode()
            self.send_response(status)
            for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is the library's
            """Nothing: the gateway's log tells who came in."""

    return Handler
