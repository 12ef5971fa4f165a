"""What only a real OpenBao shows: trimmed keys, lost servers, tokens, policies, and a whole deployment over it."""

import urllib.error
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from consent_gateway.errors import KeysUnavailable, SettingsRefused
from consent_gateway.ports import RootKept
from consent_gateway.protection.transit_engine import TransitAddress
from consent_gateway.protection.transit_provider import TransitKeyProvider
from consent_gateway.settings import PREFIX, read_settings
from consent_gateway.wiring import open_services, upgrade_databases
from consent_gateway.wiring.providers import make_root_key, open_key_provider
from tests.deployment import ROOT, Deployment
from tests.peers.openbao import Server, start

HOW_TO = ROOT / "docs" / "how-to" / "key-provider.md"


@pytest.fixture
def address(openbao: Server, tmp_path: Path) -> TransitAddress:
    """Where a key of this test alone will be."""
    token_file = openbao.write_token(tmp_path / "token")
    return TransitAddress("openbao", openbao.address, "transit", f"key-{uuid4().hex}", token_file, timeout=10)


def pasted_policy(address: TransitAddress) -> str:
    """The policy that the how-to tells the operator to write, for this key."""
    text = HOW_TO.read_text(encoding="utf-8").split("```hcl\n")[1].split("```")[0]
    return text.replace("consent-gateway", address.key_name)


def limited(openbao: Server, address: TransitAddress, policy: str) -> TransitAddress:
    """The same address with a token that has this policy alone."""
    openbao.call("PUT", f"sys/policies/acl/{address.key_name}", {"policy": policy})
    made = openbao.call("POST", "auth/token/create", {"policies": [address.key_name], "no_default_policy": True})
    token_file = openbao.write_token(address.token_file.with_name("limited"), made["auth"]["client_token"])
    return replace(address, token_file=token_file)


def test_the_server_itself_refuses_what_was_trimmed(openbao: Server, address: TransitAddress) -> None:
    """After retiring, not even the server's ruler opens the old text or brings the version back."""
    provider = TransitKeyProvider.create(address)
    wrapped = provider.wrap(b"k" * 32, b"c")
    provider.rotate()
    provider.retire(1)
    state = openbao.call("GET", f"transit/keys/{address.key_name}")["data"]
    assert (list(state["keys"]), state["min_available_version"]) == (["2"], 2)
    with pytest.raises(KeysUnavailable, match="retired"):
        provider.unwrap(wrapped, b"c")
    with pytest.raises(urllib.error.HTTPError, match="400"):  # nor can the minimum be lowered again
        openbao.call("POST", f"transit/keys/{address.key_name}/config", {"min_decryption_version": 1})


def test_the_documented_policy_is_enough_and_no_more(openbao: Server, address: TransitAddress) -> None:
    """With the policy of the how-to everything works but making, deleting or exporting a key; wrapping makes none."""
    TransitKeyProvider.create(address)
    provider = TransitKeyProvider(limited(openbao, address, pasted_policy(address)))
    wrapped = provider.wrap(b"k" * 32, b"c")
    assert provider.rotate() == 2
    assert provider.unwrap(wrapped, b"c") == b"k" * 32
    provider.retire(1)
    assert provider.versions() == (2,)
    openbao.call("POST", f"transit/keys/{address.key_name}/config", {"deletion_allowed": True})
    openbao.call("DELETE", f"transit/keys/{address.key_name}")
    for call in (lambda: provider.wrap(b"k" * 32, b"c"), provider.rotate, provider.versions):
        with pytest.raises(KeysUnavailable):
            call()
    assert not TransitKeyProvider.exists(address)  # the server makes a missing key where a token may create
    with pytest.raises(KeysUnavailable, match="policy allows"):
        TransitKeyProvider.create(provider._engine.at)


def test_a_key_that_can_leave_the_server_is_refused(openbao: Server, address: TransitAddress) -> None:
    """An exportable key, one with a plain back-up, a derived one and one of another type are refused with the mend."""
    for number, options in enumerate(
        (
            {"exportable": True},
            {"allow_plaintext_backup": True},
            {"derived": True},
            {"type": "chacha20-poly1305"},
        )
    ):
        unsafe = replace(address, key_name=f"{address.key_name}-{number}")
        openbao.call("POST", f"transit/keys/{unsafe.key_name}", options)
        with pytest.raises(SettingsRefused, match=r"name (another|one)"):
            TransitKeyProvider(unsafe)
    with pytest.raises(SettingsRefused, match="does not exist"):
        TransitKeyProvider(address)


def test_a_server_that_ignores_the_context_is_refused(address: TransitAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where associated data is ignored, as older servers do without a word, the provider is refused at once."""
    TransitKeyProvider.create(address)
    monkeypatch.setattr("consent_gateway.protection.transit_provider._associated", lambda _context: b"the same")
    with pytest.raises(SettingsRefused, match="ignores"):
        TransitKeyProvider(address)


def test_the_token_file_is_read_at_each_use(openbao: Server, address: TransitAddress) -> None:
    """A token that ended is named with its file; once the agent writes another, the same provider goes on."""
    provider = TransitKeyProvider.create(address)
    wrapped = provider.wrap(b"k" * 32, b"c")
    for content, told in (("hvs.secret-that-ended", "has not expired"), ("", "one token"), ("two tokens", "one token")):
        address.token_file.write_text(content)
        with pytest.raises(KeysUnavailable, match=told) as refused:
            provider.unwrap(wrapped, b"c")
        assert "secret" not in str(refused.value)
        assert refused.value.__cause__ is None
    openbao.write_token(address.token_file)
    assert provider.unwrap(wrapped, b"c") == b"k" * 32
    address.token_file.chmod(0o604)
    with pytest.raises(KeysUnavailable, match="chmod o-rwx"):
        provider.unwrap(wrapped, b"c")
    address.token_file.unlink()
    with pytest.raises(KeysUnavailable, match="cannot be read"):
        provider.unwrap(wrapped, b"c")


def test_something_else_than_transit_is_named(openbao: Server, address: TransitAddress) -> None:
    """Another engine under the mount, and a port where nobody listens, are told as what they are."""
    with pytest.raises(SettingsRefused, match="does not exist"):
        TransitKeyProvider(replace(address, mount="secret"))
    with pytest.raises(KeysUnavailable, match="did not answer"):
        TransitKeyProvider(replace(address, server="http://127.0.0.1:1"))
    with pytest.raises(KeysUnavailable, match=r"certificate|did not answer"):
        TransitKeyProvider(replace(address, server=openbao.address.replace("http:", "https:")))


def test_a_deployment_over_openbao(deployment: Deployment, openbao: Server, address: TransitAddress) -> None:
    """The gateway starts over a key of OpenBao, reads what it wrapped in the next process, and never makes it anew."""
    variables = {
        **deployment.variables,
        "CONSENT_GATEWAY_STATE_DIR": str(deployment.folder / "other"),
        "CONSENT_GATEWAY_DATABASE_URL": f"sqlite:///{deployment.folder / 'other' / 'gateway.db'}",
        "CONSENT_GATEWAY_KEY_DATABASE_URL": f"sqlite:///{deployment.folder / 'other' / 'keys.db'}",
        "CONSENT_GATEWAY_KEY_PROVIDER": "openbao",
        "CONSENT_GATEWAY_KEY_SERVER": address.server,
        "CONSENT_GATEWAY_KEY_NAME": address.key_name,
        "CONSENT_GATEWAY_KEY_TOKEN_FILE": str(address.token_file),
        "CONSENT_GATEWAY_KEY_TIMEOUT_MS": "10000",
    }
    settings = read_settings(variables)
    upgrade_databases(settings)
    services = open_services(settings)
    services.keyring.create("ds_a")
    made = services.keyring.person_keys("ds_a")
    services.close()
    upgrade_databases(settings)
    again = open_services(settings)
    assert again.keyring.person_keys("ds_a") == made
    assert again.keyring.inventory().provider.kind == "openbao"
    assert again.keyring.inventory().root_versions == (1,)
    assert again.keyring.inventory().provider.root_kept is RootKept.BY_SERVER
    again.close()
    openbao.call("POST", f"transit/keys/{address.key_name}/config", {"deletion_allowed": True})
    openbao.call("DELETE", f"transit/keys/{address.key_name}")
    with pytest.raises(SettingsRefused, match="is gone, but keys were made with it"):
        upgrade_databases(settings)
    with pytest.raises(SettingsRefused, match="is gone, but keys were made with it"):
        open_services(settings)
    assert not TransitKeyProvider.exists(address)


def test_a_server_that_lost_its_keys_opens_nothing(tmp_path: Path) -> None:
    """A dev server forgets everything when it stops: away it is named, back without its key too, never hidden."""
    server = start(tmp_path)
    token_file = server.write_token(tmp_path / "token")
    address = TransitAddress("openbao", server.address, "transit", "root", token_file, timeout=10)
    provider = TransitKeyProvider.create(address)
    wrapped = provider.wrap(b"k" * 32, b"c")
    server.stop()
    with pytest.raises(KeysUnavailable, match="did not answer"):
        provider.unwrap(wrapped, b"c")
    server = start(tmp_path, port=int(server.address.rpartition(":")[2]))
    try:
        with pytest.raises(KeysUnavailable, match="restore"):
            provider.unwrap(wrapped, b"c")
        with pytest.raises(KeysUnavailable, match="gone"):
            provider.versions()
        another = TransitKeyProvider.create(address)  # the same name, another key
        with pytest.raises(KeysUnavailable, match="key is another"):
            another.unwrap(wrapped, b"c")
    finally:
        server.stop()


def test_a_lost_key_of_a_server_is_told_as_lost_at_every_start(openbao: Server, address: TransitAddress) -> None:
    """With keys in the table a missing root is told as gone, to be restored, and nobody is told to make another."""
    variables = {"STORE_URL": "sqlite:///store.db", "KEY_PROVIDER": "openbao", "KEY_SERVER": address.server}
    variables |= {"KEY_TOKEN_FILE": str(address.token_file), "KEY_NAME": address.key_name}
    settings = read_settings({PREFIX + name: value for name, value in variables.items()})
    told = f"the key `{address.key_name}` .* is gone, but keys were made with it: restore it from its back-up"
    for opening in (open_key_provider, make_root_key):
        with pytest.raises(SettingsRefused, match=told):
            opening(settings, lambda: True)
    assert not TransitKeyProvider.exists(address)
    make_root_key(settings, lambda: False)
    assert open_key_provider(settings, lambda: True).versions() == (1,)
