"""A policy small enough to hold in mind, as texts that a test may alter line by line."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consent_gateway.policy import Policies, decide, policies_from
from consent_gateway.vocabulary import AccessRequest, Choice, ChoiceStatus, Facts, Verdict

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EMAIL = "email_marketing"

SMALL = {
    "catalogue.yaml": """\
dataset:
  - fides_key: small
    collections:
      - name: customers
        fields:
          - name: id
            data_categories: [user.unique_id]
            fides_meta: {primary_key: true}
          - name: email
            data_categories: [user.contact.email]
          - name: health
            data_categories: [user.health]
          - name: both
            data_categories: [user.contact.email, user.health]
          - name: visits
            data_categories: [user.behavior]
            meta: {transforms: {mask: {transform: constant, parameters: {value: "x"}}}}
""",
    "categories.yaml": """\
categories:
  user: {name: User}
  user.unique_id: {name: Id}
  user.contact: {name: Contact}
  user.contact.email: {name: E-mail}
  user.behavior: {name: Behaviour}
  user.health: {name: Health, special: true}
  user.health.blood: {name: Blood}
""",
    "controller.yaml": """\
controllers:
  - effective_from: 2025-01-01
    source: art. 30
    controller: {name: Small Ltd, address: 1 High Street, email: privacy@small.example}
    no_officer: three people work here
""",
    "purposes.yaml": """\
purposes:
  - key: orders
    name: Orders
    description: We use this to send your order.
    dpv: CustomerOrderManagement
    fideslang: essential.service
    categories: [user.contact, user.unique_id]
    groups: [service]
  - key: email_marketing
    name: E-mail marketing
    description: We use this to write to you.
    dpv: DirectMarketing
    fideslang: marketing.communications.email
    categories: [user.contact.email, user.behavior]
    groups: [choice]
  - key: care
    name: Care
    description: We use this to care for you.
    dpv: RequestedServiceProvision
    fideslang: essential.service
    categories: [user.health, user.contact.email, user.behavior]
    groups: [choice]
""",
    "channels.yaml": """\
channels:
  - key: shop
    name: Shop
    conditions: [existing_customer]
""",
    "recipients.yaml": """\
recipients:
  - {key: mailer, name: Mailer, role: processor, country: DE, purposes: [email_marketing]}
  - {key: broker, name: Broker, role: third_party, country: US, safeguard: scc, purposes: all}
  - {key: far, name: Far, role: processor, country: VN, purposes: all}
""",
    "transforms.yaml": """\
transforms:
  - {categories: [user], effect: pseudonymise, transform: pseudonym.value}
  - {categories: [user.contact], effect: mask, transform: mask, parameters: {style: all}}
  - {categories: [user.contact.email], effect: mask, transform: mask, parameters: {style: email}}
""",
    "packs/floor.yaml": """\
pack: floor
title: Floor
version: "1"
jurisdictions: everywhere
sensitive: [user.health]
rules:
  - {id: floor.restricted, kind: bar, when: [restricted], stage: restriction, reason: restriction, source: a}
  - id: floor.withdrawn
    kind: bar
    purposes: ["group:choice"]
    when: [withdrawn]
    stage: refusal
    reason: withdrawn
    source: b
  - {id: floor.expired, kind: bar, purposes: [care], when: [expired], stage: refusal, reason: expired, source: c}
""",
    "packs/aa.yaml": """\
pack: aa
title: First land
version: "7"
effective_from: 2020-01-01
jurisdictions: [DE, FR]
ages: {digital: {default: 16, FR: 15}}
consent_months: 24
rules:
  - {id: aa.orders, kind: contract, purposes: [orders], source: art. 1}
  - {id: aa.email, kind: consent, purposes: [email_marketing], source: art. 2}
  - {id: aa.care, kind: explicit_consent, purposes: [care], source: art. 3}
  - {id: aa.child, kind: parent, purposes: "group:choice", ages: {below: digital}, reason: below_digital_age, source: d}
  - {id: aa.transfer, kind: transfer, source: art. 5}
""",
}


@pytest.fixture
def small() -> dict[str, str]:
    """The small policy's texts by path, free to be altered."""
    return dict(SMALL)


@pytest.fixture
def small_directory(tmp_path: Path, small: dict[str, str]) -> Iterator[Path]:
    """The small policy as a directory."""
    write(tmp_path, small)
    return tmp_path


def write(directory: Path, sources: dict[str, str]) -> None:
    """Write texts below a directory."""
    for path, text in sources.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def with_rules(sources: dict[str, str], *rules: str, path: str = "packs/aa.yaml") -> dict[str, str]:
    """The policy with further rules in a pack, each written as the inside of a YAML mapping."""
    added = "".join(f"  - {{{rule}, source: test}}\n" for rule in rules)
    return {**sources, path: sources[path] + added}


Ask = Callable[..., Verdict]


def ask(policies: Policies, purpose: str = EMAIL, field: str = "email", **given: object) -> Verdict:
    """The verdict for one field of a person in Germany; `choice` and `request` hold attributes to set."""
    choice = {"given_at": NOON, **given.pop("choice", {})}  # type: ignore[dict-item]
    request = {"channel": "shop", **given.pop("request", {})}  # type: ignore[dict-item]
    status = choice.pop("status", ChoiceStatus.UNKNOWN)
    facts = {"jurisdiction": "DE", "choices": {purpose: Choice(purpose, status, **choice)}, **given}
    asked = AccessRequest("c", purpose=purpose, fields=(field,), **{"time": NOON, **request})
    return decide(policies.rulebook, asked, Facts(**facts)).verdicts[field]


def told(verdict: Verdict) -> tuple[str, str, str]:
    """Effect, reason and rule as words."""
    return verdict.effect.word, verdict.reason.value, verdict.rule


@pytest.fixture
def policies(small: dict[str, str]) -> Policies:
    """The small policy, loaded."""
    return policies_from(small)
