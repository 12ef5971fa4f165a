"""A key provider over one file of root keys, for a single machine; the file is read at each use and cached nowhere.

Who is trusted: whoever owns the file. It must be a regular file of the running account with mode 0600. Every change
writes a new file beside it, flushes it to disk and renames it into place, under a lock that all processes share, so a
crash leaves the old file or the new one. Retiring a version removes it from the file at once; what the medium or a
back-up of the file still holds is outside what this provider can promise.

A copy, on another medium, is written before the file at every change, so that it holds every version that anything was
ever wrapped under and none that was retired. A change that a crash cut off between the two is carried out when it is
asked for again; a copy that differs in any other way is refused, and nothing is changed. A copy names the key file it
was written for, by its path and the id in the lock file beside it, which no copying of a key file takes along: so a
restored installation cannot take over the copy of the one that goes on, until it is told to (`adopt_copy`).
"""

import fcntl
import json
import os
import stat
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from consent_gateway.errors import Conflict, KeysUnavailable, NotFound, SettingsRefused
from consent_gateway.ports import KeyProviderCapabilities, RootKept
from consent_gateway.protection.material import draw_key, draw_nonce
from consent_gateway.protection.primitives import KEY_BYTES, bind, gcm_decrypt, gcm_encrypt

_FORMAT = 2
_HEADER_BYTES = 5  # one of wrap format, four of root version
_WRAP_FORMAT = b"\x01"
_MODE = 0o600
_BATCH = 100_000


@dataclass(frozen=True, slots=True)
class _Roots:
    """The file's content. `last` never falls, so that no version number is used twice. `place` is the key file that it
    was last written for, as `_place` tells it.
    """

    present: int
    last: int
    keys: dict[int, bytes] = field(repr=False)
    place: str = field(compare=False)


class FileKeyProvider:
    """Root keys in the file at `path`, and in its `copy` where one is named.

    Raises `SettingsRefused` if the file is missing, damaged or open to others. The copy is looked at when the root
    changes, never on a request's path.
    """

    def __init__(self, path: Path, copy: Path | None = None) -> None:
        self._path = path
        self._copy = copy
        _read(path)

    @classmethod
    def create(cls, path: Path, copy: Path | None = None) -> "FileKeyProvider":
        """Make a key file with one fresh root key, mode 0600, and its copy; refuses to touch one that is there."""
        with _locked(path):
            for file in (path, copy):
                if file is not None and os.path.lexists(file):
                    raise SettingsRefused(f"`{file}` exists already: a key file is never overwritten")
            first = _Roots(present=1, last=1, keys={1: draw_key()}, place=_place(path))
            if copy is not None:
                _replace(copy, first)
            _replace(path, first)
        return cls(path, copy)

    def __repr__(self) -> str:
        return f"FileKeyProvider({str(self._path)!r})"

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt a key with AES-256-GCM under the present root version, bound to `context`."""
        roots = self._usable()
        header = _WRAP_FORMAT + roots.present.to_bytes(4, "big")
        return header + gcm_encrypt(roots.keys[roots.present], draw_nonce(), key, bind(header, context))

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt what `wrap` made; `KeysUnavailable` for another context, a retired version or a changed byte."""
        return _open(self._usable(), wrapped, context)

    def unwrap_many(self, wrapped: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
        """Decrypt pairs of (wrapped, context), in order; the file is read once."""
        roots = self._usable()
        return (_open(roots, one, context) for one, context in wrapped)

    def rotate(self) -> int:
        """Make a new root version for all later wraps and return its number."""
        with _locked(self._path):
            roots = self._usable()
            copied = self._copied(roots)
            new = roots.last + 1
            if copied is not None and copied.last == new:  # an earlier rotation was cut off before it came to the file
                self._change(copied)
            else:
                self._change(replace(roots, present=new, last=new, keys={**roots.keys, new: draw_key()}))
        return new

    def retire(self, version: int) -> None:
        """Remove a root version for good. Raises `Conflict` for the present one and `NotFound` for none."""
        with _locked(self._path):
            roots = self._usable()
            if version == roots.present:
                raise Conflict(f"root version {version} is the present one: rotate and re-wrap first")
            if version not in roots.keys:
                raise NotFound(f"there is no root version {version}")
            kept = {number: key for number, key in roots.keys.items() if number != version}
            self._copied(roots)
            self._change(replace(roots, keys=kept))

    def adopt_copy(self) -> None:
        """Have the copy belong to this key file from now on; where none is there, it is written.

        For a machine that replaces a lost one. Raises `SettingsRefused` where no copy is named, `KeysUnavailable` for
        one that holds other keys.
        """
        if self._copy is None:
            raise SettingsRefused("KEY_FILE_COPY is not set: name the copy that is to belong to this key file")
        with _locked(self._path):
            roots = self._usable()
            if os.path.lexists(self._copy) and _usable(self._copy) != roots:
                raise KeysUnavailable(self._told_another())
            self._change(roots)

    def versions(self) -> tuple[int, ...]:
        """The root versions that still unwrap, ascending; the last is the present one.

        Asked before the root is changed, so a copy that is missing or another is refused here already.
        """
        roots = self._usable()
        self._copied(roots)
        return tuple(sorted(roots.keys))

    def describe(self) -> KeyProviderCapabilities:
        """What this provider promises: destroyed at once, but no hardware."""
        return KeyProviderCapabilities(
            kind="file",
            context_binding=True,
            batch_size=_BATCH,
            destruction_delay_days=0,
            hardware_backed=False,
            old_material_removable=True,
            root_kept=self._kept(),
        )

    def _kept(self) -> RootKept:
        if self._copy is None:
            return RootKept.ONCE
        try:
            same = self._copy.stat().st_dev == self._path.stat().st_dev
        except OSError:  # a second one that cannot be seen is none
            return RootKept.ONCE
        return RootKept.SAME_DISK if same else RootKept.TWICE

    def _usable(self) -> _Roots:
        return _usable(self._path)

    def _copied(self, roots: _Roots) -> _Roots | None:
        """What the copy holds; None where none is named. Raises `KeysUnavailable` for one that is not a copy."""
        if self._copy is None:
            return None
        if not os.path.lexists(self._copy):
            raise KeysUnavailable(f"the copy `{self._copy}` is not there: run `cp -p {self._path} {self._copy}`")
        copied = _usable(self._copy)
        if copied != roots and not _is_next(copied, roots):
            raise KeysUnavailable(self._told_another())
        if copied.place != _place(self._path):
            raise KeysUnavailable(
                f"the copy `{self._copy}` was written for another key file, `{copied.place.partition(' ')[2]}` of"
                " another installation: name another path in KEY_FILE_COPY; only if this installation replaces that"
                " one, run `consent-gateway keys adopt-copy`"
            )
        return copied

    def _told_another(self) -> str:
        return (
            f"the copy `{self._copy}` is not a copy of `{self._path}`: unset KEY_FILE_COPY and run `keys status` to see"
            " whether the key file opens the key table, then put a copy of the one that does in the other's place"
        )

    def _change(self, roots: _Roots) -> None:
        roots = replace(roots, place=_place(self._path))
        if self._copy is not None:
            _replace(self._copy, roots)
        _replace(self._path, roots)


def _is_next(copied: _Roots, roots: _Roots) -> bool:
    """True where the copy is what one change would make of the file: a change that was cut off between the two."""
    shared = {number: key for number, key in copied.keys.items() if number in roots.keys}
    if any(roots.keys[number] != key for number, key in shared.items()):
        return False
    if copied.last == roots.last + 1:
        return copied.present == copied.last and copied.keys.keys() == {*roots.keys, copied.last}
    return (copied.last, copied.present) == (roots.last, roots.present) and len(roots.keys) - len(copied.keys) == 1


def _usable(path: Path) -> _Roots:
    try:
        return _read(path)
    except SettingsRefused as error:  # refused at start as a setting; later it is a provider that fails
        raise KeysUnavailable(error.message) from error


def _read(path: Path) -> _Roots:
    try:  # without blocking: a pipe in the file's place would keep the gateway waiting
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsRefused(
            f"the key file `{path}` cannot be opened ({error.strerror}): restore it, or make a first one"
        ) from error
    try:
        _refuse_unsafe(path, os.fstat(handle))
        with os.fdopen(handle, "rb", closefd=False) as file:
            return _parse(path, file.read())
    finally:
        os.close(handle)


def _refuse_unsafe(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise SettingsRefused(f"`{path}` is not a regular file: name the key file itself")
    if status.st_uid != os.geteuid():
        raise SettingsRefused(f"`{path}` belongs to another account: run `chown` on it for the account of the gateway")
    if mode & ~_MODE:
        raise SettingsRefused(f"`{path}` has mode {mode:04o}: run `chmod 600` on it, others must not read it")


def _parse(path: Path, content: bytes) -> _Roots:
    try:
        document = json.loads(content)
        if document["format"] != _FORMAT:
            raise SettingsRefused(f"`{path}` is a key file of a format this version does not know: update the gateway")
        keys = {int(number): b64decode(key, validate=True) for number, key in document["keys"].items()}
        roots = _Roots(
            present=int(document["present"]), last=int(document["last"]), keys=keys, place=str(document["place"])
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        # without its cause: a decoder's message could quote what the file holds
        raise SettingsRefused(f"the key file `{path}` is damaged: restore it from its back-up") from None
    if roots.present not in keys or roots.last < max(keys) or any(len(key) != KEY_BYTES for key in keys.values()):
        raise SettingsRefused(f"the key file `{path}` is damaged: restore it from its back-up")
    return roots


def _open(roots: _Roots, wrapped: bytes, context: bytes) -> bytes:
    header = wrapped[:_HEADER_BYTES]
    if len(header) < _HEADER_BYTES or header[:1] != _WRAP_FORMAT:
        raise KeysUnavailable("a wrapped key has a format this version does not know: update the gateway")
    version = int.from_bytes(header[1:], "big")
    if version not in roots.keys:
        raise KeysUnavailable(f"root version {version} is not in the key file: it was retired, or the file is another")
    return gcm_decrypt(roots.keys[version], wrapped[_HEADER_BYTES:], bind(header, context))


def _place(path: Path) -> str:
    """Which key file this is: the id in its lock file, empty where none was ever changed here, and its path."""
    try:
        installation = _lock_file(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        installation = ""
    return f"{installation} {path.absolute()}"


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock file beside `path`, which stays: the key file itself is replaced and cannot carry a lock.

    Made here, it gets a random id, no secret.
    """
    try:
        handle = os.open(_lock_file(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    except OSError as error:
        raise SettingsRefused(
            f"nothing can be written beside `{path}` ({error.strerror}): make its directory"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_size == 0:
            os.write(handle, draw_nonce().hex().encode())
            os.fsync(handle)
        yield
    finally:
        os.close(handle)


def _replace(path: Path, roots: _Roots) -> None:
    document = {
        "format": _FORMAT,
        "present": roots.present,
        "last": roots.last,
        "place": roots.place,
        "keys": {str(number): b64encode(key).decode() for number, key in sorted(roots.keys.items())},
    }
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.unlink(missing_ok=True)  # left by a crash before the rename; nothing was wrapped under it
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), _MODE)  # whatever the umask says
            file.write(json.dumps(document).encode())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)  # the rename itself must survive a power failure before anything is wrapped
        finally:
            os.close(directory)
    except OSError as error:
        raise KeysUnavailable(
            f"the key file `{path}` cannot be written ({error.strerror}): free space, then retry"
        ) from error
