"""Where a field's value came from."""

import pytest
import sqlalchemy as sa

from consent_gateway.errors import InputRefused
from consent_gateway.people import provenance
from tests.conftest import NOON


def test_the_latest_source_of_each_field_comes_first(gateway_engine: sa.Engine) -> None:
    """Each write of a field is kept with its source, the latest first, and others' fields are not told."""
    said = {"channel": "web", "client_id": "shop", "purpose": "order_fulfilment", "now": NOON}
    with gateway_engine.begin() as connection:
        for entry_id, person, source in (("d1", "ds_1", "checkout"), ("d2", "ds_1", "call 77"), ("d3", "ds_2", "x")):
            provenance.record(
                connection, entry_id=entry_id, data_subject=person, fields=("email", "email"), source=source, **said
            )
        found = provenance.lookup(connection, "ds_1")
    assert [each.source for each in found["email"]] == ["call 77", "checkout"]
    assert found["email"][0].recorded_at == NOON


@pytest.mark.parametrize("source", ["", "   ", "x" * 129, "a\nb"])
def test_a_source_is_short_printable_text(gateway_engine: sa.Engine, source: str) -> None:
    """An empty, long or unprintable source is refused."""
    with gateway_engine.begin() as connection, pytest.raises(InputRefused):
        provenance.record(
            connection,
            entry_id="d1",
            data_subject="ds_1",
            fields=("email",),
            source=source,
            channel="web",
            client_id="shop",
            purpose="p",
            now=NOON,
        )
