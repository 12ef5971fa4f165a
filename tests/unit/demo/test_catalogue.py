"""The shipped field catalogue and the retailer's database: every field named there exists here."""

import sqlite3
from pathlib import Path
from typing import Any

import yaml

from consent_gateway.demo.clients import CLIENTS
from consent_gateway.demo.schema import TABLES

POLICIES = Path(__file__).resolve().parents[3] / "policies"


def _document(name: str) -> Any:
    return yaml.safe_load((POLICIES / name).read_text(encoding="utf-8"))


def test_every_catalogued_field_is_a_column_of_the_shop() -> None:
    """No collection or field of the catalogue is missing in the shop's tables."""
    shop = sqlite3.connect(":memory:")
    shop.executescript(TABLES)
    for collection in _document("catalogue.yaml")["dataset"][0]["collections"]:
        columns = {row[1] for row in shop.execute(f"PRAGMA table_info({collection['name']})")}
        assert {field["name"] for field in collection["fields"]} <= columns, collection["name"]
    shop.close()


def test_every_client_claims_only_what_the_policy_knows() -> None:
    """Channels, purposes and recipients of the demo's clients are the policy's words."""
    channels = {row["key"] for row in _document("channels.yaml")["channels"]}
    purposes = {row["key"] for row in _document("purposes.yaml")["purposes"]}
    recipients = {row["key"] for row in _document("recipients.yaml")["recipients"]} | {"company"}
    for client in CLIENTS:
        assert client.channel in channels
        assert client.purposes <= purposes
        assert client.recipients <= recipients
