"""The part of the composition root that builds the key provider which the settings choose; it decides nothing."""

from collections.abc import Callable

from consent_gateway.errors import SettingsRefused
from consent_gateway.ports import KeyProvider
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.kms_provider import KmsAddress, KmsKeyProvider
from consent_gateway.protection.transit_engine import TransitAddress
from consent_gateway.protection.transit_provider import TransitKeyProvider
from consent_gateway.settings import KeySource, Settings


def open_key_provider(settings: Settings) -> KeyProvider:
    """The provider of the root keys. Raises `SettingsRefused` where there are none, `KeysUnavailable` if it is away."""
    source = settings.key_source
    if source.provider == "file":
        return FileKeyProvider(settings.key_file, settings.key_file_copy)
    if source.provider == "aws":
        return KmsKeyProvider(_kms(source))
    return TransitKeyProvider(_transit(source))


def make_root_key(settings: Settings, keys_were_made: Callable[[], bool]) -> None:
    """A first root key, only while the key table is empty: a lost one must not be hidden by a new one."""
    source = settings.key_source
    if source.provider == "file":
        exists, told = settings.key_file.exists(), f"`{settings.key_file}`"
    elif source.provider == "aws":
        exists, told = KmsKeyProvider.exists(_kms(source)), f"every key `alias/{source.name}/…` in {source.region}"
    else:
        exists, told = TransitKeyProvider.exists(_transit(source)), f"the key `{source.name}` of `{source.server}`"
    if exists:
        return
    if keys_were_made():
        raise SettingsRefused(f"{told} is gone, but keys were made with it: restore it from its backup")
    if source.provider == "file":
        FileKeyProvider.create(settings.key_file, settings.key_file_copy)
    elif source.provider == "aws":
        KmsKeyProvider.create(_kms(source))
    else:
        TransitKeyProvider.create(_transit(source))


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
