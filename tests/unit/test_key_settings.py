"""Who holds the root keys, by the settings: what is unsafe, missing or of another provider is refused by name."""

import sys
from pathlib import Path

import pytest
from moto import mock_aws

from consent_gateway.errors import KeysUnavailable, SettingsRefused
from consent_gateway.protection.kms_provider import KmsKeyProvider
from consent_gateway.settings import PREFIX, Settings, read_settings
from consent_gateway.wiring.providers import make_root_key, open_key_provider

OPENBAO = {"KEY_PROVIDER": "openbao", "KEY_SERVER": "https://bao.internal:8200", "KEY_TOKEN_FILE": "/run/token"}
AWS = {"KEY_PROVIDER": "aws", "KEY_REGION": "eu-central-1"}


def settings(**given: str) -> Settings:
    """Settings over a store, with these variables of the key provider."""
    return read_settings(
        {PREFIX + "STORE_URL": "sqlite:///store.db", **{PREFIX + name: value for name, value in given.items()}}
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"KEY_PROVIDER": "hsm"}, "KEY_PROVIDER must be one of file, openbao, vault, aws"),
        ({"KEY_SERVER": "https://bao.internal"}, "KEY_SERVER is set, but KEY_PROVIDER is file .*openbao or vault"),
        ({"KEY_REGION": "eu-central-1"}, "set KEY_PROVIDER to aws"),
        ({**OPENBAO, "KEY_FILE": "/root.key"}, "KEY_FILE is set, but KEY_PROVIDER is openbao"),
        ({**OPENBAO, "KEY_SERVER": "http://bao.internal:8200"}, "in the clear; use https"),
        ({**OPENBAO, "KEY_SERVER": "https://user:pass@bao.internal"}, "must not hold a password"),
        ({**OPENBAO, "KEY_SERVER": "bao.internal"}, "must be an http or https URL"),
        ({**OPENBAO, "KEY_MOUNT": "transit/../sys"}, "KEY_MOUNT must be a path"),
        ({**OPENBAO, "KEY_NAME": "a/b"}, "KEY_NAME must be"),
        ({"KEY_PROVIDER": "vault", "KEY_SERVER": "https://bao.internal"}, "KEY_TOKEN_FILE is not set"),
        ({"KEY_PROVIDER": "openbao", "KEY_TOKEN_FILE": "/run/token"}, "KEY_SERVER is not set"),
        ({**OPENBAO, "KEY_TIMEOUT_MS": "1"}, "from 100 to 30000"),
        ({"KEY_PROVIDER": "aws"}, "KEY_REGION is not set"),
        ({**AWS, "KEY_REGION": "https://evil.test"}, "KEY_REGION must be a region"),
        ({**AWS, "KEY_DELETION_DAYS": "3"}, "from 7 to 30"),
    ],
)
def test_what_is_unsafe_or_meant_for_another_is_refused(given: dict[str, str], told: str) -> None:
    """Each refusal names the variable and the mend, and repeats no password."""
    with pytest.raises(SettingsRefused, match=told) as refused:
        settings(**given)
    assert "pass@" not in str(refused.value)


def test_the_file_is_the_default_and_loopback_may_be_http() -> None:
    """Nothing set is the key file; a server on loopback may be reached without TLS."""
    assert settings().key_source.provider == "file"
    source = settings(**{**OPENBAO, "KEY_SERVER": "http://127.0.0.1:8200/"}).key_source
    assert (source.server, source.mount, source.name) == ("http://127.0.0.1:8200", "transit", "consent-gateway")
    assert settings(**AWS).key_source.deletion_days == 7


@pytest.mark.parametrize(
    ("given", "module", "told"), [(OPENBAO, "hvac", r"\[vault\]"), (AWS, "boto3", r"\[aws\]")], ids=["openbao", "aws"]
)
def test_a_missing_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], module: str, told: str
) -> None:
    """Without the provider's package the start is refused with the command that installs it."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsRefused, match=f"pip install .*{told}"):
        open_key_provider(settings(**given), lambda: False)


def test_a_first_root_is_made_once_and_a_lost_one_never_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """With KMS as with the others: made while the key table is empty, refused once keys were made with it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-a-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-a-test")
    with mock_aws():
        with pytest.raises(SettingsRefused, match="is gone, but keys were made with it"):
            make_root_key(settings(**AWS), lambda: True)
        with pytest.raises(SettingsRefused, match="is gone, but keys were made with it"):
            open_key_provider(settings(**AWS), lambda: True)
        with pytest.raises(SettingsRefused, match="do not exist"):
            open_key_provider(settings(**AWS), lambda: False)
        make_root_key(settings(**AWS), lambda: False)
        provider = open_key_provider(settings(**AWS), lambda: False)
        assert isinstance(provider, KmsKeyProvider)
        make_root_key(settings(**AWS), lambda: False)
        assert provider.versions() == (1,)


def test_a_retired_kms_key_is_scheduled_and_a_cut_retiring_completes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retiring schedules the deletion for the day that is promised; cut off before its end, it is run again."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-a-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-a-test")
    with mock_aws():
        make_root_key(settings(**AWS), lambda: False)
        provider = open_key_provider(settings(**AWS, KEY_DELETION_DAYS="9"), lambda: False)
        assert isinstance(provider, KmsKeyProvider)
        assert provider.describe().destruction_delay_days == 9
        old = provider._kms.aliases()[1]
        provider.rotate()
        provider._kms.call("schedule_key_deletion", KeyId=old, PendingWindowInDays=9)  # a call before was cut off here
        provider.retire(1)
        assert provider._kms.call("describe_key", KeyId=old)["KeyMetadata"]["KeyState"] == "PendingDeletion"
        assert provider.versions() == (2,)


def test_the_provider_that_is_away_at_the_start_is_named(tmp_path: Path) -> None:
    """A start without the key server fails with its address and makes nothing."""
    (tmp_path / "token").write_text("of-a-test")
    (tmp_path / "token").chmod(0o600)
    given = {**OPENBAO, "KEY_SERVER": "http://127.0.0.1:1", "KEY_TOKEN_FILE": str(tmp_path / "token")}
    with pytest.raises(KeysUnavailable, match=r"127\.0\.0\.1:1` did not answer"):
        make_root_key(settings(**given), lambda: False)
    with pytest.raises(KeysUnavailable, match="did not answer"):
        open_key_provider(settings(**given), lambda: False)
