"""The retailer's old consent export: deterministic, well-formed, and about people who exist."""

import json
import sqlite3
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from consent_gateway.consent.evidence import check
from consent_gateway.consent.lines import read_line
from consent_gateway.demo.cast import TOLD
from consent_gateway.demo.choices import legacy_choices
from consent_gateway.demo.retailer import build_retailer
from consent_gateway.vocabulary import ANY_PURPOSE, OPENING, PERSON_WIDE, EventKind, How

CUSTOMERS = 1200


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small build."""
    path = tmp_path_factory.mktemp("shop") / "retailer.db"
    build_retailer(path, customers=CUSTOMERS)
    return path


@pytest.fixture(scope="module")
def lines(shop: Path) -> list[dict[str, Any]]:
    """The export of the small build, parsed."""
    out = shop.with_name("choices.jsonl")
    count = legacy_choices(shop, out)
    parsed = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(parsed) == count
    return parsed


def test_equal_seeds_give_equal_exports(shop: Path, tmp_path: Path) -> None:
    """Two exports of one database from one seed are the same bytes."""
    for name in ("a", "b"):
        legacy_choices(shop, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_lines_are_in_the_order_of_time(lines: list[dict[str, Any]]) -> None:
    """No choice stands before an earlier one, so that an importer may fold them as they come."""
    times = [datetime.fromisoformat(line["occurred_at"]) for line in lines]
    assert times == sorted(times)


def test_every_kind_and_way_is_a_word_of_the_vocabulary(lines: list[dict[str, Any]]) -> None:
    """Kinds and ways come from the closed lists, and the whole person is meant exactly by the person-wide kinds."""
    for line in lines:
        kind = EventKind(line["kind"])
        assert line["how"] in get_args(How)
        assert (line["purpose"] == ANY_PURPOSE) == (kind in PERSON_WIDE)


def test_the_ledger_takes_every_choice(lines: list[dict[str, Any]]) -> None:
    """Each line can be read by the import and passes the ledger's check of form and evidence, on the demo's day."""
    now = datetime(2026, 11, 20, 12, 0, 1, tzinfo=UTC)
    for line in lines:
        check(read_line(line, "old-preference-table").event, now)


def test_what_opens_something_has_full_evidence(lines: list[dict[str, Any]]) -> None:
    """A choice that may open something names its notice, version, language, channel and reference."""
    for line in lines:
        if EventKind(line["kind"]) in OPENING:
            assert all(line[key] for key in ("notice", "notice_version", "language", "channel", "reference"))


def test_every_choice_is_about_a_customer(shop: Path, lines: list[dict[str, Any]]) -> None:
    """Each line names one store key or one identifier that the shop's database holds."""
    connection = sqlite3.connect(shop)
    known = {("store_key", str(row[0])) for row in connection.execute("SELECT customer_id FROM customers")}
    known |= {("email", row[0]) for row in connection.execute("SELECT email FROM customers")}
    known |= {("loyalty_number", row[0]) for row in connection.execute("SELECT loyalty_number FROM loyalty_accounts")}
    connection.close()
    for line in lines:
        assert ("identifier" in line) != ("store_key" in line)
        named = line.get("identifier") or {"kind": "store_key", "value": line["store_key"]}
        assert (named["kind"], named["value"]) in known


def test_a_shared_address_opens_nothing(shop: Path, lines: list[dict[str, Any]]) -> None:
    """An address that two people use never carries a choice that may open something."""
    connection = sqlite3.connect(shop)
    shared = {
        row[0]
        for row in connection.execute("SELECT lower(email) FROM customers GROUP BY lower(email) HAVING count(*) > 1")
    }
    connection.close()
    for line in lines:
        if "identifier" in line and line["identifier"]["value"].lower() in shared:
            assert EventKind(line["kind"]) not in OPENING


def test_the_kinds_the_law_knows_are_there(lines: list[dict[str, Any]]) -> None:
    """The export holds grants, withdrawals, opt-outs, signals, restrictions, objections, parents and soft opt-ins."""
    seen = Counter(line["kind"] for line in lines)
    for kind in (
        "grant",
        "grant_explicit",
        "refuse",
        "withdraw",
        "object",
        "opt_out",
        "unsubscribe",
        "soft_opt_in",
        "implied_existing_customer",
        "gpc",
        "restrict",
        "parental_authorisation",
        "join_programme",
    ):
        assert seen[kind] > 0, kind
    assert 1.9 < len(lines) / CUSTOMERS < 2.6


def test_the_cast_has_chosen_what_the_story_says(lines: list[dict[str, Any]]) -> None:
    """The export holds every choice of the story and no other choice of its people but their programme."""
    moments = {line["occurred_at"] for line in lines if line["purpose"] != "*"}
    assert all(told.occurred_at in moments for told in TOLD if told.purpose != "*")
    assert not [line for line in lines if line.get("store_key") == "2"]
