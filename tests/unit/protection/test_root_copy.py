"""The copy of the root key file: written first, never behind, refused when it is none."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from consent_gateway.errors import KeysUnavailable, SettingsRefused
from consent_gateway.ports import RootKept
from consent_gateway.protection import file_provider
from consent_gateway.protection.file_provider import FileKeyProvider


@pytest.fixture
def made(tmp_path: Path) -> FileKeyProvider:
    """A key file and its copy."""
    (tmp_path / "other").mkdir()
    return FileKeyProvider.create(tmp_path / "root.key", tmp_path / "other" / "copy.key")


def numbers(path: Path) -> set[str]:
    """The root versions in a key file."""
    return set(json.loads(path.read_text())["keys"])


def test_the_copy_follows_every_change(made: FileKeyProvider, tmp_path: Path) -> None:
    """After each change both files are the same, and a retired version is in neither."""
    root, copy = tmp_path / "root.key", tmp_path / "other" / "copy.key"
    assert root.read_bytes() == copy.read_bytes()
    made.rotate()
    assert root.read_bytes() == copy.read_bytes()
    made.retire(1)
    assert root.read_bytes() == copy.read_bytes()
    assert numbers(copy) == {"2"}


@pytest.mark.parametrize("change", ["rotate", "retire"])
def test_a_change_cut_off_between_the_two_is_carried_out(
    made: FileKeyProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Cut off after the copy and before the file, everything still opens; asked again, the change is made, once."""
    root, copy = tmp_path / "root.key", tmp_path / "other" / "copy.key"
    made.rotate()
    wrapped = made.wrap(b"k" * 32, b"c")
    real = file_provider._replace

    def cut(path: Path, roots: object) -> None:
        if path == root:
            raise InterruptedError
        real(path, roots)  # type: ignore[arg-type]

    monkeypatch.setattr(file_provider, "_replace", cut)
    with pytest.raises(InterruptedError):
        made.rotate() if change == "rotate" else made.retire(1)
    monkeypatch.undo()
    assert root.read_bytes() != copy.read_bytes()
    assert made.versions() == (1, 2)
    if change == "rotate":
        ahead = copy.read_bytes()
        assert made.rotate() == 3
        assert copy.read_bytes() == ahead
    else:
        made.retire(1)
        assert made.versions() == (2,)
    assert root.read_bytes() == copy.read_bytes()
    assert made.unwrap(wrapped, b"c") == b"k" * 32


def test_a_copy_that_is_none_stops_every_change(made: FileKeyProvider, tmp_path: Path) -> None:
    """A copy of other keys, of an older state, or none at all is refused by name, and the file stays as it is."""
    root, copy = tmp_path / "root.key", tmp_path / "other" / "copy.key"
    old = copy.read_bytes()
    made.rotate()
    made.rotate()
    before = root.read_bytes()
    stranger = FileKeyProvider.create(tmp_path / "stranger.key")
    stranger.rotate()
    stranger.rotate()
    for content, match in ((old, "not a copy"), ((tmp_path / "stranger.key").read_bytes(), "not a copy"), (None, "cp")):
        if content is None:
            copy.unlink()
        else:
            copy.write_bytes(content)
        for change in (made.rotate, made.versions, lambda: made.retire(1)):
            with pytest.raises(KeysUnavailable, match=match):
                change()
        assert root.read_bytes() == before
        assert made.unwrap(made.wrap(b"k" * 32, b"c"), b"c") == b"k" * 32, "requests go on"


def test_no_copy_is_overwritten_when_a_key_file_is_made(tmp_path: Path) -> None:
    """Where a copy is there already a first root key is refused: the file was lost and must be restored from it."""
    (tmp_path / "copy.key").write_text("a copy")
    with pytest.raises(SettingsRefused, match="never overwritten"):
        FileKeyProvider.create(tmp_path / "root.key", tmp_path / "copy.key")
    assert not (tmp_path / "root.key").exists()


def test_a_restored_installation_does_not_take_over_the_copy(made: FileKeyProvider, tmp_path: Path) -> None:
    """A drill's key file, at another path or at the same one of another machine, is refused the living copy and changes
    nothing; told to adopt it, it goes on, and now the first is refused.
    """
    root, copy = tmp_path / "root.key", tmp_path / "other" / "copy.key"
    before = copy.read_bytes()
    (tmp_path / "drill").mkdir()
    shutil.copy(copy, tmp_path / "drill" / "root.key")
    drill = FileKeyProvider(tmp_path / "drill" / "root.key", copy)
    for change in (drill.rotate, drill.versions):
        with pytest.raises(KeysUnavailable, match=r"written for another key file, `.*/root.key`.* adopt-copy"):
            change()
    lock = tmp_path / "root.key.lock"
    kept = lock.read_bytes()
    lock.unlink()  # the same path elsewhere, where only the key file was put
    with pytest.raises(KeysUnavailable, match="another key file"):
        made.rotate()
    lock.write_bytes(kept)
    assert copy.read_bytes() == before
    assert made.versions() == (1,)
    drill.adopt_copy()
    assert drill.rotate() == 2
    with pytest.raises(KeysUnavailable, match="another key file"):
        made.versions()
    assert numbers(root) == {"1"}


def test_adopting_overwrites_no_other_keys(made: FileKeyProvider, tmp_path: Path) -> None:
    """A copy of other keys stays as it is, one that is missing is written, and without a name there is nothing."""
    stranger = tmp_path / "stranger.key"
    FileKeyProvider.create(stranger)
    before = stranger.read_bytes()
    with pytest.raises(KeysUnavailable, match="unset KEY_FILE_COPY"):
        FileKeyProvider(tmp_path / "root.key", stranger).adopt_copy()
    assert stranger.read_bytes() == before
    with pytest.raises(SettingsRefused, match="not set"):
        FileKeyProvider(stranger).adopt_copy()
    (tmp_path / "other" / "copy.key").unlink()
    made.adopt_copy()
    assert made.rotate() == 2


def test_what_is_told_of_a_second_root_was_seen(made: FileKeyProvider, tmp_path: Path) -> None:
    """One disk for both is told as such, another as twice; a copy that is not there is none."""
    root, copy = tmp_path / "root.key", tmp_path / "other" / "copy.key"
    assert made.describe().root_kept is RootKept.SAME_DISK
    with TemporaryDirectory(dir="/dev/shm") as memory:
        assert Path(memory).stat().st_dev != root.stat().st_dev, "another disk is needed to look at"
        elsewhere = Path(memory) / "copy.key"
        shutil.copy(copy, elsewhere)
        assert FileKeyProvider(root, elsewhere).describe().root_kept is RootKept.TWICE
    assert FileKeyProvider(root).describe().root_kept is RootKept.ONCE
    copy.unlink()
    assert made.describe().root_kept is RootKept.ONCE
