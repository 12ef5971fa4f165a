"""The feed: cursors, who sees what, streams that resume and lose nothing, and names that two recipients cannot join."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from consent_gateway.consent import ledger
from consent_gateway.errors import CallerNotPermitted, Conflict, InputRefused, KeysDestroyed, TooManyRequests
from consent_gateway.propagation.changes import Audience
from consent_gateway.propagation.destinations import audience_of
from consent_gateway.propagation.feed import LATEST, STREAM_LIFE, Feed
from consent_gateway.propagation.outbox import PARTING_LIFE, purge_parting_names
from consent_gateway.vocabulary import COMPANY, Caller, EventKind
from tests.conftest import NOON
from tests.propagation.world import COMPANY_EMAIL, KEY, PlainNames, World, make_event, receiving

GRANT, WITHDRAW = EventKind.GRANT, EventKind.WITHDRAW
ADS = Audience(frozenset({"targeted_ads"}), "ad_partner")
SALE = Audience(frozenset({"data_sale"}), "data_broker")


def feed(world: World, most: int = 2) -> Feed:
    """A feed whose pauses move the clock."""
    return Feed(world.engine, world.envelopes, world.clock, KEY, most, lambda seconds: world.wait(seconds=seconds))


def ids(changes: object) -> list[object]:
    """The ids of some documents."""
    return [each["id"] for each in changes]  # type: ignore[attr-defined]


def test_pages_follow_each_other_without_gap_or_overlap(world: World) -> None:
    """Read with any page size, the pages together are the ledger in order."""
    expected = [one for _ in range(4) for one in world.choose(("ds_a", GRANT), ("ds_b", GRANT), ("ds_a", WITHDRAW))]
    for limit in (1, 2, 5, 500):
        found: list[object] = []
        page = feed(world).page("shop", COMPANY_EMAIL, None, limit)
        while True:
            found += ids(page.changes)
            if not page.more:
                break
            page = feed(world).page("shop", COMPANY_EMAIL, page.cursor, limit)
        assert found == expected


def test_a_cursor_passes_over_what_concerns_others_and_is_the_clients_own(world: World) -> None:
    """The cursor of an empty page is past other purposes; no other than this client's own is taken."""
    world.choose(("ds_a", GRANT), purpose="data_sale")
    read = feed(world)
    page = read.page("shop", COMPANY_EMAIL, None, 10)
    assert (page.changes, page.more) == ((), False)
    assert read.read_cursor("shop", page.cursor) == 1
    assert read.read_cursor("shop", LATEST) == 1
    for client, cursor in (
        ("other", page.cursor),
        ("shop", page.cursor[:-2] + "AA"),
        ("shop", "A" * 32),
        ("shop", "x"),
    ):
        with pytest.raises(InputRefused):
            read.page(client, COMPANY_EMAIL, cursor, 10)


def test_a_waiting_page_comes_back_with_what_happened_or_empty_at_its_time(world: World) -> None:
    """Within its time a long poll answers a new change, after it nothing; and it waits only where there is a place."""
    read = feed(world)
    start = world.clock.now()
    assert read.page("shop", COMPANY_EMAIL, None, 10, wait=20).changes == ()
    assert 20 <= (world.clock.now() - start).total_seconds() < 21
    calls = iter(range(100))

    def pause(seconds: float) -> None:
        world.wait(seconds=seconds)
        if next(calls) == 3:
            world.choose(("ds_a", GRANT))

    waiting = Feed(world.engine, world.envelopes, world.clock, KEY, 1, pause)
    assert len(waiting.page("shop", COMPANY_EMAIL, None, 10, wait=20).changes) == 1


def heard(stream: Iterator[bytes]) -> Iterator[tuple[str, str | None]]:
    """Cursor and event id of each part of a stream; None for a heart-beat."""
    for part in stream:
        cursor = re.search(rb"^id: (\S+)$", part, re.MULTILINE)
        data = re.search(rb"^data: (.+)$", part, re.MULTILINE)
        assert cursor
        yield cursor[1].decode(), json.loads(data[1])["id"] if data else None


def test_a_stream_that_breaks_anywhere_loses_nothing(world: World) -> None:
    """Cut after any number of parts and resumed with the last id seen, over and over, a reader hears every change once
    and in order, also those recorded between two connections.
    """
    expected = world.choose(("ds_a", GRANT), ("ds_b", GRANT), ("ds_a", WITHDRAW), ("ds_c", GRANT))
    found: list[str] = []
    cursor: str | None = None
    for cut in (1, 2, 1, 3, 2, 4, 2, 9):
        stream = feed(world).stream("shop", COMPANY_EMAIL, cursor)
        for _, (reached, event_id) in zip(range(cut), heard(stream), strict=False):
            cursor = reached
            found += [event_id] if event_id else []
        stream.close()  # type: ignore[attr-defined]
        expected += world.choose(("ds_b", WITHDRAW)) if cut < 4 else []
    assert found == expected


def test_a_stream_beats_ends_and_gives_its_place_back(world: World) -> None:
    """Without a change a comment comes every 15 seconds; after a minute it ends; one too many is refused."""
    read = feed(world, most=1)
    stream = read.stream("shop", COMPANY_EMAIL, None)
    with pytest.raises(TooManyRequests):
        read.stream("shop", COMPANY_EMAIL, None)
    assert read.page("shop", COMPANY_EMAIL, None, 10, wait=20).changes == ()  # answered at once
    began = world.clock.now()
    parts = list(stream)
    assert len([part for part in parts if part.startswith(b": here")]) == 3
    assert world.clock.now() - began >= STREAM_LIFE
    read.stream("shop", COMPANY_EMAIL, None).close()  # type: ignore[attr-defined]
    read.stream("shop", COMPANY_EMAIL, None).close()  # type: ignore[attr-defined]


def test_two_recipients_hear_of_one_person_under_nothing_they_share(world: World) -> None:
    """Of one act about a whole person, two recipients hear no id, name or exact time in common, and no channel
    or count.
    """
    world.choose(("ds_a", EventKind.GPC))
    (ads,) = feed(world).page("ads", ADS, None, 10).changes
    (sale,) = feed(world).page("broker", SALE, None, 10).changes
    assert ads["id"] != sale["id"]
    assert ads["subject"] != sale["subject"]
    for document in (ads, sale):
        assert not {"channel", "position"} & set(document["data"])  # type: ignore[call-overload]
        assert str(document["time"]).endswith(":00Z")


def test_how_often_and_until_when_reach_the_channels(world: World) -> None:
    """What a person said of how often, and until when they paused, is in the event, for the company and outside."""
    events = [
        replace(make_event("ds_a", EventKind.FREQUENCY, purpose), frequency="monthly")
        for purpose in ("email_marketing", "data_sale")
    ]
    events.append(replace(make_event("ds_a", EventKind.PAUSE), valid_until=NOON + timedelta(days=30)))
    with world.engine.begin() as connection:
        world.outbox.announce_in(connection, ledger.record_many(connection, events, now=NOON))
    often, pause = (one["data"] for one in feed(world).page("shop", COMPANY_EMAIL, None, 10).changes)
    (outside,) = (one["data"] for one in feed(world).page("broker", SALE, None, 10).changes)
    assert (often["frequency"], outside["frequency"], pause["frequency"]) == ("monthly", "monthly", None)  # type: ignore[index]
    assert pause["valid_until"] == "2026-12-22T12:00:00Z"  # type: ignore[index]
    assert not any(one["opens"] for one in (often, outside, pause))  # type: ignore[index]


def test_a_recipient_is_told_of_an_erasure_under_its_own_name(world: World) -> None:
    """The erasure comes under the name the recipient knows, though the keys are gone by then; older changes of the
    person do not come any more, and after 30 days the name is forgotten.
    """

    class Mortal(PlainNames):
        """Names that end."""

        gone = False

        def name(self, purpose: str, recipient: str, data_subject: str) -> str:
            if self.gone:
                raise KeysDestroyed("destroyed")
            return super().name(purpose, recipient, data_subject)

    names = Mortal()
    mortal = World(world.engine, world.clock, domains=(ADS.domain, SALE.domain), names=names)
    mortal.choose(("ds_a", GRANT), purpose="targeted_ads")
    mortal.choose(("ds_a", EventKind.ERASED))
    names.gone = True
    (only,) = feed(mortal).page("ads", ADS, None, 10).changes
    assert (only["type"], only["subject"]) == ("consent-gateway.choice.erased", "targeted_ads/ad_partner/ds_a")
    assert purge_parting_names(world.engine, world.clock.now()) == 0
    assert purge_parting_names(world.engine, world.clock.now() + PARTING_LIFE) == 2
    assert feed(mortal).page("ads", ADS, None, 10).changes == ()


def test_a_client_listens_as_what_it_is_registered_for() -> None:
    """Other purposes and recipients are refused; an outside recipient names exactly one purpose."""
    caller = Caller(
        "shop", "web", frozenset({"targeted_ads", "payment"}), frozenset({COMPANY, "ad_partner"}), frozenset()
    )
    assert audience_of(caller, None, None) == Audience(caller.purposes, COMPANY)
    assert audience_of(caller, ["targeted_ads"], "ad_partner") == ADS
    for purposes, recipient in ((["data_sale"], None), ([], None), (None, "courier")):
        with pytest.raises(CallerNotPermitted):
            audience_of(caller, purposes, recipient)
    with pytest.raises(InputRefused):
        audience_of(caller, None, "ad_partner")


def test_a_webhook_is_registered_once_and_its_secret_rotates_with_overlap(world: World) -> None:
    """A second of the same is refused; after a rotation two secrets sign for a day, then the new one alone."""
    from consent_gateway.callers.registry import NewClient, Registry

    registry = Registry(world.engine, world.clock, KEY)
    registry.add(
        NewClient("shop", "web", frozenset({"email_marketing"}), frozenset({COMPANY}), frozenset({"changes:read"}))
    )
    caller = Caller("shop", "web", frozenset({"email_marketing"}), frozenset({COMPANY}), frozenset())
    with receiving() as receiver:
        made, secret = world.destinations.add_webhook(caller, receiver.url, COMPANY_EMAIL)
        with pytest.raises(Conflict):
            world.destinations.add_webhook(caller, receiver.url, COMPANY_EMAIL)
    assert [each.text for each in world.destinations.secrets(made)] == [secret.text]
    fresh = world.destinations.rotate(made)
    rotated = world.present(made)
    assert [each.text for each in world.destinations.secrets(rotated)] == [fresh.text, secret.text]
    world.wait(hours=24)
    assert [each.text for each in world.destinations.secrets(rotated)] == [fresh.text]
    registry.revoke("shop")
    assert world.destinations.living(made.destination_id) is None
    assert world.destinations.all() == ()
