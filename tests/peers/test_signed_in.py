"""Sign-in through the whole deployment: real processes, a real provider, an independent client, the documented one."""

import base64
import json
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey

from consent_gateway.callers.registry import Bound, NewClient
from consent_gateway.demo.cast import CAST
from tests.deployment import ROOT, Deployment, Running, running
from tests.peers.oidc_peer import Peer, node, proof, provider

BODY = {
    "identifier": {"kind": "email", "value": CAST[0].email},
    "purpose": "customer_support",
    "fields": ["first_name", "city"],
}
REGISTRATION: dict[str, Any] = {
    "channel": "call_centre",
    "purposes": frozenset({"customer_support"}),
    "recipients": frozenset({"company"}),
    "scopes": frozenset({"customers:read"}),
}
HEADER = "X-Client-Cert"


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """The provider, one for this file."""
    with provider(tmp_path_factory.mktemp("peer")) as started:
        yield started


@pytest.fixture
def served(deployment: Deployment, peer: Peer) -> Iterator[Running]:
    """The deployment with the provider as an outside issuer, two web workers, and a proxy on this machine."""
    issuers = deployment.folder / "issuers.yaml"
    issuers.write_text(
        f"""\
issuers:
  - issuer: {peer.issuer}
    audience: https://gateway.example
    algorithms: [ES256]
    discovery: {peer.issuer}/.well-known/openid-configuration
    private_hosts: [127.0.0.1]
""",
        encoding="utf-8",
    )
    deployment.variables |= {
        "CONSENT_GATEWAY_ISSUERS_FILE": str(issuers),
        "CONSENT_GATEWAY_WORKERS": "2",
        "CONSENT_GATEWAY_CLIENT_CERT_HEADER": HEADER,
        "CONSENT_GATEWAY_TRUSTED_PROXIES": "127.0.0.1",
    }
    with running(deployment) as started:
        yield started


def register(deployment: Deployment, client_id: str, **different: Any) -> str | None:
    """Register a client; its secret."""
    services = deployment.open()
    try:
        return services.registry.add(NewClient(client_id, **{**REGISTRATION, **different}))[1]
    finally:
        services.close()


def command(deployment: Deployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command."""
    return subprocess.run(
        [sys.executable, "-m", "consent_gateway", *arguments],
        env={"PATH": "/usr/bin:/bin", **deployment.variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_outside_client_of_the_how_to_reads(served: Running, peer: Peer) -> None:
    """Registered by the documented command, the provider's client reads; under an unknown issuer it is refused."""
    given = ("clients", "add", "shop", "--channel", "call_centre", "--purpose", "customer_support")
    given += ("--scope", "customers:read", "--external-id", "shop-backend", "--issuer")
    wrong = command(served.deployment, *given, "https://login.example")
    assert wrong.returncode == 3
    assert peer.issuer in wrong.stderr
    right = command(served.deployment, *given, peer.issuer)
    assert right.returncode == 0, right.stderr
    assert "the issuer's tokens stand for it" in right.stdout
    answer = served.call("POST", "/v1/customers/lookup", BODY, token=peer.issued())
    assert (answer.status, set(answer.body["fields"])) == (200, {"first_name", "city"})
    assert served.call("POST", "/v1/customers/lookup", BODY, token=peer.issued("urn:elsewhere")).status == 401


def test_an_independent_client_signs_in(served: Running, tmp_path: Path) -> None:
    """openid-client finds our metadata, proves itself by key, gets a bound token, uses, inspects and ends it."""
    key = ECKey.generate_key("P-256", {"kid": "k1", "alg": "ES256", "use": "sig"})
    register(served.deployment, "independent", jwks={"keys": [key.as_dict(private=False)]}, bound=Bound.DPOP)
    config = tmp_path / "client.json"
    told = {"issuer": served.base, "clientId": "independent", "path": "/v1/customers/lookup", "body": BODY}
    config.write_text(json.dumps({**told, "key": key.as_dict(private=True)}), encoding="utf-8")
    done = subprocess.run([*node("client.mjs"), str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "tokenType": "dpop",
        "scope": "customers:read",
        "status": 200,
        "active": True,
        "bound": True,
        "otherKey": "OAUTH_WWW_AUTHENTICATE_CHALLENGE",
        "activeAfterRevocation": False,
    }


def test_the_documented_client_signs_in(served: Running, tmp_path: Path) -> None:
    """The Python of the how-to runs as it stands, but for the port, and reads."""
    page = (ROOT / "docs" / "how-to" / "bound-tokens.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    key = OKPKey.generate_key("Ed25519", {"kid": "desk", "alg": "Ed25519", "use": "sig"})
    register(served.deployment, "desk-bound", jwks={"keys": [key.as_dict(private=False)]}, bound=Bound.DPOP)
    (tmp_path / "desk-key.json").write_text(json.dumps(key.as_dict(private=True)), encoding="utf-8")
    script = tmp_path / "desk.py"
    script.write_text(text.replace("http://127.0.0.1:8080", served.base), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["fields"]) == {"first_name", "city"}


def test_a_proof_passes_once_among_all_workers(served: Running) -> None:
    """However the calls fall on the two web workers, one proof is good for one answer."""
    secret = register(served.deployment, "till-dpop", bound=Bound.DPOP)
    key = ECKey.generate_key("P-256")
    basic = base64.b64encode(f"till-dpop:{secret}".encode()).decode()
    sent = {"Authorization": f"Basic {basic}", "DPoP": proof(key, "POST", f"{served.base}/oauth/token")}
    request = urllib.request.Request(f"{served.base}/oauth/token", b"grant_type=client_credentials", sent)
    with urllib.request.urlopen(request, timeout=10) as answer:
        token = json.load(answer)["access_token"]
    once = proof(key, "POST", f"{served.base}/v1/customers/lookup", token=token)
    headers = {"Authorization": f"DPoP {token}", "DPoP": once}
    answered = [served.call("POST", "/v1/customers/lookup", BODY, headers=headers).status for _ in range(8)]
    assert sorted(answered) == [200] + [401] * 7
    assert answered[0] == 200


def test_the_server_hands_on_what_the_door_must_see(served: Running) -> None:
    """Through the real server two authorization headers are refused, and the peer's address and header arrive."""
    token = served.token("call-centre")
    head = "POST /v1/customers/lookup HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    body = json.dumps(BODY)
    length = f"Content-Length: {len(body)}\r\n"
    one = f"Authorization: Bearer {token}\r\n"
    port = int(served.deployment.variables["CONSENT_GATEWAY_PORT"])

    def status(*lines: str) -> int:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            raw.sendall("".join([head, length, *lines, "\r\n", body]).encode())
            return int(raw.makefile("rb").readline().split()[1])

    assert status(one) == 200
    assert status(one, one) == 401
    assert status(one, f"{HEADER}: \r\n") == 200  # how a proxy says that no certificate was shown
    assert status(one, f"{HEADER}: x\r\n") == 400
    assert status(one, f"{HEADER.replace('-', '_')}: x\r\n") == 400
