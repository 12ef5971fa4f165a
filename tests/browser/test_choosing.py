"""A customer chooses in real Chromium, scripting off: what is seen, saved, proved and undone, and that it binds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from consent_gateway.customer_desk import SESSION_COOKIE
from consent_gateway.line import DecideQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import SHARED_IDENTIFIERS
from consent_gateway.vocabulary import Caller, EventKind
from tests.browser.conftest import Open
from tests.browser.site import Site

ROOT = Path(__file__).resolve().parent.parent.parent
SAVE, NONE = "#save > button", "form[action='/preferences/none'] button"
READER = """
import sys
from consent_gateway.line import DecideQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.settings import read_settings
from consent_gateway.vocabulary import Caller
from consent_gateway.wiring import open_services
services = open_services(read_settings(dict(line.rstrip().split("=", 1) for line in open(sys.argv[1]))))
caller = Caller("newsletter", "email_marketing", frozenset({"email_marketing"}), frozenset({"company"}), frozenset())
print("ready", flush=True)
for line in sys.stdin:
    answer = services.gateway.decide(caller, DecideQuery(PersonRef(data_subject=line.strip()), "email_marketing"))
    print("open" if any(one.is_open for one in answer.verdicts.values()) else "closed", flush=True)
services.close()
"""


def kinds(site: Site, person: str) -> list[tuple[str, EventKind]]:
    """What the ledger holds of a person, in order."""
    return [(one.event.purpose, one.event.kind) for one in site.services.preferences.history(person)][::-1]


def fresh(page: Page) -> Page:
    """The page of choices, opened anew."""
    page.goto("/preferences?lang=en")
    return page


def test_a_first_visit_allows_nothing(site: Site, signed_in: Open) -> None:
    """No radio stands at Allow, none is marked at all, no cookie is set, and both answers look the same."""
    page = fresh(signed_in(site.newcomer("DE"), scripts=False))
    assert page.locator("input[type=radio]").count() >= 18
    assert page.locator("input[type=radio]:checked").count() == 0
    assert [(one["name"], one["httpOnly"], one["secure"]) for one in page.context.cookies()] == [
        (SESSION_COOKIE, True, True)
    ]
    looks = [
        one.evaluate(
            "one => { const s = getComputedStyle(one), b = one.getBoundingClientRect();"
            " return [b.width, b.height, s.font, s.color, s.backgroundColor, s.border].join() }"
        )
        for one in page.locator("#save .pair label").all()
    ]
    assert len(set(looks)) == 1
    words = [one.inner_text() for one in page.locator("#save .pair label").all()]
    assert words == ["Allow", "Do not allow"] * (len(words) // 2)


def test_the_whole_journey_without_scripting(site: Site, signed_in: Open) -> None:
    """See, allow, get the receipt, read the history with its text, withdraw: each is saved once and shown."""
    person = site.newcomer("DE")
    page = fresh(signed_in(person, scripts=False))
    page.check("#email_marketing")
    page.click(SAVE)
    banner = page.locator(".done")
    assert banner.get_attribute("role") == "alert"
    expect(banner).to_be_focused()
    expect(banner).to_contain_text("Offers by e-mail: allowed")
    page.reload()  # sends nothing again
    assert kinds(site, person) == [("email_marketing", EventKind.GRANT)]
    banner.get_by_role("link").click()
    expect(page.locator("dl.receipt")).to_contain_text("We use your name, your language and the address")
    page.get_by_role("link", name="History").click()
    page.get_by_text("Read the text shown then").click()
    expect(page.locator("blockquote")).to_contain_text("News and offers")
    page.go_back()
    fresh(page)
    expect(page.locator("#email_marketing")).to_be_checked()
    page.check("[name='mark.email_marketing'][value=refuse]")
    page.click(SAVE)
    expect(page.locator(".done")).to_contain_text("Offers by e-mail")
    page.go_back()
    page.go_forward()
    expect(page.locator("[name='mark.email_marketing'][value=refuse]")).to_be_checked()
    assert kinds(site, person) == [("email_marketing", EventKind.GRANT), ("email_marketing", EventKind.WITHDRAW)]


def test_to_withdraw_takes_no_more_than_to_grant(site: Site, signed_in: Open) -> None:
    """One purpose: the same clicks and pages either way. Everything: one click, and nothing optional is in use."""
    person = site.newcomer("DE")
    page = fresh(signed_in(person, scripts=False))
    clicks = {}
    for word, mark in (("grant", "allow"), ("withdraw", "refuse")):
        steps = [f"[name='mark.sms_marketing'][value={mark}]", SAVE]
        for step in steps:
            page.click(step)
        clicks[word] = len(steps)
    assert clicks["withdraw"] <= clicks["grant"]
    page.check("#location_offers")
    page.click(SAVE)
    page.click(NONE)
    expect(page.locator(".done")).to_be_focused()
    view = site.services.preferences.view(person, gpc=False)
    optional = {one.purpose for one in view.standings if one.in_use and one.way.value != "none"}
    assert optional == {"fraud_prevention"}  # an objection alone ends it; its button stands beside it


def test_after_the_click_every_read_in_another_process_is_refused(site: Site, signed_in: Open, tmp_path: Path) -> None:
    """Twenty times: allow, then withdraw in the browser; the very next read of another process is refused, 0 stale."""
    person = site.somebody("DE")
    settings = tmp_path / "settings"
    settings.write_text("".join(f"{name}={value}\n" for name, value in site.deployment.variables.items()))
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert reader.stdin is not None
    assert reader.stdout is not None

    def read() -> str:
        reader.stdin.write(f"{person}\n")  # type: ignore[union-attr]
        reader.stdin.flush()  # type: ignore[union-attr]
        return reader.stdout.readline().strip()  # type: ignore[union-attr]

    assert reader.stdout.readline().strip() == "ready"
    page = fresh(signed_in(person, scripts=False))
    page.click(NONE)
    answers = []
    for _ in range(20):
        page.check("#email_marketing")
        page.click(SAVE)
        answers.append(read())
        page.check("[name='mark.email_marketing'][value=refuse]")
        page.click(SAVE)
        answers.append(read())
    reader.communicate(timeout=30)
    assert reader.returncode == 0
    assert answers == ["open", "closed"] * 20


def test_an_empty_form_is_told_with_a_summary(site: Site, signed_in: Open) -> None:
    """Nothing marked: the summary has the focus, links to the choices, the title says so, and nothing is written."""
    person = site.newcomer("DE")
    page = fresh(signed_in(person, scripts=False))
    page.click(SAVE)
    assert page.title().startswith("Error: ")
    expect(page.locator(".wrong")).to_be_focused()
    page.locator(".wrong a").click()
    assert page.url.endswith("#ask")
    assert kinds(site, person) == []


def test_a_text_that_changed_is_shown_again_and_other_marks_are_kept(site: Site, signed_in: Open) -> None:
    """The version shown goes with the answer; if it is not the present one, nothing is saved and the field says why."""
    person = site.newcomer("DE")
    page = fresh(signed_in(person))
    page.check("#email_marketing")
    page.check("#sms_marketing")
    page.evaluate("document.querySelector(\"[name='shown.sms_marketing']\").value = '0'")
    page.click(SAVE)
    message = page.locator(".wrong a").inner_text()
    assert page.locator("#sms_marketing-fault").inner_text().endswith(message)
    expect(page.locator("#email_marketing")).to_be_checked()
    page.locator(".wrong a").click()
    expect(page.locator("#sms_marketing")).to_be_in_viewport()
    assert kinds(site, person) == []


def test_global_privacy_control_is_shown_as_honoured(site: Site, signed_in: Open) -> None:
    """With the signal on, the page says so, and sale and sharing stand at Do not allow."""
    page = fresh(signed_in(site.newcomer("US-CA"), scripts=False, extra_http_headers={"Sec-GPC": "1"}))
    expect(page.locator("#gpc")).to_be_visible()
    for purpose in ("targeted_ads", "data_sale"):
        expect(page.locator(f"[name='mark.{purpose}'][value=refuse]")).to_be_checked()
    expect(page.locator("section[aria-labelledby=sale] .status")).to_contain_text("we do not sell")


def test_sale_limit_and_programme_each_take_one_press(site: Site, signed_in: Open) -> None:
    """Where the law gives the right, status and button are there; a press changes the status and is recorded."""
    person = site.newcomer("US-CA")
    page = fresh(signed_in(person, scripts=False))
    sale = page.locator("section[aria-labelledby=sale]")
    expect(sale.locator(".status")).to_contain_text("may be sold or shared")
    sale.get_by_role("button").click()
    expect(sale.locator(".status")).to_contain_text("we do not sell")
    limit = page.locator("section[aria-labelledby=limit]")
    limit.get_by_role("button").click()
    expect(limit.locator(".status")).to_contain_text("Status: limited")
    programme = page.locator("section[aria-labelledby=programme]")
    programme.get_by_role("button").click()
    expect(programme.locator(".status")).to_contain_text("you are a member")
    programme.get_by_role("button").click()
    expect(programme.locator(".status")).to_contain_text("not a member")
    assert [kind for _, kind in kinds(site, person)] == [
        EventKind.OPT_OUT,
        EventKind.OPT_OUT,
        EventKind.LIMIT,
        EventKind.JOIN_PROGRAMME,
        EventKind.LEAVE_PROGRAMME,
    ]
    page = fresh(signed_in(site.newcomer("DE"), scripts=False))
    assert page.locator("#sale, #limit").count() == 0


def test_after_an_opt_out_to_allow_again_takes_a_second_step(site: Site, signed_in: Open) -> None:
    """11 CCR 7028: the first step is a request that opens nothing, the second the yes; to leave leaves it at that."""
    person = site.newcomer("US-CA")
    page = fresh(signed_in(person, scripts=False))
    page.check("[name='mark.targeted_ads'][value=refuse]")
    page.click(SAVE)
    page.check("#targeted_ads")
    page.click(SAVE)
    assert page.url.partition("?")[0].endswith("/preferences/confirm")
    assert kinds(site, person) == [("targeted_ads", EventKind.OPT_OUT), ("targeted_ads", EventKind.REQUEST)]
    page.get_by_role("button", name="Yes, allow it again").click()
    expect(page.locator("#targeted_ads")).to_be_checked()
    assert kinds(site, person)[2:] == [("targeted_ads", EventKind.OPT_IN_AGAIN)]


def test_an_objection_takes_one_press_and_can_be_taken_back(site: Site, signed_in: Open) -> None:
    """A purpose on another ground has a button; pressed, the purpose is out of use, and can be allowed again."""
    person = site.newcomer("DE")
    page = fresh(signed_in(person, scripts=False))
    page.get_by_role("button", name="Object to “Fraud prevention”").click()
    expect(page.locator("section[aria-labelledby=o-fraud_prevention] .status")).to_contain_text("You objected")
    page.get_by_role("button", name="Allow “Fraud prevention” again").click()
    assert [kind for _, kind in kinds(site, person)] == [EventKind.OBJECT, EventKind.GRANT]


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_a_receipt_prints_on_one_page_without_navigation(site: Site, signed_in: Open, lang: str) -> None:
    """On paper the receipt is one A4 page that shows number and version of the text, and no navigation."""
    page = signed_in(site.newcomer("DE"), lang=lang)
    page.goto("/preferences")
    page.check("#allergen_safety")
    page.click(SAVE)
    page.locator(".done a").click()
    page.emulate_media(media="print")
    assert page.pdf(prefer_css_page_size=True).count(b"/Type /Page\n") == 1
    assert [one.is_visible() for one in page.locator("nav, form, .skip").all()] == [False, False, False]
    for shown in ("allergies", "5"):  # id and version of the notice
        expect(page.locator("dl.receipt dd").get_by_text(shown, exact=True)).to_be_visible()


def test_a_form_of_a_foreign_site_is_refused(site: Site, signed_in: Open) -> None:
    """A page of another origin that submits our form, with the person signed in, gets 403 and nothing is written."""
    person = site.newcomer("DE")
    page = signed_in(person)
    form = f"<form method=post action='{site.base}/preferences/none'><button>x</button></form>"
    page.route("https://foreign.example/", lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto("https://foreign.example/")
    with page.expect_response("**/preferences/none") as answered:
        page.click("button")
    assert answered.value.status in (401, 403)
    assert kinds(site, person) == []


def test_the_table_answers_a_cell_a_row_and_a_column(site: Site, signed_in: Open) -> None:
    """Each button is named by what it does to what; all and none are alike, one press each; a cell says how it is."""
    person = site.newcomer("DE")
    page = fresh(signed_in(person, scripts=False))
    table = page.locator("table.matrix")
    for part in table.locator(".both").all():
        boxes = [one.bounding_box() or {} for one in part.locator("button").all()]
        assert len({(box["width"], box["height"]) for box in boxes}) == 1
        assert [one.inner_text() for one in part.locator("button").all()] == ["Allow all", "Allow none"]
    table.get_by_role("button", name="Allow: News and offers, E-mail. Now: Not allowed.", exact=True).click()
    assert kinds(site, person) == [("email_marketing", EventKind.GRANT)]
    table.get_by_role("button", name="Allow none: E-mail", exact=True).click()
    assert kinds(site, person)[1:] == [("email_marketing", EventKind.WITHDRAW)]
    table.get_by_role("button", name="Allow all: News and offers", exact=True).click()
    opened = kinds(site, person)[2:]
    assert {kind for _, kind in opened} == {EventKind.GRANT}
    assert {"email_marketing", "sms_marketing", "phone_marketing"} <= {purpose for purpose, _ in opened}
    table.get_by_role("button", name="Allow none: News and offers", exact=True).click()
    closed = kinds(site, person)[2 + len(opened) :]
    # Post rests on another ground: it was in use without a yes, and its no is an objection.
    assert dict(closed) == {**dict.fromkeys(dict(opened), EventKind.WITHDRAW), "postal_marketing": EventKind.OBJECT}
    assert table.get_by_text("Allowed", exact=True).count() == 0


def test_a_pause_is_shown_with_its_end_binds_at_once_and_stands_beside_the_no(site: Site, signed_in: Open) -> None:
    """Thirty days, the last one named; the next decision is closed; its end opens again; how often closes nothing."""
    person = site.somebody("DE")
    caller = Caller("mail", "email_marketing", frozenset({"email_marketing"}), frozenset({"company"}), frozenset())

    def is_open() -> bool:
        asked = DecideQuery(PersonRef(data_subject=person), "email_marketing")
        return any(one.is_open for one in site.services.gateway.decide(caller, asked).verdicts.values())

    page = fresh(signed_in(person, scripts=False))
    page.click(NONE)
    page.check("#email_marketing")
    page.click(SAVE)
    card = page.locator("details.less", has_text="Offers by e-mail")

    def press(name: str | re.Pattern[str]) -> None:
        card.locator("summary").click()
        expect(card.get_by_role("button", name="Do not allow", exact=True)).to_be_visible()
        card.get_by_role("button", name=name).click()

    press(re.compile("Pause 30 days, until .+ 20"))
    expect(card).to_contain_text("Paused until")
    expect(page.locator("#email_marketing")).to_be_checked()
    assert not is_open()
    press("End the pause now")
    assert is_open()
    card.locator("summary").click()
    card.get_by_role("combobox").select_option("weekly")
    card.get_by_role("button", name="Save how often").click()
    expect(card).to_contain_text("Once a week")
    expect(page.locator(".done")).to_contain_text("how often changed (Once a week)")
    assert is_open()
    press("Do not allow")
    assert not is_open()
    assert [kind for _, kind in kinds(site, person)][-5:] == [
        EventKind.GRANT,
        EventKind.PAUSE,
        EventKind.RESUME,
        EventKind.FREQUENCY,
        EventKind.WITHDRAW,
    ]


def test_this_is_not_me_ends_every_session_and_says_so(site: Site, signed_in: Open) -> None:
    """Pressed on the page of choices in one browser, the other browser of the same person is nobody's at once."""
    person = site.newcomer("DE")
    here, there = fresh(signed_in(person, lang="de", scripts=False)), fresh(signed_in(person))
    here.goto("/preferences?lang=de")
    here.get_by_role("button", name="Das bin ich nicht").click()
    expect(here.locator("h1")).to_have_text("Jede Anmeldung ist beendet")
    answer = there.goto("/preferences")
    assert answer is not None
    assert answer.status == 401


def test_a_shared_address_is_warned_of(site: Site, signed_in: Open) -> None:
    """Who shares an identifier is told that the strictest choice of all holds for it; nobody else is."""
    page = fresh(signed_in(site.newcomer("DE"), scripts=False))
    assert page.locator("#shared").count() == 0
    with site.services.engine.connect() as connection:
        shared = connection.execute(sa.select(SHARED_IDENTIFIERS.c.data_subject).limit(1)).scalar()
    if shared is None:
        shared = site.somebody("DE")
        with site.services.engine.begin() as connection:
            row = {"kind": "email", "blind_index": "k001.shared", "data_subject": shared}
            connection.execute(sa.insert(SHARED_IDENTIFIERS).values(row))
    page = fresh(signed_in(str(shared), scripts=False))
    expect(page.locator("#shared")).to_have_text("An address or number of yours is used by somebody else too")
