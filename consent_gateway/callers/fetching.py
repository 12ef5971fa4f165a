"""One bounded HTTP exchange with an issuer: no redirect, no private address, no endless answer; reads no meaning in it.

An address is judged when the connection is made, and the connection goes to the very address that was judged: a
name that resolves to something else a moment later (DNS rebinding) changes nothing.
"""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from consent_gateway.callers.issuers import is_loopback, is_public, url_fault
from consent_gateway.errors import IssuerUnavailable

SECONDS = 3.0
MOST_BYTES = 256 * 1024
_MOST_ADDRESSES = 3

Resolve = Callable[[str, int], tuple[str, ...]]
"""Host and port to addresses, in the order to try; raises `OSError`."""


def addresses(host: str, port: int) -> tuple[str, ...]:
    """The addresses of a host as this machine resolves it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Makes exchanges, each within `seconds` once the name is resolved, and takes at most `most_bytes`."""

    tls: ssl.SSLContext
    resolve: Resolve = addresses
    seconds: float = SECONDS
    most_bytes: int = MOST_BYTES

    def json(
        self,
        url: str,
        private_hosts: frozenset[str],
        *,
        form: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON that a GET answers, or a POST of the form. Raises `IssuerUnavailable` for anything else."""
        fault = url_fault(url)
        if fault is not None:
            raise IssuerUnavailable("an address of the token's issuer may not be called: tell the operator")
        try:
            return json.loads(self._exchange(url, private_hosts, form, headers or {}))
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            raise IssuerUnavailable("the token's issuer did not answer as it must: try again later") from error

    def _exchange(
        self, url: str, private_hosts: frozenset[str], form: bytes | None, headers: Mapping[str, str]
    ) -> bytes:
        parts = urlsplit(url)
        host, is_tls = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        connection = http.client.HTTPConnection(host, port)
        plain = self._connect(host, port, private=host in private_hosts)
        # The reading may hang at any byte, so the end of the time ends the connection itself. TLS takes the socket
        # over, hence a second handle on it.
        handle = plain.dup()
        watch = threading.Timer(self.seconds, _cut, (handle,))
        watch.daemon = True
        watch.start()
        try:
            connection.sock = self.tls.wrap_socket(plain, server_hostname=host) if is_tls else plain
            sent = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
            connection.request("GET" if form is None else "POST", parts.path or "/", body=form, headers=sent)
            answer = connection.getresponse()
            if answer.status != 200 or answer.getheader("Content-Encoding") is not None:
                raise ValueError("not a plain 200")
            body = answer.read(self.most_bytes + 1)
            if len(body) > self.most_bytes:
                raise ValueError("too long")
            return body
        finally:
            watch.cancel()
            connection.close()
            plain.close()
            handle.close()

    def _connect(self, host: str, port: int, *, private: bool) -> socket.socket:
        found = self.resolve(host, port)
        if not found:
            raise OSError("no address")
        if not private and not all(map(is_public, found)):
            raise IssuerUnavailable(
                "an address of the token's issuer lies in a private net: the operator must list the host in"
                " `private_hosts` if that is meant"
            )
        if is_loopback(host) and not all(map(is_loopback, found)):
            raise OSError("a name of this machine leads elsewhere")
        failure: OSError | None = None
        for address in found[:_MOST_ADDRESSES]:
            try:
                made = socket.create_connection((address, port), timeout=self.seconds / _MOST_ADDRESSES)
            except OSError as error:
                failure = error
                continue
            made.settimeout(self.seconds)
            return made
        raise OSError("no address answers") from failure


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself
