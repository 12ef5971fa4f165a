"""Which proxies may say whose client certificate a request came with; part of the settings, opens nothing."""

import ipaddress
import re
from dataclasses import dataclass

from consent_gateway.customer_settings import PREFIX
from consent_gateway.errors import SettingsRefused

_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_NO_CERTIFICATE_IN = {"authorization", "dpop", "host", "cookie", "content-type", "content-length"}


@dataclass(frozen=True, slots=True)
class CertificateProxies:
    """The TLS proxies that may tell which certificate a client showed, and the header they do it in."""

    header: str
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def read_proxies(header: str | None, proxies: str | None) -> CertificateProxies | None:
    """The proxies of these two settings, or None without either. Raises `SettingsRefused`."""
    if (header is None) is not (proxies is None):
        raise SettingsRefused(
            f"{PREFIX}CLIENT_CERT_HEADER and {PREFIX}TRUSTED_PROXIES belong together: set both or neither"
        )
    if header is None or proxies is None:
        return None
    if _HEADER.fullmatch(header) is None or header.lower() in _NO_CERTIFICATE_IN:
        raise SettingsRefused(f"{PREFIX}CLIENT_CERT_HEADER must name a header of its own, such as `Client-Cert`")
    try:
        networks = tuple(ipaddress.ip_network(each.strip()) for each in proxies.split(","))
    except ValueError as error:
        raise SettingsRefused(
            f"{PREFIX}TRUSTED_PROXIES must be addresses or networks, such as `10.0.0.7, 10.1.0.0/28`"
        ) from error
    if any(network.prefixlen == 0 for network in networks):
        raise SettingsRefused(f"{PREFIX}TRUSTED_PROXIES names every address there is: name the proxies alone")
    return CertificateProxies(header, networks)
