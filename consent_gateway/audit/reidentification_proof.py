"""Verifies every re-identification of an exported log; standard library and `cryptography` only, trusts no database.

This one file can be lifted out and run alone: `python reidentification_proof.py FOLDER --origin URL`. It shares no code
with what wrote the entries. That the log itself is whole `verify.py` shows; run that first. The format is that of
docs/formats/reidentification.md; exit codes: 0 verified, 1 something is wrong, 2 the input cannot be judged.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

ROLES = frozenset({"officer", "auditor", "operator", "policy_editor", "reidentify", "approve_reidentification"})
_FORMAT = "reidentification/1"
_DETAIL = ("alone", "case_id", "format", "grant_minutes", "most_tokens", "reason", "requester", "text_sha256")
_HASH = re.compile("[0-9a-f]{64}")
_PRESENT, _VERIFIED = 0x01, 0x04  # flags of the authenticator's data


class Wrong(Exception):
    """An entry or a key is not what it must be; the message says what is wrong."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and the index of the entry in which it shows."""

    index: int
    message: str


@dataclass
class Proof:
    """What was verified. `alone` counts approvals by the requester under terms that allow it.

    `keys` maps the SHA-256 of each credential that approved to [officer, SHA-256 of its public key]: compare it with
    what the officers themselves say, for the log alone cannot show whose hand a key is in.
    """

    requests: int = 0
    approvals: int = 0
    alone: int = 0
    reveals: int = 0
    keys: dict[str, list[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True where nothing is wrong."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """The proof as JSON-ready members."""
        return asdict(self) | {"ok": self.ok}

    def as_text(self) -> str:
        """The proof for a reader."""
        told = f"{self.requests} requests, {self.approvals} approvals ({self.alone} alone), {self.reveals} reveals"
        keys = [f"key of {officer}: {key}" for officer, key in self.keys.values()]
        bad = [f"BAD entry {one.index}: {one.message}" for one in self.findings]
        return "\n".join([told, *keys, *bad, "verified" if self.ok else "NOT verified"])


@dataclass
class _Officer:
    roles: frozenset[str]
    revoked: bool = False


@dataclass
class _Key:
    officer: str
    public_key: bytes
    count: int = 0


@dataclass
class _Request:
    index: int
    at: datetime
    members: dict[str, Any]
    challenge: bytes
    approved_at: datetime | None = None
    denied: bool = False
    decided: int = 0
    revealed: bool = False


class ProofCheck:
    """Checks entries as they come, in the order of the log. `origin` is the gateway's, as officers' browsers see it."""

    def __init__(self, origin: str) -> None:
        self.proof = Proof()
        self._origin = origin.rstrip("/")
        self._rp_id = urlsplit(origin).hostname or ""
        self._officers: dict[str, _Officer] = {}
        self._keys: dict[str, _Key] = {}
        self._requests: dict[str, _Request] = {}

    def add(self, index: int, leaf: bytes) -> None:
        """The next entry of the log; those of other kinds are passed over."""
        try:
            entry = json.loads(leaf)["entry"]
            act = {"officer": self._officer_act, "reidentification": self._request_act}.get(entry["kind"])
            if act is not None:
                act(index, entry, _detail(entry))
        except Wrong as error:
            self.proof.findings.append(Finding(index, str(error)))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            self.proof.findings.append(Finding(index, f"the entry cannot be read: {type(error).__name__}"))

    def finish(self) -> Proof:
        """The verdict."""
        for request in self._requests.values():
            if request.decided and not request.revealed:
                self.proof.findings.append(Finding(request.index, "people were decided about, but no reveal follows"))
        return self.proof

    def _officer_act(self, _index: int, entry: Mapping[str, Any], detail: dict[str, str]) -> None:
        action, named = entry["action"], detail["officer"]
        if action == "add":
            roles = frozenset(detail["roles"].split(" "))
            _need(named not in self._officers, "the officer is added twice")
            _need(roles <= ROLES, "the officer is given a role that there is not")
            _need(detail.keys() == {"officer", "roles"}, "the entry holds what it must not")
            self._officers[named] = _Officer(roles)
        elif action == "enrol":
            self._enrol(named, detail)
        elif action == "revoke":
            self._officer(named).revoked = True
        else:
            _need(action == "clear_alarm", "nothing of this name happens to officers")

    def _enrol(self, named: str, detail: dict[str, str]) -> None:
        self._active(named)
        key = _bytes(_gathered(detail, "public_key"))
        _need(hashlib.sha256(key).hexdigest() == detail["public_key_sha256"], "the public key is not that of its hash")
        _need(detail["credential_sha256"] not in self._keys, "the passkey is registered twice")
        _need(_HASH.fullmatch(detail["credential_sha256"]) is not None, "the passkey has no hash")
        _need(detail["rp_id"] == self._rp_id and detail["origin"] == self._origin, "the passkey is for another origin")
        plain = {"officer", "credential_sha256", "public_key_sha256", "rp_id", "origin"}
        _need(plain == {name for name in detail if not name.startswith("public_key_") or name == "public_key_sha256"},
              "the entry holds what it must not")  # fmt: skip
        public_key(key)
        self._keys[detail["credential_sha256"]] = _Key(named, key)

    def _request_act(self, index: int, entry: Mapping[str, Any], detail: dict[str, str]) -> None:
        action = entry["action"]
        if action == "request":
            self._ask(index, entry, detail)
            return
        if action == "alarm":
            self._officer(detail["officer"])
            return
        request = self._requests.get(entry["reference"])
        if request is None:
            raise Wrong(f"`{action}` refers to no request of this log")
        acts = {"approve": self._approve, "deny": self._deny, "decide": self._decide, "reveal": self._reveal}
        _need(action in acts, "nothing of this name happens to requests")
        if action != "decide":
            _need(detail["request_sha256"] == request.challenge.hex(), "it is not about the request as it was made")
        _need(_moment(entry) >= request.at, "it is older than the request")
        acts[action](request, entry, detail)

    def _ask(self, index: int, entry: Mapping[str, Any], detail: dict[str, str]) -> None:
        count = sum(name.startswith("token_") for name in detail)
        names = [f"token_{at:03d}" for at in range(1, count + 1)]
        tokens = [detail[name] for name in names]
        _need(detail.keys() == {*_DETAIL, "request_sha256", *names}, "the request holds what it must not")
        members: dict[str, Any] = {name: detail[name] for name in _DETAIL} | {"tokens": tokens}
        members |= {name: entry[name] for name in ("at", "id", "purpose", "recipient", "revision")}
        canonical = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        challenge = hashlib.sha256(canonical).digest()
        _need(challenge.hex() == detail["request_sha256"], "the request is not the one of its hash")
        _need(members["format"] == _FORMAT and members["alone"] in ("yes", "no"), "the request is of another format")
        _need(members["id"] not in self._requests, "the request is made twice")
        _need(1 <= count <= int(members["most_tokens"]), "the request is for more tokens than its terms allow")
        _need(all(map(_HASH.fullmatch, tokens)), "a token is not told by its hash")
        self._active(members["requester"], "reidentify")
        self._requests[members["id"]] = _Request(index, _moment(entry), members, challenge)
        self.proof.requests += 1

    def _approve(self, request: _Request, entry: Mapping[str, Any], detail: dict[str, str]) -> None:
        approver, requester = detail["officer"], request.members["requester"]
        alone = request.members["alone"] == "yes"
        _need(request.approved_at is None and not request.denied, "the request was decided before")
        _need((approver == requester) == alone, "the requester approves, where another person must, or the reverse")
        self._active(approver, "reidentify" if alone else "approve_reidentification")
        key = self._keys.get(detail["credential_sha256"])
        if key is None or key.officer != approver:
            raise Wrong("the passkey is not one of the approver's")
        parts = [_bytes(_gathered(detail, name)) for name in ("authenticator_data", "client_data", "signature")]
        self._check_assertion(request, key, *parts)
        request.approved_at = _moment(entry)
        self.proof.keys[detail["credential_sha256"]] = [approver, hashlib.sha256(key.public_key).hexdigest()]
        self.proof.approvals += 1
        self.proof.alone += alone

    def _check_assertion(self, request: _Request, key: _Key, data: bytes, client: bytes, signature: bytes) -> None:
        said = json.loads(client)
        _need(said["type"] == "webauthn.get", "what was signed is no assertion")
        _need(_bytes(said["challenge"]) == request.challenge, "another request was signed")
        _need(said["origin"] == self._origin, "it was signed for another origin")
        _need(data[:32] == hashlib.sha256(self._rp_id.encode()).digest(), "it was signed for another relying party")
        _need(bool(data[32] & _PRESENT), "nobody was present")
        _need(bool(data[32] & _VERIFIED), "the person was not verified")
        count = int.from_bytes(data[33:37])
        _need(len(data) >= 37 and (count > key.count or count == key.count == 0), "the passkey's count does not grow")
        _verify(key.public_key, signature, data + hashlib.sha256(client).digest())
        key.count = count

    def _deny(self, request: _Request, _entry: Mapping[str, Any], detail: dict[str, str]) -> None:
        named = detail["officer"]
        self._active(named, None if named == request.members["requester"] else "approve_reidentification")
        _need(not request.denied and not request.revealed, "the request was over before")
        request.denied = True

    def _decide(self, request: _Request, entry: Mapping[str, Any], detail: dict[str, str]) -> None:
        request.decided += 1
        _need(detail["officer"] == request.members["requester"], "another officer than the requester is told")
        _need(request.decided <= len(request.members["tokens"]), "more people are told than tokens were asked for")
        self._granted(request, entry)

    def _reveal(self, request: _Request, entry: Mapping[str, Any], detail: dict[str, str]) -> None:
        _need(not request.revealed, "the grant is used twice")
        request.revealed = True
        self._granted(request, entry)
        _need(detail["officer"] == request.members["requester"], "another officer than the requester is told")
        self._active(detail["officer"], "reidentify")
        _need(detail["tokens"] == str(len(request.members["tokens"])), "another number of tokens is told")
        _need(_HASH.fullmatch(detail["result_sha256"]) is not None, "the result has no hash")
        _need(entry["outcome"] in ("told", "refused"), "the outcome is none that there is")
        self.proof.reveals += 1

    def _granted(self, request: _Request, entry: Mapping[str, Any]) -> None:
        if request.approved_at is None:
            raise Wrong("there is no approval before it")
        _need(not request.denied, "the request was denied before it")
        until = request.approved_at + timedelta(minutes=int(request.members["grant_minutes"]))
        _need(request.approved_at <= _moment(entry) < until, "it lies outside the life of the grant")

    def _officer(self, named: str) -> _Officer:
        if named not in self._officers:
            raise Wrong("the officer is not one of this log: export it from its beginning")
        return self._officers[named]

    def _active(self, named: str, role: str | None = None) -> None:
        officer = self._officer(named)
        _need(not officer.revoked, "the officer was revoked before")
        _need(role is None or role in officer.roles, f"the officer does not hold the role `{role}`")


def _need(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - a check and what its failure means
    if not holds:
        raise Wrong(otherwise)


def _moment(entry: Mapping[str, Any]) -> datetime:
    moment = datetime.fromisoformat(entry["at"])
    _need(moment.tzinfo is not None, "the time has no zone")
    return moment


def _detail(entry: Mapping[str, Any]) -> dict[str, str]:
    detail: dict[str, str] = entry["detail"]
    _need(all(isinstance(value, str) for value in detail.values()), "a detail is no text")
    return detail


def _gathered(detail: Mapping[str, str], name: str) -> str:
    """A text that was spread over `name_1`, `name_2` and so on."""
    count = sum(re.fullmatch(f"{name}_[0-9]+", one) is not None for one in detail)
    return "".join(detail[f"{name}_{at}"] for at in range(1, count + 1))


def _bytes(text: str) -> bytes:
    """Base64url without padding, in its one canonical spelling."""
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    _need(base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == text, "a value is not canonical base64url")
    return raw


def public_key(cose: bytes) -> tuple[int, Any]:
    """Algorithm and key of a COSE key: ES256 (-7), EdDSA (-8) or RS256 (-257). Raises `Wrong` or `ValueError` else."""
    members, rest = _cbor(cose)
    _need(not rest and isinstance(members, dict), "the public key is not a COSE key")
    kind, algorithm = members.get(1), members.get(3)
    if (kind, algorithm, members.get(-1)) == (2, -7, 1):
        point = b"\x04" + members[-2] + members[-3]
        return algorithm, ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    if (kind, algorithm, members.get(-1)) == (1, -8, 6):
        return algorithm, ed25519.Ed25519PublicKey.from_public_bytes(members[-2])
    if (kind, algorithm) == (3, -257):
        numbers = rsa.RSAPublicNumbers(int.from_bytes(members[-2]), int.from_bytes(members[-1]))
        return algorithm, numbers.public_key()
    raise Wrong("the public key is of a kind that is not taken")


def _verify(cose: bytes, signature: bytes, message: bytes) -> None:
    algorithm, key = public_key(cose)
    how: dict[int, tuple[Any, ...]] = {-7: (ec.ECDSA(SHA256()),), -8: (), -257: (padding.PKCS1v15(), SHA256())}
    try:
        key.verify(signature, message, *how[algorithm])
    except InvalidSignature as error:
        raise Wrong("the signature is wrong") from error


def _cbor(raw: bytes) -> tuple[Any, bytes]:
    """The first item of the bytes and what follows it: whole numbers, byte strings and maps of them (RFC 8949)."""
    major, short, raw = raw[0] >> 5, raw[0] & 31, raw[1:]
    length = {24: 1, 25: 2, 26: 4}.get(short, 0)
    _need(short <= 26 and len(raw) >= length, "the public key is not well-formed CBOR")
    number = int.from_bytes(raw[:length]) if length else short
    raw = raw[length:]
    if major in (0, 1):
        return (number if major == 0 else -1 - number), raw
    if major == 2:
        _need(len(raw) >= number, "the public key is cut off")
        return raw[:number], raw[number:]
    _need(major == 5, "the public key holds what a COSE key does not")
    members: dict[Any, Any] = {}
    for _ in range(number):
        name, raw = _cbor(raw)
        members[name], raw = _cbor(raw)
    return members, raw


def prove(leaves: Iterable[bytes], origin: str, first: int = 0) -> Proof:
    """The proof over the leaves of a log, in order. `first` is the index of the first of them."""
    check = ProofCheck(origin)
    for index, leaf in enumerate(leaves, first):
        check.add(index, leaf)
    return check.finish()


def prove_folder(folder: Path, origin: str) -> Proof:
    """The proof over an exported folder. Raises `OSError` or `ValueError` if it is not one."""
    first = int(json.loads((folder / "manifest.json").read_text())["first_index"])
    with (folder / "entries.ndjson").open("rb") as lines:
        return prove((line.removesuffix(b"\n") for line in lines), origin, first)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this file; returns the exit code."""
    parser = argparse.ArgumentParser(description="Verify every re-identification of an exported audit log.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--origin", required=True, help="the gateway's address as officers' browsers see it")
    parser.add_argument("--json", action="store_true", help="print the proof as JSON")
    given = parser.parse_args(arguments)
    try:
        proof = prove_folder(given.folder, given.origin)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"cannot verify: the folder is not an export ({type(error).__name__})", file=sys.stderr)  # noqa: T201
        return 2
    print(json.dumps(proof.as_json()) if given.json else proof.as_text())  # noqa: T201 - this file is also a command
    return 0 if proof.ok else 1


if __name__ == "__main__":
    sys.exit(main())
