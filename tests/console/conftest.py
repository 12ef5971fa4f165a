"""Fixtures of the console's tests: one served world for each file, one Chromium, browsers signed in as an officer."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, BrowserContext, Page

from consent_gateway.web.console.guard import COOKIE
from tests.console.world import World, serving

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The served console, one for this test process; a test that damages something makes its own."""
    with serving(tmp_path_factory.mktemp("console")) as served:
        yield served


@pytest.fixture
def opened(world: World, chromium: Browser) -> Iterator[Open]:
    """Opens a page signed in as an officer: `opened("olga", lang="de", width=320, scheme="dark", scripts=False)`."""
    contexts: list[BrowserContext] = []

    def open_page(
        name: str | None,
        *,
        lang: str = "en",
        width: int = 1280,
        scheme: Any = "light",
        scripts: bool = True,
        **more: Any,
    ) -> Page:
        context = chromium.new_context(
            base_url=world.base,
            locale=lang,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=scripts,
            **more,
        )
        contexts.append(context)
        if name is not None:
            context.add_cookies([cookie(world, name)])
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()


def cookie(world: World, name: str) -> Any:
    """The cookie of a fresh session, as a browser keeps it."""
    address = world.base.replace("http://", "https://")  # it is Secure; a browser sends it to loopback over http too
    token = world.sign_in(name)
    return {"name": COOKIE, "value": token, "url": address, "secure": True, "httpOnly": True, "sameSite": "Lax"}


class Desk:
    """An officer's browser without a browser: sends what its pages would."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self.http: FlaskClient = world.app.test_client()
        token = world.sign_in(name)
        self.token = token
        self.http.set_cookie(COOKIE, token, domain="localhost", secure=True)
        self.form_token = world.services.console.sessions.form_token(token)

    def get(self, path: str) -> Any:
        """Open a page."""
        return self.http.get(path, base_url=self._world.base.replace("http://", "https://"))

    def post(self, path: str, **fields: Any) -> Any:
        """Send a form of our own page; `form_token`, `origin` and `site` may be made different."""
        token = fields.pop("form_token", self.form_token)
        headers = {
            "Origin": fields.pop("origin", self._world.base),
            "Sec-Fetch-Site": fields.pop("site", "same-origin"),
        }
        address = self._world.base.replace("http://", "https://")
        data = {"form_token": token, **fields}
        return self.http.post(path, data=data, headers=headers, base_url=address)


@pytest.fixture
def desk(world: World) -> Callable[[str], Desk]:
    """An officer's browser by the officer's name."""
    return lambda name: Desk(world, name)
