"""The retailer's identity provider for tests: a real oidc-provider in a process of its own, and what we know of it."""

import base64
import hashlib
import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from consent_gateway.callers.issuers import Introspection, Issuer
from tests.deployment import free_port

FOLDER = Path(__file__).resolve().parent / "oidc"
AUDIENCE = "https://gateway.example"
SECRET = "a secret of the client at the provider"
CLIENTS: dict[str, dict[str, Any]] = {
    "shop-backend": {},
    "shop-dpop": {"dpop_bound_access_tokens": True},
    "newsletter": {},  # known to the provider, never registered with us
    "gateway": {},  # ourselves, when we ask about tokens
    "gateway-customers": {  # ourselves, when customers sign in
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "redirect_uris": ["https://gateway.example/sign-in/callback"],
    },
}


def node(script: str) -> list[str]:
    """The command that runs a script of the peers; fails the test where its parts are missing."""
    if shutil.which("node") is None:
        pytest.fail("node is not installed: these tests talk to a real OpenID provider, which runs on Node 20 or later")
    if not (FOLDER / "node_modules" / ".installed").exists():
        pytest.fail("the peers are not installed: run `make peers`, which needs npm")
    return ["node", str(FOLDER / script)]


class Peer:
    """The running provider. `keys` are its private keys, so that tests can forge what it would never sign."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.keys = [ECKey.generate_key("P-256", {"kid": f"key-{n}", "alg": "ES256", "use": "sig"}) for n in range(3)]
        config = folder / "provider.json"
        clients = [
            {
                "client_id": client_id,
                "client_secret": SECRET,
                "grant_types": ["client_credentials"],
                "response_types": [],
                "redirect_uris": [],
                "id_token_signed_response_alg": "ES256",
                **more,
            }
            for client_id, more in CLIENTS.items()
        ]
        told = {
            "issuer": self.issuer,
            "port": self.port,
            "keys": [key.as_dict(private=True) for key in self.keys],
            "clients": clients,
            "audience": AUDIENCE,
        }
        config.write_text(json.dumps(told), encoding="utf-8")
        self._log = (folder / "provider.log").open("wb")
        self.process = subprocess.Popen(
            [*node("provider.mjs"), str(config)], stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", (folder / "provider.log").read_text()

    def issued(self, resource: str = "urn:jwt", client_id: str = "shop-backend", **headers: str) -> str:
        """A real access token of the provider."""
        form = {"grant_type": "client_credentials", "resource": resource, "scope": "customers:read audit:read"}
        return str(self._post("/token", form, client_id, headers)["access_token"])

    def revoke(self, token: str, client_id: str = "shop-backend") -> None:
        """End a token at the provider."""
        self._post("/token/revocation", {"token": token}, client_id, {})

    def rotate(self) -> None:
        """Let the provider sign with its next key."""
        urllib.request.urlopen(self.issuer + "/control/rotate", b"", timeout=10).close()

    def forged(self, header: Mapping[str, Any] | None = None, key: ECKey | None = None, **different: Any) -> str:
        """A token signed by the provider's own first key, right but for what differs; None leaves a member out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "shop-backend",
            "client_id": "shop-backend",
            "scope": "customers:read",
            "iat": now,
            "exp": now + 300,
            "jti": uuid.uuid4().hex,
            **different,
        }
        full = {"alg": "ES256", "kid": "key-0", "typ": "at+jwt", **(header or {})}
        kept = {name: value for name, value in full.items() if value is not None}
        told = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, told, key or self.keys[0], algorithms=[kept["alg"]], default_type=None)

    def configured(self, **different: Any) -> Issuer:
        """The provider as our configuration names it."""
        named: dict[str, Any] = {
            "issuer": self.issuer,
            "audience": AUDIENCE,
            "algorithms": ("ES256",),
            "jwks_uri": None,
            "discovery": f"{self.issuer}/.well-known/openid-configuration",
            "client_claim": "client_id",
            "acr": (),
            "longest_life": timedelta(hours=1),
            "hosts": frozenset({"127.0.0.1"}),
            "private_hosts": frozenset({"127.0.0.1"}),
            "introspection": Introspection(f"{self.issuer}/token/introspection", "gateway", SECRET),
            **different,
        }
        return Issuer(**named)

    def _post(self, path: str, form: Mapping[str, str], client_id: str, headers: Mapping[str, str]) -> Any:
        pair = f"{client_id}:{urllib.parse.quote_plus(SECRET)}"
        basic = base64.b64encode(pair.encode()).decode()
        request = urllib.request.Request(
            self.issuer + path,
            urllib.parse.urlencode(form).encode(),
            {"Authorization": f"Basic {basic}", **headers},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()


@contextmanager
def provider(folder: Path) -> Iterator[Peer]:
    """A fresh provider."""
    peer = Peer(folder)
    try:
        yield peer
    finally:
        peer.stop()


def proof(
    key: ECKey,
    method: str,
    url: str,
    *,
    token: str | None = None,
    header: Mapping[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A DPoP proof, right but for what differs; a member of None is left out."""
    said = {"jti": uuid.uuid4().hex, "htm": method, "htu": url, "iat": int(time.time())}
    if token is not None:
        said["ath"] = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
    full = {"alg": "ES256", "typ": "dpop+jwt", "jwk": key.as_dict(private=False), **(header or {})}
    kept = {name: value for name, value in full.items() if value is not None}
    told = {name: value for name, value in {**said, **claims}.items() if value is not None}
    return jwt.encode(kept, told, key, algorithms=[kept["alg"]], default_type=None)
