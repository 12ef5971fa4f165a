"""Asking for one's rights in a real Chromium, without scripting; and the report as it is printed."""

import io
import unicodedata
import zipfile
from pathlib import Path

from playwright.sync_api import Page
from pypdf import PdfReader

from consent_gateway.rights.requests import By
from tests.browser.conftest import Open
from tests.browser.site import Site

OFFICER = By(officer="of_desk")


def start(page: Page, right: str) -> str:
    """The id of a request started by its button."""
    page.goto("/preferences/requests")
    page.locator(f"form:has(input[value={right}]) button").click()
    assert page.locator("[role=alert]").inner_text() == "We have your request"
    return page.url.partition("?")[0].rpartition("/")[2]


def test_an_erasure_is_asked_for_followed_and_called_off_without_scripting(site: Site, signed_in: Open) -> None:
    """From the page of choices: three presses to ask, the day of the answer in words, one press to call it off."""
    page = signed_in(site.somebody("DE"), scripts=False, width=320)
    page.goto("/preferences")
    page.locator("#rights ~ p a.button").click()
    request_id = start(page, "delete")
    assert page.locator("h1").inner_text() == "Erase your data"
    assert page.locator("dl time").last.inner_text().endswith(", at the latest")
    page.reload()
    assert len(site.services.rights.handling.queue()) >= 1
    page.locator("form[action$=withdraw] button").click()
    assert page.locator("[role=alert]").inner_text() == "You have called it off"
    assert page.locator("form[action$=withdraw]").count() == 0
    page.goto("/preferences/requests")
    assert page.locator("li", has=page.locator(f"a[href*={request_id}]")).inner_text().count("You called it off.") == 1


def test_a_correction_without_words_is_told_at_the_field(site: Site, signed_in: Open) -> None:
    """The summary leads to the field, which says the same; nothing was asked for."""
    page = signed_in(site.somebody("DE"), scripts=False)
    page.goto("/preferences/requests")
    before = page.locator("main li").count()
    page.locator("form:has(input[value=correct]) button").click()
    assert page.title().startswith("Error: ")
    assert page.locator("[role=alert] a").get_attribute("href") == "#what-correct"
    assert page.locator("#what-fault").inner_text() == page.locator("[role=alert] a").inner_text()
    assert page.locator("#what-correct").get_attribute("aria-describedby") == "what-fault"
    assert page.locator("main ol > li").count() == before


def test_who_has_no_account_asks_and_proves_by_the_code_without_scripting(site: Site, signed_in: Open) -> None:
    """Every fault is told at its field with what was written kept; the mailed code leads to how far the request is."""
    address = f"{site.newcomer('DE')}@example.net"
    page = signed_in(None, scripts=False, width=320)
    page.goto("/sign-in")
    page.get_by_role("link", name="Make a request without signing in").click()
    page.fill("#email", address)
    page.locator("form.card button.primary").click()
    assert page.title().startswith("Error: ")
    assert page.locator("[role=alert] a").evaluate_all("all => all.map(one => one.hash)") == ["#right", "#place"]
    assert page.locator("#email").input_value() == address
    page.select_option("#right", "access")
    page.select_option("#place", "DE")
    page.locator("form.card button.primary").click()
    assert page.locator("h1").inner_text() == "Please look into your mailbox"
    page.fill("#code", "00000000")
    page.locator("form.card button.primary").click()
    assert page.locator("#code-fault").inner_text().startswith("Error: This is not the code")
    page.get_by_role("button", name="Send me another code").click()
    assert page.get_by_role("status").inner_text().startswith("If another code may be sent")


def test_the_data_is_downloaded_and_its_report_prints_whole(
    site: Site, signed_in: Open, axe: str, tmp_path: Path
) -> None:
    """The button hands the archive out; the page in it loads nothing, axe finds nothing, and paper holds every part."""
    person = site.somebody("DE")
    page = signed_in(person, lang="de")
    page.goto("/preferences/requests")
    page.locator("form:has(input[value=access]) button").click()
    request_id = page.url.partition("?")[0].rpartition("/")[2]
    rights = site.services.rights
    rights.handling.approve(request_id, OFFICER)
    rights.handling.execute(request_id, OFFICER)
    assert rights.handing is not None
    rights.handing.release(request_id, OFFICER, ())
    page.reload()
    with page.expect_download() as waiting:
        page.locator("form[action$=download] button").click()
    files = zipfile.ZipFile(io.BytesIO(Path(waiting.value.path()).read_bytes()))
    report = tmp_path / "report.html"
    report.write_bytes(files.read("report.html"))
    asked: list[str] = []
    reader = signed_in(None, lang="de", bypass_csp=True)
    reader.on("request", lambda request: asked.append(request.url))
    reader.goto(report.as_uri())
    assert asked == [report.as_uri()]
    headings = reader.locator("h1, h2").all_inner_texts()
    assert headings[0] == "Ihre Daten bei Morgenrot Coffee"
    assert len(headings) == 8
    assert "Wer für Ihre Daten verantwortlich ist" in headings
    reader.evaluate(axe)
    found = reader.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [one["id"] for one in found["violations"]] == []
    reader.pdf(path=str(tmp_path / "report.pdf"), prefer_css_page_size=True)
    printed = text_of(tmp_path / "report.pdf")
    email = reader.locator("tr", has_text="email").locator("td").nth(1).inner_text()
    assert [one for one in (*headings, email) if "".join(one.split()) not in printed] == []


def text_of(pdf: Path) -> str:
    """The words on the paper, without ligatures and the spaces between them."""
    printed = "".join(page.extract_text() for page in PdfReader(pdf).pages)
    return "".join(unicodedata.normalize("NFKC", printed).split())
