"""The file provider: what it refuses, what it survives, what it never gives back."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from consent_gateway.errors import Conflict, KeysUnavailable, NotFound, SettingsRefused
from consent_gateway.protection.file_provider import FileKeyProvider


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the key file will be."""
    return tmp_path / "keys" / "root.key"


@pytest.fixture
def made(path: Path) -> FileKeyProvider:
    """A provider over a fresh key file in a directory of its own."""
    path.parent.mkdir()
    return FileKeyProvider.create(path)


def test_the_file_is_made_for_its_owner_alone(path: Path) -> None:
    """Whatever the umask, a new key file has mode 0600."""
    path.parent.mkdir()
    before = os.umask(0)
    try:
        FileKeyProvider.create(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_file_is_never_overwritten(made: FileKeyProvider, path: Path) -> None:
    """Making a key file where one is refuses and leaves the old one as it was."""
    before = path.read_bytes()
    with pytest.raises(SettingsRefused, match="never overwritten"):
        FileKeyProvider.create(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o700, 0o4600])
def test_a_wider_mode_is_refused_with_its_mend(made: FileKeyProvider, path: Path, mode: int) -> None:
    """A key file that others could read, or that could be run, is refused, and the message names chmod."""
    path.chmod(mode)
    with pytest.raises(SettingsRefused, match="chmod 600"):
        FileKeyProvider(path)
    with pytest.raises(KeysUnavailable, match="chmod 600"):
        made.wrap(bytes(32), b"")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_foreign_owner_is_refused_with_its_mend(made: FileKeyProvider, path: Path) -> None:
    """A key file of another account is refused, even to root."""
    os.chown(path, 65534, 65534)
    with pytest.raises(SettingsRefused, match="chown"):
        FileKeyProvider(path)


def test_a_link_is_refused(made: FileKeyProvider, path: Path) -> None:
    """A symbolic link is not followed: who can replace the link could choose the keys."""
    link = path.with_name("link.key")
    link.symlink_to(path)
    with pytest.raises(SettingsRefused):
        FileKeyProvider(link)


def test_a_missing_file_or_directory_is_refused(path: Path) -> None:
    """A key file that is not there is never made in passing, for that would hide a lost one."""
    with pytest.raises(SettingsRefused, match="cannot be opened"):
        FileKeyProvider(path)
    with pytest.raises(SettingsRefused, match="make its directory"):
        FileKeyProvider.create(path)
    path.mkdir(parents=True, mode=0o600)
    with pytest.raises(SettingsRefused, match="not a regular file"):
        FileKeyProvider(path)


@pytest.mark.parametrize(
    "change",
    [
        {"present": 7},
        {"last": 0},
        {"keys": {"1": "AAAA"}},
        {"keys": {"1": "no base 64!"}},
        {"keys": []},
        {"keys": {}},
        {"present": None},
        {"format": 3},
    ],
    ids=str,
)
def test_a_damaged_file_is_refused_without_quoting_it(
    made: FileKeyProvider, path: Path, change: dict[str, object]
) -> None:
    """A file that is not whole is refused, and neither message nor cause shows what stands in it."""
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(document | change), encoding="utf-8")
    with pytest.raises(SettingsRefused, match=r"damaged|format") as caught:
        FileKeyProvider(path)
    assert document["keys"]["1"] not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_half_a_file_is_refused(made: FileKeyProvider, path: Path) -> None:
    """A truncated file is damaged, not empty."""
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(KeysUnavailable, match="damaged"):
        made.wrap(bytes(32), b"")


def test_a_wrapped_key_opens_only_in_its_context(made: FileKeyProvider) -> None:
    """Unwrapping under another context, or with one bit changed, gives nothing."""
    wrapped = made.wrap(b"k" * 32, b"context")
    assert made.unwrap(wrapped, b"context") == b"k" * 32
    assert b"k" * 8 not in wrapped
    with pytest.raises(KeysUnavailable):
        made.unwrap(wrapped, b"another")
    for at in range(len(wrapped)):
        with pytest.raises(KeysUnavailable):
            made.unwrap(wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :], b"context")
    with pytest.raises(KeysUnavailable):
        made.unwrap(b"", b"context")


def test_many_are_unwrapped_in_order(made: FileKeyProvider) -> None:
    """A batch gives the keys in the order asked, across root versions."""
    first = [(made.wrap(bytes([n]) * 32, b"c%d" % n), b"c%d" % n) for n in range(3)]
    made.rotate()
    second = [(made.wrap(bytes([n]) * 32, b"c%d" % n), b"c%d" % n) for n in range(3, 6)]
    assert list(made.unwrap_many(second + first)) == [bytes([n]) * 32 for n in (3, 4, 5, 0, 1, 2)]


def test_rotation_keeps_and_retirement_destroys(made: FileKeyProvider, path: Path) -> None:
    """Old wraps open after a rotation and never after their version is retired; numbers are not used again."""
    old = made.wrap(b"k" * 32, b"c")
    assert made.rotate() == 2
    assert made.unwrap(old, b"c") == b"k" * 32
    other_process = FileKeyProvider(path)
    made.retire(1)
    for provider in (made, other_process):
        with pytest.raises(KeysUnavailable, match="retired"):
            provider.unwrap(old, b"c")
    assert made.rotate() == 3
    made.retire(2)
    assert made.rotate() == 4
    assert made.versions() == (3, 4)


def test_the_present_version_is_not_retired(made: FileKeyProvider) -> None:
    """What is in use cannot be destroyed by a slip, nor what is not there."""
    with pytest.raises(Conflict, match="rotate"):
        made.retire(1)
    with pytest.raises(NotFound):
        made.retire(9)


def test_rotations_of_many_processes_lose_none(made: FileKeyProvider, path: Path) -> None:
    """Providers that rotate at once each make a version of their own, and all of them stand."""
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda _: FileKeyProvider(path).rotate(), range(16)))
    assert sorted(numbers) == list(range(2, 18))
    assert made.versions() == tuple(range(1, 18))


def test_what_a_crash_left_behind_is_no_obstacle(made: FileKeyProvider, path: Path) -> None:
    """A file that was never renamed into place is replaced at the next change, and was never used."""
    old = made.wrap(b"k" * 32, b"c")
    path.with_name("root.key.new").write_bytes(b"half")
    made.rotate()
    assert made.unwrap(old, b"c") == b"k" * 32
    assert not path.with_name("root.key.new").exists()


def test_a_file_that_cannot_be_written_changes_nothing(made: FileKeyProvider, path: Path) -> None:
    """Where the new file cannot be made, the old one stays in force."""
    (path.with_name("root.key.new") / "in the way").mkdir(parents=True)
    with pytest.raises(KeysUnavailable, match="cannot be written"):
        made.rotate()
    assert made.versions() == (1,)


def test_nothing_prints_a_key(made: FileKeyProvider, path: Path) -> None:
    """The provider's repr shows its file and no key."""
    secret = json.loads(path.read_text(encoding="utf-8"))["keys"]["1"]
    assert secret not in repr(made)
    assert secret not in repr(made._usable())


def test_it_declares_what_it_can(made: FileKeyProvider) -> None:
    """Context is bound, destruction is at once, and there is no hardware to it."""
    capabilities = made.describe()
    assert capabilities.context_binding
    assert capabilities.old_material_removable
    assert not capabilities.hardware_backed
    assert capabilities.destruction_delay_days == 0
