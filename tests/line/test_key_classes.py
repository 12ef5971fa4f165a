"""Who forgets the policy check gets ciphertext: with a decision that opens everything, the keys still refuse."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from flask.testing import FlaskClient

from consent_gateway import gateway as line_of_reads
from consent_gateway.demo.cast import CAST
from consent_gateway.demo.clients import ADS, ANALYTICS, CALL_CENTRE, NEWSLETTER, TILL
from consent_gateway.errors import KeysUnavailable, ProtectionRefused
from consent_gateway.gateway import Gateway
from consent_gateway.line import ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.policy.rulebook import Rulebook
from consent_gateway.ports import Page
from consent_gateway.protection.fields import open_sealed
from consent_gateway.protection.material import KeyGrant
from consent_gateway.vocabulary import AccessRequest, Action, Decision, Effect, Facts, Reason, Verdict
from consent_gateway.web.app import create_app
from consent_gateway.wiring import Services, every_class
from consent_gateway.writes import WriteQuery
from tests.line.conftest import Line, named

NOTE = CAST[0].service_note
ALL_OPEN = Verdict(Effect.ALLOW, Reason.CONSENT, "test.everything")


def everything_open(rulebook: Rulebook, request: AccessRequest, _facts: Facts) -> Decision:
    """The decision of an engineer who forgot the policy: every field, to everybody."""
    return Decision(dict.fromkeys(request.fields, ALL_OPEN), rulebook.revision, None, "DE", (), None)


@dataclass(frozen=True)
class Asking:
    """Anna, her id, and a way to ask over HTTP as one of the demo's clients."""

    services: Services
    anna: str
    web: FlaskClient

    def ask(self, client_id: str, purpose: str, fields: str) -> tuple[int, str]:
        """Status and raw body of one read of Anna's record."""
        client = self.services.registry.get(client_id)
        assert client is not None
        token = self.services.tokens.issue(client).token
        answer = self.web.get(
            f"/v1/customers/{self.anna}?purpose={purpose}&fields={fields}", headers={"Authorization": f"Bearer {token}"}
        )
        return answer.status_code, answer.get_data(as_text=True)


@pytest.fixture
def asking(line: Line, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    """The whole application over real parts, its policy decision replaced by one that opens everything."""
    anna = line.services.gateway.read(
        line.caller("customer_support"), ReadQuery(named(0), "customer_support", ("city",))
    ).data_subject
    assert anna is not None
    monkeypatch.setattr(line_of_reads, "decide", everything_open)
    with create_app(line.services).test_client() as web:
        yield Asking(line.services, anna, web)


@pytest.mark.parametrize(
    ("client", "purpose"),
    [(NEWSLETTER, "email_marketing"), (ANALYTICS, "first_party_analytics"), (TILL, "allergen_safety")],
)
def test_a_credential_without_the_class_gets_nothing(asking: Asking, client: str, purpose: str) -> None:
    """Where every field is decided open, a credential of another purpose is refused whole and gets no plaintext."""
    status, body = asking.ask(client, purpose, "first_name,service_note")
    assert (status, json.loads(body)["code"]) == (500, "protection_refused")
    assert NOTE is not None
    assert NOTE not in body
    assert CAST[0].first_name not in body
    assert "fs2." not in body


def test_the_right_purpose_still_reads_it(asking: Asking) -> None:
    """The call centre's credential opens what is of its class, and not what is of the till's."""
    status, body = asking.ask(CALL_CENTRE, "customer_support", "service_note")
    assert (status, json.loads(body)["record"]) == (200, {"service_note": NOTE})
    assert asking.ask(CALL_CENTRE, "customer_support", "service_note,allergies")[0] == 500
    assert asking.ask(CALL_CENTRE, "order_fulfilment", "service_note")[0] == 500  # its other purpose opens no class


def test_a_purpose_that_is_not_the_credentials_own_opens_nothing(line: Line, asking: Asking) -> None:
    """The classes are those of registration and request together: a purpose that is only claimed gives no key."""
    fields = ("service_note",)
    request = replace(
        asking.services.gateway.claim(line.caller("customer_support"), "customer_support", fields, None, Action.READ),
        client_id=ADS,
    )
    forged = asking.services.gateway.decided(line.caller("targeted_ads"), PersonRef(asking.anna), request)
    assert asking.services.gateway.grant(forged) == KeyGrant()
    honest = asking.services.gateway.decided(line.caller("customer_support"), PersonRef(asking.anna), request)
    assert asking.services.gateway.grant(honest) == KeyGrant(frozenset({"support"}))


def test_without_the_check_the_same_call_leaks(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: with every class granted to everybody, the very call that is refused gives the plaintext."""
    operator = every_class(asking.services.policies)
    monkeypatch.setattr(Gateway, "grant", lambda _self, _line: operator)
    status, body = asking.ask(NEWSLETTER, "email_marketing", "service_note")
    assert (status, json.loads(body)["record"]) == (200, {"service_note": NOTE})


def test_not_even_the_key_of_another_class_opens_what_lies_in_the_store(line: Line, asking: Asking) -> None:
    """Whoever reads the store directly has ciphertext, and a marketing key does not open it, however it is labelled."""
    stored = line.store("SELECT service_note FROM customers WHERE customer_id = 1")
    raw = asking.services.store.read("1", ("service_note", "allergies"), Page())
    assert raw is not None
    assert raw.values["service_note"] == stored
    assert isinstance(stored, str)
    assert stored.startswith("fs2.")
    keys = asking.services.keyring.person_keys(asking.anna)
    marketing = keys.class_key("marketing", KeyGrant(frozenset({"marketing"})))
    for key in (marketing, replace(marketing, key_class="support"), replace(marketing, secret=keys.data_key)):
        with pytest.raises(KeysUnavailable):
            open_sealed(stored, "service_note", asking.anna, key)
    with pytest.raises(ProtectionRefused):
        keys.class_key("support", KeyGrant(frozenset({"marketing"})))
    support = keys.class_key("support", KeyGrant(frozenset({"support"})))
    assert open_sealed(stored, "service_note", asking.anna, support) == NOTE


def test_no_sealed_value_lies_readable_in_the_store(line: Line) -> None:
    """Of every sealed column of the catalogue, no row of the store holds anything but sealed text."""
    classes = line.services.policies.catalogue.key_classes
    assert set(classes.values()) == {"care", "support"}
    for column in classes:
        clear = f"SELECT count(*) FROM customers WHERE {column} IS NOT NULL AND {column} NOT LIKE 'fs2.%'"
        assert line.store(clear) == 0
        assert line.store(f"SELECT count(*) FROM customers WHERE {column} IS NOT NULL")


def test_a_write_needs_the_class_too(line: Line, asking: Asking) -> None:
    """A credential that could not read a sealed field cannot write it: nothing is written, the log says it failed."""
    before = line.store("SELECT service_note FROM customers WHERE customer_id = 1")
    query = WriteQuery(PersonRef(asking.anna), "email_marketing", {"service_note": "planted"}, "x")
    with pytest.raises(ProtectionRefused, match="`service_note` lies under the key class `support`"):
        line.services.writes.change(line.caller("email_marketing"), query)
    assert line.store("SELECT service_note FROM customers WHERE customer_id = 1") == before
    mine = replace(query, purpose="customer_support", changes={"service_note": NOTE})
    assert line.services.writes.change(line.caller("customer_support"), mine).written == ("service_note",)
    after = line.store("SELECT service_note FROM customers WHERE customer_id = 1")
    assert after != before
    assert asking.ask(CALL_CENTRE, "customer_support", "service_note")[0] == 200
