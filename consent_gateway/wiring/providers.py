"""The part of the composition root that builds the key provider which the settings choose; it decides nothing."""

from collections.abc import Callable

from consent_gateway.errors import SettingsRefused
from consent_gateway.ports import KeyProvider
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.kms_provider import KmsAddress, KmsKeyProvider
from consent_gateway.protection.transit_engine import TransitAddress
from consent_gateway.protection.transit_provider import TransitKeyProvider
from consent_gateway.settings import KeySource, Settings


def open_key_provider(settings: Settings, keys_were_made: Callable[[], bool]) -> KeyProvider:
    """The provider of the root keys. Raises `SettingsRefused` where there are none, `KeysUnavailable` if it is away."""
    source = settings.key_source
    exists, told = _looked_for(settings)
    if not exists and keys_were_made():
        raise _lost(told)
    if source.provider == "file":
        return FileKeyProvider(settings.key_file, settings.key_file_copy)
    if source.provider == "aws":
        return KmsKeyProvider(_kms(source))
    return TransitKeyProvider(_transit(source))


def make_root_key(settings: Settings, keys_were_made: Callable[[], bool]) -> None:
    """A first root key, only while the key table is empty: a lost one must not be hidden by a new one."""
    source = settings.key_source
    exists, told = _looked_for(settings)
    if exists:
        return
    if keys_were_made():
        raise _lost(told)
    if source.provider == "file":
        FileKeyProvider.create(settings.key_file, settings.key_file_copy)
    elif source.provider == "aws":
        KmsKeyProvider.create(_kms(source))
    else:
        TransitKeyProvider.create(_transit(source))


def adopt_key_copy(settings: Settings) -> None:
    """Have KEY_FILE_COPY belong to this installation. Raises `SettingsRefused` where the root is in no file."""
    if settings.key_source.provider != "file":
        raise SettingsRefused(f"KEY_PROVIDER is {settings.key_source.provider}: only a key file has a copy")
    FileKeyProvider(settings.key_file, settings.key_file_copy).adopt_copy()


def _looked_for(settings: Settings) -> tuple[bool, str]:
    """Whether the root key is there, and what it is called in messages."""
    source = settings.key_source
    if source.provider == "file":
        return settings.key_file.exists(), f"`{settings.key_file}`"
    if source.provider == "aws":
        return KmsKeyProvider.exists(_kms(source)), f"every key `alias/{source.name}/…` in {source.region}"
    return TransitKeyProvider.exists(_transit(source)), f"the key `{source.name}` of `{source.server}`"


def _lost(told: str) -> SettingsRefused:
    return SettingsRefused(f"{told} is gone, but keys were made with it: restore it from its back-up")


def _kms(source: KeySource) -> KmsAddress:
    if source.region is None:
        raise SettingsRefused("KEY_REGION is not set: name the region of the KMS keys")
    return KmsAddress(source.region, source.name, source.deletion_days, source.timeout_ms / 1000)


def _transit(source: KeySource) -> TransitAddress:
    if source.server is None or source.token_file is None:
        raise SettingsRefused("KEY_SERVER and KEY_TOKEN_FILE must both be set: name the server and its token")
    return TransitAddress(
        kind=source.provider,
        server=source.server,
        mount=source.mount,
        key_name=source.name,
        token_file=source.token_file,
        ca_file=source.ca_file,
        timeout=source.timeout_ms / 1000,
    )
