"""The settings of officers' sign-in at an OpenID provider, read and checked; a part of `settings` in its own file."""

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from consent_gateway.customer_settings import LOOPBACK, PREFIX, CustomerProvider, Variable
from consent_gateway.errors import SettingsRefused

OFFICER_VARIABLES: tuple[Variable, ...] = (
    Variable("OFFICER_ISSUER", "none: passkeys alone", "issuer URL of the OpenID provider at which officers sign in"),
    Variable("OFFICER_CLIENT_ID", "none: required with OFFICER_ISSUER", "what that provider calls the gateway"),
    Variable("OFFICER_CLIENT_SECRET", "none: required with OFFICER_ISSUER", "the gateway's secret there", secret=True),
    Variable(
        "OFFICER_ACR",
        "none: `amr` must hold `mfa`",
        "values of `acr`, separated by commas, by which that provider says that it asked for more than one factor",
    ),
)
_NAMES = ("OFFICER_ISSUER", "OFFICER_CLIENT_ID", "OFFICER_CLIENT_SECRET")


class Given(Protocol):
    """What reads a variable by its name without the prefix."""

    def text(self, name: str, default: str | None) -> str:
        """A value, from the variable or the file it names."""
        ...

    def optional(self, name: str) -> str | None:
        """A value that may be left out."""
        ...

    def has(self, name: str) -> bool:
        """Whether the variable is set."""
        ...


@dataclass(frozen=True, slots=True)
class OfficerSettings:
    """Where officers sign in beside their passkeys; `provider` is None where nowhere."""

    provider: CustomerProvider | None
    accepted: frozenset[str]


def read_officer_settings(given: Given) -> OfficerSettings:
    """The settings, or `SettingsRefused` with the variable's name and the mend."""
    if not given.has("OFFICER_ISSUER"):
        for name in (*_NAMES[1:], "OFFICER_ACR"):
            if given.has(name):
                raise SettingsRefused(f"{PREFIX}{name} is set, but OFFICER_ISSUER is not: set it or remove this one")
        return OfficerSettings(None, frozenset())
    issuer, client_id, secret = (given.text(name, None) for name in _NAMES)
    parts = urlsplit(issuer)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not is_safe or not parts.hostname or parts.query or parts.fragment or parts.username is not None:
        raise SettingsRefused(f"{PREFIX}OFFICER_ISSUER must be an https URL, or http on loopback, without query")
    named = (given.optional("OFFICER_ACR") or "").split(",")
    accepted = frozenset(filter(None, (each.strip() for each in named)))
    return OfficerSettings(CustomerProvider(issuer, client_id, secret, "sub", "external_id"), accepted)
