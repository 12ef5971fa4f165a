"""Says to which addresses a webhook may go; opens no connection."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from consent_gateway.callers.issuers import is_loopback
from consent_gateway.errors import FieldFault, InputRefused, SettingsRefused

_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\]")
# A plain grammar on purpose: no user part, no backslash, no escape in the host, no fragment, nothing two readers
# could take for two hosts.
_URL = re.compile(r"https?://([a-z0-9][a-z0-9.-]{0,252}|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~%/+=&?-]*)?")
LONGEST_URL = 500


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The hosts that webhooks may go to; `private` are those of them that may lie in a private net."""

    names: frozenset[str] = frozenset()
    private: frozenset[str] = frozenset()

    def refuse(self, url: str) -> None:
        """Raise `InputRefused` for an address that no webhook may have; the message never quotes it."""
        fault = self.fault(url)
        if fault is not None:
            raise InputRefused(f"the webhook's address is refused: {fault}", (FieldFault("/url", fault),))

    def fault(self, url: str) -> str | None:
        """What is wrong with an address, None if nothing is."""
        if len(url) > LONGEST_URL or _URL.fullmatch(url) is None:
            return "it must be a plain lower-case https URL of at most 500 characters, without user or fragment"
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        try:
            _port = parts.port
        except ValueError:
            return "its port is none"
        if not self._is_listed(host):
            return "its host is not one the operator allows (CONSENT_GATEWAY_WEBHOOK_HOSTS)"
        if parts.scheme != "https" and not (is_loopback(host) and host in self.private):
            return "it must be https"
        return None

    def is_private(self, host: str) -> bool:
        """Whether this host may lie in a private net."""
        return host in self.private

    def _is_listed(self, host: str) -> bool:
        if host in self.names:
            return True
        return any(name.startswith("*.") and host.endswith(name[1:]) and host != name[2:] for name in self.names)


def read_hosts(hosts: str | None, private: str | None) -> AllowedHosts:
    """The hosts of the two settings. Raises `SettingsRefused` for what is no host, or private and not allowed."""
    names, inner = _words("WEBHOOK_HOSTS", hosts), _words("WEBHOOK_PRIVATE_HOSTS", private)
    if not inner <= names or any(name.startswith("*.") for name in inner):
        raise SettingsRefused(
            "CONSENT_GATEWAY_WEBHOOK_PRIVATE_HOSTS must name, in full, hosts that CONSENT_GATEWAY_WEBHOOK_HOSTS names"
        )
    return AllowedHosts(names, inner)


def is_host(word: str) -> bool:
    """Whether a word names a host, or with `*.` before it all below one; an IPv6 address stands in brackets."""
    return _HOST.fullmatch(word) is not None and ("." in word[2:] or word[:2] != "*.")


def _words(setting: str, text: str | None) -> frozenset[str]:
    words = [word.strip().lower() for word in (text or "").split(",")]
    if not all(map(is_host, filter(None, words))):
        raise SettingsRefused(
            f"CONSENT_GATEWAY_{setting} must be hosts separated by commas, such as `hooks.example.com, *.example.org`"
        )
    return frozenset(word.strip("[]") for word in words if word)
