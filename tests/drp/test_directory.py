"""The agents' file: what stands is read, and every fault ends the start with its line and mend."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from consent_gateway.drp.directory import read_directory
from consent_gateway.errors import SettingsRefused
from tests.drp.world import KEYS

PLACES = frozenset({"US-CA", "DE"})
RAW = {name: b64encode(key.public_key().public_bytes_raw()).decode() for name, key in KEYS.items()}


def entry(name: str = "GOOD", **more: Any) -> dict[str, Any]:
    """An agent, as the network's directory has it."""
    return {
        "id": name,
        "name": f"{name.title()} agent",
        "verify_key": RAW[name],
        "web_url": "https://agent.example.com/",
        "identity_assurance_url": "https://agent.example.com/proof",
        "technical_contact": "tech@agent.example.com",
        "business_contact": "desk@agent.example.com",
        **more,
    }


def written(folder: Path, *agents: dict[str, Any], **more: Any) -> Path:
    """The file with these agents."""
    path = folder / "agents.json"
    given = {"business_id": "SHOP", "places": {"ccpa": "US-CA"}, "agents": list(agents), **more}
    path.write_text(json.dumps(given, indent=1))
    return path


def test_the_entries_of_the_network_are_read_with_our_hosts(tmp_path: Path) -> None:
    """An entry goes in as the network publishes it; beside it stand the hosts of its callbacks."""
    hosts = {"callback_hosts": ["agent.example.com", "[::1]"], "private_callback_hosts": ["[::1]"]}
    directory = read_directory(written(tmp_path, entry(**hosts), entry("OTHER")), PLACES)
    assert (directory.business_id, dict(directory.places)) == ("SHOP", {"ccpa": "US-CA"})
    good, other = directory.agents["GOOD"], directory.agents["OTHER"]
    assert good.key == KEYS["GOOD"].public_key().public_bytes_raw()
    assert (good.caller, good.name) == ("drp:GOOD", "Good agent")
    assert good.hosts.fault("https://agent.example.com/x") is None
    assert good.hosts.fault("http://[::1]:8080/x") is None
    assert other.hosts.fault("https://agent.example.com/x") is not None


@pytest.mark.parametrize(
    ("agents", "more", "told"),
    [
        ([entry(verify_key="x")], {}, "no Ed25519 key"),
        ([entry(verify_key=b64encode(bytes(31)).decode())], {}, "no Ed25519 key"),
        ([entry(verify_key=7)], {}, "no Ed25519 key"),
        ([entry(id="a b")], {}, "no id"),
        ([entry(id="A" * 29)], {}, "no id"),
        ([entry(), entry()], {}, "stands twice"),
        ([entry(), entry("OTHER", verify_key=RAW["GOOD"])], {}, "stands twice"),
        ([entry(callback_hosts=["https://agent.example.com/x"])], {}, "no host"),
        ([entry(private_callback_hosts=["10.0.0.7"])], {}, "a private host"),
        ([entry(callback_hosts=["*.x.org"], private_callback_hosts=["*.x.org"])], {}, "a private host"),
        ([entry(callbackhosts=[])], {}, "unknown key `callbackhosts`"),
        ([entry()], {"places": {"ccpa": "US-ZZ"}}, "no pack knows the place `US-ZZ`"),
        ([entry()], {"places": {"gdpr": "DE"}}, "no regime"),
        ([entry()], {"business_id": ""}, "no id"),
        ([], {"agents": "none"}, "line"),
    ],
)
def test_a_fault_ends_the_start(tmp_path: Path, agents: list[Any], more: dict[str, Any], told: str) -> None:
    """With the file's name, the line and what mends it."""
    with pytest.raises(SettingsRefused, match=told if told != "line" else "agents.json:") as refused:
        read_directory(written(tmp_path, *agents, **more), PLACES)
    assert "agents.json:" in refused.value.message


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    """Before anything is served."""
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name in ("nothing", "bytes"):
        with pytest.raises(SettingsRefused, match="cannot be read"):
            read_directory(tmp_path / name, PLACES)
