"""How one key hangs from the next: which context the provider binds, which key wraps which; reads no table.

The provider's root wraps the key of an epoch; a key derived from the epoch's wraps the random keys of its shards; a key
derived from the shard's, for this data subject alone, wraps their random data key and seed.
"""

import hashlib

from consent_gateway.protection.primitives import KEY_BYTES, Keyed, bind, expand, mac, unwrap_key, wrap_key

SHARDS = 4096


def shard_of(data_subject: str) -> int:
    """The shard, 0 to 4095, that a person's keys belong to, for good."""
    return int.from_bytes(hashlib.sha256(data_subject.encode()).digest()[:2], "big") % SHARDS


def fingerprint_of(data_key: bytes) -> str:
    """A one-way mark of a data key: 32 hexadecimal digits."""
    return mac(data_key, b"fingerprint/1")[:16].hex()


class Hierarchy:
    """The derivations of one tenant; another tenant's give other keys from the same tables."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._person = bind("person/1", tenant)

    def epoch_context(self, epoch: int) -> bytes:
        """What the provider binds an epoch's key to."""
        return bind("epoch/1", self._tenant, epoch)

    def wrap_shard(self, epoch_key: bytes, shard: int, epoch: int, shard_key: bytes) -> bytes:
        """A shard's key as it is kept while this epoch is the present one."""
        return wrap_key(self._shard(epoch_key, shard, epoch), shard_key)

    def open_shard(self, epoch_key: bytes, shard: int, epoch: int, wrapped: bytes) -> bytes:
        """Undo `wrap_shard`; raises `KeysUnavailable` where it does not open."""
        return unwrap_key(self._shard(epoch_key, shard, epoch), wrapped)

    def people(self, shard_key: bytes, epoch: int) -> "ShardOfPeople":
        """What wraps and opens the keys of the people of one shard; `epoch` is that in which its key was drawn."""
        return ShardOfPeople(shard_key, self._person, bind(epoch))

    def _shard(self, epoch_key: bytes, shard: int, epoch: int) -> bytes:
        return expand(epoch_key, bind("shard/1", self._tenant, shard, epoch))


class ShardOfPeople:
    """Wraps and opens keys of the people of one shard under one key of it, each under a key derived for them alone."""

    __slots__ = ("_after", "_before", "_keyed")

    def __init__(self, shard_key: bytes, before: bytes, after: bytes) -> None:
        self._keyed = Keyed(shard_key)
        self._before = before
        self._after = after

    def wrap(self, data_subject: str, both: bytes) -> bytes:
        """A person's data key and seed as they are kept: 72 bytes of 64."""
        return wrap_key(self._own(bind(data_subject)), both)

    def open(self, data_subject: str, wrapped: bytes) -> bytes:
        """Undo `wrap`; raises `KeysUnavailable` for another person's or a changed byte."""
        return unwrap_key(self._own(bind(data_subject)), wrapped)

    def moved(self, data_subject: str, wrapped: bytes, other: "ShardOfPeople") -> bytes:
        """What is wrapped here as `other` keeps it; raises as `open` does."""
        bound = bind(data_subject)
        return wrap_key(other._own(bound), unwrap_key(self._own(bound), wrapped))  # noqa: SLF001 - one of its own kind

    def opens(self, data_subject: str, wrapped: bytes, fingerprint: str) -> bool:
        """True where what is opened is the data key that this fingerprint was taken of."""
        return fingerprint_of(self.open(data_subject, wrapped)[:KEY_BYTES]) == fingerprint

    def _own(self, bound: bytes) -> bytes:
        return self._keyed.expand(self._before + bound + self._after)
