"""Signatures of webhooks against the published example of Standard Webhooks, and Ed25519 against its own verifier."""

import json
from base64 import b64decode
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from consent_gateway.propagation import signing

VECTORS = json.loads((Path(__file__).parent / "standard_webhooks.json").read_text())


def test_the_published_example_is_signed_as_published() -> None:
    """Secret, id, time and body of the specification's libraries give their signature."""
    for vector in VECTORS["v1"]:
        shared = b64decode(vector["secret"].removeprefix("whsec_"))
        made = signing.sign_v1(shared, vector["id"], vector["timestamp"], vector["body"].encode())
        assert made == vector["signature"]


def test_every_secret_in_force_signs_in_both_ways() -> None:
    """Two secrets give two `v1` and two `v1a` signatures, each verified by its own key over id, time and body."""
    secrets = [signing.derive(b"k" * 32, "whk_1", number) for number in (2, 1)]
    headers = signing.headers(secrets, "msg_1", 1_700_000_000, b"{}")
    signatures = headers["webhook-signature"].split()
    assert [each.partition(",")[0] for each in signatures] == ["v1", "v1", "v1a", "v1a"]
    for secret, signature in zip(secrets, signatures[2:], strict=True):
        key = Ed25519PublicKey.from_public_bytes(b64decode(secret.public_key.removeprefix("whpk_")))
        key.verify(b64decode(signature.removeprefix("v1a,")), b"msg_1.1700000000.{}")
    assert len({*signatures, secrets[0].text, secrets[1].text}) == 6
    assert "whsec" not in repr(secrets[0])
    assert secrets[0].shared.hex() not in repr(secrets[0])
