"""Sends events by syslog over TLS (RFC 5424, 5425), and tells when the receiver has read them; keeps no event.

Syslog has no answer. So a batch is sent over a connection of its own, ended as RFC 5425, 4.4 says, and counts as taken
once the receiver has ended it too without a reset: then it has read all of it. What is in doubt is sent again.
"""

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

FACILITY, INFORMATIONAL, WARNING = 13, 6, 4  # 13: log audit
PORT = 6514
APP = "consent-gateway"
SECONDS = 10.0
_MOST_SEQUENCE = 2_147_483_647
_TEXT = 255
_MESSAGE_ID = 32


@dataclass(frozen=True, slots=True)
class Message:
    """One event: when, of which kind, at which index of the log, and its text, which is ASCII without line ends."""

    at: str
    kind: str
    index: int
    text: bytes
    is_warning: bool = False


def frame(message: Message, host: str) -> bytes:
    """The message as of RFC 5424, behind its length as of RFC 5425."""
    priority = 8 * FACILITY + (WARNING if message.is_warning else INFORMATIONAL)
    named, kind = _word(host, _TEXT), _word(message.kind, _MESSAGE_ID)
    sequence = message.index % _MOST_SEQUENCE + 1  # RFC 5424, 7.3.1: from 1, and again from 1 after the largest
    head = f'<{priority}>1 {message.at or "-"} {named} {APP} - {kind} [meta sequenceId="{sequence}"] '.encode()
    return f"{len(head) + len(message.text)} ".encode() + head + message.text


def _word(text: str, longest: int) -> str:
    printable = "".join(one for one in text if "!" <= one <= "~")
    return printable[:longest] or "-"


class SyslogOverTls:
    """A receiver at host and port. `host` names this gateway in the messages; the certificate is always checked."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, host: str, seconds: float = SECONDS) -> None:
        self._address = address
        self._context = context
        self._host = host
        self._seconds = seconds

    def send(self, messages: Iterable[Message]) -> None:
        """Send them all; they were read when this returns. Raises `OSError`: they may have been read, or in part."""
        body = b"".join(frame(message, self._host) for message in messages)
        with (
            socket.create_connection(self._address, self._seconds) as plain,
            self._context.wrap_socket(plain, server_hostname=self._address[0]) as secured,
        ):
            secured.sendall(body)
            try:
                secured.unwrap()  # sends our end of it and waits for theirs
            except ssl.SSLEOFError:
                return  # they closed without a word, but in order: a connection with unread bytes is reset instead
