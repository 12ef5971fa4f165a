"""Letters through the whole gateway: an erasure's last letter reaches its person, and no other mail stays."""

from pathlib import Path

import sqlalchemy as sa

from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import PEOPLE
from consent_gateway.rights.intake import NewRequest
from consent_gateway.rights.letters import LetterState
from consent_gateway.rights.requests import By, Via
from consent_gateway.rights.states import State
from consent_gateway.vocabulary import Identifier
from consent_gateway.wiring import Services
from tests.deployment import Deployment
from tests.line.test_customers import services  # noqa: F401 - a fixture

OFFICER = By(officer="ofc_1", channel="privacy_desk")


def test_an_erased_person_is_told_so_and_nothing_else_of_theirs_is_left(
    services: Services,  # noqa: F811
    deployment: Deployment,
) -> None:
    """From the page to the end: letters go to the address on file; an erasure takes them out of the outbox again.

    The last letter is written after it, to the address that was sealed for it, and no table holds an address then.
    """
    url = sa.make_url(deployment.retailer)
    store = sa.create_engine(url if url.drivername == "sqlite" else url.set(drivername="postgresql+psycopg"))
    with store.connect() as connection:
        lonely = sa.text(
            "SELECT customer_id, email FROM customers c WHERE email LIKE '%@%' AND"
            " (SELECT count(*) FROM customers o WHERE o.email = c.email) = 1 AND"
            " NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.customer_id) ORDER BY customer_id DESC"
        )
        key, email = connection.execute(lonely).first()  # type: ignore[misc]
    store.dispose()
    with services.engine.connect() as connection:
        known = sa.select(PEOPLE.c.data_subject).where(PEOPLE.c.store_key == str(key))
        who = connection.execute(known).scalar_one()
    room, post = services.rights, services.customers.post
    assert room.letters is not None
    asked = NewRequest(
        right="delete",
        person=PersonRef(data_subject=who),
        via=Via.PAGE,
        received_at=services.clock.now(),
        channel="web_shop",
        jurisdiction="DE",
    )
    request = room.intake.receive(asked, By(channel="web_shop"))
    assert post.send_due() == 1
    proved = room.proofs.by_officer(request.request_id, "desk-1", None, OFFICER)
    room.proofs.close_reads(proved)
    room.handling.approve(request.request_id, OFFICER)
    done = room.handling.execute(request.request_id, OFFICER, waived=True)
    assert done.state in (State.FULFILLED, State.PARTIALLY_FULFILLED)
    assert done.outcome is not None
    assert [one for one in done.outcome["leftovers"] if "outbox" in one] == []
    outbox = services.settings.state_dir / "outbox"
    assert mails_to(outbox, email) == 0
    assert post.send_due() == 1
    assert mails_to(outbox, email) == 1
    first, last = room.letters.of_request(request.request_id)
    assert (first.state, last.state) == (LetterState.SENT, LetterState.SENT)
    assert last.kind in ("fulfilment", "partial")
    assert services.customers.outbox is not None
    assert services.customers.outbox.newest()[0].text.split() == last.text.split()


def mails_to(outbox: Path, email: str) -> int:
    """How many mails in the outbox are to this address."""
    return sum(email in path.read_text(encoding="utf-8") for path in outbox.glob("*.eml"))


def test_an_unknown_address_is_written_to_in_the_language_of_its_place(services: Services) -> None:  # noqa: F811
    """A request that names an address nobody has is answered there, in French for France."""
    asked = NewRequest(
        right="access",
        person=PersonRef(identifier=Identifier("email", "nobody-here@example.com")),
        via=Via.API,
        received_at=services.clock.now(),
        channel="web_shop",
        jurisdiction="FR",
    )
    request = services.rights.intake.receive(asked, By(client="web-shop", channel="web_shop"))
    assert services.customers.post.send_due() == 1
    assert services.rights.letters is not None
    assert [one.language for one in services.rights.letters.of_request(request.request_id)] == ["fr"]
