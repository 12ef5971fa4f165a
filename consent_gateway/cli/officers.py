"""`officers`: register, list and revoke the people who act for the company; prints what the registry does."""

import json
from collections.abc import Callable
from typing import Any

import click

from consent_gateway.errors import InputRefused
from consent_gateway.officers.passkeys import refuse_address
from consent_gateway.officers.registry import CODE_LIFE, Officer, Role
from consent_gateway.wiring import Services

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_ROLES = click.Choice([role.value for role in Role])


@click.group()
def officers() -> None:
    """Register, list and revoke officers, who sign in with a passkey."""


@officers.command("add")
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, type=_ROLES, help="What they may do; repeat for more.")
@_JSON
@click.pass_obj
def add(opened: Callable[[], Services], name: str, *, roles: tuple[str, ...], as_json: bool) -> None:
    """Register the officer NAME. The enrolment code is shown once and makes one passkey within 30 minutes."""
    services = opened()
    try:
        refuse_address(services.issuer)
        officer, code = services.desk.officers.add(name, map(Role, roles))
    finally:
        services.close()
    if as_json:
        click.echo(json.dumps({**_described(officer), "enrolment_code": code}))
        return
    click.echo(f"registered `{name}` as {officer.officer_id}: {', '.join(sorted(officer.roles))}")
    click.echo(f"enrolment code, shown only now, for {CODE_LIFE.seconds // 60} minutes: {code}")


@officers.command("list")
@_JSON
@click.pass_obj
def list_(opened: Callable[[], Services], *, as_json: bool) -> None:
    """List every officer, revoked ones too, and who is halted by an alarm."""
    services = opened()
    try:
        registered = services.desk.officers.all()
    finally:
        services.close()
    if as_json:
        click.echo(json.dumps([_described(officer) for officer in registered]))
        return
    for one in registered:
        state = "revoked" if one.revoked_at else "halted" if one.alarm_at else "active" if one.passkeys else "invited"
        click.echo(f"{one.name:24} {state:8} {one.officer_id} {' '.join(sorted(one.roles))}")


@officers.command("revoke")
@click.argument("name")
@_JSON
@click.pass_obj
def revoke(opened: Callable[[], Services], name: str, *, as_json: bool) -> None:
    """End the officer NAME, their sessions and their open codes, at once."""
    services = opened()
    try:
        revoked_at = services.desk.officers.revoke(name)
    finally:
        services.close()
    if as_json:
        click.echo(json.dumps({"name": name, "revoked_at": revoked_at.isoformat()}))
        return
    click.echo(f"revoked `{name}` at {revoked_at.isoformat()}")


@officers.command("link")
@click.argument("name")
@click.argument("account")
@_JSON
@click.pass_obj
def link(opened: Callable[[], Services], name: str, account: str, *, as_json: bool) -> None:
    """Say that ACCOUNT, the `sub` of the provider of OFFICER_ISSUER, is the officer NAME."""
    services = opened()
    try:
        provider = services.console.provider
        if provider is None:
            raise InputRefused("no provider is set for officers: set CONSENT_GATEWAY_OFFICER_ISSUER first")
        issuer = provider.provider.issuer
        officer_id = services.console.accounts.link(name, issuer, account)
    finally:
        services.close()
    told = {"name": name, "officer_id": officer_id, "issuer": issuer}
    click.echo(json.dumps(told) if as_json else f"`{name}` signs in at {issuer} with this account")


@officers.command("clear-alarm")
@click.argument("name")
@_JSON
@click.pass_obj
def clear_alarm(opened: Callable[[], Services], name: str, *, as_json: bool) -> None:
    """Let the officer NAME go on, whom a burst of re-identifications halted. Look into the log first."""
    services = opened()
    try:
        services.desk.officers.clear_alarm(name)
    finally:
        services.close()
    click.echo(json.dumps({"name": name, "alarm": None}) if as_json else f"`{name}` may go on")


def _described(officer: Officer) -> dict[str, Any]:
    return {
        "officer_id": officer.officer_id,
        "name": officer.name,
        "roles": sorted(officer.roles),
        "passkeys": officer.passkeys,
        "created_at": officer.created_at.isoformat(),
        "revoked_at": None if officer.revoked_at is None else officer.revoked_at.isoformat(),
        "alarm_at": None if officer.alarm_at is None else officer.alarm_at.isoformat(),
    }
