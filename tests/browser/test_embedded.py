"""A consent form in the page of a channel, in real Chromium: who may frame it, its two answers, what is recorded."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from consent_gateway.vocabulary import EventKind
from tests.browser.conftest import Open, session_cookie
from tests.browser.site import Shop, Site

LOOK = (
    "one => { const s = getComputedStyle(one), b = one.getBoundingClientRect();"
    " return [b.width, b.height, s.font, s.color, s.backgroundColor, s.border].join() }"
)


@pytest.fixture
def shop(chromium: Browser) -> Iterator[Page]:
    """A page of a shop without scripting; `show` gives it its content."""
    context = chromium.new_context(java_script_enabled=False, locale="en")
    yield context.new_page()
    context.close()


def show(page: Page, other: Shop, address: str) -> None:
    """Open a page of another site that frames an address."""
    other.body = f"<iframe title=Question width=400 height=700 src='{address}'></iframe>"
    page.goto(other.origin)


@pytest.mark.parametrize(("word", "kind"), [("Allow", EventKind.GRANT), ("Do not allow", EventKind.REFUSE)])
def test_the_allowed_page_shows_it_and_each_answer_takes_one_press(
    site: Site, shop: Page, word: str, kind: EventKind
) -> None:
    """In the shop's frame both buttons look the same; one press of either is recorded once, with the text shown."""
    person = site.newcomer("FR")
    show(shop, site.shop, site.base + site.form(person))
    frame = shop.frame_locator("iframe")
    expect(frame.locator("h2")).to_have_text("News and offers")
    assert len({one.evaluate(LOOK) for one in frame.locator(".pair button").all()}) == 1
    frame.get_by_role("button", name=word, exact=True).click()
    expect(frame.locator("h1")).to_have_text("Your answer is saved")
    (event,) = site.services.preferences.history(person)
    evidence = event.event.evidence
    assert (event.event.kind, event.event.purpose) == (kind, "email_marketing")
    assert (evidence.channel, evidence.recorded_by, evidence.how) == ("web_shop", "web-shop", "web_form")
    assert (evidence.notice, evidence.language) == ("messages", "en")
    assert evidence.notice_sha256 == site.services.preferences.notices.current("email_marketing", "en").sha256
    expect(frame.locator(".done")).to_contain_text(event.event_id)


def test_no_other_page_frames_it_and_nobody_frames_the_page_of_choices(site: Site, shop: Page) -> None:
    """A foreign page gets an empty frame of the form; not even the allowed page can frame the whole page, signed in."""
    person = site.newcomer("DE")
    shop.context.add_cookies([session_cookie(site, person)])
    for other, path in (
        (site.foreign, site.form(person)),
        (site.shop, site.form(person, framed=False)),
        (site.shop, "/preferences"),
        (site.foreign, "/sign-in"),
    ):
        show(shop, other, site.base + path)
        expect(shop.frame_locator("iframe").locator("main")).to_have_count(0)
        assert shop.frames[1].url.startswith("chrome-error://")


def test_after_an_opt_out_the_frame_asks_once_more(site: Site, shop: Page) -> None:
    """11 CCR 7028: the first press records that the person asks and opens nothing, the second one is the yes."""
    person = site.newcomer("US-CA")
    site.services.preferences.end(person, "email_marketing", "en")
    show(shop, site.shop, site.base + site.form(person))
    frame = shop.frame_locator("iframe")
    frame.get_by_role("button", name="Allow", exact=True).click()
    expect(frame.get_by_role("alert")).to_contain_text("Please press once more")
    assert site.services.preferences.history(person)[0].event.kind is EventKind.REQUEST
    frame.get_by_role("button", name="Allow", exact=True).click()
    expect(frame.locator("h1")).to_have_text("Your answer is saved")
    assert site.services.preferences.history(person)[0].event.kind is EventKind.OPT_IN_AGAIN


def test_a_foreign_page_cannot_answer_for_somebody(site: Site, signed_in: Open) -> None:
    """A page that got hold of a good token and posts it itself is refused, and nothing is recorded."""
    person = site.newcomer("DE")
    page = signed_in(person)
    token = site.form(person).partition("t=")[2]
    site.foreign.body = (
        f"<form method=post action='{site.base}/consent-form'><input name=t value='{token}'>"
        "<input name=answer value=allow><button>x</button></form>"
    )
    page.goto(site.foreign.origin)
    with page.expect_response("**/consent-form") as answered:
        page.click("button")
    assert answered.value.status == 403
    assert site.services.preferences.history(person) == ()
