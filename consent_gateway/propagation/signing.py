"""Signs a message as the Standard Webhooks specification says (v1 HMAC-SHA256, v1a Ed25519); pure, keeps no secret.

What is signed is `{id}.{timestamp}.{body}`. A message may carry several signatures, one for each secret in force.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from consent_gateway.protection.primitives import bind, expand, mac

ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER = "webhook-id", "webhook-timestamp", "webhook-signature"


@dataclass(frozen=True, slots=True)
class Secret:
    """A webhook's secret: 32 bytes for the HMAC, and the seed of a key pair whose public half can be shown."""

    shared: bytes = field(repr=False)
    seed: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The shared secret as receivers' libraries take it: `whsec_` and base64."""
        return "whsec_" + b64encode(self.shared).decode()

    @property
    def public_key(self) -> str:
        """The public key that verifies `v1a` signatures: `whpk_` and base64."""
        raw = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return "whpk_" + b64encode(raw).decode()


def derive(root: bytes, destination_id: str, number: int) -> Secret:
    """The secret of that number of one destination, from the gateway's key for it; nothing of it is stored."""
    return Secret(
        expand(root, bind("webhook-shared/1", destination_id, number)),
        expand(root, bind("webhook-pair/1", destination_id, number)),
    )


def sign_v1(shared: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The `v1` signature: HMAC-SHA256, base64."""
    return "v1," + b64encode(mac(shared, _signed(message_id, timestamp, body))).decode()


def sign_v1a(seed: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The `v1a` signature: Ed25519, base64."""
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(_signed(message_id, timestamp, body))
    return "v1a," + b64encode(signature).decode()


def headers(secrets: Sequence[Secret], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message, signed under each secret in both ways; `timestamp` in seconds since 1970."""
    signatures = [sign_v1(each.shared, message_id, timestamp, body) for each in secrets]
    signatures += [sign_v1a(each.seed, message_id, timestamp, body) for each in secrets]
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(timestamp),
        SIGNATURE_HEADER: " ".join(signatures),
    }


def _signed(message_id: str, timestamp: int, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode() + body
