"""The agents that may ask for people, read from one file: their names, keys and callback hosts; verifies no message.

The file is JSON (or YAML, of which JSON is a part), and an agent's entry is that of the network's directory with the
hosts of its callbacks beside it. Whatever is wrong in it ends the start with file, line and mend.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from consent_gateway.errors import SettingsRefused
from consent_gateway.policy.findings import Finding
from consent_gateway.policy.schemas import Text, Words
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import parse
from consent_gateway.propagation.addresses import AllowedHosts, is_host

CALLER_PREFIX = "drp:"
"""Before an agent's id where the gateway names who acted: no client's id can be that."""

REGIMES = ("ccpa", "voluntary")
"""The legal regimes of the protocol; a request that names none is voluntary."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,28}")  # with the prefix it is a word of 32 characters, as the log takes them


@dataclass(frozen=True, slots=True)
class Agent:
    """One authorised agent. `key` is the raw Ed25519 key that its messages must be signed by."""

    agent_id: str
    name: str
    key: bytes
    hosts: AllowedHosts

    @property
    def caller(self) -> str:
        """What the agent is called as the one who acted."""
        return f"{CALLER_PREFIX}{self.agent_id}"


@dataclass(frozen=True, slots=True)
class Directory:
    """What the network calls us, whose law a regime is, and the agents by id."""

    business_id: str
    places: Mapping[str, str]
    agents: Mapping[str, Agent]


class _Id(fields.Field[str]):
    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str) or _ID.fullmatch(value) is None:
            raise ValidationError("this is no id; write up to 28 letters, digits, `_` and `-`")
        return value


class _Key(fields.Field[bytes]):
    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bytes:
        try:
            key = b64decode(value, validate=True)
            Ed25519PublicKey.from_public_bytes(key)
        except (binascii.Error, TypeError, ValueError) as error:
            raise ValidationError("this is no Ed25519 key; write its 32 bytes in base64") from error
        return key


class _Hosts(Words):
    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> tuple[str, ...]:
        words = super()._deserialize(value, *rest, **more)
        for word in words:
            if not is_host(word):
                raise ValidationError(f"`{word[:256]}` is no host; write `hooks.example.com` or `*.example.com`")
        return tuple(word.strip("[]") for word in words)


class _AgentSchema(Schema):
    id = _Id(required=True)
    name = Text(required=True)
    verify_key = _Key(required=True)
    callback_hosts = _Hosts(load_default=())
    private_callback_hosts = _Hosts(load_default=())
    # The rest of the network's entry is for people.
    web_url = fields.Raw()
    identity_assurance_url = fields.Raw()
    technical_contact = fields.Raw()
    business_contact = fields.Raw()

    @validates_schema
    def _private(self, given: dict[str, Any], **_: Any) -> None:
        stray = set(given["private_callback_hosts"]) - set(given["callback_hosts"])
        if stray or any(word.startswith("*.") for word in given["private_callback_hosts"]):
            raise ValidationError("a private host is one of `callback_hosts`, in full; add it there too")


class _FileSchema(Schema):
    business_id = _Id(required=True)
    places = fields.Dict(
        fields.String(validate=validate.OneOf(REGIMES, error=f"this is no regime; write {' or '.join(REGIMES)}")),
        Text(),
        required=True,
    )
    agents = fields.List(fields.Nested(_AgentSchema), required=True)


def read_directory(path: Path, known: frozenset[str]) -> Directory:
    """The directory in the file, or `SettingsRefused` that names line and mend of each fault.

    `known` are the places whose law the policy has.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsRefused(f"the agents file `{path}` cannot be read: name a readable UTF-8 file") from error
    findings: list[Finding] = []
    document = parse(path.name, text, findings)
    given = load(_FileSchema(), document, (), document.value, findings)
    agents: dict[str, Agent] = {}
    for at, one in enumerate([] if given is None else given["agents"]):
        agent = _agent(one)
        if agent.agent_id in agents or agent.key in {other.key for other in agents.values()}:
            line = document.line(("agents", at))
            findings.append(Finding(document.path, line, "an agent's id or key stands twice", "keep one"))
        agents[agent.agent_id] = agent
    for regime, place in ({} if given is None else given["places"]).items():
        if place not in known:
            line = document.line(("places", regime))
            findings.append(Finding(document.path, line, f"no pack knows the place `{place}`", "name one of a pack's"))
    if findings or given is None:
        raise SettingsRefused("the agents file does not stand: " + "; ".join(str(one) for one in sorted(findings)))
    return Directory(given["business_id"], MappingProxyType(given["places"]), MappingProxyType(agents))


def _agent(given: Mapping[str, Any]) -> Agent:
    hosts = AllowedHosts(frozenset(given["callback_hosts"]), frozenset(given["private_callback_hosts"]))
    return Agent(given["id"], given["name"], given["verify_key"], hosts)
