"""The certificate a client showed to the TLS proxy, from the header the proxy sets; believes nobody else.

The header proves nothing by itself: whoever can set it can be anyone. It is taken from the named proxies alone, and
from anyone else it refuses the call, on every route, so that a gateway reached past its proxy is found out at once.
"""

import base64
import binascii
import hashlib
import ipaddress
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask import Flask, Request
from flask import request as current_request

from consent_gateway.errors import InputRefused
from consent_gateway.proxy_settings import CertificateProxies

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
        value = self._sent(request)
        if not value:
            return None  # an empty one is how nginx says that the client showed none
        der = _certificate(value)
        if der is None:
            raise InputRefused(f"the header `{self._header}` does not hold one certificate")
        return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()

    def refuse_strangers(self, app: Flask) -> None:
        """Let no call of the application go on whose header comes from anyone but a proxy, whatever its route."""

        @app.before_request
        def _judge() -> None:
            self._sent(current_request)

    def _sent(self, request: Request) -> str | None:
        value: str | None = request.environ.get(self._key)
        if value is not None and not self._is_proxy(request.remote_addr):
            raise InputRefused(
                f"the header `{self._header}` may come from a named proxy only: have the operator name the proxy, or"
                " do not send the header"
            )
        return value

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
    if len(value) > _LONGEST or not value.isascii() or "," in value:  # a header sent twice arrives joined by a comma
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
