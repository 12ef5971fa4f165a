"""Asks witnesses to cosign the newest checkpoint (C2SP tlog-witness) and keeps what they sign; trusts none blindly.

A witness remembers the largest tree it has seen and cosigns only what contains it. So a log that was rolled back or
rewritten is refused by it, also where whoever did it holds the log's signing key.
"""

import base64
import http.client
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import sqlalchemy as sa

from consent_gateway.audit.checkpoint import VerifierKey
from consent_gateway.audit.cosignature import taken_from
from consent_gateway.audit.log import size_of
from consent_gateway.audit.merkle import consistency_proof
from consent_gateway.audit.sealer import last_note
from consent_gateway.audit.tables import AUDIT_COSIGNATURES
from consent_gateway.audit.tree import node_reader
from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import DatabaseUnavailable, LogDamaged

LOG = logging.getLogger(__name__)
SECONDS = 5.0
MOST_BYTES = 16 * 1024
CONFLICT = 409

Post = Callable[[str, bytes], tuple[int, bytes]]
"""URL and body to status and answer. Raises `OSError` or `http.client.HTTPException`."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness: the prefix of its URL, and its key."""

    url: str
    key: VerifierKey


def post(url: str, body: bytes) -> tuple[int, bytes]:
    """One bounded exchange; follows no redirect."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("POST", parts.path, body=body, headers={"Content-Type": "text/plain; charset=utf-8"})
        answer = connection.getresponse()
        return answer.status, answer.read(MOST_BYTES)
    finally:
        connection.close()


class Cosigning:
    """Has the newest checkpoint cosigned by each witness."""

    def __init__(self, engine: sa.Engine, witnesses: tuple[Witness, ...], send: Post = post) -> None:
        self._engine = engine
        self._witnesses = witnesses
        self._send = send

    def round(self) -> int:
        """Ask every witness that has not cosigned the newest checkpoint; how many did.

        One that is away is logged and asked again. Raises `LogDamaged` after all were asked, where a witness has seen
        another log than this, and `DatabaseUnavailable`.
        """
        done, refused = 0, None
        for witness in self._witnesses:
            try:
                done += self._cosigned(witness)
            except (OSError, http.client.HTTPException, ValueError) as error:
                LOG.warning("the witness `%s` did not cosign: %s", witness.key.name, type(error).__name__)
            except LogDamaged as error:
                LOG.error("%s", error.message)  # noqa: TRY400 - the message tells all
                refused = error
            except DRIVER_ERRORS as error:
                raise DatabaseUnavailable("the checkpoints could not be read: they will be cosigned later") from error
        if refused is not None:
            raise refused
        return done

    def _cosigned(self, witness: Witness) -> int:
        column = AUDIT_COSIGNATURES.c
        with reading_connection(self._engine) as connection:
            note = last_note(connection)
            if note is None:
                return 0
            size, name = size_of(note), str(witness.key)
            known = connection.execute(sa.select(sa.func.max(column.size)).where(column.witness == name)).scalar_one()
            if known == size:
                return 0
            lines = self._asked(connection, witness, note, size, known or 0)
        if not lines:
            return 0
        with self._engine.begin() as connection:
            connection.execute(sa.insert(AUDIT_COSIGNATURES).values(size=size, witness=name, line=lines[0][1]))
        return 1

    def _asked(
        self, connection: sa.Connection, witness: Witness, note: str, size: int, known: int
    ) -> list[tuple[VerifierKey, str]]:
        name = witness.key.name
        for _try in (1, 2):  # the second time with the size that the witness says it knows
            proof = consistency_proof(known, size, node_reader(connection))
            lines = [f"old {known}", *(base64.b64encode(one).decode() for one in proof), "", note]
            status, answer = self._send(f"{witness.url}/add-checkpoint", "\n".join(lines).encode())
            if status == http.client.OK:
                return taken_from(note, answer.decode(), [witness.key])
            told = answer.strip()
            if status != CONFLICT or not told.isdigit() or int(told) == known:
                break
            if int(told) > size:
                raise LogDamaged(
                    f"the witness `{name}` has seen {int(told)} entries, the log has {size}: verify it", size
                )
            known = int(told)
        if status in (CONFLICT, http.client.UNPROCESSABLE_ENTITY):
            raise LogDamaged(f"the witness `{name}` has seen another log of {known} entries: verify it")
        raise OSError(f"status {status}")
