"""Makes the receipt of a choice: a record after ISO/IEC TS 27560 in DPV terms as JSON-LD, signed; changes nothing.

A receipt is made of the event in the ledger, the text then shown and the purpose's terms in the policy, so the same
event gives the same receipt as often as it is asked for. It names no identifier of the person, only our id.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent_gateway.consent.ledger import find_event
from consent_gateway.consent.notices import ShownNotice, text_then
from consent_gateway.consent.receipt_verify import public_jwk, signed_file
from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import DatabaseUnavailable, NotFound
from consent_gateway.policy.documents import Purpose
from consent_gateway.vocabulary import ConsentEvent, EventKind

KEY = "receipts"
"""Name of the service key that is the seed of the signing key."""

STATUSES: Mapping[EventKind, str] = MappingProxyType(
    {
        EventKind.REQUEST: "dpv:ConsentRequested",
        EventKind.GRANT: "dpv:ConsentGiven",
        EventKind.GRANT_EXPLICIT: "dpv:ConsentGiven",
        EventKind.OPT_IN_AGAIN: "dpv:RenewedConsentGiven",
        EventKind.REFUSE: "dpv:ConsentRefused",
        EventKind.WITHDRAW: "dpv:ConsentWithdrawn",
    }
)
"""Statuses of DPV 2.3. What is no consent (an objection, an opt-out, a signal) has none: `cg:event` says what it is."""

_COMPANYS = frozenset(
    {EventKind.ERASED, EventKind.LEGAL_HOLD, EventKind.LIFT_LEGAL_HOLD, EventKind.SOFT_OPT_IN, EventKind.IMPLIED}
)
_CONTEXT = {
    "cg": "urn:consent-gateway:terms:",
    "dct": "http://purl.org/dc/terms/",
    "dpv": "https://w3id.org/dpv#",
}


class Receipts:
    """The receipts of one installation. `issuer` is its address, `company` its name; `seed` are 32 secret bytes."""

    def __init__(
        self, engine: sa.Engine, purposes: Mapping[str, Purpose], *, issuer: str, company: str, seed: bytes
    ) -> None:
        self._engine = engine
        self._purposes = purposes
        self._issuer = issuer.rstrip("/")
        self._company = company
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def key_set(self) -> dict[str, Any]:
        """The JWK set with which anyone verifies a receipt."""
        return {"keys": [public_jwk(self._key.public_key().public_bytes_raw())]}

    def of(self, event_id: str) -> dict[str, Any]:
        """The receipt of one event as JSON-LD. Raises `NotFound` for an unknown event and for acts of the company."""
        committed, shown = self.evidence(event_id)
        if not has_receipt(committed):
            raise NotFound("no choice of a person is known under this id")
        return self._document(committed, shown)

    def evidence(self, event_id: str) -> tuple[ConsentEvent, ShownNotice | None]:
        """One event, and the text that was shown with it word for word, where it named one. Raises `NotFound`."""
        try:
            with reading_connection(self._engine) as connection:
                committed = find_event(connection, event_id)
                sha256 = None if committed is None else committed.event.evidence.notice_sha256
                shown = None if sha256 is None else text_then(connection, sha256)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the choice could not be read: ask again") from error
        if committed is None:
            raise NotFound("no choice is known under this id")
        return committed, shown

    def file(self, event_id: str) -> bytes:
        """The signed receipt file of one event, as `receipt_verify` reads it. Raises as `of` does."""
        return signed_file(self.of(event_id), self._key)

    def _document(self, committed: ConsentEvent, shown: ShownNotice | None) -> dict[str, Any]:
        event, evidence = committed.event, committed.event.evidence
        document: dict[str, Any] = {
            "@context": dict(_CONTEXT),
            "@id": f"{self._issuer}/v1/receipts/{committed.event_id}",
            "@type": "dpv:ConsentReceipt",
            "dct:conformsTo": "ISO/IEC TS 27560:2023",
            "dct:identifier": committed.event_id,
            "dct:issued": committed.recorded_at.isoformat(),
            "dpv:hasDataController": {"@id": self._issuer, "@type": "dpv:DataController", "dct:title": self._company},
            "dpv:hasDataSubject": {"@type": "dpv:DataSubject", "dct:identifier": event.data_subject},
            "dpv:hasProcess": [self._process(committed)],
            "dpv:isIndicatedAtTime": event.occurred_at.isoformat(),
            "dpv:hasIndicationMethod": evidence.how,
            "cg:channel": evidence.channel,
            "cg:event": event.kind.value,
            "cg:recordedBy": evidence.recorded_by,
        }
        if event.kind in STATUSES:
            document["dpv:hasConsentStatus"] = {"@id": STATUSES[event.kind]}
        if event.valid_until is not None:
            document["dct:valid"] = event.valid_until.isoformat()
        if event.frequency is not None:
            document["cg:frequency"] = event.frequency
        if evidence.reference is not None:
            document["cg:reference"] = evidence.reference
        if evidence.notice is not None:
            document["dpv:hasNotice"] = _notice(committed, shown)
        return document

    def _process(self, committed: ConsentEvent) -> dict[str, Any]:
        key = committed.event.purpose
        named: dict[str, Any] = {"@type": "dpv:Purpose", "dct:identifier": key}
        process: dict[str, Any] = {"@type": "dpv:Process", "dpv:hasPurpose": named}
        purpose = self._purposes.get(key)
        if purpose is not None:
            named |= {"@id": f"dpv:{purpose.dpv}", "dct:title": purpose.name, "dct:description": purpose.description}
            process["dpv:hasPersonalData"] = list(purpose.categories)
        if committed.event.kind in STATUSES:
            explicit = committed.event.kind is EventKind.GRANT_EXPLICIT
            process["dpv:hasLegalBasis"] = {"@id": "dpv:ExplicitlyExpressedConsent" if explicit else "dpv:Consent"}
        return process


def has_receipt(committed: ConsentEvent) -> bool:
    """Whether the event is a choice of the person's, of which they get a receipt."""
    return committed.event.kind not in _COMPANYS


def _notice(committed: ConsentEvent, shown: ShownNotice | None) -> dict[str, Any]:
    evidence = committed.event.evidence
    notice: dict[str, Any] = {"@type": "dpv:ConsentNotice", "dct:identifier": evidence.notice}
    named = (
        ("dct:hasVersion", evidence.notice_version),
        ("dct:language", evidence.language),
        ("cg:sha256", evidence.notice_sha256),
    )
    notice |= {name: value for name, value in named if value is not None}
    if shown is not None:
        notice |= {"dct:title": shown.title, "dct:description": shown.text}
    return notice
