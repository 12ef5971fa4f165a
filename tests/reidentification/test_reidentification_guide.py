"""The how-to's own lines turn a token back, against the gateway as it is served."""

import re
from pathlib import Path
from typing import Any

from consent_gateway.demo.clients import ANALYTICS, TILL
from tests.deployment import running
from tests.reidentification.conftest import APPROVES, ASKS, House, person

LOOKUP = "/v1/customers/lookup"
ADA = {"kind": "email", "value": person(0)}
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "re-identify.md"


def test_the_lines_of_the_guide_work_over_http(house: House) -> None:
    """Two officers enrol, sign in, ask, approve and are told by the guide's Python, with the address alone changed."""
    (block,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    named: dict[str, Any] = {}
    exec(compile(block.replace("http://localhost:8080", house.services.issuer), GUIDE.name, "exec"), named)  # noqa: S102 - our own page
    codes = [
        house.services.desk.officers.add(f"guide-{role}".replace("_", "-"), [role])[1] for role in (ASKS, APPROVES)
    ]
    with running(house.deployment) as served:
        seen = {
            purpose: served.call("POST", LOOKUP, {"identifier": ADA, "purpose": purpose}, served.token(client)).body
            for client, purpose in ((ANALYTICS, "first_party_analytics"), (TILL, "order_fulfilment"))
        }
        ada, grace = map(named["officer"], codes)
        told = named["turn_back"](ada, grace, seen["first_party_analytics"]["record"]["external_ref"])
    assert seen["first_party_analytics"]["data_subject"] is None
    assert [one["data_subject"] for one in told["results"]] == [seen["order_fulfilment"]["data_subject"]]
