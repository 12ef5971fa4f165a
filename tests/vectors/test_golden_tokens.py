"""Tokens written once and for all: what was handed out must be made, and read, the same by every later version."""

import json
from pathlib import Path
from typing import Any

import pytest

from consent_gateway.errors import KeysUnavailable
from consent_gateway.protection import primitives
from consent_gateway.protection.dates import date_shift, shift_of_person
from consent_gateway.protection.fields import is_sealed, open_sealed
from consent_gateway.protection.formats import fpe, fpe_reversed
from consent_gateway.protection.material import ClassKey, KeyGrant, PersonKeys
from consent_gateway.protection.pseudonyms import alias_of_person, pseudonym_of_person, pseudonym_of_value
from consent_gateway.protection.reversible import (
    Place,
    person_of_random_token,
    random_token,
    stable_token,
    value_of_random_token,
    value_of_stable_token,
)
from consent_gateway.protection.tokens import parse


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """The golden file."""
    content: dict[str, Any] = json.loads((Path(__file__).parent / "golden_tokens.json").read_text(encoding="utf-8"))
    return content


def test_pseudonyms_of_people_are_stable(golden: dict[str, Any]) -> None:
    """A person's pseudonym is byte for byte what it was."""
    seed, domain = bytes.fromhex(golden["seed"]), bytes.fromhex(golden["domain_key"])
    assert pseudonym_of_person(seed, domain, golden["key_id"], golden["tenant"]) == golden["pseudonym_of_person"]


def test_pseudonyms_of_values_are_stable(golden: dict[str, Any]) -> None:
    """A value's pseudonym is byte for byte what it was."""
    domain = bytes.fromhex(golden["domain_key"])
    for case in golden["pseudonyms_of_values"]:
        made = pseudonym_of_value(case["value"], case["field"], domain, golden["key_id"], golden["tenant"])
        assert made == case["token"]


def place(golden: dict[str, Any], field: str) -> Place:
    """Where the golden tokens belong."""
    return Place(golden["tenant"], golden["purpose"], golden["recipient"], field)


def test_aliases_and_shifts_are_stable(golden: dict[str, Any]) -> None:
    """A person's alias address and the shift of their dates are what they were."""
    seed, domain = bytes.fromhex(golden["seed"]), bytes.fromhex(golden["domain_key"])
    assert alias_of_person(seed, domain, golden["key_id"], golden["tenant"]) == golden["alias_of_person"]
    days = shift_of_person(seed, domain, golden["tenant"])
    assert days == golden["days_of_person"]
    for case in golden["shifted"]:
        assert date_shift(case["value"], days) == case["date"]


def test_stable_tokens_are_stable_and_open(golden: dict[str, Any]) -> None:
    """A stable token is byte for byte what it was, and gives its value back."""
    key = bytes.fromhex(golden["domain_key"])
    for case in golden["stable_tokens"]:
        where = place(golden, case["field"])
        assert stable_token(case["value"], where, key, golden["key_id"], case["pad"]) == case["token"]
        assert value_of_stable_token(parse(case["token"]), where, key) == case["value"]


def test_random_tokens_are_stable_for_their_nonces_and_open(golden: dict[str, Any]) -> None:
    """A random token of the same nonces is byte for byte what it was, and gives person and value back."""
    key, person = bytes.fromhex(golden["domain_key"]), golden["data_subject"]
    seed = bytes.fromhex(golden["seed"])
    keys = PersonKeys(golden["tenant"], person, golden["key_id"], bytes.fromhex(golden["data_key"]), seed)
    own = keys.hand_out_key()
    outer, inner = (bytes.fromhex(nonce) for nonce in golden["nonces"])
    for case in golden["random_tokens"]:
        where = place(golden, case["field"])
        made = random_token(case["value"], where, key, golden["key_id"], case["pad"], person, own, (outer, inner))
        assert made == case["token"]
        whose, layer = person_of_random_token(parse(case["token"]), where, key)
        assert whose == person
        assert value_of_random_token(parse(case["token"]), where, own, person, layer) == case["value"]


@pytest.mark.parametrize("fast", [True, False], ids=["fastfpe", "libffx"])
def test_formats_are_stable_and_turn_back(
    golden: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *, fast: bool
) -> None:
    """Format-preserving text is what it was, by either library, and gives its value back."""
    if not fast:
        monkeypatch.setattr(primitives, "fast_ff1", None)
    key = bytes.fromhex(golden["domain_key"])
    for case in golden["formats"]:
        where = place(golden, case["field"])
        assert fpe(case["value"], where, key, case["transform"], case["style"]) == case["text"]
        assert fpe_reversed(case["text"], where, key, case["transform"]) == case["value"]


def test_fields_sealed_before_key_classes_are_refused_by_name(golden: dict[str, Any]) -> None:
    """A field in the first format does not open, and the refusal says why and what to do."""
    key = ClassKey(
        golden["tenant"], golden["data_subject"], golden["key_id"], "care", bytes.fromhex(golden["data_key"])
    )
    for case in golden["sealed"]:
        assert not is_sealed(case["token"])
        with pytest.raises(KeysUnavailable, match="sealed before key classes"):
            open_sealed(case["token"], golden["sealed_field"], golden["data_subject"], key)


def test_sealed_fields_still_open(golden: dict[str, Any]) -> None:
    """A field sealed by version 0.1.0 under a key class opens, with the class key derived as it was then."""
    data_key, seed = bytes.fromhex(golden["data_key"]), bytes.fromhex(golden["seed"])
    keys = PersonKeys(golden["tenant"], golden["data_subject"], golden["key_id"], data_key, seed)
    for case in golden["sealed_by_class"]:
        key = keys.class_key(case["key_class"], KeyGrant(frozenset({case["key_class"]})))
        assert key.secret.hex() == case["class_key"]
        assert is_sealed(case["token"])
        assert open_sealed(case["token"], golden["sealed_field"], golden["data_subject"], key) == case["value"]
