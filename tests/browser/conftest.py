"""Fixtures of the browser tests: the served pages, and pages signed in as a person."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from consent_gateway.customer_desk import SESSION_COOKIE
from tests.browser.site import Site, serving

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The served pages."""
    with serving(tmp_path_factory.mktemp("site")) as served:
        yield served


def session_cookie(site: Site, person: str) -> Any:
    """The cookie of a fresh session, as a browser keeps it."""
    address = site.base.replace("http://", "https://")  # it is Secure; a browser sends it to a loopback host over http
    return {
        "name": SESSION_COOKIE,
        "value": site.sign_in(person),
        "url": address,
        "secure": True,
        "httpOnly": True,
        "sameSite": "Lax",
    }


@pytest.fixture
def signed_in(site: Site, chromium: Browser) -> Iterator[Open]:
    """Opens a page signed in as a person: `signed_in(person, lang="de", width=320, scheme="dark", scripts=False)`."""
    contexts: list[BrowserContext] = []

    def open_page(
        person: str | None,
        *,
        lang: str = "en",
        width: int = 1280,
        scheme: Any = "light",
        scripts: bool = True,
        **more: Any,
    ) -> Page:
        context = chromium.new_context(
            base_url=site.base,
            locale=lang,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=scripts,
            **more,
        )
        contexts.append(context)
        if person is not None:
            context.add_cookies([session_cookie(site, person)])
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()
