"""Customers through the whole gateway: real people, real choices, real decisions, on both databases."""

import re
from collections.abc import Iterator

import pytest

from consent_gateway.demo.cast import CAST
from consent_gateway.errors import ProofRefused
from consent_gateway.people.directory import PersonRef
from consent_gateway.rights.intake import NewRequest
from consent_gateway.rights.requests import By, Via
from consent_gateway.vocabulary import ChoiceStatus, Identifier
from consent_gateway.web.app import create_app
from consent_gateway.wiring import Services, open_services
from tests.deployment import Deployment
from tests.web.test_customer_sign_in import token_of

ANNA = PersonRef(identifier=Identifier("email", CAST[0].email))


@pytest.fixture
def services(deployment: Deployment) -> Iterator[Services]:
    """The services of the coffee chain, with mail that lands in the outbox."""
    deployment.variables["CONSENT_GATEWAY_MAIL"] = "outbox"
    opened = open_services(deployment.settings)
    yield opened
    opened.close()


def test_anna_signs_in_by_mail_and_is_anna(services: Services) -> None:
    """Her address, as the store has it, leads to her and to nobody else; the outbox shows her mail."""
    client, base = create_app(services).test_client(), services.issuer
    ours = {"Origin": base, "Sec-Fetch-Site": "same-origin"}
    form = {"form_token": token_of(client.get("/sign-in", base_url=base)), "email": CAST[0].email}
    assert client.post("/sign-in/mail", data=form, base_url=base, headers=ours).status_code == 303
    assert services.customers.post.send_due() == 1
    shown = client.get("/demo/outbox", base_url=base).text
    (path,) = set(re.findall(rf'href="{re.escape(base)}(/sign-in/link\?t=[\w-]+)"', shown))
    page = client.get(path, base_url=base)
    (link,) = re.findall(r'name="t" value="([\w-]+)"', page.text)
    form = {"form_token": token_of(page), "t": link}
    assert client.post("/sign-in/link", data=form, base_url=base, headers=ours).status_code == 303
    host = base.removeprefix("http://").partition(":")[0]
    cookie = client.get_cookie("__Host-cg-session", domain=host)
    assert cookie is not None
    session = services.customers.sessions.resolve(cookie.value)
    assert session is not None
    assert session.data_subject == services.choices.state(ANNA).data_subject


def test_one_click_binds_and_the_log_says_by_what_link(services: Services) -> None:
    """A channel's link and one POST without cookies: the choice is recorded for that person, and in the log."""
    before = services.choices.state(ANNA)
    purpose, scope = "email_marketing", "consents:write"
    registered = next(one for one in services.registry.all() if scope in one.scopes and purpose in one.purposes)
    client = create_app(services).test_client()
    token = services.tokens.issue(registered, None).token
    assert before.facts.choices[purpose].status is ChoiceStatus.GRANTED
    headers = {"Authorization": f"Bearer {token}"}
    body = {"data_subject": before.data_subject, "purpose": purpose}
    made = client.post("/v1/unsubscribe-links", json=body, headers=headers)
    assert made.status_code == 201, made.get_json()
    path = made.get_json()["url"].removeprefix(services.issuer)
    for _again in range(2):
        assert client.post(path, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert services.choices.state(ANNA).facts.choices[purpose] != before.facts.choices[purpose]
    event = services.choices.history(ANNA)[-1].event
    assert event.evidence.reference == made.get_json()["link_id"]
    assert event.evidence.recorded_by == "unsubscribe_link"


def test_anna_proves_a_request_by_mail_and_by_what_the_store_holds(services: Services) -> None:
    """A mailed code, and data points against the retailer's own row, prove two requests, and no stranger's."""
    anna, rights, by = CAST[0], services.rights, By(client="web-shop", channel="web_shop")

    def ask(right: str, address: str = anna.email) -> str:
        person = PersonRef(identifier=Identifier("email", address))
        new = NewRequest(right, person, Via.API, services.clock.now(), "web_shop", jurisdiction="DE")
        return rights.intake.receive(new, by).request_id

    by_code, by_points, stranger = ask("access"), ask("portability"), ask("access", "nobody@example.net")
    for asked in (stranger, by_code):
        rights.proofs.send_code(asked, by)
    services.customers.post.send_due()
    outbox = services.customers.outbox
    assert outbox is not None
    mailed = "\n".join(mail.text for mail in outbox.newest())  # letters about the requests lie there too
    (code,) = re.findall(r"^(\d{8})\s*$", mailed, re.MULTILINE)
    assert rights.proofs.by_code(by_code, code, by).standing.proved
    points = {"last_name": anna.last_name, "birth_date": anna.birth_date, "street": anna.street}
    assert rights.proofs.by_points(by_points, points, "declaration-1", by).standing.proved
    for attempt in (
        lambda: rights.proofs.by_code(stranger, code, by),
        lambda: rights.proofs.by_points(stranger, points, "declaration-1", by),
    ):
        with pytest.raises(ProofRefused):
            attempt()
    known = services.choices.state(ANNA)
    assert not known.facts.restricted
    ask("restrict")
    assert services.choices.state(ANNA).facts.restricted
