"""`clients`: register, list and revoke channel services; prints what the registry does and decides nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from consent_gateway.callers.registry import AuthMethod, Bound, Client, NewClient, Scope, refuse_unknown
from consent_gateway.errors import InputRefused
from consent_gateway.vocabulary import COMPANY
from consent_gateway.wiring import Services

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_PROOF = {
    AuthMethod.PRIVATE_KEY_JWT: "it signs assertions with its key",
    AuthMethod.OUTSIDE_ISSUER: "the issuer's tokens stand for it",
}
_BOUND = click.Choice([bound.value for bound in Bound])
_SCOPES = click.Choice([scope.value for scope in Scope])


@click.group()
def clients() -> None:
    """Register, list and revoke the channel services that may call."""


@clients.command("add")
@click.argument("client_id")
@click.option("--channel", required=True, help="The one channel the client speaks for.")
@click.option("--purpose", "purposes", multiple=True, required=True, help="A purpose it may claim; repeat for more.")
@click.option("--recipient", "recipients", multiple=True, help=f"A recipient it may name; `{COMPANY}` if left out.")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=_SCOPES, help="What it may call; repeat for more."
)
@click.option(
    "--jwks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of its public keys (a JSON Web Key Set); then it signs assertions and gets no secret.",
)
@click.option("--issuer", metavar="URL", help="The outside issuer of its tokens; then it gets no secret.")
@click.option("--external-id", metavar="ID", help="What that issuer calls the client.")
@click.option("--bound", type=_BOUND, help="Take and give no token that is not bound to a key or certificate.")
@_JSON
@click.pass_obj
def add(
    opened: Callable[[], Services],
    client_id: str,
    *,
    channel: str,
    purposes: tuple[str, ...],
    recipients: tuple[str, ...],
    scopes: tuple[str, ...],
    jwks: Path | None,
    issuer: str | None,
    external_id: str | None,
    bound: str | None,
    as_json: bool,
) -> None:
    """Register CLIENT_ID. Its secret is shown once: keep it where the client reads it."""
    new = NewClient(
        client_id=client_id,
        channel=channel,
        purposes=frozenset(purposes),
        recipients=frozenset(recipients or (COMPANY,)),
        scopes=frozenset(scopes),
        jwks=None if jwks is None else _key_set(jwks),
        issuer=issuer,
        external_id=external_id,
        bound=None if bound is None else Bound(bound),
    )
    services = opened()
    try:
        policies = services.policies
        refuse_unknown(
            new,
            channels=policies.channels.keys(),
            purposes=policies.purposes.keys(),
            recipients={COMPANY, *policies.recipients},
            issuers=services.outside.issuers,
        )
        client, secret = services.registry.add(new)
    finally:
        services.close()
    if as_json:
        click.echo(json.dumps({**_described(client), "client_secret": secret}))
        return
    click.echo(f"registered `{client.client_id}` for the channel `{client.channel}`")
    click.echo(_PROOF[client.auth_method] if secret is None else f"its secret, shown only now: {secret}")


@clients.command("list")
@_JSON
@click.pass_obj
def list_(opened: Callable[[], Services], *, as_json: bool) -> None:
    """List every client, revoked ones too."""
    services = opened()
    try:
        registered = services.registry.all()
    finally:
        services.close()
    if as_json:
        click.echo(json.dumps([_described(client) for client in registered]))
        return
    for client in registered:
        state = "revoked" if client.revoked_at else "active"
        click.echo(f"{client.client_id:24} {state:8} {client.channel:16} {' '.join(sorted(client.purposes))}")


@clients.command("revoke")
@click.argument("client_id")
@_JSON
@click.pass_obj
def revoke(opened: Callable[[], Services], client_id: str, *, as_json: bool) -> None:
    """End CLIENT_ID and every token it holds. Web workers follow within the token cache time."""
    services = opened()
    try:
        revoked_at = services.registry.revoke(client_id)
    finally:
        services.close()
    if as_json:
        click.echo(json.dumps({"client_id": client_id, "revoked_at": revoked_at.isoformat()}))
        return
    click.echo(f"revoked `{client_id}` at {revoked_at.isoformat()}")


def _key_set(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputRefused(f"`{path}` is not JSON: it must hold a JSON Web Key Set") from error


def _described(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "channel": client.channel,
        "purposes": sorted(client.purposes),
        "recipients": sorted(client.recipients),
        "scopes": sorted(client.scopes),
        "auth_method": client.auth_method.value,
        "keys": [key["kid"] for key in client.keys],
        "issuer": client.issuer,
        "external_id": client.external_id,
        "bound": client.bound,
        "created_at": client.created_at.isoformat(),
        "revoked_at": None if client.revoked_at is None else client.revoked_at.isoformat(),
    }
