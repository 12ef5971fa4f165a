"""The operator's work on the keys of a domain, over a whole deployment: rotate, map, retire; all of it logged."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from consent_gateway.audit.log import AuditLog, EntryFilter
from consent_gateway.cli.keys import keys
from consent_gateway.errors import Conflict, KeysUnavailable, ProtectionRefused
from consent_gateway.people.tables import PEOPLE
from consent_gateway.protection.pseudonyms import alias_of_person, pseudonym_of_person, pseudonym_of_value
from consent_gateway.protection.reverse import Reverser
from consent_gateway.protection.reversible import Place, random_token, stable_token
from consent_gateway.wiring import Services, open_sealer
from tests.deployment import Deployment

DOMAIN = ("analytics", "partner")


@pytest.fixture
def services(deployment: Deployment) -> Iterator[Services]:
    """The services of one process of the deployment."""
    opened = deployment.open()
    yield opened
    opened.close()


def people(services: Services, count: int) -> list[str]:
    """Ids of some people who are enrolled."""
    with services.engine.connect() as connection:
        return list(connection.execute(sa.select(PEOPLE.c.data_subject).limit(count)).scalars())


def handed_out(services: Services, person: str, value: str) -> dict[str, str]:
    """What one person's record may look like at the recipient, by kind of token."""
    ring, tenant = services.keyring, services.keyring.tenant
    ring.create(person)
    who, domain, token = ring.person_keys(person), ring.domain_key(*DOMAIN), ring.token_key(*DOMAIN)
    place = Place(tenant, *DOMAIN, "email")
    own = who.hand_out_key()
    made: dict[str, Any] = {
        "ps": pseudonym_of_person(who.seed, domain.secret, domain.key_id, tenant),
        "ea": alias_of_person(who.seed, domain.secret, domain.key_id, tenant),
        "td": stable_token(value, place, token.secret, token.key_id, 64),
        "tr": random_token(value, place, token.secret, token.key_id, 64, person, own, (b"1" * 12, b"2" * 12)),
        "pv": pseudonym_of_value(value, "email", domain.secret, domain.key_id, tenant),
    }
    return made


def run(deployment: Deployment, *arguments: str) -> Result:
    """A `keys` command with services of its own, as another process has them."""
    return CliRunner().invoke(keys, arguments, obj=deployment.open)


def entries(services: Services) -> list[dict[str, Any]]:
    """Every sealed or waiting entry about keys, oldest first."""
    open_sealer(services.settings, services).seal_once()
    log = AuditLog(services.engine, services.settings.state_dir)
    return [found.entry for found in reversed(log.entries(EntryFilter(kind="key")))]


def test_old_tokens_become_new_ones_inside_the_domain(
    deployment: Deployment, services: Services, tmp_path: Path
) -> None:
    """After a rotation each token maps to the very one that is handed out now; who it stands for has not changed."""
    first, second = people(services, 2)
    old = [handed_out(services, person, f"{person}@example.test") for person in (first, second)]
    assert run(deployment, "rotate", "domain", *DOMAIN).exit_code == 0
    services.keyring.forget()
    new = [handed_out(services, person, f"{person}@example.test") for person in (first, second)]
    listed = [record[kind] for record in old for kind in ("ps", "td", "tr", "ea")]
    file = tmp_path / "tokens.txt"
    file.write_text("\n".join([*listed, listed[0]]) + "\n")
    result = run(deployment, "retoken", *DOMAIN, str(file))
    assert result.exit_code == 0, result.output
    mapped = dict(csv.reader(result.stdout.splitlines()))
    assert list(mapped) == listed
    reverser = Reverser(services.keyring, services.keyring.tenant)
    for before, after, person in zip(old, new, (first, second), strict=True):
        for kind in ("ps", "td", "ea"):
            assert mapped[before[kind]] == after[kind] != before[kind]
        turned = mapped[before["tr"]]
        assert len(turned) == len(after["tr"])  # the padding it had
        told = reverser.reverse(turned, field="email", purpose=DOMAIN[0], recipient=DOMAIN[1])
        assert (told.data_subject, told.value) == (person, f"{person}@example.test")
    assert "9 of 9 tokens mapped" in result.stderr


def test_what_cannot_be_mapped_is_told_by_its_line(deployment: Deployment, services: Services, tmp_path: Path) -> None:
    """One-way, foreign, altered and erased: each is told with its line and cause, and the rest is mapped."""
    stays, goes = people(services, 2)
    kept, lost = handed_out(services, stays, "a"), handed_out(services, goes, "b")
    foreign = services.keyring.domain_key("analytics", "another")
    elsewhere = pseudonym_of_person(b"s" * 32, foreign.secret, foreign.key_id, services.keyring.tenant)
    altered = kept["td"][:-1] + ("A" if kept["td"][-1] != "A" else "B")
    services.keyring.rotate_domain(*DOMAIN)
    services.keyring.destroy(goes)
    lines = [kept["ps"], kept["pv"], elsewhere, altered, lost["ps"], lost["tr"], "", "no token", lost["td"]]
    file = tmp_path / "tokens.txt"
    file.write_text("\n".join(lines))
    result = run(deployment, "retoken", *DOMAIN, str(file))
    assert result.exit_code == 1
    assert [line.split(",")[0] for line in result.stdout.splitlines()] == [kept["ps"], lost["td"]]
    told = [line for line in result.stderr.splitlines() if line.startswith("line ")]
    assert [line.split(":")[0] for line in told] == ["line 2", "line 3", "line 4", "line 5", "line 6", "line 8"]
    assert "2 of 8 tokens mapped" in result.stderr


def test_what_is_retired_is_reversed_by_nobody(deployment: Deployment, services: Services) -> None:
    """Before a version is retired its tokens reverse; after it neither key opens one, and new ones still do."""
    (person,) = people(services, 1)
    old = handed_out(services, person, "a")
    services.keyring.rotate_domain(*DOMAIN)
    reverser = Reverser(services.keyring, services.keyring.tenant)
    where = {"field": "email", "purpose": DOMAIN[0], "recipient": DOMAIN[1]}
    assert reverser.reverse(old["ps"], **where).data_subject == person
    assert reverser.reverse(old["td"], **where).value == "a"
    refused = CliRunner().invoke(keys, ["retire", "domain", *DOMAIN, "1"], obj=deployment.open, input="n\n")
    assert refused.exit_code == 1
    assert reverser.reverse(old["td"], **where).value == "a"  # who does not confirm changes nothing
    done = run(deployment, "retire", "domain", *DOMAIN, "1", "--yes", "--json")
    assert json.loads(done.stdout)["version"] == 1
    services.keyring.forget()
    for kind in ("ps", "ea", "td", "tr"):
        with pytest.raises(KeysUnavailable, match="retired"):
            reverser.reverse(old[kind], **where)
    assert reverser.reverse(handed_out(services, person, "a")["td"], **where).value == "a"
    present = run(deployment, "retire", "domain", *DOMAIN, "2", "--yes")
    assert isinstance(present.exception, Conflict)
    unknown = run(deployment, "retoken", "analytics", "nobody-ever", __file__)
    assert unknown.exit_code == 1
    with pytest.raises(ProtectionRefused):
        reverser.reverse(old["td"], field="email", purpose="analytics", recipient="nobody-ever")


def test_each_change_is_logged_before_and_after(deployment: Deployment, services: Services, tmp_path: Path) -> None:
    """The log has the intent and the outcome of every change, with versions, counts and key ids, and no token."""
    (person,) = people(services, 1)
    old = handed_out(services, person, "a")
    run(deployment, "rotate", "domain", *DOMAIN)
    file = tmp_path / "tokens.txt"
    file.write_text(old["td"] + "\nno token\n")
    run(deployment, "retoken", *DOMAIN, str(file))
    run(deployment, "retire", "domain", *DOMAIN, "1", "--yes")
    run(deployment, "retire", "domain", *DOMAIN, "9", "--yes")
    told = entries(services)
    assert [(one["action"], one["outcome"]) for one in told] == [
        ("rotate_domain", "intended"),
        ("rotate_domain", "done"),
        ("retoken", "intended"),
        ("retoken", "done"),
        ("retire_domain", "intended"),
        ("retire_domain", "done"),
        ("retire_domain", "intended"),  # refused: there is no version 9
    ]
    for intent, outcome in zip(told[:6:2], told[1:6:2], strict=True):
        assert outcome["reference"] == intent["id"]
        assert (outcome["purpose"], outcome["recipient"]) == DOMAIN
    assert told[3]["detail"] == {
        "asked": "2", "mapped": "1", "refused": "1", "key_ids": old["td"].split(".")[1],
    }  # fmt: skip
    assert old["td"] not in json.dumps(told)
