"""A key provider over AWS KMS with one KMS key per root version; keeps no key and no credential of its own.

KMS's own rotation keeps the old material for good, so it could never prove an erasure. Here each root version is a KMS
key with the alias `alias/<name>/<version>`. Retiring schedules its deletion and takes its alias away: KMS refuses it
from then on, and until the waiting time is over whoever rules the account can still bring it back. Who is trusted: AWS
and whoever rules the account.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from consent_gateway.errors import Conflict, KeysUnavailable, NotFound, SettingsRefused
from consent_gateway.ports import KeyProviderCapabilities

_WRAP_FORMAT = b"\x03"
_HEADER_BYTES = 5  # one of wrap format, four of root version
_CONTEXT = "consent-gateway"  # the one member of the encryption context
_ATTEMPTS = 8  # at taking the next number while others rotate too


@dataclass(frozen=True, slots=True)
class KmsAddress:
    """Where the root keys are: their region and the name their aliases begin with; `timeout` in seconds.

    `deletion_days` is how long KMS waits before it deletes a retired version, 7 to 30.
    """

    region: str
    key_name: str
    deletion_days: int = 7
    timeout: float = 2.0


class _Kms:
    """The calls of KMS, with its errors told as ours."""

    def __init__(self, address: KmsAddress) -> None:
        self.at = address
        self._client, self._errors, self._refusal = _open(address)

    def make_next(self) -> int:
        """Make a KMS key under the next free number, which is returned."""
        made = self.call("create_key", Description=f"root key {self.at.key_name} of a consent gateway")
        key_id = made["KeyMetadata"]["KeyId"]
        for _attempt in range(_ATTEMPTS):
            new = max(self.aliases(), default=0) + 1
            taken = self.call(
                "create_alias", passing="AlreadyExistsException", AliasName=self.alias(new), TargetKeyId=key_id
            )
            if taken is not None:
                return new
        self.call("schedule_key_deletion", KeyId=key_id, PendingWindowInDays=self.at.deletion_days)
        raise Conflict(f"others rotate {self.told()} at the same time: see who, then run it again")

    def aliases(self) -> dict[int, str]:
        """The KMS key id of each version."""
        prefix = self.alias("")
        found: dict[int, str] = {}
        marker: dict[str, str] = {}
        while True:
            answer = self.call("list_aliases", **marker)
            for alias in answer["Aliases"]:
                number = alias["AliasName"].removeprefix(prefix)
                if alias["AliasName"].startswith(prefix) and number.isascii() and number.isdigit():
                    found[int(number)] = alias.get("TargetKeyId", "")
            if not answer.get("Truncated"):
                return found
            marker = {"Marker": answer["NextMarker"]}

    def alias(self, version: int | str) -> str:
        """The alias of a version."""
        return f"alias/{self.at.key_name}/{version}"

    def call(self, action: str, *, passing: str | None = None, **sent: object) -> Any:
        """One call of KMS; None where it answered with the error `passing`. Errors tell neither key nor context."""
        try:
            return getattr(self._client, action)(**sent)
        except self._refusal as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code == passing:
                return None
            raise KeysUnavailable(self._cause(action, code)) from None
        except self._errors:
            raise KeysUnavailable(
                f"KMS in {self.at.region} did not answer within {self.at.timeout:g} seconds, or there are no"
                " credentials: see the network and the role of this machine"
            ) from None

    def _cause(self, action: str, code: str) -> str:
        if action == "decrypt" and code in ("InvalidCiphertextException", "IncorrectKeyException", "NotFoundException"):
            return (
                f"a wrapped key does not open under {self.told()}: it was altered or moved, its root version was"
                " retired, or these are other keys; restore the key database and access to the keys it was made with"
            )
        if code == "AccessDeniedException":
            return f"KMS does not allow `{action}` on {self.told()}: extend the policy of the gateway's role"
        return f"KMS refused `{action}` on {self.told()} ({code}): see the state of the key in the account"

    def told(self) -> str:
        """The keys in words, for messages."""
        return f"the keys `alias/{self.at.key_name}/…` in {self.at.region}"


class KmsKeyProvider:
    """The root keys at `address`. Raises `SettingsRefused` where there is none. Safe to share between threads."""

    def __init__(self, address: KmsAddress) -> None:
        self._kms = _Kms(address)
        self._at = address
        if not self._kms.aliases():
            raise SettingsRefused(f"{self._kms.told()} do not exist: restore access to them, or make a first one")

    @staticmethod
    def exists(address: KmsAddress) -> bool:
        """True where there is a root key. Raises `KeysUnavailable` where KMS does not answer."""
        return bool(_Kms(address).aliases())

    @classmethod
    def create(cls, address: KmsAddress) -> "KmsKeyProvider":
        """Make the first root key; refuses to touch one that is there already."""
        kms = _Kms(address)
        if kms.aliases():
            raise SettingsRefused(f"{kms.told()} exist already: a root key is never overwritten")
        kms.make_next()
        return cls(address)

    def __repr__(self) -> str:
        return f"KmsKeyProvider({self._kms.told()})"

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt a key under the KMS key of the newest version, bound to `context`."""
        version = self.versions()[-1]
        answer = self._kms.call(
            "encrypt", KeyId=self._kms.alias(version), Plaintext=key, EncryptionContext=_encryption_context(context)
        )
        return _WRAP_FORMAT + version.to_bytes(4, "big") + bytes(answer["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt what `wrap` made; `KeysUnavailable` for another context, a retired version or a changed byte."""
        if len(wrapped) <= _HEADER_BYTES or wrapped[:1] != _WRAP_FORMAT:
            raise KeysUnavailable(
                "a wrapped key was not made by this provider: set KEY_PROVIDER to the one that made it"
            )
        version = int.from_bytes(wrapped[1:_HEADER_BYTES], "big")
        answer = self._kms.call(
            "decrypt",
            KeyId=self._kms.alias(version),  # named, so that KMS never picks a key by what the wrapped bytes say
            CiphertextBlob=wrapped[_HEADER_BYTES:],
            EncryptionContext=_encryption_context(context),
        )
        return bytes(answer["Plaintext"])

    def unwrap_many(self, wrapped: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
        """Decrypt pairs of (wrapped, context), in order; KMS takes one to a call."""
        return (self.unwrap(one, context) for one, context in wrapped)

    def rotate(self) -> int:
        """Make a KMS key for a new version and return its number."""
        return self._kms.make_next()

    def retire(self, version: int) -> None:
        """Schedule the deletion of a version's KMS key and take its alias away; run again, it completes."""
        aliases = self._kms.aliases()
        if version == max(aliases, default=None):
            raise Conflict(f"root version {version} is the present one: rotate and re-wrap first")
        if version not in aliases:
            raise NotFound(f"there is no root version {version}")
        self._kms.call(
            "schedule_key_deletion",
            passing="KMSInvalidStateException",  # scheduled by a call before this one, which was cut short
            KeyId=aliases[version],
            PendingWindowInDays=self._at.deletion_days,
        )
        self._kms.call("delete_alias", passing="NotFoundException", AliasName=self._kms.alias(version))

    def versions(self) -> tuple[int, ...]:
        """The versions that have an alias, ascending; the last is the present one."""
        found = tuple(sorted(self._kms.aliases()))
        if not found:
            raise KeysUnavailable(f"{self._kms.told()} are gone: restore their aliases, or access to them")
        return found

    def describe(self) -> KeyProviderCapabilities:
        """What this provider promises: in hardware, refused at once, destroyed after the waiting time."""
        return KeyProviderCapabilities(
            kind="aws",
            context_binding=True,
            batch_size=1,
            destruction_delay_days=self._at.deletion_days,
            hardware_backed=True,
            old_material_removable=True,
        )


def _open(address: KmsAddress) -> tuple[Any, tuple[type[Exception], ...], Any]:
    """A client of KMS, what it raises where KMS does not answer, and what where KMS says no."""
    try:
        import boto3  # noqa: PLC0415 - an extra: only who chose this provider has it
        from botocore.config import Config  # noqa: PLC0415 - as above
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above
    except ImportError:
        raise SettingsRefused("AWS KMS needs the package boto3: run `pip install 'consent-gateway[aws]'`") from None
    half = address.timeout / 2  # the first for connecting, the second for the answer; no second try
    config = Config(connect_timeout=half, read_timeout=half, retries={"total_max_attempts": 1})
    client = boto3.session.Session().client("kms", region_name=address.region, config=config)
    return client, (BotoCoreError, OSError), ClientError


def _encryption_context(context: bytes) -> dict[str, str]:
    """KMS writes the encryption context into CloudTrail in the clear, so it is told a digest alone."""
    return {_CONTEXT: hashlib.sha256(context).hexdigest()}
