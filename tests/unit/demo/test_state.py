"""The demo's state directory: whole or built anew, and never another's files."""

import json
import sqlite3
import stat
from pathlib import Path

import pytest

from consent_gateway.demo.state import DemoState
from consent_gateway.errors import SettingsRefused
from consent_gateway.settings import read_settings


def _database(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 200)
    connection.commit()
    connection.close()


@pytest.fixture
def whole(tmp_path: Path) -> DemoState:
    """A finished state of five customers."""
    state = DemoState(tmp_path / "demo")
    state.clear()
    for path in (state.retailer, state.gateway / "gateway.db", state.gateway / "keys" / "keys.db"):
        _database(path)
    state.write_secrets({"till": "gw_cs_x"})
    state.finish(5)
    return state


def test_a_finished_state_is_whole_for_its_own_size_only(whole: DemoState) -> None:
    """A second run of the same size builds nothing; another size does."""
    assert whole.is_whole(5)
    assert not whole.is_whole(6)
    assert not DemoState(whole.directory / "elsewhere").is_whole(5)


@pytest.mark.parametrize("part", ["marker", "clients", "retailer"])
def test_a_missing_part_means_the_state_is_not_whole(whole: DemoState, part: str) -> None:
    """Without its marker, its secrets or a database a state is built anew."""
    path: Path = getattr(whole, part)
    path.unlink()
    assert not whole.is_whole(5)


@pytest.mark.parametrize(
    ("first", "bytes_there"),
    [(0, b"\xff" * 100), (8192, b"\xff" * 4096), (32, b"\x00\x00\x00\x03\x00\x00\x00\x05")],
    ids=["header", "page", "free list"],
)
def test_a_damaged_database_means_the_state_is_not_whole(whole: DemoState, first: int, bytes_there: bytes) -> None:
    """A database whose header, pages or free list are overwritten is noticed."""
    path = whole.gateway / "gateway.db"
    content = bytearray(path.read_bytes())
    content[first : first + len(bytes_there)] = bytes_there
    path.write_bytes(content)
    assert not whole.is_whole(5)


def test_clearing_empties_the_state_and_spares_what_is_not_the_demo_s(whole: DemoState) -> None:
    """What the demo made goes, another file stays, and a directory the demo did not make is refused."""
    other = whole.directory / "notes.txt"
    other.write_text("mine", encoding="utf-8")
    whole.clear()
    assert other.exists()
    assert not whole.gateway.exists()
    assert not whole.retailer.exists()
    foreign = DemoState(whole.directory.parent / "home")
    _database(foreign.gateway / "gateway.db")
    with pytest.raises(SettingsRefused):
        foreign.clear()
    assert (foreign.gateway / "gateway.db").exists()


def test_secrets_are_for_the_owner_alone(whole: DemoState) -> None:
    """The file of secrets has mode 0600 and reads back."""
    assert stat.S_IMODE(whole.clients.stat().st_mode) == 0o600
    assert whole.read_secrets() == json.loads(whole.clients.read_text(encoding="utf-8"))


def test_the_variables_are_settings_the_gateway_takes(whole: DemoState) -> None:
    """The environment of the demo makes settings that the gateway does not refuse."""
    settings = read_settings(whole.variables(8099, Path("policies")))
    assert settings.port == 8099
    assert settings.state_dir == whole.gateway.absolute()


@pytest.mark.parametrize("chain", ["gateway", "keys"])
def test_a_state_of_other_migrations_is_not_whole(whole: DemoState, chain: str) -> None:
    """Who takes a newer version over an old demo gets a new one, and no refusal of its databases."""
    said = json.loads(whole.marker.read_text())
    whole.marker.write_text(json.dumps({**said, chain: "0001_older"}))
    assert not whole.is_whole(5)
