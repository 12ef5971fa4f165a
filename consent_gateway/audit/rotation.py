"""Changes the log's signing key with an overlap, and puts each act into the log; signs no checkpoint.

1. `begin`: a fresh key signs beside the old one. The log says so.
2. Every process that seals is started anew; whoever checks the log gets the new list.
3. `finish`: the old key is retired, once a checkpoint bears the new key's signature. The log says so.
"""

from datetime import datetime
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.audit.checkpoint import NoteInvalid, VerifierKey, read_checkpoint
from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_alone
from consent_gateway.audit.sealer import last_note
from consent_gateway.audit.signer import Signer, add_key, open_signer, retire_key
from consent_gateway.database import reading_connection
from consent_gateway.errors import Conflict
from consent_gateway.ids import new_id


def begin(engine: sa.Engine, path: Path, now: datetime) -> Signer:
    """Add a key to the file. Raises `Conflict` while an older one still overlaps."""
    return add_key(path, partial(_tell, engine, now, "log_key_added"))


def finish(engine: sa.Engine, path: Path, now: datetime) -> Signer:
    """Retire the older key. Raises `Conflict` until the log's newest checkpoint bears the newer one's signature."""
    with reading_connection(engine) as connection:
        note = last_note(connection)
    newest = open_signer(path).vkey
    try:
        size = read_checkpoint(note or "", newest).size
    except NoteInvalid as error:
        raise Conflict("the new key has not signed the newest checkpoint yet: restart the worker and wait") from error
    return retire_key(path, size, partial(_tell, engine, now, "log_key_retired"))


def _tell(engine: sa.Engine, now: datetime, action: str, vkey: VerifierKey) -> None:
    detail = {"vkey": str(vkey)}
    record_alone(engine, Entry(new_id("key", now), EntryKind.KEY, now, action=action, detail=detail))
