"""A pseudonym turned back in real browsers: asked with a reason, signed by another, told once, and seen in the log."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import Page

from consent_gateway.demo.cast import CAST
from consent_gateway.officers.registry import Role
from consent_gateway.protection.reversible import Place, stable_token
from consent_gateway.vocabulary import COMPANY
from consent_gateway.web.security import CONTENT_SECURITY_POLICY, SCRIPTED_POLICY
from tests.browser.test_every_page import Watched
from tests.console.conftest import Open
from tests.console.test_in_chromium import is_right
from tests.console.test_signing_in import enrolled
from tests.console.world import World

ANNA = CAST[0]
PURPOSE = "order_fulfilment"
WHY = "the parcel went to a stranger, and the card was reported stolen"
SECRETS = [value for one in CAST for value in (one.email, one.last_name, one.street) if value]


def token_of(world: World, value: str) -> str:
    """A reversible token of an e-mail address, as a read for the purpose would hand it out."""
    key = world.services.keyring.token_key(PURPOSE, COMPANY)
    place = Place(world.deployment.settings.tenant, PURPOSE, COMPANY, "email")
    return str(stable_token(value, place, key.secret, key.key_id, 64))


def personal(page: Page) -> list[str]:
    """What of the seeded people stands on the page or in its address."""
    text = page.content() + page.url
    return [value for value in SECRETS if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text)]


class Person:
    """An officer with a browser of their own, and the passkey they made in it."""

    def __init__(self, world: World, opened: Open, axe: str, name: str, *roles: Role) -> None:
        self.page = opened(None)
        self.officer_id = enrolled(world, self.page, name, *roles)
        self.seen = Watched(self.page, world.base)
        self.page.get_by_role("button", name="Sign in with a passkey").click()
        self.page.wait_for_url("**/console")
        self._axe = axe

    def open(self, path: str, *, scripted: bool = False) -> Page:
        """A page, under its policy, accessible, narrow and wide, and without anybody's data."""
        answer = self.page.goto(path)
        assert answer is not None
        assert answer.status == 200
        assert answer.headers["content-security-policy"] == (SCRIPTED_POLICY if scripted else CONTENT_SECURITY_POLICY)
        self.is_right()
        assert personal(self.page) == []
        return self.page

    def is_right(self) -> None:
        """axe-core finds nothing, and nothing is cut or scrolls sideways, on a desk and on a telephone."""
        for width in (320, 1280):
            self.page.set_viewport_size({"width": width, "height": 900})
            is_right(self.page, self._axe, "en", f"{self.page.url} at {width}")

    def press(self, name: str) -> None:
        """Press a button, with nothing going wrong."""
        self.page.get_by_role("button", name=name, exact=True).click()
        assert not self.page.title().startswith("Error"), self.page.inner_text("main")[:300]

    def buttons(self) -> set[str]:
        """What may be pressed in the page's own part."""
        return set(self.page.locator("main button").all_inner_texts())


def test_a_pseudonym_is_turned_back_by_two_told_once_and_logged(world: World, opened: Open, axe: str) -> None:
    """The requester alone is told, after another officer's passkey signed; the second asking gives nothing."""
    asker = Person(world, opened, axe, "tara", Role.REIDENTIFY)
    signer = Person(world, opened, axe, "sven", Role.APPROVE_REIDENTIFICATION)
    address = _asked(world, asker)
    assert asker.buttons() == {"Withdraw it"}  # her own signature is not enough for this purpose
    assert "open" in asker.page.inner_text("main")
    _signed(signer, address)
    value, person = _told(asker, address)
    assert (value, person) == (ANNA.email, world.person(0))
    _is_told_to_nobody_again(asker, signer, address)
    _stands_in_the_log(world, opened, axe, asker.officer_id, signer.officer_id, address.rpartition("/")[2])
    for one in (asker, signer):
        assert [said for said in one.seen.console if "409" not in said] == []
        assert one.seen.foreign == []
        assert not [url for url in one.seen.requests if any(secret in str(url) for secret in SECRETS)]


def _asked(world: World, asker: Person) -> str:
    """Ask as the page has it; where the request stands."""
    page = asker.open("/console/people")
    page.get_by_label("Pseudonyms or tokens, one on each line").fill(token_of(world, ANNA.email))
    page.get_by_label("Their field, where the token does not say it").select_option("email")
    page.get_by_label("Purpose").select_option(PURPOSE)
    page.get_by_label("Recipient").select_option(COMPANY)
    page.get_by_label("Reason").select_option("fraud_investigation")
    page.get_by_label("In your words").fill(WHY)
    page.get_by_label("Number of the case").fill("case-4711")
    asker.press("Ask")
    address = urlsplit(page.url).path
    assert re.fullmatch(r"/console/reidentifications/[a-z]+_[0-9a-z]{26}", address)
    asker.open(address)
    return address


def _signed(signer: Person, address: str) -> None:
    """Another officer reads what was asked and signs exactly this."""
    page = signer.open(address, scripted=True)
    read = page.inner_text("main")
    for told in (PURPOSE, COMPANY, WHY, "case-4711"):
        assert told in read
    assert signer.buttons() == {"Approve with a passkey", "Refuse it"}
    with page.expect_navigation():
        page.get_by_role("button", name="Approve with a passkey").click()
    page.wait_for_url(f"**{address}")
    signer.open(address)
    assert signer.officer_id in page.inner_text("main")
    assert signer.buttons() == {"Refuse it"}  # who signed is not who is told


def _told(asker: Person, address: str) -> tuple[str, str]:
    """The value and the person, as the page shows them this one time."""
    page = asker.open(address)
    asker.press("Tell me")
    assert page.locator("h1").inner_text() == "Told once"
    asker.is_right()
    assert personal(page) == [ANNA.email]  # what was asked for, and nothing beside it
    person, value = page.locator("main tbody td").all_inner_texts()
    return value, person


def _is_told_to_nobody_again(asker: Person, signer: Person, address: str) -> None:
    """The request's page has no way to it any more, and a form kept from before is refused without the value."""
    page = asker.page
    page.go_back()
    if page.get_by_role("button", name="Tell me").count():  # a browser may show what it kept
        page.get_by_role("button", name="Tell me").click()
        assert page.title().startswith("Error")
        assert personal(page) == []
    for one in (asker, signer):
        one.open(address)
        assert one.buttons() == set()


def _stands_in_the_log(world: World, opened: Open, axe: str, asker: str, signer: str, request_id: str) -> None:
    """An auditor finds who asked, who signed and that it was told, each entry proved, and no value in any."""
    world.settle()
    page = opened("aziz", scripts=True)
    page.goto("/console/log?kind=reidentification")
    is_right(page, axe, "en", "the log")
    links = page.locator("#rows tbody a.id")
    addresses = [links.nth(at).get_attribute("href") for at in range(links.count())]
    acts: dict[str, str] = {}
    for address in addresses:
        page.goto(str(address))
        assert personal(page) == []
        text = page.inner_text("main")
        if request_id not in text:
            continue
        assert "Checked just now" in text
        assert WHY not in text
        act = re.search(r'"action": "(\w+)"', text)
        assert act is not None
        acts[act[1]] = asker if asker in text else signer
    assert acts == {"request": asker, "approve": signer, "decide": asker, "reveal": asker}
