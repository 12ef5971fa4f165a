"""The retailer's OpenID provider: where to send a browser, and what its answer proves; keeps no state of a sign-in.

Authorization code flow with PKCE (S256), state, nonce, an exact issuer, and the issuer parameter of RFC 9207. Authlib
writes and reads the protocol's messages; exchanges go through the bounded fetcher, and the ID token through the one
verifier of this house (ADR 19).
"""

import hmac
import threading
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.rfc6749.parameters import (
    parse_authorization_code_response,
    prepare_grant_uri,
    prepare_token_request,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from consent_gateway.callers.fetching import Fetcher
from consent_gateway.callers.issuer_keys import IssuerKeys
from consent_gateway.callers.issuers import Issuer, host_of, url_fault
from consent_gateway.callers.jose import JwtRefused, opened, refuse_out_of_time, verified
from consent_gateway.customer_settings import CustomerProvider
from consent_gateway.customers.handshakes import Handshake
from consent_gateway.errors import IssuerUnavailable, SignInRefused
from consent_gateway.ports import Clock
from consent_gateway.vocabulary import Identifier

CALLBACK_PATH = "/sign-in/callback"
LEEWAY = timedelta(seconds=30)
LONGEST_LIFE = timedelta(days=1)
LONGEST_ID_TOKEN = 16_384
DESCRIBED_FOR = timedelta(minutes=5)
_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
_DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class _Described:
    """What the provider's discovery document says, as far as we use it."""

    at: datetime
    authorization: str
    token: str
    keys: IssuerKeys
    names_issuer: bool  # it always sends `iss` (RFC 9207)


class Provider:
    """The provider as one application sees it. Safe to share between threads."""

    def __init__(self, settings: CustomerProvider, fetcher: Fetcher, clock: Clock, redirect_uri: str) -> None:
        self._settings = settings
        self._fetcher = fetcher
        self._clock = clock
        self._redirect_uri = redirect_uri
        self._private = frozenset({host_of(settings.issuer)})
        self._held: _Described | None = None
        self._lock = threading.Lock()

    def address(self, handshake: Handshake, **more: str) -> str:
        """Where the browser is to go; `more` are further parameters of the request. Raises `IssuerUnavailable`."""
        return str(
            prepare_grant_uri(
                self._described().authorization,
                self._settings.client_id,
                "code",
                redirect_uri=self._redirect_uri,
                scope="openid",
                state=handshake.state,
                nonce=handshake.nonce,
                code_challenge=create_s256_code_challenge(handshake.verifier),
                code_challenge_method="S256",
                **more,
            )
        )

    def refuse_other_issuer(self, answer: Mapping[str, str]) -> None:
        """Raise `SignInRefused` for an answer of another provider, before anything of it is used (RFC 9207, 2.4)."""
        named = answer.get("iss")
        if named is None and not self._described().names_issuer:
            return
        if named != self._settings.issuer:
            raise _refused("the answer names another provider")

    def identifier(self, uri: str, handshake: Handshake) -> Identifier:
        """Whom the provider's answer, the address it sent the browser back to, proves to be here.

        Raises `SignInRefused` for an answer that does not stand, `IssuerUnavailable` where it cannot be judged.
        """
        value = self.claims(uri, handshake).get(self._settings.claim)
        if not isinstance(value, str) or not value:
            raise _refused(f"the ID token lacks the claim `{self._settings.claim}` as text")
        return Identifier(self._settings.identifier_kind, value)

    def claims(self, uri: str, handshake: Handshake) -> dict[str, Any]:
        """The verified claims of the ID token that this answer stands for. Raises as `identifier` does."""
        try:
            code = parse_authorization_code_response(uri, handshake.state)["code"]
        except AuthlibBaseError as error:  # an error of the provider, no code, or a state that is not this sign-in's
            raise _refused("the provider sent no code for this sign-in") from error
        described = self._described()
        return self._claims(self._exchange(described, code, handshake), described, handshake)

    def _exchange(self, described: _Described, code: str, handshake: Handshake) -> str:
        form = prepare_token_request(
            "authorization_code", "", self._redirect_uri, code=code, code_verifier=handshake.verifier
        )
        # RFC 6749, 2.3.1: each part form-encoded before it goes into the header
        pair = f"{quote(self._settings.client_id, safe='')}:{quote(self._settings.client_secret, safe='')}"
        headers = {
            "Authorization": f"Basic {b64encode(pair.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        answer = self._fetcher.json(described.token, self._private, form=form.encode(), headers=headers)
        token = answer.get("id_token") if isinstance(answer, dict) else None
        if not isinstance(token, str):
            raise IssuerUnavailable("the provider answered without an ID token: tell the operator")
        return token

    def _claims(self, token: str, described: _Described, handshake: Handshake) -> dict[str, Any]:
        """The ID token's claims, all of OpenID Connect Core 3.1.3.7 checked."""
        settings = self._settings
        try:
            kid = opened(token, LONGEST_ID_TOKEN).header.get("kid")
            key = described.keys.key(kid) if isinstance(kid, str) else None
            if key is None:
                raise JwtRefused("it names no key of the provider")
            claims = verified(token, key.document, key.accepted)
            needed = ("iss", "sub", "aud", "nonce")
            refuse_out_of_time(claims, needed, self._clock.now(), leeway=LEEWAY, longest_life=LONGEST_LIFE)
        except JwtRefused as error:
            raise _refused(f"the ID token does not stand: {error}") from error
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        party = claims.get("azp", settings.client_id if len(audience) == 1 else None)
        nonce = claims["nonce"] if isinstance(claims["nonce"], str) else ""
        if claims["iss"] != settings.issuer:
            raise _refused("the ID token is another issuer's")
        if settings.client_id not in audience or party != settings.client_id:
            raise _refused("the ID token was made for another client")
        if not hmac.compare_digest(nonce.encode(), handshake.nonce.encode()):
            raise _refused("the ID token was made for another sign-in")
        return claims

    def _described(self) -> _Described:
        now, held = self._clock.now(), self._held
        if held is not None and timedelta(0) <= now - held.at < DESCRIBED_FOR:
            return held
        with self._lock:
            document = self._fetcher.json(self._settings.issuer.rstrip("/") + _DISCOVERY, self._private)
            self._held = self._read(document, now)
            return self._held

    def _read(self, document: Any, now: datetime) -> _Described:
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        given = [document.get(name) for name in names] if isinstance(document, dict) else []
        urls = [url for url in given if isinstance(url, str) and url_fault(url) is None]
        if len(urls) != len(names):
            raise IssuerUnavailable("the provider's discovery document lacks an address that may be used")
        if document.get("issuer") != self._settings.issuer:
            raise IssuerUnavailable("the provider's discovery document is another issuer's: tell the operator")
        authorization, token, jwks_uri = urls
        names_issuer = document.get("authorization_response_iss_parameter_supported") is True
        return _Described(now, authorization, token, self._keys(jwks_uri), names_issuer)

    def _keys(self, jwks_uri: str) -> IssuerKeys:
        settings = self._settings
        issuer = Issuer(
            issuer=settings.issuer,
            audience=settings.client_id,
            algorithms=_ALGORITHMS,
            jwks_uri=jwks_uri,
            discovery=None,
            client_claim=settings.claim,
            acr=(),
            longest_life=LONGEST_LIFE,
            hosts=self._private,
            private_hosts=self._private,
            introspection=None,
        )
        return IssuerKeys(issuer, self._fetcher, self._clock)


def _refused(why: str) -> SignInRefused:
    return SignInRefused(f"the sign-in at the provider did not succeed ({why}): begin it again")
