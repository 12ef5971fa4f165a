"""Every page in real Chromium: accessibility, layout, headers and languages, light and dark, small and wide."""

import re
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page

from consent_gateway.web.security import CONTENT_SECURITY_POLICY
from tests.browser.conftest import Open
from tests.browser.site import Site

LOOKS = [(lang, scheme, width) for lang in ("en", "de", "ar") for scheme in ("light", "dark") for width in (320, 1280)]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MOST_BYTES, MOST_REQUESTS = 100_000, 5
SPACING = (
    "* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }"
    " p { margin-block-end: 2em !important; }"
)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CUT = """() => [...document.querySelectorAll('main *, header *, footer *')].filter(one =>
  getComputedStyle(one).overflowX !== 'visible' && !one.closest('.scroll') && one.scrollWidth > one.clientWidth + 1
).map(one => one.outerHTML.slice(0, 90))"""
SMALL = """() => [...document.querySelectorAll(
  'a, button, summary, select, input:not([type=hidden]), label:has(input)'
)].filter(one => {
  if (one.matches('.skip')) return false;
  const target = one.matches('[type=radio]') ? one.closest('label') : one;
  const box = target.getBoundingClientRect();
  const least = one.matches('button, label, summary, select, input, .button') ? 44 : 24;
  return box.height < least || box.width < 24;
}).map(one => one.outerHTML.slice(0, 90))"""
HEADINGS = "[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(one => Number(one.tagName[1]))"


class Watched:
    """What a browser said and asked for while it showed a page."""

    def __init__(self, page: Page, base: str) -> None:
        self.console: list[str] = []
        self.foreign: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda said: self.console.append(said.text))
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.on(
            "request", lambda asked: (self.requests if asked.url.startswith(base) else self.foreign).append(asked.url)
        )


def addresses(page: Page) -> list[str]:
    """The pages that a signed-in person can reach, once they have saved a choice."""
    page.goto("/preferences")
    page.locator("#sms_marketing").check()
    page.locator("#save > button").click()
    receipt = str(page.locator(".done a").get_attribute("href")).partition("?")[0]
    page.goto("/preferences/requests")
    page.locator("form:has(input[value=access]) button").click()
    request = page.url.partition("?")[0].removeprefix(str(page.evaluate("location.origin")))
    package = f"/preferences/package?t={'x' * 43}"
    return [
        "/preferences",
        "/preferences/history",
        "/preferences/uses",
        receipt,
        "/preferences/requests",
        request,
        package,
    ]


@pytest.fixture
def people(site: Site) -> dict[str, str]:
    """One person in Germany and one in California, each with some choices."""
    return {"DE": site.newcomer("DE"), "US-CA": site.newcomer("US-CA")}


@pytest.mark.parametrize(("lang", "scheme", "width"), LOOKS)
def test_every_page_is_accessible_in_every_look(
    site: Site, signed_in: Open, people: dict[str, str], axe: str, lang: str, scheme: str, width: int
) -> None:
    """axe-core finds nothing, no rule switched off; nothing scrolls sideways; targets and headings are right."""
    for place, person in people.items():
        page = signed_in(person, lang=lang, scheme=scheme, width=width)
        seen = Watched(page, site.base)
        paths = addresses(page)
        for path in paths if place == "DE" else paths[:1]:  # the other pages are the same everywhere
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == 200
            _is_right(page, axe, lang, f"{place} {path}")
        assert seen.console == []
        assert seen.foreign == []
    page = signed_in(None, lang=lang, scheme=scheme, width=width)
    seen = Watched(page, site.base)
    for path in (
        "/sign-in",
        "/sign-in/link?t=x",
        site.form(people["DE"], lang),
        site.parents_link(lang),
        site.take_back_link(lang),
        "/privacy-request",
    ):
        page.goto(path)
        _is_right(page, axe, lang, path)
    for path in _asked_without_signing_in(page, f"{lang}.{scheme}.{width}"):
        page.goto(path)
        _is_right(page, axe, lang, path)
    assert seen.console == []
    assert seen.foreign == []


def _asked_without_signing_in(page: Page, name: str) -> list[str]:
    """The pages after a request by mail address and after one that holds at once."""
    found = []
    for right in ("access", "object"):
        page.goto("/privacy-request")
        page.select_option("#right", right)
        page.fill("#email", f"{right}.{name}@example.net")
        page.select_option("#place", "DE")
        page.locator("form.card button.primary").click()
        found.append(page.url.removeprefix(str(page.evaluate("location.origin"))))
    return [re.sub(r"lang=\w+&", "", path) for path in found]


def _is_right(page: Page, axe: str, lang: str, where: str) -> None:
    assert page.locator("html").get_attribute("lang") == lang
    assert page.locator("html").get_attribute("dir") == ("rtl" if lang == "ar" else "ltr")
    assert " – " in page.title()
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    page.evaluate(axe)
    found = page.evaluate("tags => axe.run(document, {runOnly: tags, resultTypes: ['violations']})", TAGS)
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found["violations"]] == [], where
    assert page.evaluate(OVERFLOW) <= 0, where
    assert page.evaluate(CUT) == [], where
    assert page.evaluate(SMALL) == [], where
    levels = page.evaluate(HEADINGS)
    assert levels.count(1) == 1, where
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels)), (where, levels)


def test_pages_of_strangers_and_failures_are_accessible_too(signed_in: Open, site: Site, axe: str) -> None:
    """Outcomes of the way in, an unknown receipt and refused forms are whole pages in the visitor's language."""
    page = signed_in(None, lang="ar", width=320)
    for path in (
        "/sign-in/sent",
        "/sign-in/ended",
        "/sign-in/not-me?t=x",
        "/consent-form?t=x",
        "/unsubscribe?t=x",
        "/confirm?t=x",
        "/take-back?t=x",
    ):
        page.goto(path)
        _is_right(page, axe, "ar", path)
    page = signed_in(None, lang="de", width=320)
    answer = page.goto("/preferences")
    assert answer is not None
    assert answer.status == 401
    _is_right(page, axe, "de", "sign-in")
    page = signed_in(site.newcomer("DE"), lang="de", width=320)
    answer = page.goto("/preferences/receipts/cev_01jd80000000000000000000ad")
    assert answer is not None
    assert answer.status == 404
    assert page.title().startswith("Fehler: ")
    _is_right(page, axe, "de", "failure")


def test_one_strict_policy_and_nothing_inline(signed_in: Open, site: Site) -> None:
    """Each page carries the one policy, has no script, style or handler in its HTML, and is small."""
    page = signed_in(site.newcomer("US-CA"))
    seen = Watched(page, site.base)
    answer = page.goto("/preferences", wait_until="networkidle")
    assert answer is not None
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    html = answer.text()
    assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=", html)
    assert len(seen.requests) <= MOST_REQUESTS
    sizes = [len(page.request.get(url).body()) for url in dict.fromkeys(seen.requests)]
    assert sum(sizes) <= MOST_BYTES


def test_nothing_is_lost_at_400_percent_or_with_wide_text(signed_in: Open, site: Site) -> None:
    """At 400 % zoom of 1280 px and with the text spacing of WCAG 1.4.12 nothing scrolls sideways or is cut."""
    for lang in ("en", "de", "ar"):
        page = signed_in(site.newcomer("US-CA"), lang=lang, width=320, bypass_csp=True)
        page.goto("/preferences")
        page.add_style_tag(content=SPACING)
        assert page.evaluate(OVERFLOW) <= 0
        assert page.evaluate(CUT) == []


def test_the_keyboard_reaches_everything_and_shows_where_it_is(signed_in: Open, site: Site) -> None:
    """The first Tab shows the skip link; from there each control gets a visible focus that nothing hides."""
    page = signed_in(site.newcomer("US-CA"), width=320)
    page.goto("/preferences")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["y"] >= 0  # type: ignore[index]
    reached: list[str] = []
    for _ in range(300):
        state: Any = page.evaluate(FOCUS)
        if state is None:
            break
        assert state["outline"] >= 2, state
        assert state["hidden"] is False, state
        reached.append(state["name"])
        page.keyboard.press("Tab")
    wanted = page.evaluate(CONTROLS)
    groups = page.evaluate("new Set([...document.querySelectorAll('[type=radio]')].map(one => one.name)).size")
    assert len(reached) == wanted + groups


CONTROLS = """[...document.querySelectorAll('a, button, summary, select, .scroll')].filter(
  one => one.checkVisibility() && !one.matches('details:not([open]) > :not(summary) *')).length"""
FOCUS = """() => {
  const one = document.activeElement;
  if (one === document.body) return null;
  const shown = one.matches('[type=radio]') ? one.closest('label') : one;
  const style = getComputedStyle(shown), box = shown.getBoundingClientRect();
  const x = Math.min(Math.max(box.x + box.width / 2, 0), innerWidth - 1);
  const y = box.y + Math.min(box.height / 2, innerHeight / 2);
  const over = document.elementFromPoint(x, y);
  return {name: one.name || one.textContent.trim().slice(0, 40), outline: parseFloat(style.outlineWidth),
    hidden: !(over && (shown.contains(over) || over.contains(shown)))};
}"""


def test_forced_colours_keep_the_answer_visible(signed_in: Open, site: Site) -> None:
    """With forced colours the chosen answer differs by the width of its border, not by colour alone; nothing moves."""
    page = signed_in(site.newcomer("DE"), forced_colors="active", reduced_motion="reduce")
    page.goto("/preferences")
    page.locator("#email_marketing").check()
    widths = page.evaluate(
        "[...document.querySelectorAll('#save .pair label')].slice(0, 2)"
        ".map(one => getComputedStyle(one).borderTopWidth)"
    )
    assert widths[0] != widths[1]
    assert page.evaluate("document.getAnimations().length") == 0
