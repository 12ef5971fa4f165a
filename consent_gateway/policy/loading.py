"""Reads a policy directory and makes it ready to decide; the only file of this room that reads the disk."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy.catalogue import Catalogue
from consent_gateway.policy.compiler import compile_documents
from consent_gateway.policy.documents import Channel, Documents, Purpose, Recipient
from consent_gateway.policy.findings import Finding
from consent_gateway.policy.reading import NAMES, OPTIONAL, read_documents
from consent_gateway.policy.references import ReferenceCheck
from consent_gateway.policy.rulebook import Rulebook
from consent_gateway.policy.source import Document, parse, plain


@dataclass(frozen=True, slots=True)
class Policies:
    """One revision of the whole policy. `sources` are the files it was read from, path to text, for the archive."""

    revision: str
    documents: Documents = field(repr=False)
    rulebook: Rulebook = field(repr=False)
    sources: Mapping[str, str] = field(repr=False)

    @property
    def catalogue(self) -> Catalogue:
        """The field catalogue."""
        return self.documents.catalogue

    @property
    def purposes(self) -> Mapping[str, Purpose]:
        """All purposes by key."""
        return self.documents.purposes

    @property
    def channels(self) -> Mapping[str, Channel]:
        """All channels by key."""
        return self.documents.channels

    @property
    def recipients(self) -> Mapping[str, Recipient]:
        """All recipients by key."""
        return self.documents.recipients


def load_policies(directory: Path) -> Policies:
    """The policy of a directory. Raises `PolicyInvalid` with every finding as `file:line: what; mend`."""
    return policies_from(read_sources(directory))


def read_sources(directory: Path) -> Mapping[str, str]:
    """Path to text of every file that is part of the policy's revision; cases are not."""
    if not directory.is_dir():
        raise PolicyInvalid(f"there is no policy directory `{directory}`: name the directory that holds `packs/`")
    names = [f"{name}.yaml" for name in (*NAMES, *OPTIONAL) if (directory / f"{name}.yaml").is_file()]
    for folder in ("packs", "notices", "letters"):
        names += sorted(f"{folder}/{path.name}" for path in (directory / folder).glob("*.yaml"))
    return MappingProxyType({name: (directory / name).read_text(encoding="utf-8") for name in names})


def policies_from(sources: Mapping[str, str]) -> Policies:
    """The policy of texts by path, as an archive keeps them. Raises `PolicyInvalid` as `load_policies` does."""
    findings: list[Finding] = []
    parsed = {path: parse(path, text, findings) for path, text in sorted(sources.items())}
    documents = read_documents(parsed, findings)
    ReferenceCheck(documents, findings).run()
    if findings:
        told = tuple(str(finding) for finding in sorted(set(findings)))
        number = f"{len(told)} finding{'s' if len(told) > 1 else ''}"
        raise PolicyInvalid(f"the policy does not stand, {number}; first {told[0]}", told)
    revision = revision_of(parsed)
    rulebook = Rulebook(documents, compile_documents(documents), revision)
    return Policies(revision, documents, rulebook, sources)


def revision_of(parsed: Mapping[str, Document]) -> str:
    """16 hexadecimal digits over what the documents say; comments and layout do not count."""
    said = {path: plain(document.value) for path, document in parsed.items()}
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
