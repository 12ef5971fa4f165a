"""The certificate a client showed to the TLS proxy, from the header the proxy sets; believes nobody else.

The header proves nothing by itself: whoever can set it can be anyone. It is taken from the named proxies alone, and
from anyone else it refuses the whole call, so that a gateway reached past its proxy is found out at once.
"""

import base64
import binascii
import hashlib
import ipaddress
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask import Request

from consent_gateway.errors import InputRefused
from consent_gateway.settings import CertificateProxies

_LONGEST = 16_384
_PEM = b"-----BEGIN CERTIFICATE-----"


class CertificateHeader:
    """Reads the header of calls that come from one of the proxies."""

    def __init__(self, proxies: CertificateProxies) -> None:
        self._header = proxies.header
        self._key = "HTTP_" + proxies.header.upper().replace("-", "_")
        self._proxies = proxies.networks

    def thumbprint(self, request: Request) -> str | None:
        """SHA-256 in base64url of the certificate shown (`x5t#S256`, RFC 8705), or None where none was.

        Raises `InputRefused` for a header from anyone but a proxy, and for one that holds no certificate.
        """
        value = request.environ.get(self._key)
        if value is None:
            return None
        if not self._is_proxy(request.remote_addr):
            raise InputRefused(
                f"the header `{self._header}` may come from a named proxy only: have the operator name the proxy, or"
                " do not send the header"
            )
        if not value:
            return None  # how nginx says that the client showed none
        der = _certificate(value)
        if der is None:
            raise InputRefused(f"the header `{self._header}` does not hold one certificate")
        return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()

    def _is_proxy(self, address: str | None) -> bool:
        try:
            ip = ipaddress.ip_address(address or "")
        except ValueError:
            return False
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        return any(ip in network for network in self._proxies)


def _certificate(value: str) -> bytes | None:
    """The certificate's DER from `:base64:` (RFC 9440) or from URL-encoded PEM (nginx), or None."""
    if len(value) > _LONGEST or not value.isascii():
        return None
    try:
        if value.startswith(":") and value.endswith(":"):
            certificate = x509.load_der_x509_certificate(base64.b64decode(value[1:-1], validate=True))
        else:
            pem = unquote_to_bytes(value)
            if pem.count(_PEM) != 1 or not pem.startswith(_PEM):
                return None
            certificate = x509.load_pem_x509_certificate(pem)
    except (ValueError, binascii.Error):
        return None
    return certificate.public_bytes(Encoding.DER)
