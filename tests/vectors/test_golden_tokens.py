"""Tokens written once and for all: what was handed out must be made, and read, the same by every later version."""

import json
from pathlib import Path
from typing import Any

import pytest

from consent_gateway.errors import KeysUnavailable
from consent_gateway.protection.fields import is_sealed, open_sealed
from consent_gateway.protection.material import ClassKey, KeyGrant, PersonKeys
from consent_gateway.protection.transforms import (
    pseudonym_of_person,
    pseudonym_of_value,
    token_of_value,
    value_of_token,
)


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """The golden file."""
    content: dict[str, Any] = json.loads((Path(__file__).parent / "golden_tokens.json").read_text(encoding="utf-8"))
    return content


def test_pseudonyms_of_people_are_stable(golden: dict[str, Any]) -> None:
    """A person's pseudonym is byte for byte what it was in version 0.1.0."""
    seed, domain = bytes.fromhex(golden["seed"]), bytes.fromhex(golden["domain_key"])
    assert pseudonym_of_person(seed, domain, golden["key_id"], golden["tenant"]) == golden["pseudonym_of_person"]


def test_pseudonyms_of_values_are_stable(golden: dict[str, Any]) -> None:
    """A value's pseudonym is byte for byte what it was in version 0.1.0."""
    domain = bytes.fromhex(golden["domain_key"])
    for case in golden["pseudonyms_of_values"]:
        made = pseudonym_of_value(case["value"], case["field"], domain, golden["key_id"], golden["tenant"])
        assert made == case["token"]


def test_reversible_tokens_are_stable_and_open(golden: dict[str, Any]) -> None:
    """A reversible token is byte for byte what it was in version 0.1.0, and gives its value back."""
    key, where = bytes.fromhex(golden["domain_key"]), (golden["tenant"], golden["purpose"], golden["recipient"])
    for case in golden["tokens_of_values"]:
        assert token_of_value(case["value"], case["field"], where, key, golden["key_id"]) == case["token"]
        assert value_of_token(case["token"], case["field"], where, key, golden["key_id"]) == case["value"]


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
