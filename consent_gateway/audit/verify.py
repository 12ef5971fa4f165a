"""Verifies an audit log: an exported folder, or entries fed to it; standard library and `cryptography` only.

This one file can be lifted out and run alone: `python verify.py FOLDER --vkey FILE`. It shares no code with
the log that it checks, so that a mistake in one is seen by the other. The formats are those of
docs/formats/audit-log.md; exit codes: 0 verified, 1 the log does not verify, 2 the input cannot be judged.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_CHAINED = re.compile(rb'\},"format":1,"prev":"([0-9a-f]{64})","seq":([1-9][0-9]*),"writer":"([\w.:-]+)"\}\Z')
_UNCHAINED = re.compile(rb'\},"format":1\}\Z')
_OPENING = b'{"entry":{'
_TAIL_BYTES = 256  # the envelope behind an entry is shorter; searching there alone is most of the speed
_NEVER = sys.maxsize


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
    writers: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True where nothing is wrong."""
        return not self.findings

    @property
    def whole(self) -> bool:
        """True where every entry of the log up to its last checkpoint was seen."""
        return self.first == 0 and self.entries == self.size

    @property
    def first_bad(self) -> int | None:
        """The lowest index that any finding names; exact ones go before stretches."""
        exact = [one.index for one in self.findings if one.index is not None and one.last is None]
        return min(exact or [one.index for one in self.findings if one.index is not None], default=None)

    def as_json(self) -> dict[str, Any]:
        """The report as JSON-ready members."""
        return asdict(self) | {"ok": self.ok, "whole": self.whole, "first_bad": self.first_bad}

    def as_text(self) -> str:
        """The report for a reader."""
        span = f"entries {self.first} to {self.first + self.entries - 1}" if self.entries else "no entries"
        lines = [
            f"log {self.origin}: {span} of {self.size}{'' if self.whole else ' (not the whole log)'}",
            f"root {self.root}; {self.checkpoints} checkpoints; {len(self.writers)} writers",
        ]
        for one in self.findings:
            where = "" if one.index is None else f"entry {one.index}{'' if one.last is None else f' to {one.last}'}: "
            lines.append(f"BAD {one.code}: {where}{one.message}")
        return "\n".join([*lines, "verified" if self.ok else "NOT verified"])


class LogKey:
    """The public key of a log, from its vkey line `name+keyid+base64(0x01 || key)`. Raises `Unusable`."""

    def __init__(self, vkey: str) -> None:
        try:
            self.name, key_id, encoded = vkey.strip().split("+", 2)
            material = base64.b64decode(encoded, validate=True)
            self._id = hashlib.sha256(self.name.encode() + b"\n" + material).digest()[:4]
            if material[0] != 1 or self._id.hex() != key_id:
                raise ValueError(vkey)
            self._key = Ed25519PublicKey.from_public_bytes(material[1:])
        except (ValueError, IndexError) as error:
            raise Unusable("the vkey is malformed: expected `name+keyid+base64`") from error

    def checkpoint(self, note: str) -> tuple[int, bytes]:
        """(size, root) of a checkpoint of this log that this key signed. Raises ValueError with the cause."""
        text, separator, lines = note.rpartition("\n\n")
        text += "\n"
        signed = False
        for line in lines.splitlines() if separator else ():
            dash, name, encoded = (line.split(" ") + ["", ""])[:3]  # noqa: RUF005 - three parts or fewer
            signature = base64.b64decode(encoded, validate=True)
            if dash == "\u2014" and name == self.name and signature[:4] == self._id:
                try:
                    self._key.verify(signature[4:], text.encode())
                except InvalidSignature as error:
                    raise ValueError("its signature is wrong") from error
                signed = True
        if not signed:
            raise ValueError("it is not signed by this log's key")
        origin, size, encoded, *_more = text.split("\n")
        root = base64.b64decode(encoded, validate=True)
        if origin != self.name or not re.fullmatch("0|[1-9][0-9]*", size) or len(root) != 32:
            raise ValueError("it is not a checkpoint of this log")
        return int(size), root


class LogCheck:
    """Checks entries as they come: hashes, writers' chains, and the tree against each signed checkpoint.

    `notes` are (size it is filed under, note), ascending. `first` is the index of the first entry that will be
    added and `left` the roots of the complete subtrees before it. `earlier` are checkpoints kept from before.
    """

    def __init__(
        self,
        key: LogKey,
        notes: Iterable[tuple[int, str]],
        first: int = 0,
        left: Sequence[bytes] = (),
        earlier: Iterable[str] = (),
    ) -> None:
        self.report = Report(key.name, first)
        self._key = key
        self._size = first  # of the tree, which differs from the index after a gap
        self._index = first
        self._edge = _edge(first, left)
        self._good = first  # the largest size at which the tree matched
        self._broken = False
        self._writers: dict[bytes, tuple[int, str, int]] = {}  # number, SHA-256, index of the last entry
        self._unchained: set[bytes] = set()
        self._last = (0, b"")
        self._newest = -1  # the size of the newest valid checkpoint read so far
        self._earlier = self._read_earlier(earlier)
        self._notes = iter(notes)
        self._next = self._next_note()
        self._stop = 0
        self._at_boundary()

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
        _append(self._edge, computed)
        self._size += 1
        self._index += 1
        self.report.entries += 1
        if self._size >= self._stop:
            self._at_boundary()

    def finish(self, right: Sequence[tuple[int, bytes]] = ()) -> Report:
        """The verdict. `right` are the complete subtrees (level, root) that follow the last entry in the tree."""
        report, end = self.report, self._index
        if right:
            self._append_right(right)
        while self._next is not None:
            self._last = self._next
            self._next = self._next_note()
        report.size, report.root = self._last[0], self._last[1].hex()
        report.writers = {writer.decode(): state[0] for writer, state in self._writers.items()}
        if not report.checkpoints:
            self.bad("no_checkpoint", "no valid checkpoint vouches for these entries")
        elif not self._broken and self._last[0] > self._size:
            missing = (
                f"{self._last[0] - self._size} of the {self._last[0]} entries promised are missing, here or at the end"
            )
            self.bad("truncated", missing, self._good, end)
        elif not self._broken and self._last[0] < self._size:
            self.bad("unsealed", "from here on no checkpoint vouches for the entries", self._last[0])
        for size in self._earlier:
            if size > report.size:
                self.bad("rolled_back", f"an earlier checkpoint promised {size} entries", report.size)
            elif not self._broken:
                self.bad("not_comparable", f"the earlier checkpoint of size {size} lies outside this export")
        return report

    def _append_right(self, right: Sequence[tuple[int, bytes]]) -> None:
        end = self._next[0] if self._next is not None else self._size
        if [level for level, _subtree in right] != _levels(self._size, end):
            self._broken = True
            self.bad("proof", f"the proof does not lead from entry {self._size} to the checkpoint of size {end}")
            return
        for level, subtree in right:
            _append(self._edge, subtree, level)
        self._size = end
        self._at_boundary()

    def _check_chain(self, leaf: bytes) -> None:
        match = _CHAINED.search(leaf, max(0, len(leaf) - _TAIL_BYTES)) if leaf.startswith(_OPENING) else None
        if match is None:
            self._check_unchained(leaf)
            return
        prev, number, writer = match[1].decode(), int(match[2]), match[3]
        seen = self._writers.get(writer)
        name = writer.decode()
        if seen is None:
            if number == 1 and prev.strip("0"):
                self.bad("chain", f"the first entry of writer {name} names one before it", self._index)
            elif number != 1 and self.report.first == 0:
                self.bad("chain", f"entries 1 to {number - 1} of writer {name} are missing before it", self._index)
        elif number <= seen[0]:
            self.bad("chain", f"number {number} of writer {name} is repeated or out of order", self._index)
            return
        elif number > seen[0] + 1:
            missing = f"{seen[0] + 1} to {number - 1}"
            self.bad("chain", f"entries {missing} of writer {name} are missing before it", self._index)
        elif prev != seen[1]:
            self.bad("chain", f"it is not the entry that its writer's next one, {self._index}, followed", seen[2])
        self._writers[writer] = (number, hashlib.sha256(leaf).hexdigest(), self._index)

    def _check_unchained(self, leaf: bytes) -> None:
        if not (leaf.startswith(_OPENING) and _UNCHAINED.search(leaf)):
            self.bad("foreign", "it is not an entry of the gateway", self._index)
        digest = hashlib.sha256(leaf).digest()[:12]
        if digest in self._unchained:
            self.bad("repeated", "the entry stands in the log already", self._index)
        self._unchained.add(digest)

    def _at_boundary(self) -> None:
        """Hold the tree against every checkpoint of its present size, and find the next size to stop at."""
        while self._next is not None and self._next[0] <= self._size:
            self._last = self._next
            if self._next[0] == self._size:
                self._compare(self._next[1], "the checkpoint")
            self._next = self._next_note()
        if self._size in self._earlier:
            self._compare(self._earlier.pop(self._size), "the earlier checkpoint")
        sizes = [size for size in self._earlier if size > self._size]
        self._stop = min([*sizes, self._next[0] if self._next else _NEVER])

    def _compare(self, root: bytes, what: str) -> None:
        if self._broken:
            return
        if _root(self._edge) == root:
            self._good = self._size
            return
        self._broken = True
        stretch = f"the tree differs from {what} of size {self._size}: altered, inserted, removed or reordered"
        self.bad("tree", stretch, self._good, self._size - 1)

    def _next_note(self) -> tuple[int, bytes] | None:
        for filed, note in self._notes:
            try:
                size, root = self._key.checkpoint(note)
            except ValueError as error:
                self.bad("checkpoint", f"the checkpoint of size {filed} does not count: {error}")
                continue
            if size != filed or size <= self._newest:
                self.bad("checkpoint", f"the checkpoint filed under size {filed} is the one of size {size}")
                continue
            self._newest = size
            self.report.checkpoints += 1
            return size, root
        return None

    def _read_earlier(self, notes: Iterable[str]) -> dict[int, bytes]:
        earlier: dict[int, bytes] = {}
        for note in notes:
            try:
                size, root = self._key.checkpoint(note)
            except ValueError as error:
                raise Unusable(f"the earlier checkpoint does not count: {error}") from error
            if earlier.setdefault(size, root) != root:
                self.bad("forked", f"two earlier checkpoints of size {size} differ")
        return earlier


def verify_folder(folder: Path, key: LogKey, earlier: Iterable[str] = ()) -> Report:
    """The report on an exported folder. Raises `Unusable` if it is not one."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        first, files = int(manifest["first_index"]), dict(manifest["files"])
        left = [base64.b64decode(subtree) for subtree in manifest["proof"]["left"]]
        right = [(int(level), base64.b64decode(subtree)) for level, subtree in manifest["proof"]["right"]]
        notes = [json.loads(line) for line in (folder / "checkpoints.ndjson").read_text().splitlines()]
        newest = (folder / "checkpoint.txt").read_text()
        check = LogCheck(key, [(int(one["size"]), one["note"]) for one in notes], first, left, earlier)
        with (folder / "entries.ndjson").open("rb") as entries, (folder / "leaf-hashes.txt").open("rb") as hashes:
            recorded = _recorded(hashes)
            for line in entries:
                check.add(line.removesuffix(b"\n"), next(recorded, None))
        report = check.finish(right)
        _compare_files(folder, files, check)
        if not notes or notes[-1]["note"] != newest:
            check.bad("checkpoint", "checkpoint.txt is not the newest of checkpoints.ndjson")
    except OSError as error:
        raise Unusable(f"the folder lacks `{Path(str(error.filename)).name}`") from error
    except (KeyError, TypeError, ValueError) as error:
        raise Unusable(f"the folder is not an export of an audit log: {error}") from error
    return report


def _recorded(lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield bytes.fromhex(line.strip().decode())


def _compare_files(folder: Path, files: dict[str, str], check: LogCheck) -> None:
    for name, expected in files.items():
        digest = hashlib.sha256()
        with (folder / Path(name).name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        if digest.hexdigest() != expected:
            check.bad("file", f"`{name}` is not the file that the manifest names")


def _edge(size: int, hashes: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """The complete subtrees before `size`, largest first: one for each bit of the number."""
    levels = _levels(0, size)
    if len(levels) != len(hashes):
        raise Unusable("the proof does not fit the first entry's index")
    return list(zip(levels, hashes, strict=True))


def _levels(start: int, end: int) -> list[int]:
    """The levels of the fewest complete subtrees that lead from one size to the other, left to right."""
    levels = []
    while start < end:
        fitting = (end - start).bit_length() - 1
        levels.append(min(fitting, (start & -start).bit_length() - 1) if start else fitting)
        start += 1 << levels[-1]
    return levels


def _append(edge: list[tuple[int, bytes]], subtree: bytes, level: int = 0) -> None:
    while edge and edge[-1][0] == level:
        subtree = hashlib.sha256(b"\x01" + edge.pop()[1] + subtree).digest()
        level += 1
    edge.append((level, subtree))


def _root(edge: list[tuple[int, bytes]]) -> bytes:
    if not edge:
        return hashlib.sha256(b"").digest()
    root = edge[-1][1]
    for _level, subtree in reversed(edge[:-1]):
        root = hashlib.sha256(b"\x01" + subtree + root).digest()
    return root


def text_or_file(given: str) -> str:
    """The text of a file of this name, or the text given. A vkey or a note may be handed over either way."""
    path = Path(given)
    try:
        return path.read_text() if len(given) < 4096 and path.is_file() else given
    except (OSError, ValueError) as error:
        raise Unusable(f"cannot read `{path.name}`") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this file; returns the exit code."""
    parser = argparse.ArgumentParser(description="Verify an exported audit log.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vkey", required=True, help="the log's public key, from the operator: a file or the line")
    parser.add_argument("--earlier", action="append", default=[], help="a checkpoint kept from before: a file")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    given = parser.parse_args(arguments)
    try:
        key = LogKey(text_or_file(given.vkey))
        report = verify_folder(given.folder, key, [text_or_file(note) for note in given.earlier])
    except Unusable as error:
        print(f"cannot verify: {error}", file=sys.stderr)  # noqa: T201 - this file is also a command
        return 2
    print(json.dumps(report.as_json()) if given.json else report.as_text())  # noqa: T201
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
