"""Key material as the rest of the room holds it, and how it is drawn; prints none of it and stores none of it."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime

from consent_gateway.errors import ProtectionRefused
from consent_gateway.protection.primitives import KEY_BYTES, NONCE_BYTES, Gcm, Keyed, bind, expand

_CLASS = bind("class/1")
_KEY_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def draw_key() -> bytes:
    """32 bytes from the operating system's generator; a key that is drawn, not derived, can be destroyed."""
    return secrets.token_bytes(KEY_BYTES)


def draw_nonce() -> bytes:
    """12 bytes from the operating system's generator, for one AES-GCM encryption."""
    return secrets.token_bytes(NONCE_BYTES)


def draw_key_id() -> str:
    """Four random characters of lower-case base 32; the tables refuse a second of the same."""
    return "".join(secrets.choice(_KEY_ID_LETTERS) for _ in range(4))


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A version of a key of a domain, an index or a service, and the random four-character id that tokens carry.

    `keyed` is the key set up for `mac`.
    """

    key_id: str
    secret: bytes = field(repr=False)
    version: int = 1
    keyed: Keyed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keyed", Keyed(self.secret))


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """The key classes that one call may open: those of the purpose that a credential may claim and does claim.

    Made from the caller's registration and the policy's purposes, never from a decision; an operator's act names its
    classes itself.
    """

    classes: frozenset[str] = frozenset()


@dataclass(slots=True)
class ClassKey:
    """The key under which one person's sealed fields of one key class lie; `key_id` is that of the person's keys.

    Nobody changes one. It is not frozen, for one is made at each cold read and that would double what it costs.
    `cipher` is the key set up for use; `associated` keeps what is authenticated with each field.
    """

    tenant: str
    data_subject: str
    key_id: str
    key_class: str
    secret: bytes = field(repr=False)
    cipher: Gcm = field(init=False, repr=False, compare=False)
    associated: dict[str, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.cipher = Gcm(self.secret)


@dataclass(frozen=True, slots=True)
class PersonKeys:
    """What belongs to one person alone and dies with their row in the key table.

    `data_key` is a root: it encrypts nothing itself, and each use derives a key of its own from it. `seed` is what
    their pseudonyms are computed from.
    """

    tenant: str
    data_subject: str
    key_id: str
    data_key: bytes = field(repr=False)
    seed: bytes = field(repr=False)
    # Class keys derived so far: they live in memory as long as what they are derived from, and no longer.
    _derived: dict[str, ClassKey] = field(default_factory=dict, init=False, repr=False, compare=False)

    def class_key(self, key_class: str, grant: KeyGrant) -> ClassKey:
        """The key of this person's sealed fields of one class, derived from their data key (HKDF, RFC 5869 2.3).

        Raises `ProtectionRefused` for a class that the grant does not hold.
        """
        if key_class not in grant.classes:
            raise ProtectionRefused(f"the key class `{key_class}` is not granted to this call: nothing may be opened")
        derived = self._derived.get(key_class)
        if derived is None:
            secret = expand(self.data_key, _CLASS + bind(self.tenant, self.data_subject, key_class))
            derived = ClassKey(self.tenant, self.data_subject, self.key_id, key_class, secret)
            self._derived[key_class] = derived
        return derived

    def hand_out_key(self) -> bytes:
        """The key of what random tokens hold about this person; it dies with their data key."""
        return expand(self.data_key, bind("token.rand/1", self.tenant, self.data_subject))

    def package_key(self, package_id: str) -> bytes:
        """The key of one access package of this person's; it dies with their data key."""
        return expand(self.data_key, bind("access-package/1", self.tenant, self.data_subject, package_id))


@dataclass(frozen=True, slots=True)
class DestroyedKey:
    """Evidence that one person's keys are gone from the key table; goes into the certificate of an erasure.

    `fingerprint` is a one-way mark of the data key, written down when the key was made.
    """

    data_subject: str
    fingerprint: str
    shard: int
    epoch: int
    destroyed_at: datetime
