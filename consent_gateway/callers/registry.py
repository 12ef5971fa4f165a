"""The clients that may call, each bound to one channel and to what it may claim; shows a secret only once.

A client proves itself by a generated secret of 256 bits, by assertions signed with a key whose public half is
registered here, or by tokens of an outside issuer. Neither the secret nor a private key is ever stored.
"""

import hmac
import json
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.keysets import checked_keys
from consent_gateway.callers.tables import CLIENTS
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import Conflict, InputRefused, NotFound
from consent_gateway.ids import new_id
from consent_gateway.ports import Clock

_CLIENT_ID = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SECRET_LABEL = "client-secret"  # noqa: S105 - a label, not a secret


class Scope(StrEnum):
    """What a token may be used for; closed list."""

    CUSTOMERS_READ = "customers:read"
    CUSTOMERS_SEARCH = "customers:search"
    CUSTOMERS_WRITE = "customers:write"
    CUSTOMERS_EXPLAIN = "customers:explain"
    DECISIONS = "decisions"
    CONSENTS_READ = "consents:read"
    CONSENTS_WRITE = "consents:write"
    SIGNALS_WRITE = "signals:write"  # what a browser or a consent string says; it can only close
    CONSENTS_ADMINISTER = "consents:administer"  # acts of the company: lifting a restriction, holds, erasure
    RIGHTS_REQUEST = "rights:request"  # take in what people ask for, prove who they are, see how far it is
    AUDIT_READ = "audit:read"
    CHANGES_READ = "changes:read"
    CHANGES_SUBSCRIBE = "changes:subscribe"  # webhooks of the client's own
    METRICS_READ = "metrics:read"  # what Prometheus scrapes


class AuthMethod(StrEnum):
    """How a client proves itself at the token endpoint (names of RFC 7591)."""

    CLIENT_SECRET_BASIC = "client_secret_basic"  # noqa: S105 - the method's registered name
    PRIVATE_KEY_JWT = "private_key_jwt"
    OUTSIDE_ISSUER = "outside_issuer"  # it gets its tokens elsewhere and none here


class Bound(StrEnum):
    """What every token of a client must be bound to, so that a stolen one is worthless."""

    DPOP = "dpop"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class NewClient:
    """A registration on its way in.

    With `jwks` (a parsed JWKS document) the client signs assertions; with `issuer` and `external_id` that issuer's
    tokens stand for it. With `bound` no token that is not bound so is given to it or taken from it.
    """

    client_id: str
    channel: str
    purposes: frozenset[str]
    recipients: frozenset[str]
    scopes: frozenset[str]
    jwks: Mapping[str, Any] | None = None
    issuer: str | None = None
    external_id: str | None = None
    bound: Bound | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client. `keys` are its public keys, each with `kid` and `alg`; empty if it has a secret."""

    client_id: str
    channel: str
    purposes: frozenset[str]
    recipients: frozenset[str]
    scopes: frozenset[str]
    auth_method: AuthMethod
    keys: tuple[Mapping[str, Any], ...]
    created_at: datetime
    revoked_at: datetime | None
    issuer: str | None = None
    external_id: str | None = None
    bound: Bound | None = None

    def key(self, kid: str) -> Mapping[str, Any] | None:
        """The public key of that id, or None."""
        return next((key for key in self.keys if key["kid"] == kid), None)


class Registry:
    """Registers, finds and revokes clients. `key` keys the stored digest of their secrets."""

    def __init__(self, engine: sa.Engine, clock: Clock, key: bytes) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key

    def add(self, new: NewClient) -> tuple[Client, str | None]:
        """Register a client; returns it with its secret, which nobody can show again, or None if it needs none.

        Raises `InputRefused` for a registration that does not stand and `Conflict` for a client id in use,
        also one of a revoked client: the log would mix the two up.
        """
        keys = _checked(new)
        method = _method(new)
        secret = f"gw_cs_{secrets.token_urlsafe(32)}" if method is AuthMethod.CLIENT_SECRET_BASIC else None
        client = Client(
            client_id=new.client_id,
            channel=new.channel,
            purposes=new.purposes,
            recipients=new.recipients,
            scopes=new.scopes,
            auth_method=method,
            keys=keys,
            created_at=self._clock.now(),
            revoked_at=None,
            issuer=new.issuer,
            external_id=new.external_id,
            bound=new.bound,
        )
        row = {
            "client_id": client.client_id,
            "channel": client.channel,
            "purposes": _listed(client.purposes),
            "recipients": _listed(client.recipients),
            "scopes": _listed(client.scopes),
            "auth_method": method.value,
            "secret_hash": None if secret is None else self._secret_digest(client.client_id, secret),
            "jwks": json.dumps({"keys": keys}) if keys else None,
            "created_at": to_micros(client.created_at),
            "issuer": client.issuer,
            "external_id": client.external_id,
            "bound": client.bound,
        }
        try:
            with transaction(self._engine) as connection:
                connection.execute(sa.insert(CLIENTS).values(row))
                record_in(connection, _entry("add", client, client.created_at))
        except sa.exc.IntegrityError as error:
            raise Conflict(self._taken(new)) from error
        return client, secret

    def get(self, client_id: str) -> Client | None:
        """The client of that id that is not revoked, or None."""
        row = self._row(client_id)
        client = None if row is None else _client(row)
        return None if client is None or client.revoked_at is not None else client

    def authenticate(self, client_id: str, secret: str) -> Client | None:
        """The client if this is its secret, else None; takes as long for an unknown client as for a known one."""
        row = self._row(client_id)
        client = None if row is None else _client(row)
        given = self._secret_digest(client_id, secret)
        expected = given[::-1] if row is None or row["secret_hash"] is None else str(row["secret_hash"])
        matches = hmac.compare_digest(given, expected)
        if client is None or client.revoked_at is not None or client.auth_method is not AuthMethod.CLIENT_SECRET_BASIC:
            return None
        return client if matches else None

    def all(self) -> tuple[Client, ...]:
        """Every client, revoked ones too, by client id."""
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(CLIENTS).order_by(CLIENTS.c.client_id)).mappings().all()
        return tuple(_client(row) for row in rows)

    def revoke(self, client_id: str) -> datetime:
        """End a client and with it all its tokens; returns when it was first revoked. Raises `NotFound`."""
        now = self._clock.now()
        with transaction(self._engine) as connection:
            ended = connection.execute(
                sa.update(CLIENTS)
                .where(CLIENTS.c.client_id == client_id, CLIENTS.c.revoked_at.is_(None))
                .values(revoked_at=to_micros(now))
            )
            if ended.rowcount:
                record_in(connection, _entry("revoke", None, now, client_id))
            revoked = connection.execute(
                sa.select(CLIENTS.c.revoked_at).where(CLIENTS.c.client_id == client_id)
            ).scalar_one_or_none()
        if revoked is None:
            raise NotFound(f"there is no client `{client_id}`: see `clients list`")
        return from_micros(revoked)

    def _taken(self, new: NewClient) -> str:
        if self._row(new.client_id) is not None:
            return f"the client id `{new.client_id}` is in use or was: choose another"
        return "the issuer's client is registered under another client id: revoke that one first"

    def _row(self, client_id: str) -> sa.RowMapping | None:
        if _CLIENT_ID.fullmatch(client_id) is None:
            return None
        select = sa.select(CLIENTS).where(CLIENTS.c.client_id == client_id)
        with reading(self._engine) as connection:
            return connection.execute(select).mappings().one_or_none()

    def _secret_digest(self, client_id: str, secret: str) -> str:
        return keyed_digest(self._key, _SECRET_LABEL, client_id.encode(), secret.encode())


def refuse_unknown(
    new: NewClient,
    *,
    channels: Collection[str],
    purposes: Collection[str],
    recipients: Collection[str],
    issuers: Collection[str],
) -> None:
    """Raise `InputRefused` where a registration names what the policy or the issuers file does not know."""
    if new.issuer is not None and new.issuer not in issuers:
        raise InputRefused(
            f"unknown issuer `{new.issuer}`: name one of the issuers file exactly, which has"
            f" {', '.join(sorted(issuers)) or 'none'}"
        )
    for word, given, known in (
        ("channel", {new.channel}, channels),
        ("purpose", new.purposes, purposes),
        ("recipient", new.recipients, recipients),
    ):
        unknown = sorted(name for name in given if name not in known)
        if unknown:
            raise InputRefused(f"unknown {word} `{unknown[0]}`: the policy has {', '.join(sorted(known)) or 'none'}")


def _checked(new: NewClient) -> tuple[Mapping[str, Any], ...]:
    if _CLIENT_ID.fullmatch(new.client_id) is None:
        raise InputRefused("a client id must be 2 to 64 lower-case letters, digits, `.`, `_` or `-`")
    for word in (new.channel, *new.purposes, *new.recipients):
        if _WORD.fullmatch(word) is None:
            raise InputRefused(f"`{word}` is not a key of a channel, purpose or recipient")
    unknown = sorted(new.scopes - set(Scope))
    if unknown or not new.scopes:
        raise InputRefused(f"scopes must be one or more of {', '.join(Scope)}")
    if (new.issuer is None) is not (new.external_id is None):
        raise InputRefused("an issuer and the client's id there belong together: give both or neither")
    if new.issuer is not None and new.jwks is not None:
        raise InputRefused("a client is proved by its own keys or by an issuer, never both: give one")
    for word, given in (("issuer", new.issuer), ("external id", new.external_id)):
        if given is not None and not (1 <= len(given) <= 256 and given.isascii() and given.isprintable()):
            raise InputRefused(f"the {word} must have 1 to 256 printable ASCII characters")
    return () if new.jwks is None else checked_keys(new.jwks)


def _method(new: NewClient) -> AuthMethod:
    if new.issuer is not None:
        return AuthMethod.OUTSIDE_ISSUER
    return AuthMethod.CLIENT_SECRET_BASIC if new.jwks is None else AuthMethod.PRIVATE_KEY_JWT


def _listed(words: frozenset[str]) -> str:
    return json.dumps(sorted(words))


def _client(row: sa.RowMapping) -> Client:
    return Client(
        client_id=row["client_id"],
        channel=row["channel"],
        purposes=frozenset(json.loads(row["purposes"])),
        recipients=frozenset(json.loads(row["recipients"])),
        scopes=frozenset(json.loads(row["scopes"])),
        auth_method=AuthMethod(row["auth_method"]),
        keys=tuple(json.loads(row["jwks"])["keys"]) if row["jwks"] else (),
        created_at=from_micros(row["created_at"]),
        revoked_at=None if row["revoked_at"] is None else from_micros(row["revoked_at"]),
        issuer=row["issuer"],
        external_id=row["external_id"],
        bound=None if row["bound"] is None else Bound(row["bound"]),
    )


def _entry(action: str, client: Client | None, now: datetime, client_id: str = "") -> Entry:
    """The audit entry of a registration or its end: who may claim what is itself accounted for."""
    detail = {"client": client.client_id if client else client_id}
    if client is not None:
        detail |= {} if client.issuer is None else {"issuer": client.issuer}
        detail |= {} if client.bound is None else {"bound": client.bound.value}
        detail |= {"purposes": " ".join(sorted(client.purposes))[:256], "scopes": " ".join(sorted(client.scopes))[:256]}
    channel = client.channel if client else None
    return Entry(new_id("cli", now), EntryKind.CLIENT, now, channel=channel, action=action, detail=detail)
