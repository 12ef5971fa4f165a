"""Which account at the officers' OpenID provider is which officer, and whether it was signed in to with two factors."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.console.tables import OFFICER_ACCOUNTS
from consent_gateway.errors import Conflict, InputRefused, NotFound, SignInRefused
from consent_gateway.officers.registry import officer_entry
from consent_gateway.officers.tables import OFFICERS
from consent_gateway.ports import Clock

MFA = "mfa"
"""The word of RFC 8176 for more than one factor."""


class Accounts:
    """The accounts of officers at one issuer. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def link(self, name: str, issuer: str, account: str) -> str:
        """Say that this account is this officer's; returns the officer's id. Raises `NotFound`, `Conflict`."""
        if not 1 <= len(account) <= 255 or not account.isprintable():
            raise InputRefused("an account is the provider's `sub`: 1 to 255 printable characters")
        try:
            with transaction(self._engine) as connection:
                known = sa.select(OFFICERS.c.officer_id).where(OFFICERS.c.name == name, OFFICERS.c.revoked_at.is_(None))
                officer_id = connection.execute(known).scalar_one_or_none()
                if officer_id is None:
                    raise NotFound(f"there is no officer `{name}`: see `officers list`")
                row = {"issuer": issuer, "account": account, "officer_id": officer_id}
                connection.execute(sa.insert(OFFICER_ACCOUNTS).values(row))
                record_in(connection, officer_entry("link", officer_id, self._clock.now(), issuer=issuer[:256]))
        except sa.exc.IntegrityError as error:
            raise Conflict("the account is an officer's already") from error
        return str(officer_id)

    def holder(self, issuer: str, claims: Mapping[str, Any], accepted: frozenset[str]) -> str:
        """The officer whom these verified claims name. `accepted` are the values of `acr` that mean several factors.

        Raises `SignInRefused` for an account that is no officer's, and for a sign-in by one factor alone.
        """
        if not has_factors(claims, accepted):
            raise SignInRefused(
                "the provider asked for one factor alone: sign in there with a second, then begin again"
            )
        account, column = claims.get("sub"), OFFICER_ACCOUNTS.c
        with reading(self._engine) as connection:
            own = sa.select(column.officer_id).where(column.issuer == issuer, column.account == str(account))
            officer_id = connection.execute(own).scalar_one_or_none()
        if officer_id is None:
            raise SignInRefused("the provider knows you, but no officer here has this account: ask the operator")
        return str(officer_id)


def has_factors(claims: Mapping[str, Any], accepted: frozenset[str]) -> bool:
    """Whether the claims say that more than one factor was asked for: by an accepted `acr`, or by `amr`."""
    methods = claims.get("amr")
    return claims.get("acr") in accepted or (isinstance(methods, list) and MFA in methods)
