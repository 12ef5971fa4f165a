"""The customers' pages over HTTP, on both databases: whose form is taken, what is refused and then not written."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from consent_gateway.consent.notices import Notices
from consent_gateway.consent.tables import CONSENT_EVENTS
from consent_gateway.ids import random_id
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import PEOPLE
from consent_gateway.preferences.answers import Mark
from consent_gateway.preferences.notices import PageNotices
from consent_gateway.preferences.standing import Standing, Way
from consent_gateway.vocabulary import EventKind
from consent_gateway.web.app import PAGES, create_app
from consent_gateway.web.operations import Public
from consent_gateway.web.preferences.routes import Customer
from consent_gateway.wiring import Services
from tests.browser.site import COOKIE, CookieVisits
from tests.conftest import StillClock
from tests.conftest import _create_database as create_database
from tests.conftest import _drop_database as drop_database
from tests.deployment import deploy

OURS = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
PUBLIC = {"GET /preferences/logo.svg", "GET /preferences/style.css"}
ROUTES = [
    "GET /preferences",
    "GET /preferences/confirm",
    "GET /preferences/history",
    "GET /preferences/logo.svg",
    "GET /preferences/receipts/{item}",
    "GET /preferences/style.css",
    "GET /preferences/uses",
    "POST /preferences",
    "POST /preferences/act",
    "POST /preferences/confirm",
    "POST /preferences/no-sale",
    "POST /preferences/none",
    "POST /preferences/object",
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Services that take a cookie at its word, once over SQLite, once over PostgreSQL."""
    folder = tmp_path_factory.mktemp("pages")
    names = ("gateway", "keys", "store")
    (folder / "state").mkdir(mode=0o700)
    if request.param == "sqlite":
        urls = {name: f"sqlite:///{(folder if name == 'store' else folder / 'state') / name}.db" for name in names}
    else:
        server = request.getfixturevalue("postgresql_server")
        urls = {name: create_database(server) for name in names}
    opened = deploy(folder, urls).open()
    yield replace(opened, visits=CookieVisits())
    opened.close()
    for url in urls.values() if request.param == "postgresql" else ():
        drop_database(server, url)


@pytest.fixture
def person(services: Services) -> str:
    """Somebody in Germany."""
    with services.engine.connect() as connection:
        found = sa.select(PEOPLE.c.data_subject).where(PEOPLE.c.jurisdiction == "DE").order_by(PEOPLE.c.data_subject)
        return str(connection.execute(found.limit(1)).scalar_one())


@pytest.fixture
def http(services: Services, person: str) -> FlaskClient:
    """A browser signed in as the person."""
    client = create_app(services).test_client()
    client.set_cookie(COOKIE, f"s1.{person}", domain="localhost")
    return client


def count(services: Services) -> int:
    """How many events the ledger holds."""
    with services.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(CONSENT_EVENTS)).scalar_one())


def send(http: FlaskClient, services: Services, form: Mapping[str, Any], **more: Any) -> TestResponse:
    """A form of ours, unless told otherwise."""
    path, headers = more.pop("path", "/preferences"), more.pop("headers", OURS)
    token = more.pop("token", services.preferences.form_token("s1"))
    return http.post(path, data={"form": token, "lang": "en", **form}, headers=headers, **more)


GRANT = {"mark.email_marketing": "allow", "shown.email_marketing": "5"}


def test_the_golden_list_of_pages() -> None:
    """No page appears unnoticed; each is a customer's own, or public and says why."""
    assert sorted(f"{one.method} {one.path}" for one in PAGES) == ROUTES
    public = {f"{one.method} {one.path}" for one in PAGES if isinstance(one.auth, Public) and one.auth.why}
    assert public == PUBLIC
    assert all(isinstance(one.auth, Customer | Public) for one in PAGES)


def test_a_form_of_ours_is_saved_and_answered_with_303(http: FlaskClient, services: Services) -> None:
    """The answer is 303 to the page that tells what changed; it is committed by then."""
    send(http, services, {}, path="/preferences/none")
    before = count(services)
    answer = send(http, services, GRANT)
    assert answer.status_code == 303
    assert count(services) == before + 1
    told = http.get(answer.headers["Location"])
    assert "Offers by e-mail: allowed" in told.get_data(as_text=True)
    assert told.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://foreign.example"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://foreign.example"},
        {"Origin": "null"},
        {},
    ],
)
def test_a_form_from_elsewhere_is_refused(http: FlaskClient, services: Services, headers: dict[str, str]) -> None:
    """A foreign site, a foreign origin, or no word of where it came from: 403, with the right token too; no event."""
    before = count(services)
    for path in sorted({one.path for one in PAGES if one.method == "POST"}):
        assert send(http, services, GRANT, headers=headers, path=path).status_code == 403
    assert count(services) == before


@pytest.mark.parametrize("token", ["", "0" * 64, "ü", "another session"])
def test_a_form_of_another_session_is_refused(http: FlaskClient, services: Services, token: str) -> None:
    """A form shown to whoever was signed in before is not taken for whoever is signed in now."""
    before = count(services)
    given = services.preferences.form_token("s2") if token == "another session" else token
    assert send(http, services, GRANT, token=given).status_code == 403
    assert count(services) == before


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ({"mark.unknown": "allow"}, "/preferences"),
        ({"mark.payment": "refuse"}, "/preferences"),
        ({**GRANT, "mark.unknown": "refuse"}, "/preferences"),
        ({"mark.email_marketing": "perhaps"}, "/preferences"),
        ({"mark.email_marketing": ["allow", "refuse"]}, "/preferences"),
        ({**GRANT, "shown.email_marketing": "0"}, "/preferences"),
        ({}, "/preferences"),
        ({"purpose": "legal_tax"}, "/preferences/object"),
        ({"purpose": "*"}, "/preferences/object"),
        ({"act": "erase"}, "/preferences/act"),
        ({"mark.payment": "allow"}, "/preferences/confirm"),
    ],
)
def test_a_form_that_says_nothing_we_asked_is_refused(
    http: FlaskClient, services: Services, form: dict[str, Any], path: str
) -> None:
    """Unknown purposes, marks and acts, a mark sent twice, a stale text: 400, and nothing of the form is written."""
    send(http, services, {}, path="/preferences/none")
    before = count(services)
    assert send(http, services, form, path=path).status_code == 400
    assert count(services) == before


def test_nobody_sees_another_person(http: FlaskClient, services: Services, person: str) -> None:
    """Without a visit, or with one of one purpose, every page is 401; a receipt of somebody else is 404."""
    send(http, services, {}, path="/preferences/none")
    event = services.preferences.history(person)[0]
    assert http.get(f"/preferences/receipts/{event.event_id}").status_code == 200
    with services.engine.connect() as connection:
        other = connection.execute(sa.select(PEOPLE.c.data_subject).where(PEOPLE.c.data_subject != person)).scalar()
    http.set_cookie(COOKIE, f"s1.{other}", domain="localhost")
    assert http.get(f"/preferences/receipts/{event.event_id}").status_code == 404
    for cookie in ("", f"s1.{person}.email_marketing"):
        http.set_cookie(COOKIE, cookie, domain="localhost")
        for one in PAGES:
            if isinstance(one.auth, Customer):
                path = one.path.replace("{item}", event.event_id)
                assert http.open(path, method=one.method, headers=OURS).status_code == 401


def test_what_is_shown_is_accounted_for(http: FlaskClient, services: Services, person: str) -> None:
    """Each page about a person leaves its entry in the audit log; if it cannot, nothing is shown."""
    assert http.get("/preferences").status_code == 200
    if services.engine.dialect.name != "sqlite":
        return
    with services.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE audit_queue RENAME TO audit_queue_away")
    answer = http.get("/preferences?lang=en")
    with services.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE audit_queue_away RENAME TO audit_queue")
    assert answer.status_code >= 500
    assert "Offers by e-mail" not in answer.get_data(as_text=True)


def test_saved_is_never_said_of_what_is_not_committed(
    http: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the database fails at the event, the answer is a 503 page and not the banner."""
    before = count(services)

    def fail(*_args: object, **_kwargs: object) -> None:
        raise OperationalError("insert", {}, Exception("gone"))

    monkeypatch.setattr("consent_gateway.consent.ledger.record_many", fail)
    answer = send(http, services, {}, path="/preferences/none")
    assert answer.status_code == 503
    assert "could not confirm" in answer.get_data(as_text=True)
    assert count(services) == before


def newcomer(services: Services, place: str) -> str:
    """A person of this place who never chose anything."""
    data_subject = f"ds_zz{random_id('x')[4:]}"  # behind everybody else: others take the first there is
    with services.engine.begin() as connection:
        connection.execute(sa.insert(PEOPLE).values(data_subject=data_subject, jurisdiction=place, created_at=0))
    return data_subject


def test_the_second_step_needs_a_first_one_in_time(
    http: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """11 CCR 7028: posted without the first step, or an hour after it, the second opens nothing; in time it does."""
    person = newcomer(services, "US-CA")
    http.set_cookie(COOKIE, f"s1.{person}", domain="localhost")
    form = {"mark.targeted_ads": "allow", "shown.targeted_ads": "5"}
    assert send(http, services, {}, path="/preferences/no-sale").status_code == 303
    before = count(services)
    assert send(http, services, form, path="/preferences/confirm").status_code == 422
    assert count(services) == before
    first = send(http, services, form)
    assert first.headers["Location"].partition("?")[0] == "/preferences/confirm"
    late = StillClock(services.clock.now() + timedelta(minutes=61))
    monkeypatch.setattr(services.choices, "_clock", late)
    assert send(http, services, form, path="/preferences/confirm").status_code == 422
    monkeypatch.undo()
    assert send(http, services, form, path="/preferences/confirm").status_code == 303
    kinds = [each.event.kind for each in services.choices.history(PersonRef(data_subject=person))]
    assert kinds[-2:] == [EventKind.REQUEST, EventKind.OPT_IN_AGAIN]


@pytest.mark.parametrize("place", ["DE", "GB", "CH", "BR", "US-CA", "CA", "AU", "JP", "IN"])
def test_who_objected_can_allow_it_again_from_the_page(services: Services, place: str) -> None:
    """Every purpose that rests on another ground and offers an objection takes it back by a yes to a notice."""
    person, centre = newcomer(services, place), services.preferences
    offered = [each.purpose for each in centre.view(person, gpc=False).by_way(Way.OBJECTION)]
    for purpose in offered:
        centre.end(person, purpose, "ar")
        assert not standing(services, person, purpose).in_use
        shown = {purpose: centre.notices.current(purpose, "ar").version}
        assert centre.save(person, {purpose: Mark.ALLOW}, shown, "ar", gpc=False).position is not None
        assert standing(services, person, purpose).in_use
        last = services.choices.history(PersonRef(data_subject=person))[-1].event
        assert (last.kind, last.evidence.language) == (EventKind.GRANT, "ar")
        assert last.evidence.notice_sha256 is not None
    assert offered or place not in ("DE", "GB")


def standing(services: Services, person: str, purpose: str) -> Standing:
    """How one purpose stands."""
    return next(each for each in services.preferences.view(person, gpc=False).standings if each.purpose == purpose)


@pytest.mark.parametrize(
    ("asked", "browser", "language"),
    [("", "fr-CA, en;q=0.5", "fr"), ("?lang=ar", "fr", "ar"), ("?lang=xx", "nl", "en"), ("", "nl, es;q=0.1", "es")],
)
def test_the_language_is_asked_for_or_the_browsers(http: FlaskClient, asked: str, browser: str, language: str) -> None:
    """The address decides, then the browser, then English."""
    answer = http.get(f"/preferences{asked}", headers={"Accept-Language": browser})
    assert answer.headers["Content-Language"] == language
    assert f'<html lang="{language}"' in answer.get_data(as_text=True)


def test_no_word_is_missed_by_a_translator(services: Services, person: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every word of the files put in brackets, no sentence of any page stands outside brackets."""
    marked = {key: replace_words(words) for key, words in services.preferences.words.items()}
    monkeypatch.setattr(services.preferences, "words", marked)
    monkeypatch.setattr(services.preferences, "notices", PageNotices(marked, Notices({}, services.clock)))
    client = create_app(services).test_client()
    client.set_cookie(COOKIE, f"s1.{person}", domain="localhost")
    for path in ("/preferences", "/preferences/history", "/preferences/uses"):
        html = client.get(f"{path}?lang=en").get_data(as_text=True)
        body = html[html.index("<main") : html.index("</main>")]
        body = re.sub(r"<(bdi|time)[^>]*>.*?</\1>|<[^>]+>", "\n", body, flags=re.DOTALL)
        body = re.sub(r"⟦[^⟦⟧]*(?:⟦[^⟦⟧]*⟧[^⟦⟧]*)*⟧", "", body)
        assert re.findall(r"[A-Za-z]{4,}.*", body) == [], path


def replace_words(words: Any) -> Any:
    """The same words, each in brackets."""
    said = {path: f"⟦{text}⟧" if text else "" for path, text in words._said.items()}
    return type(words)(words.language, said)
