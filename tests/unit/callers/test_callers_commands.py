"""`clients`: what an operator registers is what the registry holds, and a secret is shown once."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from joserfc.jwk import OKPKey

from consent_gateway.callers.registry import Registry
from consent_gateway.callers.tables import CLIENTS
from consent_gateway.cli.clients import clients
from consent_gateway.database import open_engine
from consent_gateway.errors import Conflict, InputRefused, NotFound
from tests.databases import build_schema

POLICIES = SimpleNamespace(
    channels={"till": 1}, purposes={"order_fulfilment": 1, "payment": 1}, recipients={"courier": 1}
)
OUTSIDE = SimpleNamespace(issuers={"https://login.example"})
ADD = ("add", "till-1", "--channel", "till", "--purpose", "order_fulfilment", "--scope", "customers:read")


@pytest.fixture
def services(tmp_path: Path, clock: Any) -> Iterator[Any]:
    """What the commands need of the services."""
    engine = open_engine(f"sqlite:///{tmp_path / 'gateway.db'}", threads=1)
    build_schema(engine, "gateway")
    yield SimpleNamespace(
        registry=Registry(engine, clock, b"k" * 32),
        policies=POLICIES,
        outside=OUTSIDE,
        close=lambda: None,
        engine=engine,
    )
    engine.dispose()


def run(services: Any, *arguments: str) -> Result:
    """One command; an error of the gateway's own is raised."""
    result = CliRunner().invoke(clients, arguments, obj=lambda: services)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_registered_client_can_prove_itself(services: Any) -> None:
    """`add --json` prints the secret that authenticates; the recipient defaults to the company."""
    told = json.loads(run(services, *ADD, "--purpose", "payment", "--json").output)
    client = services.registry.authenticate("till-1", told["client_secret"])
    assert client is not None
    assert (client.purposes, client.recipients) == ({"order_fulfilment", "payment"}, {"company"})


def test_an_outside_client_is_registered_under_a_known_issuer(services: Any) -> None:
    """`--issuer` and `--external-id` make a client without secret; an issuer that is not listed is refused by name."""
    outside = (*ADD, "--external-id", "till", "--bound", "dpop", "--json", "--issuer")
    with pytest.raises(InputRefused, match=r"https://login\.example"):
        run(services, *outside, "https://evil.example")
    told = json.loads(run(services, *outside, "https://login.example").output)
    assert (told["client_secret"], told["auth_method"], told["bound"]) == (None, "outside_issuer", "dpop")
    assert (told["issuer"], told["external_id"]) == ("https://login.example", "till")


def test_a_secret_is_shown_once(services: Any) -> None:
    """The secret is printed at the registration and never again."""
    output = run(services, *ADD).output
    secret = output.split()[-1]
    assert services.registry.authenticate("till-1", secret) is not None
    for command in (("list",), ("list", "--json"), ("revoke", "till-1", "--json")):
        assert secret not in run(services, *command).output


def test_a_key_set_comes_from_a_file(services: Any, tmp_path: Path) -> None:
    """With --jwks the client has keys and no secret; a private key in the file is refused."""
    key = OKPKey.generate_key("Ed25519")
    public = {**key.as_dict(private=False), "kid": "k1", "alg": "Ed25519"}
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{**public, "d": key.as_dict(private=True)["d"]}]}))
    with pytest.raises(InputRefused, match="private"):
        run(services, *ADD, "--jwks", str(path))
    path.write_text("not json")
    with pytest.raises(InputRefused, match="JSON Web Key Set"):
        run(services, *ADD, "--jwks", str(path))
    path.write_text(json.dumps({"keys": [public]}))
    told = json.loads(run(services, *ADD, "--jwks", str(path), "--json").output)
    assert (told["client_secret"], told["keys"], told["auth_method"]) == (None, ["k1"], "private_key_jwt")


@pytest.mark.parametrize(
    "different", [("--channel", "tv"), ("--purpose", "fun"), ("--recipient", "moon")], ids=lambda pair: pair[0]
)
def test_what_the_policy_does_not_know_is_refused(services: Any, different: tuple[str, str]) -> None:
    """A misspelt channel, purpose or recipient is refused, and nothing is registered."""
    with pytest.raises(InputRefused, match="unknown"):
        run(services, *ADD, *different)
    assert services.registry.all() == ()


def test_listing_and_revoking(services: Any) -> None:
    """A client is listed as active, then as revoked; adding it again and revoking an unknown one fail."""
    run(services, *ADD)
    assert "active" in run(services, "list").output
    assert "revoked `till-1`" in run(services, "revoke", "till-1").output
    assert "revoked" in run(services, "list").output
    (listed,) = json.loads(run(services, "list", "--json").output)
    assert listed["revoked_at"] is not None
    with pytest.raises(Conflict):
        run(services, *ADD)
    with pytest.raises(NotFound):
        run(services, "revoke", "nobody")


def test_an_unknown_scope_is_wrong_usage(services: Any) -> None:
    """Scopes are a closed list, and the message names it."""
    result = run(services, *ADD[:-1], "everything")
    assert result.exit_code == 2
    assert "consents:write" in result.output


def test_the_row_holds_no_secret(services: Any) -> None:
    """What the command prints is not what the database holds."""
    secret = json.loads(run(services, *ADD, "--json").output)["client_secret"]
    with services.engine.connect() as connection:
        assert secret not in str(connection.execute(sa.select(CLIENTS)).one())
