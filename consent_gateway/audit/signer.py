"""The log's signing keys: Ed25519 keys in a file that only its owner may read; signs notes and nothing else.

The file holds a line `PRIVATE+KEY+name+keyid+base64(type || seed)` for each key in use, as other signed-note tools
write it: one, and two while an old key gives way to a new one. Each key in use signs every checkpoint. A retired key
leaves its public line, `vkey until SIZE`: it vouches for no larger tree.
"""

import base64
import binascii
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent_gateway.audit.checkpoint import (
    ED25519,
    Checkpoint,
    NoteInvalid,
    VerifierKey,
    read_vkey,
    sign_note,
    well_formed_name,
)
from consent_gateway.errors import Conflict, SettingsRefused

_PREFIX = "PRIVATE+KEY+"
KEY_FILE = "audit/log.key"
"""Where the state directory keeps the key unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Retired:
    """A key that signs no more, and the size of the last tree that it may vouch for."""

    vkey: VerifierKey
    until: int

    def __str__(self) -> str:
        return f"{self.vkey} until {self.until}"


class Signer:
    """Signs checkpoints under one name, the log's origin. `seeds` are of the keys in use, oldest first."""

    def __init__(self, name: str, *seeds: bytes, retired: Sequence[Retired] = ()) -> None:
        self._keys = [Ed25519PrivateKey.from_private_bytes(seed) for seed in seeds]
        self.vkeys = tuple(VerifierKey(name, key.public_key().public_bytes_raw()) for key in self._keys)
        self.retired = tuple(retired)

    @property
    def vkey(self) -> VerifierKey:
        """The newest key's public half."""
        return self.vkeys[-1]

    @property
    def published(self) -> str:
        """What auditors need of every key there is and was, a line each, oldest first."""
        return "".join(f"{key}\n" for key in (*self.retired, *self.vkeys))

    def sign(self, size: int, root: bytes) -> str:
        """A note signed by every key in use: this log has `size` entries and this root hash."""
        return sign_note(Checkpoint(self.vkey.name, size, root).body(), self.vkey.name, *self._keys)

    def sign_file(self, text: str) -> str:
        """A note over another text, whose first line tells what it is, signed by every key in use."""
        return sign_note(text, self.vkey.name, *self._keys)

    def __repr__(self) -> str:
        return f"Signer({str(self.vkey)!r})"


def open_signer(path: Path, name: str | None = None) -> Signer:
    """The signer of this key file, made on first use with mode 0600.

    `name` is the log's origin, such as `gateway.example.com/audit`; without it a new file gets a random one.
    Raises `SettingsRefused` if others may read the file, or it is not a key, or is that of another name.
    """
    if not path.exists():
        _create(path, name or f"consent-gateway/{secrets.token_hex(8)}")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsRefused(f"the audit key `{path.name}` cannot be opened, or is a link: check it") from error
    with os.fdopen(descriptor) as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        if mode & 0o077:
            raise SettingsRefused(f"the audit key `{path.name}` is open to others (mode {mode:o}): chmod 600 it")
        signer = _read(file.read())
    if name is not None and signer.vkey.name != name:
        raise SettingsRefused(f"the audit key is of the log `{signer.vkey.name}`, not of `{name}`: use its own key")
    return signer


Tell = Callable[[VerifierKey], None]
"""Told which key an act is about, before the file changes."""


def add_key(path: Path, tell: Tell) -> Signer:
    """Add a fresh key to the file: from now on both sign. Raises `Conflict` while an older key still overlaps."""
    signer = open_signer(path)
    if len(signer.vkeys) > 1:
        raise Conflict("the log has two keys already: retire the older one first")
    seed = secrets.token_bytes(32)
    added = Signer(signer.vkey.name, seed).vkey
    tell(added)
    _replace(path, path.read_text() + _line(signer.vkey.name, seed))
    return open_signer(path)


def retire_key(path: Path, until: int, tell: Tell) -> Signer:
    """Take the older of two keys out of the file: it vouches for no tree larger than `until`. Raises `Conflict`."""
    signer = open_signer(path)
    if len(signer.vkeys) < 2:
        raise Conflict("the log has one key only: add the next one first")
    gone = Retired(signer.vkeys[0], until)
    tell(gone.vkey)
    kept = [line for line in path.read_text().splitlines() if f"+{gone.vkey.key_id.hex()}+" not in line]
    _replace(path, "\n".join([f"{gone}", *kept]) + "\n")
    return open_signer(path)


def _create(path: Path, name: str) -> None:
    if not well_formed_name(name):
        raise SettingsRefused("the audit log's name may hold no space and no plus")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _drafted(path, _line(name, secrets.token_bytes(32)))
    try:
        os.link(draft, path)  # whole or not at all, and never over a key that another process just made
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _replace(path: Path, text: str) -> None:
    _drafted(path, text).replace(path)


def _drafted(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _line(name: str, seed: bytes) -> str:
    key_id = Signer(name, seed).vkey.key_id.hex()
    return f"{_PREFIX}{name}+{key_id}+{base64.b64encode(ED25519 + seed).decode()}\n"


def _read(text: str) -> Signer:
    lines = text.strip().splitlines()
    seeds = [_read_key(line) for line in lines if line.startswith(_PREFIX)]
    names = {name for name, _seed in seeds}
    if len(names) != 1:
        raise SettingsRefused("the audit key file does not hold an Ed25519 note key: restore it from its copy")
    retired = [_read_retired(line) for line in lines if not line.startswith(_PREFIX)]
    return Signer(names.pop(), *(seed for _name, seed in seeds), retired=retired)


def _read_retired(line: str) -> Retired:
    vkey, _, until = line.partition(" until ")
    try:
        return Retired(read_vkey(vkey), int(until))
    except (NoteInvalid, ValueError) as error:
        raise SettingsRefused("the audit key file is damaged: restore it from its copy") from error


def _read_key(line: str) -> tuple[str, bytes]:
    name, key_id, encoded = [*line.removeprefix(_PREFIX).split("+", 2), "", ""][:3]
    try:
        material = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        material = b""
    if not well_formed_name(name) or material[:1] != ED25519 or len(material) != 33:
        raise SettingsRefused("the audit key file does not hold an Ed25519 note key: restore it from its copy")
    if Signer(name, material[1:]).vkey.key_id.hex() != key_id:
        raise SettingsRefused("the audit key file is damaged: restore it from its copy")
    return name, material[1:]
