"""What the page tells of the policy, of what stands and of what happened, in real Chromium with scripting off."""

import pytest
from playwright.sync_api import expect

from consent_gateway.consent import ledger
from consent_gateway.line import DecideQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.propagation.outbox import number
from consent_gateway.vocabulary import Caller, EventKind, Evidence, NewConsentEvent
from consent_gateway.wiring import open_sealer
from tests.browser.conftest import Open
from tests.browser.site import Site


def recorded(site: Site, person: str, kind: EventKind, version: str) -> None:
    """An event as another system of record brought it over."""
    now = site.services.clock.now()
    evidence = Evidence("web_shop", "import", "import", "messages", version, "en")
    with site.services.engine.begin() as connection:
        ledger.record(connection, NewConsentEvent(person, "email_marketing", kind, now, evidence), now=now)


def test_each_purpose_tells_what_the_policy_says(site: Site, signed_in: Open) -> None:
    """Ground, end, kinds of data, every partner with role, and the whole text of the notice: none written by hand."""
    page = signed_in(site.newcomer("US-CA"), scripts=False)
    page.goto("/preferences?lang=en")
    centre, policies = site.services.preferences, site.services.policies
    asked = page.locator("#save fieldset")
    assert asked.count() > 8
    for card in asked.all():
        key = str(card.locator("input[type=radio]").first.get_attribute("name")).removeprefix("mark.")
        card.locator("summary").click()
        said = card.inner_text()
        notice = centre.notices.current(key, "en")
        assert all(part in said for part in notice.text.split("\n\n")), key
        partners = [one.name for one in policies.recipients.values() if key in one.purposes]
        assert all(name in said for name in partners or ["Nobody outside the company"]), key
        assert "Why we may" in said
        assert "Data we use" in said


@pytest.mark.parametrize(
    ("kind", "version", "told"),
    [
        (EventKind.GRANT, "0", "The meaning of this purpose has changed. Please choose again."),
        (EventKind.REQUEST, "5", "We wait for you to confirm by the e-mail we sent. Until then it is not in use."),
    ],
    ids=["a changed meaning", "a pending answer"],
)
def test_what_does_not_hold_is_told_and_opens_nothing(
    site: Site, signed_in: Open, kind: EventKind, version: str, told: str
) -> None:
    """A yes to another meaning and a yes not confirmed are shown for what they are; neither answer is marked."""
    person = site.newcomer("DE")
    recorded(site, person, kind, version)
    page = signed_in(person, scripts=False)
    page.goto("/preferences?lang=en")
    expect(page.locator("#email_marketing-state")).to_have_text(told)
    assert page.locator("[name='mark.email_marketing']:checked").count() == 0
    assert "email_marketing" not in {one.purpose for one in _view(site, person) if one.in_use}


def _view(site: Site, person: str) -> tuple[object, ...]:
    return site.services.preferences.view(person, gpc=False).standings


def test_the_page_of_uses_tells_who_and_why(site: Site, signed_in: Open) -> None:
    """A decision in another channel stands in the table, once the log is sealed: who, why, which kinds, result."""
    person = site.somebody("DE")
    caller = Caller("till", "till", frozenset({"payment"}), frozenset({"company"}), frozenset())
    site.services.gateway.decide(caller, DecideQuery(PersonRef(data_subject=person), "payment", ("email", "country")))
    sealer = open_sealer(site.deployment.settings, site.services)
    while sealer.seal_once().sealed:
        pass
    page = signed_in(person, scripts=False)
    page.goto("/preferences/uses?lang=en")
    newest = page.locator("tbody tr").first
    expect(newest).to_contain_text("Till in the shop")
    expect(newest).to_contain_text("Payment")
    expect(newest.locator("time")).to_be_visible()


def test_saved_tells_who_has_been_told(site: Site, signed_in: Open) -> None:
    """After a change each destination that is to hear of it is named with how far it has come; it binds anyway."""
    last = number(site.services.engine)
    site.services.outward.destinations.add_sink("file", "told", ("email_marketing",), last)
    page = signed_in(site.newcomer("DE"), scripts=False)
    page.goto("/preferences?lang=en")
    page.check("#email_marketing")
    page.click("#save > button")
    expect(page.locator(".done")).to_contain_text("The change holds already")
    expect(page.locator(".done")).to_contain_text("Morgenrot Coffee: on its way")


def test_without_its_stylesheet_the_page_still_works(site: Site, signed_in: Open) -> None:
    """With no CSS at all every choice can be read and made, in the order of the page."""
    page = signed_in(site.newcomer("DE"), scripts=False)
    page.route("**/style.css", lambda route: route.abort())
    page.goto("/preferences?lang=en")
    heads = page.locator("h1, h2").all_inner_texts()
    assert heads[0] == "Your data, your choices"
    page.check("#email_marketing")
    page.click("#save > button")
    expect(page.locator(".done")).to_contain_text("Offers by e-mail: allowed")
