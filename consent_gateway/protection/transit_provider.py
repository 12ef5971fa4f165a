"""A key provider over the Transit engine of OpenBao or Vault; holds no key, and asks the server for each use of it.

Who is trusted: the server and whoever rules it. Retiring is at once and for good: the server deletes the key material
and refuses what it wrapped. What a storage back-up of the server still holds is outside what this provider can promise.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from consent_gateway.errors import Conflict, KeysUnavailable, NotFound, SettingsRefused
from consent_gateway.ports import KeyProviderCapabilities
from consent_gateway.protection.primitives import bind
from consent_gateway.protection.transit_engine import CallRefused, KeyMissing, TransitAddress, TransitEngine

_WRAP_FORMAT = b"\x02"
_HEADER_BYTES = 5  # one of wrap format, four of root version
_CIPHERTEXT = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]+={0,2})")
_BATCH = 200  # the server refused 250 pairs with associated data, for it bounds the strings of a body at 1,000
_KEY_TYPE = "aes256-gcm96"


class TransitKeyProvider:
    """The root key at `address`. Raises `SettingsRefused` where it is missing, unsafe or does not bind its context."""

    def __init__(self, address: TransitAddress) -> None:
        self._engine = TransitEngine(address)
        self._key = address.key_name
        state = self._engine.state()
        if state is None:
            raise SettingsRefused(f"{self._engine.told()} does not exist: make it, or restore the server")
        self._refuse_unsafe(state)
        self._refuse_unless_binding()

    @staticmethod
    def exists(address: TransitAddress) -> bool:
        """True where the server has the key. Raises `KeysUnavailable` where it does not answer."""
        return TransitEngine(address).state() is not None

    @classmethod
    def create(cls, address: TransitAddress) -> "TransitKeyProvider":
        """Make the key, not exportable; refuses to touch one that is there already."""
        engine = TransitEngine(address)
        if engine.state() is not None:
            raise SettingsRefused(f"{engine.told()} exists already: a root key is never overwritten")
        engine.write(f"keys/{address.key_name}", {"type": _KEY_TYPE, "exportable": False})
        return cls(address)

    def __repr__(self) -> str:
        return f"TransitKeyProvider({self._engine.told()})"

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt a key with AES-256-GCM under the newest version of the server's key, bound to `context`."""
        sent = {"plaintext": _text(key), "associated_data": _text(_associated(context))}
        answer = self._engine.write(f"encrypt/{self._key}", sent)
        found = _CIPHERTEXT.fullmatch(str(answer.get("ciphertext")))
        if found is None:
            raise self._engine.unreadable()
        return _WRAP_FORMAT + int(found[1]).to_bytes(4, "big") + b64decode(found[2])

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt what `wrap` made; `KeysUnavailable` for another context, a retired version or a changed byte."""
        (key,) = self.unwrap_many([(wrapped, context)])
        return key

    def unwrap_many(self, wrapped: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
        """Decrypt pairs of (wrapped, context), in order, 200 to a call."""
        for start in range(0, len(wrapped), _BATCH):
            yield from self._unwrap_batch(wrapped[start : start + _BATCH])

    def rotate(self) -> int:
        """Make a new version for all later wraps and return its number."""
        self._engine.write(f"keys/{self._key}/rotate", {})
        return self.versions()[-1]

    def retire(self, version: int) -> None:
        """Delete a version on the server, at once. Only the oldest can go: it deletes everything below a number."""
        versions = self.versions()
        if version == versions[-1]:
            raise Conflict(f"root version {version} is the present one: rotate and re-wrap first")
        if version not in versions:
            raise NotFound(f"there is no root version {version}")
        if version != versions[0]:
            raise Conflict(f"root version {version} is not the oldest: retire {versions[0]} first")
        least = versions[1]
        key = f"keys/{self._key}"
        # Plain writes: the client's own call for this refuses two equal minimums, which is what trimming asks for.
        self._engine.write(f"{key}/config", {"min_decryption_version": least, "min_encryption_version": least})
        self._engine.write(f"{key}/trim", {"min_available_version": least})

    def versions(self) -> tuple[int, ...]:
        """The versions that still unwrap, ascending; the last is the present one."""
        state = self._engine.state()
        if state is None:
            raise self._engine.gone()
        numbers = sorted(int(number) for number in state.get("keys") or ())
        if not numbers:
            raise self._engine.unreadable()
        return tuple(numbers)

    def describe(self) -> KeyProviderCapabilities:
        """What this provider promises: destroyed at once, in software unless the server's own seal says otherwise."""
        return KeyProviderCapabilities(
            kind=self._engine.at.kind,
            context_binding=True,
            batch_size=_BATCH,
            destruction_delay_days=0,
            hardware_backed=False,
            old_material_removable=True,
        )

    # -- inside

    def _unwrap_batch(self, pairs: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        items = [
            {"ciphertext": _ciphertext(wrapped), "associated_data": _text(_associated(context))}
            for wrapped, context in pairs
        ]
        try:
            answer = self._engine.call("post", f"decrypt/{self._key}", {"batch_input": items})
        except CallRefused:
            raise KeysUnavailable(
                f"a wrapped key does not open under {self._engine.told()}: it was altered or moved, its root version"
                " was retired, or the server's key is another; restore the key database and the server of one time"
            ) from None
        except KeyMissing:
            raise self._engine.gone() from None
        results = answer.get("batch_results")
        if not isinstance(results, list) or len(results) != len(pairs):
            raise self._engine.unreadable()
        return [self._opened(one) for one in results]

    def _opened(self, result: object) -> bytes:
        if not isinstance(result, dict) or result.get("error") or not isinstance(result.get("plaintext"), str):
            raise KeysUnavailable(f"a wrapped key does not open under {self._engine.told()}: restore the key database")
        try:
            return b64decode(result["plaintext"], validate=True)
        except ValueError:
            raise self._engine.unreadable() from None

    def _refuse_unsafe(self, state: Mapping[str, Any]) -> None:
        if state.get("type") != _KEY_TYPE or state.get("derived"):
            raise SettingsRefused(
                f"{self._engine.told()} must be of type {_KEY_TYPE} and not derived: name another key"
            )
        if state.get("exportable") or state.get("allow_plaintext_backup"):
            raise SettingsRefused(
                f"{self._engine.told()} can be exported, so retiring a version would prove nothing: name one that"
                " cannot"
            )

    def _refuse_unless_binding(self) -> None:
        """An older server ignores associated data without a word; then a wrapped key would open anywhere."""
        wrapped = self.wrap(bytes(32), b"probe/1")
        try:
            self.unwrap(wrapped, b"probe/2")
        except KeysUnavailable:
            self.unwrap(wrapped, b"probe/1")  # it refused the other context, and not for another reason
            return
        raise SettingsRefused(f"the server of {self._engine.told()} ignores `associated_data`: update it")


def _associated(context: bytes) -> bytes:
    return bind("consent-gateway/transit/1", context)


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()


def _ciphertext(wrapped: bytes) -> str:
    """The server's own text of what `wrap` made."""
    if len(wrapped) <= _HEADER_BYTES or wrapped[:1] != _WRAP_FORMAT:
        raise KeysUnavailable("a wrapped key was not made by this provider: set KEY_PROVIDER to the one that made it")
    return f"vault:v{int.from_bytes(wrapped[1:_HEADER_BYTES], 'big')}:{_text(wrapped[_HEADER_BYTES:])}"
