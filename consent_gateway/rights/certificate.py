"""The certificate of an erasure: what was erased, kept and left, and the evidence; signed, verifiable without us.

It names the person by the gateway's id alone, and fields, counts, grounds, places and audit entries; never a value. Its
file has the form of a receipt's (`consent.receipt_verify`) under a key and a type of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent_gateway.consent.receipt_verify import Form, genuine, public_jwk, signed_file
from consent_gateway.rights.plan_model import FieldPlan, Leftover, fields_of, leftover_of
from consent_gateway.shredding import Shredded

KEY = "erasure-certificates"
"""Name of the service key that is the seed of the signing key."""

CERTIFICATE = Form("certificate", "erasure-certificate+jws", 4_000_000)


@dataclass(frozen=True, slots=True)
class StepDone:
    """One step as the certificate tells it."""

    name: str
    rows: int
    intent_entry: str
    outcome_entry: str
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a certificate is made of."""

    erasure_id: str
    data_subject: str
    request_id: str
    outcome: str
    run: int
    planned_at: datetime
    begun_at: datetime
    finished_at: datetime
    revision: str
    fields: Sequence[FieldPlan]
    steps: Sequence[StepDone]
    leftovers: Sequence[Leftover]
    looked_at: Mapping[str, int]  # tables, columns, files
    recipients: Sequence[str]
    keys: Shredded | None
    checkpoint: str | None  # of the audit log as it stood


class Certificates:
    """Makes certificates. `issuer` is the installation's address, `company` its name; `seed` are 32 secret bytes.

    `horizon_days` is for how long whoever rules the key provider could bring retired key material back.
    """

    def __init__(self, *, issuer: str, company: str, seed: bytes, provider: str, horizon_days: int) -> None:
        self._issuer = issuer.rstrip("/")
        self._company = company
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._provider = provider
        self._horizon_days = horizon_days

    @property
    def key_set(self) -> dict[str, Any]:
        """The JWK set with which anyone verifies a certificate."""
        return {"keys": [public_jwk(self._key.public_key().public_bytes_raw())]}

    def file(self, evidence: Evidence) -> bytes:
        """The signed file."""
        return signed_file(self._document(evidence), self._key, CERTIFICATE)

    def _document(self, given: Evidence) -> dict[str, Any]:
        return {
            "format": 1,
            "issuer": self._issuer,
            "company": self._company,
            "erasure": given.erasure_id,
            "request": given.request_id,
            "data_subject": given.data_subject,
            "outcome": given.outcome,
            "run": given.run,
            "planned_at": given.planned_at.isoformat(),
            "begun_at": given.begun_at.isoformat(),
            "finished_at": given.finished_at.isoformat(),
            "policy_revision": given.revision,
            "fields": [fields_of(one) for one in given.fields],
            "steps": [
                {
                    "name": one.name,
                    "rows": one.rows,
                    "intent_entry": one.intent_entry,
                    "outcome_entry": one.outcome_entry,
                    "refused": dict(one.refused),
                }
                for one in given.steps
            ],
            "keys": None if given.keys is None else self._keys(given.keys),
            "looked_at": dict(given.looked_at),
            "leftovers": [leftover_of(one) for one in given.leftovers],
            "recipients_told": list(given.recipients),
            "log_checkpoint": given.checkpoint,
        }

    def _keys(self, keys: Shredded) -> dict[str, Any]:
        return {
            "fingerprint": keys.fingerprint,
            "shard": keys.shard,
            "epoch": keys.epoch,
            "destroyed_at": keys.destroyed_at.isoformat(),
            "intent_entry": keys.shredding_id,
            "outcome_entry": keys.outcome_entry,
            "suppressed": keys.suppressed,
            "shared": keys.shared,
            "provider": self._provider,
            "erasure_horizon_days": self._horizon_days,
        }


def verify_certificate(file: bytes, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The certificate of a file that one of the keys of this set signed. Raises `ReceiptInvalid`."""
    return genuine(file, jwks, CERTIFICATE)
