"""The customers' pages over HTTP, on both databases: whose form is taken, what is refused and then not written."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from consent_gateway.consent.notices import Notices
from consent_gateway.consent.receipt_verify import verify_receipt
from consent_gateway.consent.tables import CONSENT_EVENTS
from consent_gateway.customers.links import NewUnsubscribeLink
from consent_gateway.errors import CallerNotPermitted, InputRefused, UnknownPurpose
from consent_gateway.ids import random_id
from consent_gateway.line import DecideQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import PEOPLE
from consent_gateway.preferences.answers import Mark
from consent_gateway.preferences.forms import LIFE, ConsentForms, NewForm
from consent_gateway.preferences.notices import PageNotices
from consent_gateway.preferences.standing import Standing, Way
from consent_gateway.vocabulary import Caller, EventKind, Identifier, Reason
from consent_gateway.web.answer_schemas import ChoiceSchema
from consent_gateway.web.api import consents
from consent_gateway.web.app import PAGES, create_app
from consent_gateway.web.operations import Public
from consent_gateway.web.preferences.routes import Customer
from consent_gateway.web.security import CONTENT_SECURITY_POLICY, framed_by
from consent_gateway.wiring import Services
from tests.browser.site import COOKIE, CookieVisits
from tests.conftest import StillClock, places
from tests.deployment import deploy

OURS = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
PUBLIC = {
    "GET /consent-form",
    "GET /consent-form/saved",
    "GET /preferences/logo.svg",
    "GET /preferences/style.css",
    "GET /privacy-request",
    "GET /privacy-request/code",
    "GET /privacy-request/status",
    "GET /privacy-request/taken",
    "POST /consent-form",
    "POST /privacy-request",
    "POST /privacy-request/code",
}
ROUTES = [
    "GET /consent-form",
    "GET /consent-form/saved",
    "GET /preferences",
    "GET /preferences/confirm",
    "GET /preferences/history",
    "GET /preferences/logo.svg",
    "GET /preferences/package",
    "GET /preferences/receipts/{item}",
    "GET /preferences/receipts/{item}/signed",
    "GET /preferences/requests",
    "GET /preferences/requests/{item}",
    "GET /preferences/style.css",
    "GET /preferences/uses",
    "GET /privacy-request",
    "GET /privacy-request/code",
    "GET /privacy-request/status",
    "GET /privacy-request/taken",
    "POST /consent-form",
    "POST /preferences",
    "POST /preferences/act",
    "POST /preferences/confirm",
    "POST /preferences/less",
    "POST /preferences/matrix",
    "POST /preferences/no-sale",
    "POST /preferences/none",
    "POST /preferences/object",
    "POST /preferences/package",
    "POST /preferences/requests",
    "POST /preferences/requests/download",
    "POST /preferences/requests/prove",
    "POST /preferences/requests/withdraw",
    "POST /privacy-request",
    "POST /privacy-request/code",
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Services that take a cookie at its word, once over SQLite, once over PostgreSQL."""
    folder = tmp_path_factory.mktemp("pages")
    with places(request, folder) as urls:
        opened = deploy(folder, urls).open()
        yield replace(opened, visits=CookieVisits())
        opened.close()


@pytest.fixture
def person(services: Services) -> str:
    """An adult in Germany: a child is not asked for most of it."""
    with services.engine.connect() as connection:
        adult = (PEOPLE.c.jurisdiction == "DE", PEOPLE.c.minor_born.is_(None))
        found = sa.select(PEOPLE.c.data_subject).where(*adult).order_by(PEOPLE.c.data_subject)
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
    for path in sorted({one.path for one in PAGES if one.method == "POST" and isinstance(one.auth, Customer)}):
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


def test_a_receipt_is_downloaded_signed_by_its_person_alone(http: FlaskClient, services: Services, person: str) -> None:
    """The file verifies with the published key and is about the choice; another person's session gets 404."""
    send(http, services, {}, path="/preferences/none")
    event = services.preferences.history(person)[0]
    path = f"/preferences/receipts/{event.event_id}/signed"
    assert path in http.get(f"/preferences/receipts/{event.event_id}").get_data(as_text=True)
    file = http.get(path)
    assert event.event_id in file.headers["Content-Disposition"]
    receipt = verify_receipt(file.data, http.get("/.well-known/jwks.json").get_json())
    assert event.event_id in str(receipt)
    with services.engine.connect() as connection:
        other = connection.execute(sa.select(PEOPLE.c.data_subject).where(PEOPLE.c.data_subject != person)).scalar()
    http.set_cookie(COOKIE, f"s1.{other}", domain="localhost")
    assert http.get(path).status_code == 404


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
                answer = http.open(path, method=one.method, headers=OURS)
                assert answer.status_code == 401
                told = "good for one thing alone: “Offers by e-mail”" in answer.get_data(as_text=True)
                assert told is bool(cookie)  # whoever came by an unsubscribe link is told why this is not enough


def test_what_is_shown_is_accounted_for(http: FlaskClient, services: Services, person: str) -> None:
    """Each page about a person leaves its entry in the audit log; if it cannot, nothing is shown."""
    shown = http.get("/preferences?lang=en")
    assert shown.status_code == 200
    assert "mailto:dpo@morgenrot.example" in shown.get_data(as_text=True)  # and who answers for what is shown
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
    [("", "fr-CA, en;q=0.5", "fr"), ("?lang=ar", "fr", "ar"), ("?lang=xx", "nl", "en"), ("", "nl, it-CH;q=0.1", "it")],
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
    for path in (
        "/preferences",
        "/preferences/history",
        "/preferences/uses",
        "/preferences/requests",
        "/privacy-request",
    ):
        html = client.get(f"{path}?lang=en").get_data(as_text=True)
        body = html[html.index("<main") : html.index("</main>")]
        body = re.sub(r"<(bdi|time|option)[^>]*>.*?</\1>|<[^>]+>", "\n", body, flags=re.DOTALL)
        body = re.sub(r"⟦[^⟦⟧]*(?:⟦[^⟦⟧]*⟧[^⟦⟧]*)*⟧", "", body)
        assert re.findall(r"[A-Za-z]{4,}.*", body) == [], path


def replace_words(words: Any) -> Any:
    """The same words, each in brackets."""
    said = {path: f"⟦{text}⟧" if text else "" for path, text in words._said.items()}
    return type(words)(words.language, said)


def test_every_form_writes_for_the_person_of_the_session_alone(
    http: FlaskClient, services: Services, person: str
) -> None:
    """Whatever id, identifier or session a form names beside, the choice is that of whoever is signed in."""
    with services.engine.connect() as connection:
        other = connection.execute(sa.select(PEOPLE.c.data_subject).where(PEOPLE.c.data_subject != person)).scalar()
    assert other is not None
    before = len(services.preferences.history(other))
    naming = {"data_subject": other, "person": other, "session": f"s1.{other}", "identifier": "x@example.com"}
    for path, form in (
        ("/preferences", {"mark.email_marketing": "refuse"}),
        ("/preferences/none", {}),
        ("/preferences/no-sale", {}),
        ("/preferences/object", {"purpose": "fraud_prevention"}),
        ("/preferences/act", {"act": "limit"}),
        ("/preferences/matrix", {"set": "row.sms.refuse"}),
        ("/preferences/less", {"purpose": "email_marketing", "act": "refuse"}),
    ):
        assert send(http, services, {**form, **naming}, path=f"{path}?data_subject={other}").status_code == 303, path
    assert len(services.preferences.history(other)) == before


def test_no_form_sends_a_browser_elsewhere(http: FlaskClient, services: Services) -> None:
    """Whatever address or line break a form or query names, each redirect stays on our pages."""
    evil = "https://evil.example/%0d%0aX-Evil:1"
    for path, form in (("/preferences/none", {}), ("/preferences/act", {"act": "limit"})):
        named = {**form, "next": evil, "return_to": "//evil.example", "lang": f"en\r\nX-Evil: 1{evil}"}
        answer = send(http, services, named, path=f"{path}?next={evil}&lang={evil}")
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/preferences?lang=en&saved=")
        assert "X-Evil" not in answer.headers


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ({"set": "row.unknown.refuse"}, "/preferences/matrix"),
        ({"set": "cell.legal_tax.refuse"}, "/preferences/matrix"),
        ({"set": "cell.service_messages.refuse"}, "/preferences/matrix"),
        ({"set": "row.email.perhaps"}, "/preferences/matrix"),
        ({"set": ["row.email.refuse", "row.sms.refuse"]}, "/preferences/matrix"),
        ({}, "/preferences/matrix"),
        ({"set": "cell.email_marketing.allow", "shown.email_marketing": "0"}, "/preferences/matrix"),
        ({"purpose": "unknown", "act": "pause_30"}, "/preferences/less"),
        ({"purpose": "fraud_prevention", "act": "pause_30"}, "/preferences/less"),
        ({"purpose": "email_marketing", "act": "pause_9999"}, "/preferences/less"),
        ({"purpose": "email_marketing", "act": "frequency", "frequency": "hourly"}, "/preferences/less"),
        ({"purpose": "unknown", "act": "refuse"}, "/preferences/less"),
    ],
)
def test_the_table_and_the_pause_take_what_they_offer_alone(
    http: FlaskClient, services: Services, form: dict[str, Any], path: str
) -> None:
    """What stands in no cell, a pause of what does not come to the person, an unknown word: 400, nothing written."""
    send(http, services, {}, path="/preferences/none")
    before = count(services)
    assert send(http, services, form, path=path).status_code == 400
    assert count(services) == before


def test_a_pause_and_a_frequency_are_told_to_channels(http: FlaskClient, services: Services, person: str) -> None:
    """Both stand in the choice's answer; the paused purpose is closed at once, with a reason channels know."""
    send(http, services, {}, path="/preferences/none")
    send(http, services, GRANT)
    for act, often in (("frequency", "monthly"), ("pause_90", "")):
        form = {"purpose": "email_marketing", "act": act, "frequency": often}
        assert send(http, services, form, path="/preferences/less").status_code == 303
    known = services.choices.state(PersonRef(data_subject=person))
    told = ChoiceSchema().dump(consents._choice(known.facts.choices["email_marketing"]))
    assert told["frequency"] == "monthly"
    assert datetime.fromisoformat(told["paused_until"]) > services.clock.now() + timedelta(days=89)
    caller = Caller("m", "email_marketing", frozenset({"email_marketing"}), frozenset({"company"}), frozenset())
    asked = DecideQuery(PersonRef(data_subject=person), "email_marketing", ("email",))
    (verdict,) = services.gateway.decide(caller, asked).verdicts.values()
    assert (verdict.is_open, verdict.reason) == (False, Reason.RESTRICTION)


SHOP = "https://shop.example"
ASKER = Caller("web-shop", "web_shop", frozenset({"email_marketing"}), frozenset(), frozenset({"consents:write"}))


@pytest.fixture
def forms(services: Services, monkeypatch: pytest.MonkeyPatch) -> ConsentForms:
    """The forms, which one shop may frame, by a clock that the test moves."""
    made = services.preferences.forms
    monkeypatch.setattr(made, "origins", (SHOP,))
    monkeypatch.setattr(made, "_clock", StillClock(services.clock.now()))
    return made


def issued(forms: ConsentForms, person: PersonRef, origin: str | None = SHOP) -> str:
    """A token that asks this person about offers by e-mail."""
    return forms.make(ASKER, NewForm(person, "email_marketing", "de-AT", origin)).token


def reply(http: FlaskClient, token: str, answer: str = "refuse", **headers: str) -> TestResponse:
    """An answer as our page in a frame sends it."""
    ours = {"Sec-Fetch-Site": "same-origin", **headers}
    return http.post("/consent-form", data={"t": token, "answer": answer}, headers=ours)


def test_a_form_altered_in_any_byte_old_answered_or_of_an_old_text_is_refused(
    http: FlaskClient, services: Services, person: str, forms: ConsentForms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is refused in the same words, shown and posted, and nothing is written."""
    token, before = issued(forms, PersonRef(data_subject=person)), count(services)
    altered = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(0, len(token), 5)]
    for bad in [*altered, token[:-1], token + "A", token + "=", "", "x" * 5000, "ü"]:
        assert http.get("/consent-form", query_string={"t": bad}).status_code == 404
        assert reply(http, bad, "allow").status_code == 404
    assert count(services) == before
    assert reply(http, token).status_code == 303
    assert reply(http, token).status_code == 409
    assert count(services) == before + 1
    late = issued(forms, PersonRef(data_subject=person))
    forms._clock.moment += LIFE  # type: ignore[attr-defined]
    assert reply(http, late).status_code == 404
    stale = issued(forms, PersonRef(data_subject=person))
    shown = forms._notices.current("email_marketing", "de")
    monkeypatch.setattr(forms._notices, "current", lambda *_: replace(shown, sha256="0" * 64))
    assert reply(http, stale).status_code == 404
    assert count(services) == before + 1


def test_a_form_is_framed_by_its_page_and_answered_from_itself_alone(
    http: FlaskClient, services: Services, person: str, forms: ConsentForms
) -> None:
    """The policy names the one origin; every other page of ours, and a form for no frame, may be framed by nobody."""
    token = issued(forms, PersonRef(data_subject=person))
    framed = http.get(f"/consent-form?t={token}")
    assert framed.headers.getlist("Content-Security-Policy") == [framed_by([SHOP])]
    assert "X-Frame-Options" not in framed.headers
    alone = issued(forms, PersonRef(data_subject=person), None)
    for path in ("/preferences", "/sign-in", "/preferences/style.css", f"/consent-form?t={alone}", "/nothing"):
        answer = http.get(path)
        assert answer.headers.getlist("Content-Security-Policy") == [CONTENT_SECURITY_POLICY], path
        assert answer.headers["X-Frame-Options"] == "DENY"
    before = count(services)
    for headers in (
        {"Origin": SHOP},
        {"Origin": SHOP, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
    ):
        assert reply(http, token, "allow", **headers).status_code == 403, headers
    for answers in ([], ["allow", "refuse"], ["perhaps"]):
        form = {"t": token, "answer": answers}
        assert http.post("/consent-form", data=form, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 403
    assert count(services) == before


def test_a_form_is_made_for_its_caller_purpose_and_page_alone(services: Services, forms: ConsentForms) -> None:
    """A purpose that is not the caller's, one that is no choice, a page the settings do not name: refused."""
    person = PersonRef(identifier=Identifier("email", "new@example.com"))
    wide = replace(ASKER, purposes=frozenset({"email_marketing", "payment", "unknown"}))
    for caller, purpose, origin, refusal in (
        (replace(ASKER, scopes=frozenset()), "email_marketing", SHOP, CallerNotPermitted),
        (ASKER, "sms_marketing", SHOP, CallerNotPermitted),
        (wide, "payment", SHOP, UnknownPurpose),
        (wide, "unknown", SHOP, UnknownPurpose),
        (ASKER, "email_marketing", "https://foreign.example", InputRefused),
    ):
        with pytest.raises(refusal):
            forms.make(caller, NewForm(person, purpose, "en", origin))


def test_a_form_for_somebody_new_keeps_the_answer_and_its_address_names_nobody(
    http: FlaskClient, services: Services, forms: ConsentForms
) -> None:
    """An address nobody has is asked like any other; the no is kept for the person who will have it, with its text."""
    person = PersonRef(identifier=Identifier("email", f"new{count(services)}@example.com"))
    token = issued(forms, person)
    raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert b"example" not in raw
    assert b"email" not in raw
    page = http.get(f"/consent-form?t={token}").get_data(as_text=True)
    assert 'lang="de"' in page
    yes, no = re.findall(r'<button name="answer" value="(?:allow|refuse)">', page)
    assert yes.replace("allow", "refuse") == no
    assert reply(http, token, "refuse", **{"Sec-GPC": "1"}).status_code == 303
    events = [(one.event.kind, one.event.evidence.language) for one in services.choices.history(person)]
    assert events == [(EventKind.GPC, None), (EventKind.REFUSE, "de")]


def test_a_yes_that_a_mailbox_must_confirm_needs_the_address(
    http: FlaskClient, services: Services, forms: ConsentForms, person: str
) -> None:
    """In Germany a yes on a form of somebody not named by their address is refused, and the form stays good."""
    before, token = count(services), issued(forms, PersonRef(data_subject=person))
    assert reply(http, token, "allow").status_code == 422
    assert count(services) == before
    assert reply(http, token, "refuse").status_code == 303


def test_an_unsubscribe_link_tells_what_it_did_whenever_it_is_opened(services: Services, person: str) -> None:
    """Before: one button. After: since when, with the number of its receipt; opening it writes nothing."""
    new = NewUnsubscribeLink(person, "email_marketing", "email_marketing", "newsletter")
    path = f"/unsubscribe?lang=en&t={services.customers.unsubscribe_links.make(new).token}"
    visitor = create_app(services).test_client()
    before = count(services)
    assert "You are unsubscribed" not in visitor.get(path).text
    assert count(services) == before
    visitor.post(path, data={"List-Unsubscribe": "One-Click"})
    event = services.preferences.history(person)[0]
    assert event.event.kind is EventKind.UNSUBSCRIBE
    told = visitor.get(path).text
    assert "You are unsubscribed" in told
    assert event.event_id in told
    assert count(services) == before + 1
