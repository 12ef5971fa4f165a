"""The log's signing key: an Ed25519 key in a file that only its owner may read; signs notes and nothing else.

The file holds one line, `PRIVATE+KEY+name+keyid+base64(type || seed)`, as other signed-note tools write it.
"""

import base64
import binascii
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent_gateway.audit.checkpoint import ED25519, Checkpoint, VerifierKey, sign_note, well_formed_name
from consent_gateway.errors import SettingsRefused

_PREFIX = "PRIVATE+KEY+"
KEY_FILE = "audit/log.key"
"""Where the state directory keeps the key unless told otherwise."""


class Signer:
    """Signs checkpoints under one name, which is also the log's origin."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.vkey = VerifierKey(name, self._key.public_key().public_bytes_raw())

    def sign(self, size: int, root: bytes) -> str:
        """A signed note: this log has `size` entries and this root hash."""
        return sign_note(Checkpoint(self.vkey.name, size, root).body(), self.vkey.name, self._key)

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
        signer = _read(file.read().strip())
    if name is not None and signer.vkey.name != name:
        raise SettingsRefused(f"the audit key is of the log `{signer.vkey.name}`, not of `{name}`: use its own key")
    return signer


def _create(path: Path, name: str) -> None:
    if not well_formed_name(name):
        raise SettingsRefused("the audit log's name may hold no space and no plus")
    seed = secrets.token_bytes(32)
    key_id = Signer(name, seed).vkey.key_id.hex()
    line = f"{_PREFIX}{name}+{key_id}+{base64.b64encode(ED25519 + seed).decode()}\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # whole or not at all, and never over a key that another process just made
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _read(line: str) -> Signer:
    name, key_id, encoded = [*line.removeprefix(_PREFIX).split("+", 2), "", ""][:3]
    try:
        material = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        material = b""
    if not line.startswith(_PREFIX) or not well_formed_name(name) or material[:1] != ED25519 or len(material) != 33:
        raise SettingsRefused("the audit key file does not hold an Ed25519 note key: restore it from its copy")
    signer = Signer(name, material[1:])
    if signer.vkey.key_id.hex() != key_id:
        raise SettingsRefused("the audit key file is damaged: restore it from its copy")
    return signer
