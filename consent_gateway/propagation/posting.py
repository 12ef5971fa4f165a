"""One bounded POST to a webhook: to the address that was judged, no redirect, no endless answer; retries nothing.

The host is resolved once for an attempt and every address it has is judged; the connection goes to one of those, so
that a name which means something else a moment later (DNS rebinding) changes nothing. TLS checks the host's name.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from consent_gateway.callers.fetching import Resolve, addresses
from consent_gateway.callers.issuers import is_loopback, is_public
from consent_gateway.errors import Undelivered
from consent_gateway.propagation.addresses import AllowedHosts

SECONDS = 10.0
MOST_BYTES = 16 * 1024  # of an answer, which nobody reads
_MOST_ADDRESSES = 3
_LONGEST_ASKED = 4 * 3600


@dataclass(frozen=True, slots=True)
class Poster:
    """Makes POSTs, each within `seconds` once the name is resolved."""

    tls: ssl.SSLContext
    hosts: AllowedHosts
    resolve: Resolve = addresses
    seconds: float = SECONDS

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send the body; returns once the other side answered 2xx. Raises `Undelivered` for anything else."""
        fault = self.hosts.fault(url)
        if fault is not None:
            raise Undelivered("address refused")
        try:
            status, asked = self._exchange(url, body, headers)
        except TimeoutError as error:
            raise Undelivered("no answer in time") from error
        except ssl.SSLError as error:
            raise Undelivered("tls failed") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Undelivered("no whole answer") from error
        if not 200 <= status < 300:
            cause = f"redirect {status}" if 300 <= status < 400 else f"status {status}"
            raise Undelivered(cause, _seconds(asked), is_gone=status == 410)

    def judged(self, url: str) -> tuple[str, ...]:
        """The addresses behind a URL that may be called, all judged. Raises `Undelivered`."""
        host, port = _place(url)
        try:
            found = self.resolve(host, port)
        except OSError as error:
            raise Undelivered("host not found") from error
        if not found:
            raise Undelivered("host not found")
        private = self.hosts.is_private(host)
        if not private and not all(map(is_public, found)):
            raise Undelivered("address not public")
        if is_loopback(host) and not all(map(is_loopback, found)):
            raise Undelivered("address not public")  # a name of this machine that leads elsewhere
        return found[:_MOST_ADDRESSES]

    def _exchange(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str | None]:
        parts, (host, port) = urlsplit(url), _place(url)
        plain = self._connected(self.judged(url), port)
        connection = http.client.HTTPConnection(host, port)
        # An answer may stall at any byte, so the end of the time ends the connection itself. TLS takes the socket
        # over, hence a second handle on it.
        handle, ended = plain.dup(), threading.Event()
        watch = threading.Timer(self.seconds, _cut, (handle, ended))
        watch.daemon = True
        watch.start()
        try:
            connection.sock = self.tls.wrap_socket(plain, server_hostname=host) if parts.scheme == "https" else plain
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body=body, headers=dict(headers))
            with connection.getresponse() as answer:
                whole = not 200 <= answer.status < 300 or _is_whole(answer)
                if ended.is_set():
                    raise TimeoutError
                if not whole:
                    raise ValueError("too long, or cut short")
                return answer.status, answer.getheader("Retry-After")
        except (OSError, http.client.HTTPException) as error:
            if ended.is_set():
                raise TimeoutError from error
            raise
        finally:
            watch.cancel()
            connection.close()
            plain.close()
            handle.close()

    def _connected(self, judged: tuple[str, ...], port: int) -> socket.socket:
        failure: OSError | None = None
        for address in judged:
            try:
                made = socket.create_connection((address, port), timeout=self.seconds / _MOST_ADDRESSES)
            except OSError as error:
                failure = error
                continue
            made.settimeout(self.seconds)
            return made
        raise Undelivered("no connection") from failure


def _is_whole(answer: http.client.HTTPResponse) -> bool:
    """Whether the body ends where it says, within the bound; what it says is nobody's business."""
    return len(answer.read(MOST_BYTES + 1)) <= MOST_BYTES and not answer.length


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _seconds(asked: str | None) -> int | None:
    """What a `Retry-After` in seconds asks for, at most four hours; a date is not read."""
    return (
        min(int(asked), _LONGEST_ASKED) if asked and asked.isascii() and asked.isdigit() and len(asked) < 10 else None
    )


def _cut(connection: socket.socket, ended: threading.Event) -> None:
    ended.set()
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself
