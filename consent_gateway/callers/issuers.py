"""The outside issuers whose tokens are taken, read from one file; fetches nothing and verifies no token.

The file is YAML, of which JSON is a part. Whatever is wrong in it ends the start with file, line and mend.
"""

import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from consent_gateway.callers.keysets import ALGORITHMS
from consent_gateway.errors import SettingsRefused
from consent_gateway.policy.findings import Finding
from consent_gateway.policy.schemas import Text, Word, Words
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import Document, parse

CLIENT_CLAIMS = ("client_id", "azp", "sub")
_LOOPBACK_NAME = "localhost"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Introspection:
    """Where opaque tokens are asked about (RFC 7662), and as whom we ask."""

    endpoint: str
    client_id: str
    client_secret: str

    def __repr__(self) -> str:
        return f"Introspection(endpoint={self.endpoint!r}, client_id={self.client_id!r}, …)"


@dataclass(frozen=True, slots=True)
class Issuer:
    """One outside issuer. `hosts` may be called for keys and introspection; `private_hosts` may be in a private net.

    Exactly one of `jwks_uri` and `discovery` is set. `acr` empty means that none is demanded.
    """

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    jwks_uri: str | None
    discovery: str | None
    client_claim: str
    acr: tuple[str, ...]
    longest_life: timedelta
    hosts: frozenset[str]
    private_hosts: frozenset[str]
    introspection: Introspection | None


class _Url(Text):
    """An absolute https URL; http only to this machine."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs)
        why = url_fault(text)
        if why is not None:
            raise ValidationError(f"`{text[:256]}` {why}; write https://host/path")
        return text


class _IntrospectionSchema(Schema):
    endpoint = _Url(required=True)
    client_id = Text(required=True)
    client_secret_file = Text(required=True)


class _IssuerSchema(Schema):
    issuer = _Url(required=True)
    audience = Text(required=True)
    algorithms = fields.List(
        Word("algorithm", {name: name for name in ALGORITHMS}), required=True, validate=validate.Length(min=1)
    )
    jwks_uri = _Url(load_default=None)
    discovery = _Url(load_default=None)
    client_claim = Word("claim", {name: name for name in CLIENT_CLAIMS}, load_default="client_id")
    acr = Words(load_default=())
    longest_life_seconds = fields.Integer(strict=True, load_default=3600, validate=validate.Range(min=60, max=86400))
    hosts = Words(load_default=())
    private_hosts = Words(load_default=())
    introspection = fields.Nested(_IntrospectionSchema, load_default=None)

    @validates_schema
    def _one_source(self, given: dict[str, Any], **_: Any) -> None:
        if (given["jwks_uri"] is None) is (given["discovery"] is None):
            raise ValidationError("the keys need one source; set either `jwks_uri` or `discovery`")
        if len(given["issuer"]) > 256:
            raise ValidationError("`issuer` is longer than 256 characters; use a shorter one")
        allowed = {host_of(given["issuer"]), *given["hosts"]}
        named = [given["jwks_uri"], given["discovery"], (given["introspection"] or {}).get("endpoint")]
        for url in filter(None, named):
            if host_of(url) not in allowed:
                raise ValidationError(f"`{host_of(url)}` is not the issuer's host; add it to `hosts` if it is meant")
        stray = sorted(set(given["private_hosts"]) - allowed)
        if stray:
            raise ValidationError(f"`{stray[0]}` is no host of this issuer; add it to `hosts` or remove it")
        called = {*map(host_of, filter(None, named)), *given["hosts"]} - set(given["private_hosts"])
        closed = sorted(filter(_is_closed, called))
        if closed:
            raise ValidationError(
                f"`{closed[0]}` is no public address and is never called; add it to `private_hosts` if it is meant"
            )


class _FileSchema(Schema):
    issuers = fields.List(fields.Nested(_IssuerSchema), required=True, validate=validate.Length(min=1))


def read_issuers(path: Path) -> tuple[Issuer, ...]:
    """The issuers of the file, or `SettingsRefused` that names line and mend of each fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsRefused(f"the issuers file `{path}` cannot be read: name a readable UTF-8 file") from error
    findings: list[Finding] = []
    document = parse(path.name, text, findings)
    given = load(_FileSchema(), document, (), document.value, findings)
    found = [] if given is None else [_issuer(one, path.parent) for one in given["issuers"]]
    _refuse_ambiguous(found, document, findings)
    if findings:
        raise SettingsRefused("the issuers file does not stand: " + "; ".join(str(one) for one in sorted(findings)))
    return tuple(found)


def url_fault(url: str) -> str | None:
    """What speaks against calling this URL, or None: https, a host, nothing else; http to this machine alone."""
    parts = urlsplit(url)
    try:
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "has no port that can be read"
    if not host or not url.isascii() or any(character.isspace() for character in url):
        return "is no absolute URL"
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        return "holds a name, a query or a fragment"
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return None
    return "is not https"


def host_of(url: str) -> str:
    """The host of a URL, in lower case; empty where it has none."""
    return urlsplit(url).hostname or ""


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by its name or address alone."""
    if host == _LOOPBACK_NAME:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_public(address: str) -> bool:
    """Whether an address lies on the public Internet, also when it wraps an IPv4 address; unknown forms do not."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip.sixtofour is not None or ip.teredo is not None or ip in _NAT64:
            return False
    return ip.is_global and not ip.is_multicast


def _is_closed(host: str) -> bool:
    """Whether the host is itself an address that is not public. Where a name leads shows when it is called."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return is_loopback(host)
    return not is_public(host)


def _issuer(given: dict[str, Any], folder: Path) -> Issuer:
    asked = given["introspection"]
    return Issuer(
        issuer=given["issuer"],
        audience=given["audience"],
        algorithms=tuple(dict.fromkeys(given["algorithms"])),
        jwks_uri=given["jwks_uri"],
        discovery=given["discovery"],
        client_claim=given["client_claim"],
        acr=given["acr"],
        longest_life=timedelta(seconds=given["longest_life_seconds"]),
        hosts=frozenset({host_of(given["issuer"]), *given["hosts"]}),
        private_hosts=frozenset(given["private_hosts"]),
        introspection=None
        if asked is None
        else Introspection(asked["endpoint"], asked["client_id"], _secret(folder / asked["client_secret_file"])),
    )


def _secret(path: Path) -> str:
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsRefused(f"`client_secret_file` names `{path}`, which cannot be read: mend it") from error
    if not secret:
        raise SettingsRefused(f"`client_secret_file` names `{path}`, which is empty: write the secret into it")
    return secret


def _refuse_ambiguous(found: list[Issuer], document: Document, findings: list[Finding]) -> None:
    names = [one.issuer for one in found]
    for index, name in enumerate(names):
        if name in names[:index]:
            line = document.line(("issuers", index))
            findings.append(Finding(document.path, line, f"the issuer `{name}` stands twice", "keep one of them"))
    asking = [index for index, one in enumerate(found) if one.introspection is not None]
    if len(asking) > 1:
        line = document.line(("issuers", asking[1]))
        what = "an opaque token does not say whose it is, so one issuer alone can be asked"
        findings.append(Finding(document.path, line, what, "keep `introspection` at one issuer"))
