"""Every console page in real Chromium: accessibility, layout, headers, languages, light and dark, small and wide."""

import re
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page

from consent_gateway.web.security import CONTENT_SECURITY_POLICY
from tests.browser.test_every_page import CUT as CUT_OFF
from tests.browser.test_every_page import HEADINGS, OVERFLOW, SPACING, TAGS, Watched
from tests.console.conftest import Open
from tests.console.world import World

LOOKS = [("en", "light", 1280), ("de", "dark", 320), ("ar", "light", 320)]
CUT = CUT_OFF.replace("closest('.scroll')", "closest('.scroll, .hidden, pre')")  # what only a screen reader is told
MOST_BYTES, MOST_REQUESTS = 100_000, 5
SMALL = """() => [...document.querySelectorAll('a, button, summary, select, textarea, input:not([type=hidden])')]
.filter(one => {
  if (one.matches('.skip') || !one.checkVisibility()) return false;
  const target = one.matches('[type=radio]') ? one.labels[0] : one;
  const box = target.getBoundingClientRect();
  const least = one.matches('a:not(.button), [type=checkbox]') ? 24 : 44;
  return box.height < least || box.width < 24;
}).map(one => one.outerHTML.slice(0, 90))"""


def paths(world: World) -> list[str]:
    """One address of every page that can be read."""
    soon, late = world.requests["soon"], world.requests["late"]
    return [
        "/console",
        "/console/requests",
        f"/console/requests/{late}",
        f"/console/requests/{soon}/review",
        "/console/decisions?purpose=email_marketing",
        f"/console/decisions/{world.decisions[1]}",
        "/console/people",
        f"/console/people/{world.person(0)}",
        "/console/policies",
        "/console/policies/cases?file=floor.yaml",
        f"/console/policies/revision?revision={world.services.policies.revision}&path=recipients.yaml",
        f"/console/policies/changes?old={world.services.policies.revision}&new={world.services.policies.revision}",
        "/console/reports",
        "/console/reports/report?name=rights",
        "/console/log",
        f"/console/log/{world.decisions[0]}",
        "/console/recipients",
        "/console/keys",
        "/console/settings",
        "/console/requests/rq_01jd80000000000000000000ad",
    ]


def is_right(page: Page, axe: str, lang: str, where: str) -> None:
    """Language, direction, title, axe, widths, targets, headings."""
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


@pytest.mark.parametrize(("lang", "scheme", "width"), LOOKS)
def test_every_page_is_accessible_in_every_look(
    world: World, opened: Open, axe: str, lang: str, scheme: str, width: int
) -> None:
    """axe-core finds nothing, no rule switched off; nothing scrolls sideways; targets, headings, language are right."""
    page = opened("every", lang=lang, scheme=scheme, width=width)
    seen = Watched(page, world.base)
    for path in paths(world):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == (404 if path.endswith("0ad") else 200), path
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        is_right(page, axe, lang, path)
    assert [said for said in seen.console if "404" not in said] == []
    assert seen.foreign == []
    stranger = opened(None, lang=lang, scheme=scheme, width=width)
    for path in ("/console/sign-in", "/console/enrol"):
        stranger.goto(path)
        is_right(stranger, axe, lang, path)


def test_nothing_inline_and_every_page_small(world: World, opened: Open) -> None:
    """No script, style or handler stands in the HTML; a page with all it loads is small and asks for little."""
    page = opened("every")
    for path in paths(world):
        seen = Watched(page, world.base)
        answer = page.goto(path)
        assert answer is not None
        assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=", answer.text()), path
        assert len(seen.requests) <= MOST_REQUESTS
        assert len(answer.body()) <= MOST_BYTES - 20_000, path  # beside the stylesheet


def test_the_keyboard_reaches_everything_and_shows_where_it_is(world: World, opened: Open) -> None:
    """The first Tab shows the skip link; after it every control and every scrolling box gets a visible focus."""
    page = opened("every", width=320)
    for path in (f"/console/requests/{world.requests['late']}", "/console/decisions", "/console"):
        page.goto(path)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.locator(".skip").bounding_box()["y"] >= 0  # type: ignore[index]
        reached: set[str] = set()
        for _ in range(300):
            state: Any = page.evaluate(FOCUS)
            if state is None:
                break
            assert state["outline"] >= 2, state
            reached.add(state["name"])
            page.keyboard.press("Tab")
        assert reached == set(page.evaluate(CONTROLS)), path


CONTROLS = """[...document.querySelectorAll(
  'a, button, summary, select, textarea, input:not([type=hidden]), [tabindex="0"]'
)].filter(one => one.checkVisibility() && !one.matches(
  'details:not([open]) > :not(summary) *, details:not([open]) > *:not(summary)'))
  .map(one => one.outerHTML.slice(0, 120))"""
FOCUS = """() => {
  const one = document.activeElement;
  if (one === document.body) return null;
  return {name: one.outerHTML.slice(0, 120), outline: parseFloat(getComputedStyle(one).outlineWidth)};
}"""


def test_nothing_is_lost_with_wide_text_forced_colours_or_without_styles(world: World, opened: Open) -> None:
    """With the text spacing of WCAG 1.4.12 nothing is cut; with forced colours alarms keep their words."""
    page = opened("every", width=320)
    page.emulate_media(forced_colors="active", reduced_motion="reduce")
    for path in paths(world):
        page.goto(path)
        page.evaluate(
            "css => { const one = new CSSStyleSheet(); one.replaceSync(css); document.adoptedStyleSheets = [one] }",
            SPACING,
        )
        assert page.evaluate(OVERFLOW) <= 0, path
        assert page.evaluate("document.getAnimations().length") == 0
    page.goto("/console")
    assert "overdue" in page.locator(".alarms .tag").first.inner_text()


def test_pages_print_with_heads_repeated_and_no_navigation(world: World, opened: Open) -> None:
    """A report on paper has its period and checkpoint, its table heads on each page, no controls and no cut rows."""
    page = opened("every")
    page.goto("/console/reports/report?name=processing")
    page.emulate_media(media="print")
    assert not page.locator("header nav").is_visible()
    assert not page.locator(".pager").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('thead')).display") == "table-header-group"
    assert page.evaluate("getComputedStyle(document.querySelector('tbody tr')).breakInside") == "avoid"
    text = page.inner_text("main")
    assert "Period" in text
    assert "Checkpoint" in text
    pdf = page.pdf(format="A4", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 1


def test_filters_stand_in_the_address_and_back_works(world: World, opened: Open) -> None:
    """A search is a link: Back shows the list before it, and the field keeps what was searched."""
    page = opened("olga", scripts=False)
    page.goto("/console/decisions")
    page.get_by_label("Purpose").fill("email_marketing")
    page.get_by_role("button", name="Search").click()
    assert "purpose=email_marketing" in page.url
    assert page.get_by_label("Purpose").input_value() == "email_marketing"
    assert page.locator("#rows tbody tr").count() == 4
    page.go_back()
    assert page.locator("#rows tbody tr").count() > 4
    assert world.decisions[0] in page.content()
