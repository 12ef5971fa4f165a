"""Claims about receipts: what they say, that they are the same each time, and that no changed byte passes."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.cli.consent import consent
from consent_gateway.consent.choices import Choices, NewChoice
from consent_gateway.consent.notices import Notices
from consent_gateway.consent.receipt_verify import (
    ReceiptExpired,
    ReceiptInvalid,
    public_jwk,
    signed_file,
    verify_receipt,
)
from consent_gateway.consent.receipts import STATUSES, Receipts
from consent_gateway.errors import NotFound
from consent_gateway.people.directory import PersonRef
from consent_gateway.policy import load_policies
from consent_gateway.vocabulary import Caller, EventKind
from tests.conftest import NOON
from tests.unit.policy.test_shipped_policy import SHIPPED

SEED = bytes(range(32))
ADA = PersonRef(data_subject="ds_1")
DPV = {
    "ConsentReceipt", "DataController", "DataSubject", "Process", "Purpose", "ConsentNotice", "Consent",
    "ExplicitlyExpressedConsent", "ConsentGiven", "RenewedConsentGiven", "ConsentRequested", "ConsentRefused",
    "ConsentWithdrawn", "hasDataController", "hasDataSubject", "hasProcess", "hasPurpose", "hasPersonalData",
    "hasLegalBasis", "hasConsentStatus", "hasNotice", "isIndicatedAtTime", "hasIndicationMethod",
}  # fmt: skip


@pytest.fixture
def receipts(gateway_engine: sa.Engine, notices: Notices) -> Receipts:
    """Receipts over the shipped purposes, with the notice `privacy` kept."""
    with gateway_engine.begin() as connection:
        notices.keep(connection, NOON)
    return Receipts(
        gateway_engine, load_policies(SHIPPED).purposes, issuer="https://consent.example/", company="Shop", seed=SEED
    )


def chosen(choices: Choices, caller: Caller, kind: EventKind, **given: Any) -> str:
    """The id of Ada's choice on the newsletter, of this kind."""
    named = {"notice": "privacy", "notice_version": "4", "language": "en", **given}
    return choices.record(caller, NewChoice(ADA, kind, NOON, "web_form", "email_marketing", **named)).event_ids[0]


def keys() -> Mapping[str, Any]:
    """The key set of the tests' key."""
    return {"keys": [public_jwk(Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw())]}


def terms(value: Any) -> set[str]:
    """Every DPV term a document uses, as key or value, but for the policy's purposes."""
    if isinstance(value, dict):
        inner = [terms(each) for name, each in value.items() if name != "@context"]
        return {name for name in value if name.startswith("dpv:")}.union(*inner)
    if isinstance(value, list):
        return set().union(*map(terms, value))
    return {value} if isinstance(value, str) and value.startswith("dpv:") else set()


@pytest.mark.usefixtures("people")
def test_a_receipt_says_who_what_how_and_when(choices: Choices, receipts: Receipts, caller: Caller) -> None:
    """Controller, person by id, purpose, text with its hash, channel, time and status stand in it, in DPV terms."""
    event_id = chosen(choices, caller, EventKind.GRANT, valid_until=NOON + timedelta(days=30))
    told = receipts.of(event_id)
    assert told["@id"] == f"https://consent.example/v1/receipts/{event_id}"
    assert told["dpv:hasDataSubject"]["dct:identifier"] == "ds_1"
    assert told["dpv:hasConsentStatus"] == {"@id": "dpv:ConsentGiven"}
    assert told["dpv:hasProcess"][0]["dpv:hasPurpose"]["@id"] == "dpv:DirectMarketing"
    assert told["dpv:hasProcess"][0]["dpv:hasLegalBasis"] == {"@id": "dpv:Consent"}
    assert told["dpv:hasNotice"]["dct:description"] == "w\n\no\n\nk"
    assert len(told["dpv:hasNotice"]["cg:sha256"]) == 64
    assert (told["cg:channel"], told["cg:event"], told["dpv:hasIndicationMethod"]) == ("web_shop", "grant", "web_form")
    assert told["dpv:isIndicatedAtTime"] == NOON.isoformat()
    assert terms(told) <= {f"dpv:{term}" for term in DPV} | {"dpv:DirectMarketing"}


@pytest.mark.parametrize("kind", [EventKind.REFUSE, EventKind.WITHDRAW, EventKind.OBJECT, EventKind.OPT_OUT])
@pytest.mark.usefixtures("people")
def test_every_no_has_a_receipt(choices: Choices, receipts: Receipts, caller: Caller, kind: EventKind) -> None:
    """A refusal and a withdrawal have their DPV status; an objection and an opt-out are no consent and claim none."""
    told = receipts.of(chosen(choices, caller, kind))
    assert told["cg:event"] == kind.value
    assert told.get("dpv:hasConsentStatus") == ({"@id": STATUSES[kind]} if kind in STATUSES else None)


@pytest.mark.usefixtures("people")
def test_the_same_event_gives_the_same_file(choices: Choices, receipts: Receipts, caller: Caller) -> None:
    """Asked twice, the file is the same byte for byte, and verifies; an unknown event has none."""
    event_id = chosen(choices, caller, EventKind.GRANT)
    file = receipts.file(event_id)
    assert receipts.file(event_id) == file
    assert verify_receipt(file, receipts.key_set) == receipts.of(event_id)
    with pytest.raises(NotFound):
        receipts.file("cev_nothing")


FILE = signed_file({"a": "é", "b": [1, {"c": None}]}, Ed25519PrivateKey.from_private_bytes(SEED))


def test_any_changed_byte_is_refused() -> None:
    """Over every byte of a receipt: changed in one bit, dropped or doubled, the file is refused."""
    assert verify_receipt(FILE, keys()) == {"a": "é", "b": [1, {"c": None}]}
    for at in range(len(FILE)):
        for changed in (
            *(FILE[:at] + bytes([FILE[at] ^ (1 << bit)]) + FILE[at + 1 :] for bit in range(8)),
            FILE[:at] + FILE[at + 1 :],
            FILE[: at + 1] + FILE[at:],
        ):
            if changed != FILE:
                with pytest.raises(ReceiptInvalid):
                    verify_receipt(changed, keys())


@pytest.mark.usefixtures("people")
def test_any_changed_byte_of_a_real_receipt_is_refused(choices: Choices, receipts: Receipts, caller: Caller) -> None:
    """Over every byte of a receipt as it is issued: changed in any one bit, the file is refused."""
    file = receipts.file(chosen(choices, caller, EventKind.GRANT))
    told = verify_receipt(file, receipts.key_set)
    assert told["dct:conformsTo"] == "ISO/IEC TS 27560:2023"
    for at in range(len(file)):
        with pytest.raises(ReceiptInvalid):
            verify_receipt(file[:at] + bytes([file[at] ^ (1 << at % 8)]) + file[at + 1 :], receipts.key_set)


@pytest.mark.usefixtures("people")
def test_a_receipt_of_what_is_over_is_refused_as_expired(
    choices: Choices, receipts: Receipts, caller: Caller, tmp_path: Path
) -> None:
    """To the second: until its end a receipt is taken, from then on refused as genuine and over; without one, never."""
    until = NOON + timedelta(days=30)
    file = receipts.file(chosen(choices, caller, EventKind.GRANT, valid_until=until))
    assert verify_receipt(file, receipts.key_set, until - timedelta(seconds=1))["cg:event"] == "grant"
    for late in (until, until + timedelta(days=900)):
        with pytest.raises(ReceiptExpired, match="genuine"):
            verify_receipt(file, receipts.key_set, late)
    for at in (0, len(file) // 2):  # a changed one is told as changed, whatever its time
        with pytest.raises(ReceiptInvalid, match=r"changed|no receipt"):
            verify_receipt(file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :], receipts.key_set, until)
    endless = receipts.file(chosen(choices, caller, EventKind.WITHDRAW))
    assert verify_receipt(endless, receipts.key_set, until + timedelta(days=9000))["cg:event"] == "withdraw"
    path, keys_path = tmp_path / "receipt.json", tmp_path / "jwks.json"
    path.write_bytes(file)
    keys_path.write_text(json.dumps(receipts.key_set))
    command = ["verify-receipt", str(path), "--keys", str(keys_path), "--json", "--at"]
    late_run = CliRunner().invoke(consent, [*command, until.isoformat()])
    assert (late_run.exit_code, json.loads(late_run.output)["ok"]) == (1, False)
    assert CliRunner().invoke(consent, [*command, NOON.isoformat()]).exit_code == 0


@given(st.integers(0, len(FILE) - 1), st.integers(0, 255))
def test_any_byte_in_any_place_is_refused(at: int, byte: int) -> None:
    """Any other byte in any place is refused."""
    if FILE[at] != byte:
        with pytest.raises(ReceiptInvalid):
            verify_receipt(FILE[:at] + bytes([byte]) + FILE[at + 1 :], keys())


@given(st.binary(max_size=200))
def test_what_is_no_receipt_is_refused(file: bytes) -> None:
    """Any other bytes are refused as no receipt, never with another error."""
    with pytest.raises(ReceiptInvalid):
        verify_receipt(file, keys())


def test_a_receipt_of_another_key_is_refused() -> None:
    """A file signed by someone else is refused, also where their key claims our key's id."""
    forged = Ed25519PrivateKey.from_private_bytes(bytes(32))
    with pytest.raises(ReceiptInvalid, match="none of the keys"):
        verify_receipt(signed_file({"a": 1}, forged), keys())
    liar = {"keys": [{**keys()["keys"][0], "kid": public_jwk(forged.public_key().public_bytes_raw())["kid"]}]}
    with pytest.raises(ReceiptInvalid, match="changed or forged"):
        verify_receipt(signed_file({"a": 1}, forged), liar)


def test_the_command_verifies_offline(tmp_path: Path) -> None:
    """`consent verify-receipt` prints a genuine receipt and ends 0; of a changed one it says why and ends 1."""
    receipt, key_set = tmp_path / "receipt.json", tmp_path / "jwks.json"
    receipt.write_bytes(FILE)
    key_set.write_text(json.dumps(keys()))
    command = ["verify-receipt", str(receipt), "--keys", str(key_set), "--json"]
    genuine = CliRunner().invoke(consent, command)
    assert (genuine.exit_code, json.loads(genuine.output)["ok"]) == (0, True)
    receipt.write_bytes(FILE.replace(b"[1,", b"[2,"))
    changed = CliRunner().invoke(consent, command)
    assert changed.exit_code == 1
    assert "it was changed" in json.loads(changed.output)["cause"]
