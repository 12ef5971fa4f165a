"""Verifies an audit log: an export, a copy of its tiles, or entries fed to it; standard library and `cryptography`.

Lift it out and run it alone: `python verify.py FOLDER --vkey FILE`. It shares no code with what it checks. Formats:
docs/formats/audit-log.md; exit codes: 0 verified, 1 not, 2 the input cannot be judged. Read from `verify_folder` down.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from heapq import merge
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_CHAINED = re.compile(rb'\},"format":1,"prev":"([0-9a-f]{64})","seq":([1-9][0-9]*),"writer":"([\w.:-]+)"\}')
_OPENING = b'{"entry":{'
_KeyName = tuple[str, bytes]  # a key's name and id


class Unusable(Exception):
    """The input cannot be judged at all: a file or the key is missing or malformed."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. `index` is the first bad entry, or the first of a stretch up to `last`."""

    code: str
    message: str
    index: int | None = None
    last: int | None = None


@dataclass
class Report:
    """What was verified, and what is wrong with it. `root` is hex; `writers` maps a writer to its entries seen."""

    origin: str
    first: int = 0
    entries: int = 0
    size: int = 0
    root: str = ""
    checkpoints: int = 0
    witnesses: list[str] = field(default_factory=list)
    writers: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True where nothing is wrong."""
        return not self.findings

    @property
    def whole(self) -> bool:
        """True where every entry of the log up to its last checkpoint was seen."""
        return self.entries == self.size

    @property
    def first_bad(self) -> int | None:
        """The lowest index that any finding names; exact ones go before stretches."""
        exact = [one.index for one in self.findings if one.index is not None and one.last is None]
        return min(exact or [one.index for one in self.findings if one.index is not None], default=None)

    def as_json(self) -> dict[str, object]:
        """The report as JSON-ready members."""
        return asdict(self) | {"ok": self.ok, "whole": self.whole, "first_bad": self.first_bad}

    def as_text(self) -> str:
        """The report for a reader."""
        lines = [f"log {self.origin}: {self.entries} of {self.size} entries seen, the first is {self.first}"]
        lines += [f"root {self.root}; {self.checkpoints} checkpoints; {len(self.writers)} writers"]
        lines += [f"cosigned by {one}" for one in self.witnesses]
        for one in self.findings:
            where = "" if one.index is None else f"entry {one.index}{'' if one.last is None else f' to {one.last}'}: "
            lines.append(f"BAD {one.code}: {where}{one.message}")
        return "\n".join([*lines, "verified" if self.ok else "NOT verified"])


class LogKey:
    """A log's keys: `name+keyid+base64(0x01 || key)`, retired ones ` until SIZE`; `witnesses` are of type 0x04."""

    def __init__(self, vkeys: str, witnesses: Iterable[str] = ()) -> None:
        self._keys: dict[_KeyName, tuple[Ed25519PublicKey, int]] = {}
        for line in vkeys.strip().splitlines() or [""]:
            vkey, _, until = line.strip().partition(" until ")
            who, key = _read_vkey(vkey, 1)
            self.name, self._keys[who] = who[0], (key, int(until or sys.maxsize))
        if any(name != self.name for name, _key_id in self._keys):
            raise Unusable("the keys are of more than one log")
        self._witnesses = dict(_read_vkey(line.strip(), 4) for line in witnesses)

    def checkpoint(self, note: str) -> tuple[int, bytes]:
        """(size, root) of a checkpoint of this log, signed by a key that counts at that size; else ValueError."""
        size, root = _head(_parts(note)[0], self.name)
        self.refuse_unsigned(note, size)
        return size, root

    def refuse_unsigned(self, note: str, size: int, *, wholly: bool = False) -> None:
        """Raise ValueError unless a key that counts at this size signed the note; `wholly`: and no other key did."""
        text, lines = _parts(note)
        found = [(*self._keys[who], signed) for who, signed in lines if who in self._keys]
        if wholly and len(found) < len(lines):
            raise ValueError("it bears a signature by another key than those of vkey.txt")
        for key, _until, signed in found:
            _refuse_forged(key, signed, text)
        if not any(size <= until for _key, until, _signed in found):
            raise ValueError("only a retired key signed it" if found else "it is not signed by this log's key")

    def cosigned(self, note: str) -> list[str]:
        """The witnesses, all of whom must have cosigned the checkpoint; else ValueError."""
        text, lines = _parts(note)
        for who, key in self._witnesses.items():
            signed = dict(lines).get(who, b"")
            _refuse_forged(key, signed[8:], f"cosignature/v1\ntime {int.from_bytes(signed[:8], 'big')}\n{text}")
        return [name for name, _key_id in self._witnesses]


class LogCheck:
    """Checks entries as they come: hashes, writers' chains, and the tree against each signed checkpoint.

    `notes` are (size it is filed under, note), ascending. `earlier` are checkpoints kept from before.
    """

    def __init__(self, key: LogKey, notes: Iterable[tuple[int, str]], earlier: Iterable[str] = ()) -> None:
        self.report = Report(key.name)
        self.edge: list[tuple[int, bytes]] = []  # (level, root) of the complete subtrees that make up the tree so far
        self._key = key
        self._size = self._index = 0  # of the tree, and of the next entry; they differ after a gap
        self._partial = False  # entries are left out, so one of a writer may be missing
        self._good, self._broken = 0, False  # the largest size at which the tree matched
        self._writers: dict[str, tuple[int, str, int]] = {}  # number, SHA-256, index of the last entry
        self._unchained: set[bytes] = set()
        self._last = (0, b"", "")  # size, root and note of the newest checkpoint that counts
        self._beside: list[int] = []  # sizes of earlier checkpoints that the tree could not be held against
        try:
            kept = sorted({(*key.checkpoint(note), note) for note in earlier})
        except ValueError as error:
            raise Unusable(f"the earlier checkpoint does not count: {error}") from error
        if len({size for size, _root, _note in kept}) < len({(size, root) for size, root, _note in kept}):
            self.bad("forked", "two earlier checkpoints of one size differ")
        self._notes = merge(((*one, False) for one in notes), [(size, note, True) for size, _, note in kept])
        self._next = next(self._notes, None)
        self._hold()

    def bad(self, code: str, message: str, index: int | None = None, last: int | None = None) -> None:
        """Note a finding."""
        self.report.findings.append(Finding(code, message, index, last))

    def add(self, leaf: bytes, recorded: bytes | None = None, index: int | None = None) -> None:
        """The next entry; `recorded` is the leaf hash stored beside it and `index` the place it claims, if any."""
        if index is not None and index != self._index:
            self.bad("gap", f"missing or misnumbered: the next entry is numbered {index}", self._index)
            self._broken, self._index = True, index
        computed = hashlib.sha256(b"\x00" + leaf).digest()
        if recorded is not None and recorded != computed:
            self.bad("altered", "the entry is not the one whose hash is recorded beside it", self._index)
            computed = recorded  # if the recorded hash is genuine the tree will still verify
        self._check_chain(leaf)
        self.report.first = self.report.first if self.report.entries else self._index
        self.report.entries += 1
        self._grow(0, computed)

    def skip(self, level: int, subtree: bytes) -> None:
        """Pass over entries that are not given: `subtree` is the root of the complete subtree over 2**level of them."""
        if not 0 <= level < 64 or self._size & ((1 << level) - 1):
            raise Unusable(f"what is left out before entry {self._index} does not fit its place")
        self._partial = True
        self._grow(level, subtree)

    def _grow(self, level: int, subtree: bytes) -> None:
        self._size += 1 << level
        self._index += 1 << level
        while self.edge and self.edge[-1][0] == level:
            subtree = hashlib.sha256(b"\x01" + self.edge.pop()[1] + subtree).digest()
            level += 1
        self.edge.append((level, subtree))
        if self._next is not None and self._next[0] <= self._size:
            self._hold()

    def finish(self) -> Report:
        """The verdict."""
        report, end = self.report, self._index
        self._hold(sys.maxsize)
        report.size, report.root = self._last[0], self._last[1].hex()
        report.writers = {writer: state[0] for writer, state in self._writers.items()}
        if not report.checkpoints:
            self.bad("no_checkpoint", "no valid checkpoint vouches for these entries")
        elif not self._broken and report.size > self._size:
            self.bad("truncated", f"{report.size - self._size} of {report.size} entries are missing", self._good, end)
        elif not self._broken and report.size < self._size:
            self.bad("unsealed", "from here on no checkpoint vouches for the entries", report.size)
        for size in self._beside:
            if size > report.size:
                self.bad("rolled_back", f"an earlier checkpoint promised {size} entries", report.size)
            elif not self._broken:
                self.bad("not_comparable", f"the earlier checkpoint of size {size} lies outside this export")
        try:
            report.witnesses = self._key.cosigned(self._last[2]) if report.checkpoints else []
        except ValueError:
            self.bad("witness", "the newest checkpoint is not cosigned by every witness named")
        return report

    def _check_chain(self, leaf: bytes) -> None:
        found = _CHAINED.fullmatch(leaf, leaf.rfind(b'},"format":1,')) if leaf.startswith(_OPENING) else None
        digest = hashlib.sha256(leaf).digest()
        if found is None:
            if not (leaf.startswith(_OPENING) and leaf.endswith(b'},"format":1}')):
                self.bad("foreign", "it is not an entry of the gateway", self._index)
            if digest[:12] in self._unchained:
                self.bad("repeated", "the entry stands in the log already", self._index)
            self._unchained.add(digest[:12])
            return
        number, writer = int(found[2]), found[3].decode()
        last, previous, index = self._writers.get(writer, (0, "0" * 64, self._index))
        if number <= last:
            self.bad("chain", f"number {number} of writer {writer} is repeated or out of order", self._index)
            return
        if number == last + 1 and found[1].decode() != previous:
            self.bad("chain", f"it is not the entry that its writer's next one, {self._index}, followed", index)
        elif number > last + 1 and not self._partial:
            self.bad("chain", f"entries {last + 1} to {number - 1} of writer {writer} are missing", self._index)
        self._writers[writer] = number, digest.hex(), self._index

    def _hold(self, upto: int = 0) -> None:
        """Judge the checkpoints up to the tree's size, and hold it against those of its very size."""
        while self._next is not None and self._next[0] <= max(upto, self._size):
            (filed, note, kept), self._next = self._next, next(self._notes, None)
            try:
                size, root = self._key.checkpoint(note)
                if size != filed or size < self._last[0]:
                    raise ValueError(f"it is the one of size {size}")
            except ValueError as error:
                message = f"the checkpoint filed under size {filed} does not count: {error}"
                self.bad("checkpoint", message, self._good, max(filed - 1, self._good))
                continue
            if not kept:
                self.report.checkpoints += 1
                self._last = size, root, note
            if size == self._size:
                self._compare(root)
            elif kept:
                self._beside.append(size)

    def _compare(self, root: bytes) -> None:
        if _root(self.edge) == root:
            self._good = self._size
        elif not self._broken:
            self._broken = True
            message = "the tree differs from the one signed: altered, inserted, removed or reordered"
            self.bad("tree", message, self._good, self._size - 1)


def verify_folder(folder: Path, key: LogKey, earlier: Iterable[str] = ()) -> Report:
    """The report on an exported folder, or on a copy of the log's tiles. Raises `Unusable` if it is neither."""
    try:
        return (_tiled if (folder / "checkpoint").exists() else _exported)(folder, key, earlier)
    except OSError as error:
        raise Unusable(f"the folder lacks `{Path(str(error.filename)).name}`") from error
    except (KeyError, TypeError, ValueError) as error:
        raise Unusable(f"the folder is not an export of an audit log: {error}") from error


def _exported(folder: Path, key: LogKey, earlier: Iterable[str]) -> Report:
    manifest = json.loads((folder / "manifest.json").read_text())
    notes = [json.loads(line) for line in (folder / "checkpoints.ndjson").read_text().splitlines()]
    check = LogCheck(key, [(int(one["size"]), one["note"]) for one in notes], earlier)
    names = {path.name for path in folder.iterdir()} - {"manifest.json", "manifest.sig"} | manifest["files"].keys()
    with ThreadPoolExecutor(1) as beside:  # hashing large blocks leaves the interpreter free: a second core does it
        digests = {name: beside.submit(_digest, folder / Path(name).name) for name in sorted(names)}
        with (folder / "entries.ndjson").open("rb") as entries, (folder / "leaf-hashes.txt").open("rb") as hashes:
            for line in hashes:  # a hash for each entry, or `level hash` in the place of entries that are not given
                level, _, subtree = line.decode().strip().rpartition(" ")
                if level:
                    check.skip(int(level), bytes.fromhex(subtree))
                elif leaf := entries.readline():
                    check.add(leaf.removesuffix(b"\n"), bytes.fromhex(subtree))
                else:
                    break  # entries are missing, and so the tree falls short of its checkpoint
            for leaf in entries:
                check.add(leaf.removesuffix(b"\n"))
    report = check.finish()
    if (report.first, report.entries) != (manifest["first_index"], manifest["entries"]):
        check.bad("file", "the manifest promises other entries, or another number of them")
    for name, digest in digests.items():
        if digest.result() != manifest["files"].get(name):
            check.bad("file", f"`{name}` is not the file that the manifest names")
    try:
        key.refuse_unsigned(signed := (folder / "manifest.sig").read_bytes().decode(), report.size)
        LogKey((folder / "vkey.txt").read_text()).refuse_unsigned(signed, report.size, wholly=True)
        if _parts(signed)[0] != f"consent-gateway export manifest\n{_digest(folder / 'manifest.json')}\n":
            raise ValueError("it is another one")
    except (ValueError, Unusable) as error:
        check.bad("file", f"`manifest.json` is not the one that was signed: {error}")
    return report


def _tiled(folder: Path, key: LogKey, earlier: Iterable[str]) -> Report:
    """Tiles as of C2SP tlog-tiles: `checkpoint`, the entries in `tile/entries/`, their hashes in `tile/0/`."""
    note = (folder / "checkpoint").read_text()
    size = _head(_parts(note)[0], key.name)[0]
    check = LogCheck(key, [(size, note)], earlier)
    for number in range((size + 255) // 256):
        width = min(256, size - 256 * number)
        groups = re.findall("...", "0" * (-len(str(number)) % 3) + str(number))
        name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]]) + ("" if width == 256 else f".p/{width}")
        bundle, hashes = ((folder / "tile" / level / name).read_bytes() for level in ("entries", "0"))
        for place in range(width):
            end = 2 + int.from_bytes(bundle[:2], "big")
            check.add(bundle[2:end], hashes[32 * place : 32 * place + 32])
            bundle = bundle[end:]
    return check.finish()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_vkey(line: str, kind: int) -> tuple[_KeyName, Ed25519PublicKey]:
    """Name, id and key of `name+keyid+base64(kind || key)`."""
    try:
        name, key_id, encoded = line.split("+", 2)
        material = base64.b64decode(encoded, validate=True)
        found = hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]
        if material[0] != kind or found.hex() != key_id:
            raise ValueError(line)
        return (name, found), Ed25519PublicKey.from_public_bytes(material[1:])
    except (ValueError, IndexError) as error:
        raise Unusable("a vkey is malformed: expected `name+keyid+base64`") from error


def _parts(note: str) -> tuple[str, list[tuple[_KeyName, bytes]]]:
    """The text of a C2SP signed note, and of each line under it the key's name and id, and its signature."""
    text, separator, lines = note.rpartition("\n\n")
    read = []
    for line in lines[:-1].split("\n") if separator and note.endswith("\n") else [""]:
        dash, name, encoded = line.split(" ")  # or ValueError: it is not a signed note
        signed = base64.b64decode(encoded, validate=True)
        if dash != "\u2014" or base64.b64encode(signed).decode() != encoded:
            raise ValueError("it is not a signed note")
        read.append(((name, signed[:4]), signed[4:]))
    return f"{text}\n", read


def _head(text: str, origin: str) -> tuple[int, bytes]:
    """Size and root of a checkpoint's text."""
    named, size, encoded, *_more = text.split("\n")
    root = base64.b64decode(encoded, validate=True)
    if named != origin or not re.fullmatch("0|[1-9][0-9]*", size, re.ASCII) or len(root) != 32:
        raise ValueError("it is not a checkpoint of this log")
    return int(size), root


def _refuse_forged(key: Ed25519PublicKey, signed: bytes, text: str) -> None:
    try:
        key.verify(signed, text.encode())
    except InvalidSignature as error:
        raise ValueError("its signature is wrong") from error


def _root(edge: Sequence[tuple[int, bytes]]) -> bytes:
    root = edge[-1][1] if edge else hashlib.sha256(b"").digest()
    for _level, subtree in reversed(edge[:-1]):
        root = hashlib.sha256(b"\x01" + subtree + root).digest()
    return root


def text_or_file(given: str) -> str:
    """The text of a file of this name, or the text given. A vkey or a note may be handed over either way."""
    return Path(given).read_text() if len(given) < 4096 and Path(given).is_file() else given


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this file; returns the exit code."""
    parser = argparse.ArgumentParser(description="Verify an exported audit log, or a copy of its tiles.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vkey", required=True, help="the log's public keys, from the operator: a file or the line")
    parser.add_argument("--earlier", action="append", default=[], help="a checkpoint kept from before: a file")
    parser.add_argument("--witness", action="append", default=[], help="a witness that must have cosigned: its vkey")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    given = parser.parse_args(arguments)
    try:
        key = LogKey(text_or_file(given.vkey), map(text_or_file, given.witness))
        report = verify_folder(given.folder, key, map(text_or_file, given.earlier))
    except (Unusable, OSError, ValueError) as error:
        print(f"cannot verify: {error}", file=sys.stderr)  # noqa: T201 - this file is also a command
        return 2
    print(json.dumps(report.as_json()) if given.json else report.as_text())  # noqa: T201
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
