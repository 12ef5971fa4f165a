"""Every kind of token that a read hands out and that can be turned back goes the whole way of a re-identification."""

from datetime import UTC, datetime

import pytest

from consent_gateway.demo.cast import CAST
from consent_gateway.ids import random_id
from consent_gateway.people.directory import PersonRef
from consent_gateway.ports import Page
from consent_gateway.protection.perform import Performer, TransformScope
from consent_gateway.vocabulary import Decision, Effect, Identifier, JsonValue, Obligation, Reason, Verdict
from tests.reidentification.conftest import APPROVES, ASKS, House

PURPOSE = "order_fulfilment"
ANNA = CAST[0]


def handed_out(house: House, data_subject: str, transform: str, field: str, value: JsonValue) -> str:
    """What a read for the purpose would hand out of this field under this transform."""
    parameters = (("style", "phone"),) if field == "phone" else ()
    verdict = Verdict(Effect.PSEUDONYMISE, Reason.CONTRACT, "a.rule", (Obligation(transform, parameters),))
    decision = Decision({field: verdict}, "r", "p", "DE", (), None)
    scope = TransformScope(PURPOSE, None, data_subject, datetime.now(UTC))
    performer = Performer(house.services.keyring, house.deployment.settings.tenant)
    return str(performer.perform({field: value}, decision, scope)[field])


@pytest.mark.parametrize(
    ("transform", "field", "named", "tells_value"),
    [
        ("pseudonym.subject", "customer_id", {}, False),
        ("email.alias", "email", {}, False),
        ("token.rand", "first_name", {"field": "first_name"}, True),
        ("token.det", "email", {"field": "email"}, True),
        ("fpe.alnum", "email", {"field": "email", "transform": "fpe.alnum"}, True),
        ("fpe.digits", "phone", {"field": "phone", "transform": "fpe.digits"}, True),
    ],
)
def test_the_kind_is_turned_back_to_its_person(
    house: House, transform: str, field: str, named: dict[str, str], *, tells_value: bool
) -> None:
    """Person, and value where the kind carries one, are told once for a token made exactly as a read makes it."""
    known = house.services.gateway.find(PersonRef(identifier=Identifier("email", ANNA.email)))
    assert known is not None
    assert known.store_key is not None
    stored = house.services.store.read(known.store_key, (field,), Page())
    assert stored is not None
    value = stored.values[field]
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    token = handed_out(house, known.data_subject, transform, field, value)
    assert token != value
    asked = house.ask(requester, tokens=[{"token": token, **named}])
    assert asked.status == 201, asked.body
    assert approver.approve(asked.body["id"]).status == 200
    told = house.reveal(requester, asked.body["id"])
    assert told.status == 200, told.body
    (result,) = told.body["results"]
    assert result["data_subject"] == known.data_subject
    assert result["value"] == (value if tells_value else None)


@pytest.mark.parametrize("transform", ["pseudonym.subject", "token.rand"])
def test_a_shredded_person_is_not_found_by_what_recipients_hold(house: House, transform: str) -> None:
    """Once a person's keys are destroyed their pseudonyms and random tokens lead nowhere, whoever signs for it."""
    keyring = house.services.keyring
    gone = random_id("ds")
    keyring.create(gone)
    token = handed_out(house, gone, transform, "first_name", "Gone")
    keyring.destroy(gone)
    requester, approver = house.officer(ASKS), house.officer(APPROVES)
    asked = house.ask(requester, tokens=[{"token": token, "field": "first_name"}])
    assert approver.approve(asked.body["id"]).status == 200
    refused = house.reveal(requester, asked.body["id"])
    assert (refused.status, refused.body["code"]) == (403, "reidentification_refused")
