"""A customer signs in at a real OpenID provider, by its own login and consent pages."""

import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.cookiejar import CookieJar
from typing import Any

import pytest

from consent_gateway.web.app import create_app
from consent_gateway.web.customer.browser import SESSION_COOKIE
from tests.peers.oidc_peer import SECRET, Peer, provider
from tests.web.customers import ADA, ADA_ACCOUNT, VARIABLES
from tests.web.standins import ISSUER, stand_ins
from tests.web.test_customer_sign_in import Browser


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_given: Any) -> None:
        return None


class ProviderPages:
    """The provider's pages as a person meets them: cookies kept, redirects followed until they lead back to us."""

    def __init__(self) -> None:
        self._open = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPCookieProcessor(CookieJar())).open

    def back_from(self, address: str, login: str) -> str:
        """Log in under that name and consent; the address the browser is sent back to."""
        form: bytes | None = None
        for _step in range(12):
            target, page = self._once(address, form)
            form = None
            if target is not None:
                address = urllib.parse.urljoin(address, target)
                if address.startswith(ISSUER):
                    return address
                continue
            (action,) = re.findall(r'<form[^>]* action="([^"]+)"', page)
            (prompt,) = re.findall(r'name="prompt" value="(\w+)"', page)
            address = urllib.parse.urljoin(address, action)
            form = urllib.parse.urlencode({"prompt": prompt, "login": login, "password": "any"}).encode()
        raise AssertionError("the provider does not come to an end")

    def _once(self, address: str, form: bytes | None) -> tuple[str | None, str]:
        try:
            with self._open(urllib.request.Request(address, form), timeout=10) as answer:
                return None, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return str(error.headers["Location"]), ""


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """The provider, one for this file."""
    with provider(tmp_path_factory.mktemp("peer")) as started:
        yield started


def test_a_customer_signs_in_at_a_real_provider(gateway_database: str, peer: Peer) -> None:
    """oidc-provider demands PKCE and sends `iss`; its account is our person, and a second answer is worth nothing."""
    variables = {
        **VARIABLES,
        "CONSENT_GATEWAY_CUSTOMER_ISSUER": peer.issuer,
        "CONSENT_GATEWAY_CUSTOMER_CLIENT_ID": "gateway-customers",
        "CONSENT_GATEWAY_CUSTOMER_CLIENT_SECRET": SECRET,
    }
    services = stand_ins(gateway_database, datetime.now(UTC), variables=variables)
    browser = Browser(create_app(services))
    browser.get("/sign-in")
    away = browser.get("/sign-in/provider").headers["Location"]
    back = ProviderPages().back_from(away, ADA_ACCOUNT).removeprefix(ISSUER)
    assert "iss=" in back
    assert browser.get(back).status_code == 303
    session = services.customers.sessions.resolve(browser.cookie(SESSION_COOKIE) or "")
    assert session is not None
    assert (session.data_subject, session.assurance) == (ADA, "account")
    assert browser.get(back).status_code == 400
    services.close()
