"""Customers sign in by mailed link and unsubscribe by link, in a browser's terms, on both databases."""

import html
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from consent_gateway.customers.limits import BY_ADDRESS, BY_NETWORK
from consent_gateway.customers.links import NewUnsubscribeLink
from consent_gateway.customers.mail import MailRefused, MailUndelivered
from consent_gateway.customers.tables import CUSTOMER_LINKS, CUSTOMER_MAIL, CUSTOMER_SESSIONS
from consent_gateway.errors import SignInRefused
from consent_gateway.vocabulary import EventKind
from consent_gateway.web.app import create_app
from consent_gateway.web.customer.browser import BROWSER_COOKIE, SESSION_COOKIE, origin_of
from tests.web.conftest import NOON
from tests.web.customers import ADA, ADA_EMAIL, BEN, FAMILY_EMAIL
from tests.web.standins import ISSUER, StandIns, stand_ins

OURS = {"Origin": ISSUER, "Sec-Fetch-Site": "same-origin"}
FOREIGN = [
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": ISSUER, "Sec-Fetch-Site": "cross-site"},
    {"Origin": ISSUER, "Sec-Fetch-Site": "same-site"},
    {"Origin": ISSUER, "Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://gateway.example.evil.example"},
    {"Origin": "http://gateway.example"},
    {"Origin": "https://gateway.example:8443"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {},
]


@pytest.fixture
def site(gateway_database: str) -> Iterator[StandIns]:
    """Services over a fresh database of either kind."""
    services = stand_ins(gateway_database, NOON)
    services.client(purposes=frozenset({"email_marketing"}))
    yield services
    services.close()


@pytest.fixture
def application(site: StandIns) -> Flask:
    """The application over them."""
    return create_app(site)


class Browser:
    """A browser: it keeps cookies as one does, reads the form token of a page and sends it as that page would."""

    def __init__(self, application: Flask) -> None:
        self.client: FlaskClient = application.test_client()

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, base_url=ISSUER, headers=headers)

    def post(self, path: str, fields: dict[str, Any] | None = None, headers: Any = None, page: str = "/sign-in") -> Any:
        """Send a form of a page, with the token that stands on it."""
        form = {"form_token": token_of(self.get(page)), **(fields or {})}
        return self.client.post(path, data=form, base_url=ISSUER, headers=OURS if headers is None else headers)

    def cookie(self, name: str) -> str | None:
        found = self.client.get_cookie(name, domain="gateway.example")
        return None if found is None else found.value

    def ask(self, address: str) -> Any:
        return self.post("/sign-in/mail", {"email": address})

    def signed_in(self) -> bool:
        return "You are signed in" in self.get("/sign-in").text


def token_of(page: TestResponse) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', page.text)
    return "" if found is None else found[1]


def mailed(site: StandIns) -> str:
    """The token in the newest mail, once the worker has sent what is due."""
    site.customers.post.send_due()
    (token,) = re.findall(r"https://gateway\.example/sign-in/link\?t=([A-Za-z0-9_-]{43})", site.mailer.sent[-1].text)
    return str(token)


def changed_in_each_byte(token: str) -> list[str]:
    """The token with another letter at each of its places."""
    return [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token))]


def by_link(site: StandIns, application: Flask) -> Browser:
    """A browser signed in by a mailed link."""
    browser = Browser(application)
    assert browser.ask(ADA_EMAIL).status_code == 303
    assert browser.post("/sign-in/link", {"t": mailed(site)}).status_code == 303
    return browser


def rows(site: StandIns, table: sa.Table) -> int:
    with site.engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_a_mailed_link_signs_its_person_in(site: StandIns, application: Flask) -> None:
    """Asked for, mailed in the browser's language and used, it makes a session of that person in this browser."""
    browser = Browser(application)
    form = {"form_token": token_of(browser.get("/sign-in")), "email": " Ada@Example.com "}
    asked = browser.client.post(
        "/sign-in/mail", data=form, base_url=ISSUER, headers={**OURS, "Accept-Language": "nl, de-AT;q=0.9, fr;q=0.3"}
    )
    assert (asked.status_code, asked.headers["Location"]) == (303, "/sign-in/sent")
    token = mailed(site)
    mail = site.mailer.sent[-1]
    assert (mail.recipient, mail.language) == (ADA_EMAIL, "de")
    assert mail.subject_line == "Coffee & Co: Ihr Anmeldelink"
    assert browser.post("/sign-in/link", {"t": token}).headers["Location"] == "/preferences"
    session = site.customers.sessions.resolve(browser.cookie(SESSION_COOKIE) or "")
    assert session is not None
    assert (session.data_subject, session.assurance, session.purpose) == (ADA, "link", None)
    assert browser.signed_in()


def test_cookies_bind_to_this_host_and_no_script_reads_them(site: StandIns, application: Flask) -> None:
    """Both cookies are `__Host-`, Secure, HttpOnly and SameSite=Lax, for the whole host and no domain."""
    first = Browser(application).get("/sign-in").headers.getlist("Set-Cookie")
    browser = Browser(application)
    browser.ask(ADA_EMAIL)
    second = browser.post("/sign-in/link", {"t": mailed(site)}).headers.getlist("Set-Cookie")
    assert [one.partition("=")[0] for one in first + second] == [BROWSER_COOKIE, SESSION_COOKIE]
    for cookie in first + second:
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie


def test_a_scanner_that_opens_the_link_uses_nothing_up(site: StandIns, application: Flask) -> None:
    """GET shows a button whatever the token and runs no statement; a scanner that even posts gets nothing."""
    browser = Browser(application)
    browser.ask(ADA_EMAIL)
    token, scanner = mailed(site), Browser(application)
    written: list[str] = []
    sa.event.listen(site.engine, "before_cursor_execute", lambda *given: written.append(given[2]))
    pages = [scanner.get(f"/sign-in/link?t={one}") for one in (token, token, "x" * 43, "<script>")]
    assert written == []
    assert {page.status_code for page in pages} == {200}
    assert "<script>" not in pages[-1].text
    assert scanner.post("/sign-in/link", {"t": token}).status_code == 400
    assert browser.post("/sign-in/link", {"t": token}).status_code == 303


def test_a_link_works_once_in_time_in_its_browser_and_untampered(site: StandIns, application: Flask) -> None:
    """Tampered, replayed, expired and in another browser it is refused in the same words, and signs nobody in."""
    browser, other = Browser(application), Browser(application)
    browser.ask(ADA_EMAIL)
    token = mailed(site)
    refused = [browser.post("/sign-in/link", {"t": one}) for one in changed_in_each_byte(token)]
    refused.append(other.post("/sign-in/link", {"t": token}))
    assert not browser.signed_in()
    assert browser.post("/sign-in/link", {"t": token}).status_code == 303
    browser.post("/sign-out")
    again = Browser(application)
    again.ask(ADA_EMAIL)
    late = mailed(site)
    refused.append(browser.post("/sign-in/link", {"t": token}))
    site.clock.pass_by(minutes=10)
    refused.append(again.post("/sign-in/link", {"t": late}))
    assert {answer.status_code for answer in refused} == {400}
    told = {re.sub(r"req_[0-9a-f]+", "", answer.text) for answer in refused}
    assert len(told) == 1
    assert not any(each.signed_in() for each in (browser, other, again))


def test_of_many_calls_with_one_link_one_wins(site: StandIns, application: Flask) -> None:
    """Eight at once with one link in its browser make one session, on either database."""
    browser = Browser(application)
    browser.ask(ADA_EMAIL)
    token, cookie = mailed(site), browser.cookie(BROWSER_COOKIE) or ""
    links = site.customers.sign_in_links

    def use(_: int) -> bool:
        try:
            return bool(links.use(token, cookie).token)
        except SignInRefused:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(use, range(8))) == [False] * 7 + [True]
    assert rows(site, CUSTOMER_SESSIONS) == 1


def test_nobody_learns_whether_an_address_is_known(site: StandIns, application: Flask) -> None:
    """Known, unknown and shared addresses get the same answer for the same statements; only the known one gets mail."""
    seen = []
    for address in (ADA_EMAIL, "nobody@example.com", FAMILY_EMAIL):
        browser = Browser(application)
        form = {"form_token": token_of(browser.get("/sign-in")), "email": address}
        statements: list[str] = []

        def note(*given: Any, statements: list[str] = statements) -> None:
            statements.append(given[2])

        sa.event.listen(site.engine, "before_cursor_execute", note)
        answer = browser.client.post("/sign-in/mail", data=form, base_url=ISSUER, headers=OURS)
        sa.event.remove(site.engine, "before_cursor_execute", note)
        headers = {name: value for name, value in answer.headers if name != "X-Request-ID"}
        seen.append((answer.status_code, headers, answer.data, statements))
    assert seen[0] == seen[1] == seen[2]
    assert (rows(site, CUSTOMER_LINKS), rows(site, CUSTOMER_MAIL)) == (3, 3)
    assert site.customers.post.send_due() == 1
    assert [mail.recipient for mail in site.mailer.sent] == [ADA_EMAIL]
    assert rows(site, CUSTOMER_MAIL) == 0


def test_asking_is_bounded_by_address_and_by_network(site: StandIns, application: Flask) -> None:
    """An address has five mails an hour, known or not, a network sixty; a header of a stranger makes no new network."""
    for address in (ADA_EMAIL, "nobody@example.com"):
        answers = [Browser(application).ask(address) for _ in range(BY_ADDRESS + 1)]
        assert [one.status_code for one in answers] == [303] * BY_ADDRESS + [429]
        assert int(answers[-1].headers["Retry-After"]) > 0
    left = BY_NETWORK - 2 * BY_ADDRESS
    statuses = [
        Browser(application).post(
            "/sign-in/mail", {"email": f"n{at}@example.com"}, {**OURS, "X-Forwarded-For": f"203.0.113.{at}"}
        )
        for at in range(left + 1)
    ]
    assert [one.status_code for one in statuses] == [303] * left + [429]
    site.clock.pass_by(hours=1)
    assert Browser(application).ask(ADA_EMAIL).status_code == 303


def test_no_address_can_bring_a_header_along(site: StandIns, application: Flask) -> None:
    """An address with a line break, a second address or a name is refused, and no mail is queued."""
    browser = Browser(application)
    for address in (
        "ada@example.com\r\nBcc: eve@example.com",
        "a@example.com,b@example.com",
        "Ada <a@example.com>",
        "",
    ):
        assert browser.ask(address).status_code == 400, address
    assert rows(site, CUSTOMER_MAIL) == 0


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_form_of_another_page_is_refused(site: StandIns, application: Flask, headers: dict[str, str]) -> None:
    """Whatever the other page knows, a form whose origin or fetch site is not ours changes nothing."""
    browser = by_link(site, application)
    for path in ("/sign-out", "/not-me"):
        answer = browser.post(path, headers=headers)
        assert (answer.status_code, answer.content_type) == (403, "text/html; charset=utf-8")
    assert browser.signed_in()


def test_a_form_needs_the_token_of_its_own_page(site: StandIns, application: Flask) -> None:
    """Without the token, with a stranger's, or with that of before the sign-in, a form of our own origin is refused."""
    browser = Browser(application)
    before = token_of(browser.get("/sign-in"))
    browser.ask(ADA_EMAIL)
    browser.post("/sign-in/link", {"t": mailed(site)})
    for token in ("", before, token_of(Browser(application).get("/sign-in")), "é"):
        assert browser.post("/sign-out", {"form_token": token}).status_code == 403
    assert browser.signed_in()
    assert browser.post("/sign-out").status_code == 303


def test_a_planted_session_is_never_signed_in(site: StandIns, application: Flask) -> None:
    """A token planted before sign-in is worth nothing after it, and one of another person's session is ended by it."""
    victim = Browser(application)
    victim.client.set_cookie(SESSION_COOKIE, "p" * 43, domain="gateway.example", secure=True)
    victim.ask(ADA_EMAIL)
    victim.post("/sign-in/link", {"t": mailed(site)})
    fresh = victim.cookie(SESSION_COOKIE)
    assert fresh != "p" * 43
    assert site.customers.sessions.resolve("p" * 43) is None


def test_a_session_kept_after_sign_out_is_worth_nothing(site: StandIns, application: Flask) -> None:
    """Whoever kept the cookie of a session that was signed out, or disputed, is nobody."""
    for path in ("/sign-out", "/not-me"):
        browser, thief = by_link(site, application), Browser(application)
        kept = browser.cookie(SESSION_COOKIE) or ""
        assert browser.post(path).status_code == 303
        assert browser.cookie(SESSION_COOKIE) is None
        thief.client.set_cookie(SESSION_COOKIE, kept, domain="gateway.example", secure=True)
        assert not thief.signed_in()
        assert thief.post(path).status_code == 401


def test_no_page_sends_a_browser_elsewhere(site: StandIns, application: Flask) -> None:
    """Whatever address a query or form names, every redirect goes to a page of ours."""
    browser = Browser(application)
    browser.ask(ADA_EMAIL)
    token, evil = mailed(site), "?next=https://evil.example&return_to=//evil.example"
    answers = [
        browser.post("/sign-in/link" + evil, {"t": token}),
        browser.post("/sign-out"),
        browser.post("/sign-in/mail" + evil, {"email": ADA_EMAIL}),
    ]
    assert [one.headers["Location"] for one in answers] == ["/preferences", "/sign-in", "/sign-in/sent"]


def test_mail_that_fails_waits_and_mail_refused_is_dropped(site: StandIns, application: Flask) -> None:
    """A failure is tried again later, with longer waits, and ends with the link's life; a refusal ends at once."""
    Browser(application).ask(ADA_EMAIL)
    site.mailer.failing = [MailUndelivered("away"), MailUndelivered("away")]
    assert [site.customers.post.send_due() for _ in range(2)] == [0, 0]
    assert len(site.mailer.failing) == 1
    site.clock.pass_by(seconds=15)
    assert site.customers.post.send_due() == 0
    site.clock.pass_by(seconds=29)
    assert site.customers.post.send_due() == 0
    site.clock.pass_by(seconds=1)
    assert site.customers.post.send_due() == 1
    Browser(application).ask(ADA_EMAIL)
    site.mailer.failing = [MailRefused("no such mailbox")]
    assert (site.customers.post.send_due(), rows(site, CUSTOMER_MAIL)) == (0, 0)
    Browser(application).ask(ADA_EMAIL)
    site.clock.pass_by(minutes=10)
    assert (site.customers.post.send_due(), rows(site, CUSTOMER_MAIL)) == (0, 0)
    assert len(site.mailer.sent) == 1


def test_queued_mail_shows_no_address_and_no_link(site: StandIns, application: Flask) -> None:
    """What stands in the database of a queued mail is sealed: neither recipient nor link can be read there."""
    Browser(application).ask(ADA_EMAIL)
    with site.engine.connect() as connection:
        stored = b"".join(bytes(one) for one in connection.scalars(sa.select(CUSTOMER_MAIL.c.sealed)))
    assert b"ada" not in stored.lower()
    assert b"sign-in" not in stored


def link_for(site: StandIns, data_subject: str = ADA) -> str:
    new = NewUnsubscribeLink(data_subject, "email_marketing", "newsletter", "web-shop")
    return site.customers.unsubscribe_links.make(new).token


def test_one_click_unsubscribes_without_cookies_or_origin(site: StandIns, application: Flask) -> None:
    """A mail program's POST as RFC 8058 writes it, in either encoding, opts that person out of that purpose."""
    token = link_for(site)
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        answer = application.test_client().post(
            f"/unsubscribe?t={token}", data={"List-Unsubscribe": "One-Click"}, content_type=kind
        )
        assert answer.status_code == 200
    assert [(one.person.data_subject, one.kind, one.purpose) for one in site.choices.recorded] == [
        (ADA, EventKind.UNSUBSCRIBE, "email_marketing")
    ] * 2
    assert {(one.client_id, one.channel) for one in site.choices.callers} == {("unsubscribe_link", "newsletter")}


def test_opening_an_unsubscribe_link_changes_nothing(site: StandIns, application: Flask) -> None:
    """GET shows one button; a POST without the words of RFC 8058, a tampered or an expired link changes nothing."""
    token, client = link_for(site), application.test_client()
    page = client.get(f"/unsubscribe?t={token}")
    assert (page.status_code, page.text.count("<button")) == (200, 1)
    assert "Offers by e-mail" in page.text
    assert client.post(f"/unsubscribe?t={token}").status_code == 400
    assert client.post(f"/unsubscribe?t={token}", data={"List-Unsubscribe": "Two"}).status_code == 400
    form = {"List-Unsubscribe": "One-Click"}
    for other in changed_in_each_byte(token):
        assert client.post(f"/unsubscribe?t={other}", data=form).status_code == 404
    assert client.post("/unsubscribe", data=form).status_code == 404
    site.clock.pass_by(days=730)
    assert client.post(f"/unsubscribe?t={token}", data=form).status_code == 404
    assert site.choices.recorded == []


def test_an_unsubscribe_link_opens_one_purpose_alone(site: StandIns, application: Flask) -> None:
    """Its session is scoped to its purpose, and another page that has the link cannot start it."""
    token, browser = link_for(site), Browser(application)
    page = f"/unsubscribe?t={token}"
    refused = browser.post("/unsubscribe/choice", {"t": token}, FOREIGN[0])
    assert refused.status_code == 403
    shown = browser.client.post(page, data={"List-Unsubscribe": "One-Click"}, base_url=ISSUER, headers=OURS)
    form = {"form_token": token_of(shown), "t": token}
    assert browser.client.post("/unsubscribe/choice", data=form, base_url=ISSUER, headers=OURS).status_code == 303
    session = site.customers.sessions.resolve(browser.cookie(SESSION_COOKIE) or "")
    assert session is not None
    assert (session.data_subject, session.assurance, session.purpose) == (ADA, "scoped", "email_marketing")


def test_a_channel_gets_links_and_ends_its_own(site: StandIns, application: Flask) -> None:
    """The API gives URL and headers of RFC 8058 for a person and a purpose of the client, and ends them again."""
    client = application.test_client()
    headers = {"Authorization": f"Bearer {site.token()}"}
    body = {"data_subject": BEN, "purpose": "email_marketing"}
    made = client.post("/v1/unsubscribe-links", json=body, headers=headers)
    assert made.status_code == 201
    told = made.get_json()
    assert told["headers"] == {
        "List-Unsubscribe": f"<{told['url']}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    path = told["url"].removeprefix(ISSUER)
    assert client.get(path).status_code == 200
    site.client("other")
    stranger = {"Authorization": f"Bearer {site.token('other')}"}
    target = f"/v1/unsubscribe-links/{told['link_id']}"
    assert client.delete(target, headers=stranger).status_code == 404
    assert client.get(path).status_code == 200
    assert [client.delete(target, headers=headers).status_code for _ in range(2)] == [204, 204]
    assert client.get(path).status_code == 404
    refused = [
        {**body, "purpose": "nothing"},
        {**body, "purpose": "order_fulfilment"},
        {**body, "data_subject": "ds_" + "0" * 26},
    ]
    statuses = [client.post("/v1/unsubscribe-links", json=one, headers=headers).status_code for one in refused]
    assert statuses == [400, 403, 404]


def test_without_mail_and_provider_nobody_signs_in(gateway_database: str) -> None:
    """Where the settings name no way in, the page says so, asking is not found, and there is no outbox."""
    variables = {"CONSENT_GATEWAY_STORE_URL": "sqlite:///shop.db", "CONSENT_GATEWAY_ISSUER": ISSUER}
    services = stand_ins(gateway_database, NOON, variables=variables)
    browser = Browser(create_app(services))
    assert "Nobody can sign in here" in browser.get("/sign-in").text
    assert browser.get("/sign-in/provider").status_code == 404
    assert browser.get("/demo/outbox").status_code == 404
    services.close()


def test_errors_of_pages_are_pages(application: Flask) -> None:
    """A browser is told in words with the code for whoever helps, and never with a JSON document."""
    answer = Browser(application).post("/sign-in/link", {"t": "x" * 43})
    assert (answer.status_code, answer.content_type) == (400, "text/html; charset=utf-8")
    assert "sign_in_refused" in html.unescape(answer.text)


def test_origins_are_written_as_browsers_write_them() -> None:
    """Scheme and host in lower case, the port only where it is not the usual one, an IPv6 address in brackets."""
    assert origin_of("https://Gateway.Example:443/path") == "https://gateway.example"
    assert origin_of("http://localhost:8080") == "http://localhost:8080"
    assert origin_of("http://[::1]:80") == "http://[::1]"


WORDS = {
    "en": ("Sign in", "Look into your mail", "Unsubscribe", "You are unsubscribed", "This did not work"),
    "de": ("Anmelden", "Sehen Sie in Ihre Post", "Abbestellen", "Sie haben abbestellt", "Das hat nicht geklappt"),
    "fr": ("Connexion", "Consultez votre messagerie", "Se désinscrire", "Vous êtes désinscrit", "Cela n’a pas marché"),
    "es": ("Acceder", "Mire su correo", "Darse de baja", "Se ha dado de baja", "Esto no ha funcionado"),
    "it": (
        "Accesso",
        "Controlli la sua posta",
        "Annulla l’iscrizione",
        "La sua iscrizione è annullata",
        "Non ha funzionato",
    ),
    "ar": ("تسجيل الدخول", "افحص بريدك", "إلغاء الاشتراك", "أُلغي اشتراكك", "لم ينجح ذلك"),
}


@pytest.mark.parametrize("language", WORDS)
def test_every_page_of_the_way_in_speaks_the_visitors_language(
    site: StandIns, application: Flask, language: str
) -> None:
    """By the browser's languages, or by the one chosen, which forms and redirects keep: headings, direction, mail."""
    headings, browser, token = list(WORDS[language]), Browser(application), link_for(site)
    told = {"Accept-Language": f"nl, {language}-XX;q=0.9, xx;q=0.1"}
    one_click = {"List-Unsubscribe": "One-Click", "lang": language}
    spoken = [
        browser.get("/sign-in", **told),
        browser.get(f"/sign-in/sent?lang={language}"),
        browser.get(f"/unsubscribe?t={token}", **told),
        browser.client.post(f"/unsubscribe?t={token}", data=one_click, base_url=ISSUER),
        browser.post("/sign-in/link", {"t": "x" * 43, "lang": language}),
    ]
    for page, heading in zip(spoken, headings, strict=True):
        direction = "rtl" if language == "ar" else "ltr"
        assert f'<html lang="{language}" dir="{direction}">' in page.text
        assert f"<h1>{heading}</h1>" in page.text
        assert page.headers["Content-Language"] == language
    asked = browser.post("/sign-in/mail", {"email": ADA_EMAIL, "lang": language})
    assert asked.headers["Location"] == f"/sign-in/sent?lang={language}"
    site.customers.post.send_due()
    assert site.mailer.sent[-1].language == language
    shown = browser.get(f"/sign-in/link?t={mailed_token(site)}&lang={language}")
    assert f'value="{language}"' in shown.text
    assert f"?lang=de&amp;t={mailed_token(site)}" in shown.text  # another language keeps the link
    signed = browser.post("/sign-in/link", {"t": mailed_token(site), "lang": language})
    assert signed.headers["Location"] == f"/preferences?lang={language}"
    assert browser.post("/not-me", {"lang": language}).headers["Location"] == f"/sign-in/ended?lang={language}"


def mailed_token(site: StandIns) -> str:
    """The token in the newest mail that left."""
    found = re.search(r"/sign-in/link\?t=([A-Za-z0-9_-]{43})", site.mailer.sent[-1].text)
    assert found is not None
    return found[1]


def test_who_did_not_ask_for_a_link_ends_everything_by_it(site: StandIns, application: Flask) -> None:
    """The mail names an address for that: opening it changes nothing; pressed in any browser, all sign-ins are over."""
    signed_in, asking, other = by_link(site, application), Browser(application), Browser(application)
    asking.ask(ADA_EMAIL)
    token = mailed(site)
    assert f"/sign-in/not-me?t={token}" in site.mailer.sent[-1].text
    assert other.get(f"/sign-in/not-me?t={token}").status_code == 200
    assert signed_in.signed_in()
    ended = other.post("/sign-in/not-me", {"t": token})
    assert (ended.status_code, ended.headers["Location"]) == (303, "/sign-in/ended")
    assert not signed_in.signed_in()
    assert asking.post("/sign-in/link", {"t": token}).status_code == 400
    assert "Every sign-in" in other.get("/sign-in/ended").text


def test_disputing_a_link_tells_nothing_of_anyone(site: StandIns, application: Flask) -> None:
    """A link of somebody, one of nobody, a used and an unknown one are answered alike; a foreign form is refused."""
    browser = by_link(site, application)
    used = mailed_token(site)
    Browser(application).ask("nobody@example.com")
    answers = [browser.post("/sign-in/not-me", {"t": one}) for one in (used, "x" * 43)]
    assert {(one.status_code, one.headers["Location"], one.data) for one in answers} == {(303, "/sign-in/ended", b"")}
    assert browser.signed_in()
    assert browser.post("/sign-in/not-me", {"t": used}, FOREIGN[0]).status_code == 403
