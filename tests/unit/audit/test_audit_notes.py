"""Checkpoints and the signing key's file."""

import base64
import hashlib
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent_gateway.audit.checkpoint import (
    COSIGNATURE,
    MAX_NOTE_BYTES,
    Checkpoint,
    NoteInvalid,
    open_note,
    read_checkpoint,
    read_vkey,
    sign_note,
    signature_line,
)
from consent_gateway.audit.cosignature import cosignature_line, cosigned_at, taken_from, witness_key
from consent_gateway.audit.signer import Signer, _create, open_signer
from consent_gateway.audit.verify import LogKey, Unusable
from consent_gateway.errors import SettingsRefused

ROOT = hashlib.sha256(b"root").digest()


def a_signer(name: str = "log.example/audit") -> Signer:
    """A signer with a fixed key."""
    return Signer(name, bytes(32))


def test_a_checkpoint_is_read_back_by_both_readers() -> None:
    """What the signer signs is read alike by the log's reader and by the lifted-out verifier."""
    signer = a_signer()
    note = signer.sign(42, ROOT)
    assert read_checkpoint(note, signer.vkey) == Checkpoint("log.example/audit", 42, ROOT)
    assert LogKey(str(signer.vkey)).checkpoint(note) == (42, ROOT)
    assert note == (
        f"log.example/audit\n42\n{base64.b64encode(ROOT).decode()}\n\n— log.example/audit " + note.rpartition(" ")[2]
    )


def test_a_checkpoint_of_another_key_or_log_is_refused() -> None:
    """A foreign key, the right key under another origin, and an unsigned note are refused by both readers."""
    mine, foreign = a_signer(), Signer("log.example/audit", bytes([1]) * 32)
    other_origin = sign_note(
        Checkpoint("other.example", 1, ROOT).body(), mine.vkey.name, Ed25519PrivateKey.from_private_bytes(bytes(32))
    )
    unsigned = Checkpoint("log.example/audit", 1, ROOT).body()
    for note in (foreign.sign(1, ROOT), other_origin, unsigned, unsigned + "\n"):
        with pytest.raises(NoteInvalid):
            read_checkpoint(note, mine.vkey)
        with pytest.raises(ValueError):  # noqa: PT011 - the class is the contract
            LogKey(str(mine.vkey)).checkpoint(note)


@pytest.mark.parametrize(
    "body",
    [
        "log.example/audit\n042\n" + base64.b64encode(ROOT).decode() + "\n",
        "log.example/audit\n-1\n" + base64.b64encode(ROOT).decode() + "\n",
        "log.example/audit\n٣\n" + base64.b64encode(ROOT).decode() + "\n",
        "log.example/audit\n1\nAAAA\n",
        "log.example/audit\n1\n",
        "log.example/audit\n",
    ],
    ids=["leading-zero", "negative", "other-digits", "short-root", "no-root", "no-size"],
)
def test_malformed_checkpoints_are_refused_although_signed(body: str) -> None:
    """A signature does not make a malformed checkpoint good, for either reader."""
    note = sign_note(body, "log.example/audit", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    key = a_signer().vkey
    with pytest.raises(NoteInvalid):
        read_checkpoint(note, key)
    with pytest.raises(ValueError):  # noqa: PT011 - the class is the contract
        LogKey(str(key)).checkpoint(note)


def test_base64_has_one_form() -> None:
    """A text with spare bits, which decodes to the same bytes, is refused: one value, one note."""
    signer = a_signer()
    good = signer.sign(1, ROOT)
    line = good.split("\n")[2]
    spare = line[:-2] + chr(ord(line[-2]) + 1) + "="
    assert base64.b64decode(spare) == base64.b64decode(line)
    resigned = sign_note(
        good.partition("\n\n")[0].replace(line, spare) + "\n",
        "log.example/audit",
        Ed25519PrivateKey.from_private_bytes(bytes(32)),
    )
    with pytest.raises(NoteInvalid, match="canonical"):
        read_checkpoint(resigned, signer.vkey)


def test_malformed_notes_are_refused() -> None:
    """Control characters, oversize, bad signature lines and text without a final newline are refused."""
    signer = a_signer()
    good = signer.sign(1, ROOT)
    for note in (
        good.replace("\n1\n", "\n1\r\n"),
        good[:-1],
        "x" * (MAX_NOTE_BYTES + 1) + good,
        good.replace("— ", "- "),
        good + "— second AAAA\n",
        good + "— with space AAAAAAAAAA==\n",
    ):
        with pytest.raises(NoteInvalid):
            open_note(note, [signer.vkey])
    with pytest.raises(NoteInvalid):
        sign_note("no newline", "n", Ed25519PrivateKey.from_private_bytes(bytes(32)))


def test_a_key_file_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    """First use makes a file of mode 0600; later uses give the same key."""
    path = tmp_path / "deep" / "log.key"
    first, second = open_signer(path, "log.example/a"), open_signer(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.vkey == second.vkey
    assert first.vkey.name == "log.example/a"
    assert [one.name for one in path.parent.iterdir()] == ["log.key"]
    _create(path, "log.example/other")  # as if another process had been slower
    assert open_signer(path).vkey == first.vkey
    assert repr(first) == f"Signer('{first.vkey}')"


def test_without_a_name_each_log_gets_its_own(tmp_path: Path) -> None:
    """Two logs made without a name have different origins."""
    assert open_signer(tmp_path / "a").vkey.name != open_signer(tmp_path / "b").vkey.name


def test_an_open_or_damaged_key_file_is_refused(tmp_path: Path) -> None:
    """Wider modes, a link, another log's name, a damaged line and an ill-formed name are refused."""
    path = tmp_path / "log.key"
    open_signer(path, "log.example/a")
    path.chmod(0o640)
    with pytest.raises(SettingsRefused, match="chmod 600"):
        open_signer(path)
    path.chmod(0o600)
    with pytest.raises(SettingsRefused, match="own key"):
        open_signer(path, "log.example/b")
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(SettingsRefused, match="a link"):
        open_signer(link)
    line = path.read_text()
    for damaged in ("", "x", line.replace("+A", "+B", 1), line.replace("log.example/a", "log.example/c"), line[:-8]):
        path.write_text(damaged)
        with pytest.raises(SettingsRefused):
            open_signer(path)
    with pytest.raises(SettingsRefused, match="no space"):
        open_signer(tmp_path / "new.key", "a b")


def test_a_list_of_keys_is_of_one_log() -> None:
    """Keys of two logs, an empty list, a bad size and a witness's key in the log's place are refused."""
    mine, other = a_signer(), a_signer("other.example")
    witness = witness_key("log.example/audit", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    for text in (f"{mine.published}{other.published}", "", f"{mine.vkey} until then", str(witness)):
        with pytest.raises((Unusable, ValueError)):
            LogKey(text)
    with pytest.raises(Unusable):
        LogKey(mine.published, [str(mine.vkey)])


def test_a_cosignature_is_read_back_and_none_other() -> None:
    """What a witness signs is read with its key; altered, cut short or of another text it is refused."""
    signer, key = a_signer(), Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
    note, vkey = signer.sign(42, ROOT), witness_key("witness.example/w", key)
    text = note.partition("\n\n")[0] + "\n"
    line = cosignature_line(text, "witness.example/w", key, 1_795_348_800)
    assert cosigned_at(note, vkey) is None
    assert cosigned_at(note + line, vkey) == 1_795_348_800
    assert taken_from(note, line, [vkey]) == [(vkey, line)]
    assert LogKey(signer.published, [str(vkey)]).cosigned(note + line) == ["witness.example/w"]
    assert read_vkey(str(vkey), COSIGNATURE) == vkey
    other = signer.sign(43, ROOT)
    short = signature_line("witness.example/w", vkey.key_id + bytes(70))
    for bad in (other + line, note + line.replace("A", "B", 1), note + short):
        with pytest.raises(NoteInvalid):
            cosigned_at(bad, vkey)
        with pytest.raises(ValueError):  # noqa: PT011 - the class is the contract
            LogKey(signer.published, [str(vkey)]).cosigned(bad)
