"""The officers' tutorial, walked in a real browser without scripts: from sign-in to a verified pack."""

import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page

from consent_gateway.audit.log import ANY
from consent_gateway.audit.signer import open_signer
from consent_gateway.line import ReadQuery
from consent_gateway.people.directory import PersonRef
from tests.console.world import World, caller
from tests.deployment import ROOT

TEXT = re.sub(r"\s+", " ", (ROOT / "docs" / "tutorial" / "officers.md").read_text(encoding="utf-8"))


def told(name: str) -> str:
    """A name that the tutorial uses, set in bold there."""
    assert f"**{name}**" in TEXT, f"the tutorial does not name {name}"
    return name


def press(page: Page, name: str) -> None:
    """Press a button of the tutorial, with nothing going wrong."""
    page.get_by_role("button", name=told(name), exact=True).first.click()
    assert not page.title().startswith("Error"), page.inner_text("main")[:300]


def come_in(page: Page, who: str) -> None:
    """Sign in as the tutorial says."""
    page.get_by_role("link", name=told("Sign in with your company account")).click()
    page.get_by_role("link", name=told(who)).click()
    assert who in page.inner_text("header")


def test_the_tutorial_leads_where_it_says(world: World, chromium: Browser, tmp_path: Path) -> None:
    """Each step as it stands on the page, from an empty console to a folder that a stranger verifies."""
    demo = world
    context = chromium.new_context(base_url=demo.base, java_script_enabled=False)
    page = context.new_page()
    page.goto("/console")
    come_in(page, "olga.officer")
    assert page.locator("h1").inner_text() == told("Overview")
    assert page.get_by_role("heading", name=told("Alarms")).count() == 1
    _asks_why(demo, page)
    _works(demo, page)
    page.get_by_role("button", name=told("Sign out")).click()
    come_in(page, "aziz.auditor")
    _audits(demo, page)
    page.get_by_role("link", name=told("Reports"), exact=True).click()
    page.locator("form:has(input[value=rights])").get_by_role("button", name=told("Make it")).click()
    assert "Rests on" in page.inner_text("main")
    context.close()
    _packs(demo, tmp_path)


def _asks_why(demo: World, page: Page) -> None:
    for cast in range(3):
        query = ReadQuery(PersonRef(data_subject=demo.person(cast)), "email_marketing", ("first_name", "email"))
        demo.services.gateway.read(caller(), query)
    demo.settle()
    page.get_by_role("link", name=told("Decisions"), exact=True).click()
    page.get_by_label(told("Purpose")).fill("email_marketing")
    press(page, "Search")
    assert "purpose=email_marketing" in page.url
    page.locator("#rows tr", has_text="withheld").first.get_by_role("link", name=told("Why")).click()
    assert "The same rules and facts give the same answer" in page.inner_text("main")
    assert "The same rules and facts give the same answer" in TEXT


def _works(demo: World, page: Page) -> None:
    request_id = demo.ask("access", 3)
    page.get_by_role("link", name=told("Requests"), exact=True).click()
    page.get_by_role("link", name=request_id).click()
    page.get_by_label("Your reference of what you saw").fill("passport-17")
    for name in ("Identity is proved", "Approve", "Carry it out"):
        press(page, name)
    page.get_by_role("link", name=told("Review and release")).click()
    assert told("Blank") in page.inner_text("thead")
    press(page, "Release the package")
    assert "fulfilled" in page.inner_text("main")


def _audits(demo: World, page: Page) -> None:
    demo.settle()
    page.get_by_role("link", name=told("Log"), exact=True).click()
    page.locator("#rows tr", has_text="rights request").first.get_by_role("link").click()
    assert "Checked just now" in page.inner_text("main")
    address = page.get_by_role("link", name=told("Save the proof to check it offline")).get_attribute("href")
    proof = page.request.get(f"{demo.base}{address}")
    assert proof.text().startswith("c2sp.org/tlog-proof@v1")


def _packs(demo: World, folder: Path) -> None:
    demo.settle()
    variables = demo.deployment.variables
    state, pack = variables["CONSENT_GATEWAY_STATE_DIR"], folder / "pack"
    words = ["audit", "pack", str(pack), "--state", state, "--database", variables["CONSENT_GATEWAY_DATABASE_URL"]]
    words += ["--policies", variables["CONSENT_GATEWAY_POLICIES"]]
    command = [sys.executable, "-m", "consent_gateway", *words]
    environment = {"PATH": "/usr/bin:/bin", **variables}
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    settings = demo.deployment.settings
    key = folder / "log.vkey"
    key.write_text(f"{open_signer(settings.log_key_file, settings.log_origin).vkey}\n", encoding="utf-8")
    checked = [sys.executable, "-I", str(pack / "verify.py"), str(pack), "--vkey", str(key)]
    assert subprocess.run(checked, capture_output=True, check=False).returncode == 0
    assert len(demo.services.evidence.log.entries(ANY, limit=10_000)) > 20
    report = pack / "report-rights.json"
    report.write_text(report.read_text(encoding="utf-8").replace("access", "excess", 1), encoding="utf-8")
    found = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "report-rights.json" in found.stdout + found.stderr
