"""Customers' sessions: found by token alone, over at their ends, ended for good, each step in the audit log."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from consent_gateway.audit.tables import AUDIT_QUEUE
from consent_gateway.customers.links import NewUnsubscribeLink, SignInLinks, UnsubscribeLinks
from consent_gateway.customers.sessions import Assurance, Proved, Sessions
from consent_gateway.customers.tables import CUSTOMER_SESSIONS
from consent_gateway.errors import NotFound, SignInRefused
from consent_gateway.people.tables import PEOPLE
from tests.conftest import NOON, StillClock

KEY = b"a key of thirty-two bytes, fixed"
ADA, BEN = "ds_01jd80000000000000000000ad", "ds_01jd80000000000000000000be"
BY_LINK = Proved(ADA, Assurance.LINK)
BROWSER = "b" * 43


@pytest.fixture
def sessions(gateway_engine: sa.Engine, clock: StillClock) -> Iterator[Sessions]:
    """Sessions of half an hour idle and eight hours at most, over two people."""
    with gateway_engine.begin() as connection:
        rows = [{"data_subject": one, "store_key": one, "created_at": 0} for one in (ADA, BEN)]
        connection.execute(sa.insert(PEOPLE), rows)
    return Sessions(gateway_engine, clock, KEY, idle=timedelta(minutes=30), longest=timedelta(hours=8))


def logged(engine: sa.Engine) -> list[dict[str, Any]]:
    """The audit entries so far."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(AUDIT_QUEUE.c.entry)).scalars().all()
    return [orjson.loads(row)["entry"] for row in rows]


def test_a_session_is_found_by_its_token_and_by_nothing_else(sessions: Sessions, gateway_engine: sa.Engine) -> None:
    """The token leads to person, assurance and time; neither its digest, a changed byte nor another form does."""
    token = sessions.begin(BY_LINK).token
    found = sessions.resolve(token)
    assert found is not None
    assert (found.data_subject, found.assurance, found.signed_in_at, found.purpose) == (ADA, "link", NOON, None)
    with gateway_engine.connect() as connection:
        stored = connection.execute(sa.select(CUSTOMER_SESSIONS.c.token_hash)).scalar_one()
    assert token not in stored
    for other in (stored, token[:-1] + ("A" if token[-1] != "A" else "B"), token + "A", "", "é" * 43, token + "\n"):
        assert sessions.resolve(other) is None


def test_a_session_ends_when_idle_and_at_its_absolute_end(sessions: Sessions, clock: StillClock) -> None:
    """Calls keep it alive for the idle time each, and no call keeps it past its absolute end."""
    token = sessions.begin(BY_LINK).token
    clock.moment += timedelta(minutes=30)
    assert sessions.resolve(token) is None
    token = sessions.begin(BY_LINK).token
    begun = clock.moment
    while clock.moment < begun + timedelta(hours=7, minutes=40):
        clock.moment += timedelta(minutes=20)
        assert sessions.resolve(token) is not None
    clock.moment = begun + timedelta(hours=8)
    assert sessions.resolve(token) is None
    assert sessions.purge() == 2


def test_most_calls_of_a_session_write_nothing(
    sessions: Sessions, clock: StillClock, gateway_engine: sa.Engine
) -> None:
    """Within a tenth of the idle time a call is one read; past it, one row is touched once."""
    token = sessions.begin(BY_LINK).token
    statements: list[str] = []
    sa.event.listen(gateway_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    clock.moment += timedelta(minutes=2)
    sessions.resolve(token)
    assert [text.split()[0] for text in statements] == ["SELECT"]
    clock.moment += timedelta(minutes=2)
    sessions.resolve(token)
    sessions.resolve(token)
    assert [text.split()[0] for text in statements if "BEGIN" not in text] == ["SELECT", "SELECT", "UPDATE", "SELECT"]


def test_signing_out_ends_the_session_and_is_recorded(sessions: Sessions, gateway_engine: sa.Engine) -> None:
    """A token kept after sign-out leads nowhere; the log has who came how and who left, and no token."""
    token, other = sessions.begin(BY_LINK).token, sessions.begin(Proved(BEN, Assurance.ACCOUNT)).token
    sessions.end(token)
    sessions.end(token)
    assert sessions.resolve(token) is None
    assert sessions.resolve(other) is not None
    entries = logged(gateway_engine)
    assert [(one["action"], one["data_subject"], one["detail"]["assurance"]) for one in entries] == [
        ("sign_in", ADA, "link"),
        ("sign_in", BEN, "account"),
        ("sign_out", ADA, "link"),
    ]
    assert {one["kind"] for one in entries} == {"customer_session"}
    assert token not in str(entries)


def test_a_sign_in_replaces_the_session_that_was_there(sessions: Sessions) -> None:
    """Whoever signs in gets a token never seen before, and the old one, of whomever, is over."""
    planted = sessions.begin(Proved(BEN, Assurance.LINK)).token
    fresh = sessions.begin(BY_LINK, replacing=planted).token
    assert fresh != planted
    assert sessions.resolve(planted) is None
    found = sessions.resolve(fresh)
    assert found is not None
    assert found.data_subject == ADA


def test_not_me_ends_everything_of_the_person_and_nothing_of_others(
    sessions: Sessions, gateway_engine: sa.Engine, clock: StillClock
) -> None:
    """All sessions and both kinds of link of the person end, the dispute is recorded, another person keeps theirs."""
    mailed = SignInLinks(gateway_engine, clock, KEY, sessions)
    unsubscribing = UnsubscribeLinks(gateway_engine, clock, KEY, timedelta(days=60))
    with gateway_engine.begin() as connection:
        links = {one: mailed.make_in(connection, BROWSER, one) for one in (ADA, BEN)}
    lists = {
        one: unsubscribing.make(NewUnsubscribeLink(one, "email_marketing", "newsletter", "mailer")).token
        for one in (ADA, BEN)
    }
    tokens = [sessions.begin(BY_LINK).token for _ in range(2)]
    other = sessions.begin(Proved(BEN, Assurance.LINK)).token
    session = sessions.resolve(tokens[0])
    assert session is not None
    assert sessions.dispute(session) == 4
    assert [sessions.resolve(token) for token in tokens] == [None, None]
    with pytest.raises(SignInRefused):
        mailed.use(links[ADA], BROWSER)
    with pytest.raises(NotFound):
        unsubscribing.find(lists[ADA])
    assert sessions.resolve(other) is not None
    assert mailed.use(links[BEN], BROWSER).token
    assert unsubscribing.find(lists[BEN]).data_subject == BEN
    dispute = next(one for one in logged(gateway_engine) if one["action"] == "not_me")
    assert (dispute["data_subject"], dispute["detail"]["ended"]) == (ADA, "4")
    assert dispute["detail"]["session"] == session.session_id


def test_form_tokens_differ_from_session_to_session(sessions: Sessions) -> None:
    """What a form must send back belongs to one session and is not its token."""
    one, two = sessions.begin(BY_LINK).token, sessions.begin(BY_LINK).token
    assert len({sessions.form_token(one), sessions.form_token(two), one, two}) == 4
    assert sessions.form_token(one) == sessions.form_token(one)
