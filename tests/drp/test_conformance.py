"""A conformance run over real HTTP: an agent written from the protocol's text against a gateway with all its parts."""

import json
import re
import subprocess
import sys
import threading
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from werkzeug.serving import make_server

from consent_gateway.line import ReadQuery
from consent_gateway.people.directory import PersonRef
from consent_gateway.rights.requests import By
from consent_gateway.settings import read_settings
from consent_gateway.web.app import FOR_AGENTS, create_app
from consent_gateway.wiring import Services, open_services
from tests.conftest import _create_database, _drop_database
from tests.deployment import deploy
from tests.drp.agent import Answer, ByTheSpec, signed
from tests.line.conftest import Line
from tests.line.test_own_requests import visitor
from tests.line.test_store_erasures import person, without_orders

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "agents.md"
US = "COFFEE_CHAIN"
KEYS = {name: Ed25519PrivateKey.from_private_bytes(bytes([at]) * 32) for at, name in enumerate(("GOOD", "OTHER"), 7)}
OFFICER = By(officer="of_desk", channel="privacy_desk")
MOST = {
    "request_id", "received_at", "expected_by", "agent_request_id", "processing_details", "status", "reason",
    "user_verification_url", "expires_at", "results_url",
}  # fmt: skip
"""Every member that 3.02 and 3.03 know."""


@dataclass(frozen=True)
class Served:
    """A gateway that agents can reach, and its insides."""

    base: str
    line: Line

    def agent(self, name: str = "GOOD", **changes: Any) -> ByTheSpec:
        """One of the two agents of the directory."""
        given = {"agent_id": name, "business_id": US, "key": KEYS[name], **changes}
        return ByTheSpec(self.base, **given)

    @property
    def services(self) -> Services:
        """The services of the process that answers."""
        return self.line.services

    def email(self, key: int) -> str:
        """A customer's address, by the store's key."""
        return str(self.line.store("SELECT email FROM customers WHERE customer_id = :key", key=key))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A deployed coffee chain with two agents in its directory, answering over HTTP."""
    folder: Path = tmp_path_factory.mktemp("drp")
    state, names = folder / "state", ("gateway", "keys", "store")
    state.mkdir(mode=0o700)
    if request.param == "sqlite":
        urls = {name: f"sqlite:///{(folder if name == 'store' else state) / name}.db" for name in names}
    else:
        server = request.getfixturevalue("postgresql_server")
        urls = {name: _create_database(server) for name in names}
    deployment = deploy(folder, urls)
    (folder / "agents.json").write_text(json.dumps(directory()))
    deployment.variables["CONSENT_GATEWAY_DRP_DIRECTORY"] = str(folder / "agents.json")
    services = open_services(read_settings(deployment.variables))
    listening = make_server("127.0.0.1", 0, create_app(services), threaded=True)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield Served(f"http://127.0.0.1:{listening.server_port}", Line(deployment, services))
    listening.shutdown()
    thread.join()
    services.close()
    if request.param == "postgresql":
        for url in urls.values():
            _drop_database(server, url)


def directory() -> Mapping[str, Any]:
    """The agents, as an operator writes them down."""
    return {
        "business_id": US,
        "places": {"ccpa": "US-CA", "voluntary": "US-CA"},
        "agents": [
            {
                "id": name,
                "name": f"{name.title()} agent",
                "verify_key": b64encode(key.public_key().public_bytes_raw()).decode(),
                "callback_hosts": ["127.0.0.1"],
                "private_callback_hosts": ["127.0.0.1"],
            }
            for name, key in KEYS.items()
        ],
    }


def status_of(answer: Answer) -> dict[str, Any]:
    """The status in an answer, which must have the form of 3.03."""
    assert (answer.status, answer.content_type) == (200, "application/json"), answer.raw
    shown: dict[str, Any] = answer.body
    assert set(shown) <= MOST
    assert isinstance(shown["request_id"], str)
    assert shown["status"] in {"open", "in_progress", "fulfilled", "revoked", "denied", "expired"}
    assert "reason" in shown
    assert datetime.fromisoformat(shown["received_at"]) <= datetime.now(UTC)
    assert datetime.fromisoformat(shown["expected_by"])
    assert (shown["reason"] == "need_user_verification") is ("user_verification_url" in shown)
    return shown


def error_of(answer: Answer, status: int) -> dict[str, Any]:
    """The error in an answer, which must have the form of 3.06."""
    assert (answer.status, answer.content_type) == (status, "application/json"), answer.raw
    shown: dict[str, Any] = answer.body
    assert shown["code"] == str(status)
    assert shown["message"]
    assert set(shown) <= {"code", "message", "fatal"}
    return shown


def test_a_run_as_the_conformance_tool_makes_it(served: Served) -> None:
    """Set-up, agent status, each action, status, revoke: the calls in their order, each answer held to its schema."""
    agent = served.agent()
    assert agent.check().status == 401  # no token yet
    setup = agent.set_up()
    assert (setup.status, setup.content_type, set(setup.body)) == (200, "application/json", {"agent-id", "token"})
    assert (agent.check().status, agent.check().body) == (200, {})
    address = {"email": served.email(21), "email_verified": True, "name": "Somebody"}
    numbers = set()
    for action in ("sale:opt-out", "sale:opt_out", "deletion", "access", "access:categories", "access:specific"):
        for regime in ("ccpa", "voluntary", None):
            shown = status_of(agent.exercise(action, **{**address, "regime": regime}))
            assert shown["agent_request_id"]
            numbers.add(shown["request_id"])
            assert status_of(agent.status(shown["request_id"])) == shown
    assert len(numbers) == 18
    assert error_of(agent.exercise("sale:opt-in", **address), 400)["fatal"] is True
    waiting = status_of(agent.exercise("deletion", **address))["request_id"]
    assert status_of(agent.revoke(waiting))["status"] == "revoked"
    assert status_of(agent.status(waiting))["status"] == "revoked"
    waiting = status_of(agent.exercise("deletion", **address))["request_id"]
    assert status_of(agent.revoke(waiting, **agent.envelope()))["status"] == "revoked"


def test_a_failed_set_up_says_nothing(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """403 without a body: wrong key, wrong business, wrong path, unknown agent, replayed, of another type, too long;
    the operator's log says which.
    """
    good = served.agent()
    wrong = (
        served.agent(key=KEYS["OTHER"]),
        served.agent(business_id="SOMEBODY_ELSE"),
        served.agent(agent_id="OTHER"),
        served.agent(agent_id="NOBODY"),
        served.agent(agent_id="%2e%2e"),
    )
    answers = [one.set_up() for one in wrong]
    body = signed(good.key, good.envelope())
    assert post(served, "/v1/agent/GOOD", body).status == 200
    answers += [
        post(served, "/v1/agent/GOOD", body),
        post(served, "/v1/agent/GOOD", body[:-3]),
        post(served, "/v1/agent/GOOD", signed(good.key, good.envelope()), kind="application/json"),
        post(served, "/v1/agent/GOOD", b"A" * 40_000),
        post(served, "/v1/agent/GOOD", b""),
    ]
    assert {(answer.status, answer.raw) for answer in answers} == {(403, b"")}
    told = [line for line in caplog.messages if line.startswith("the set-up of an agent was refused: ")]
    assert len(told) == len(answers)
    assert "`business-id` is not ours" in str(told)


def post(
    served: Served,
    path: str,
    body: bytes,
    *,
    kind: str | None = "text/plain",
    token: str | None = None,
    method: str = "POST",
) -> Answer:
    """One raw call."""
    headers = {} if kind is None else {"Content-Type": kind}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(served.base + path, data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return Answer(answer.status, answer.read(), answer.headers["Content-Type"] or "")
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(), error.headers["Content-Type"] or "")


def test_what_does_not_stand_is_refused_in_the_protocols_form(served: Served) -> None:
    """Each wrong body has its status, and `fatal` where no second sending mends it."""
    agent, other = served.agent(), served.agent("OTHER")
    assert (agent.set_up().status, other.set_up().status) == (200, 200)
    path = "/v1/data-rights-request"
    claims = {"exercise": "deletion", "email": served.email(22)}

    def sent(body: bytes, token: str | None = agent.token, **more: Any) -> Answer:
        return post(served, path, body, token=token, **more)

    message = {**agent.envelope(), **claims}
    body = signed(agent.key, message)
    before = served.line.scalar("SELECT count(*) FROM rights_requests")
    late = {**message, "expires-at": (datetime.now(UTC) - timedelta(minutes=1)).isoformat()}
    early = {**message, "issued-at": (datetime.now(UTC) + timedelta(minutes=5)).isoformat()}
    for wrong, status in (
        (sent(body[:-5]), 400),
        (sent(b""), 400),
        (sent(signed(other.key, message)), 403),
        (sent(body, token=other.token), 403),
        (sent(signed(agent.key, {**message, "agent-id": "OTHER"})), 403),
        (sent(signed(agent.key, {**message, "business-id": "ELSE"})), 403),
        (sent(signed(agent.key, early)), 400),
        (sent(signed(agent.key, late)), 400),
        (sent(signed(agent.key, {**message, "status_callback": "https://169.254.169.254/x"})), 400),
        (sent(body, kind="application/json"), 415),
        (sent(body, kind=None), 415),
        (sent(b"A" * 40_000), 413),
    ):
        assert error_of(wrong, status)["fatal"] is True
    for missing in (None, "gw_drp_" + "x" * 43, "gw_at_x", "a b"):
        assert "fatal" not in error_of(sent(body, token=missing), 401)
    assert served.line.scalar("SELECT count(*) FROM rights_requests") == before
    status_of(sent(body, kind="text/plain; charset=utf-8"))
    assert error_of(sent(body), 409)["fatal"] is True
    assert served.line.scalar("SELECT count(*) FROM rights_requests") == int(str(before)) + 1


def test_agents_do_not_see_each_other(served: Served) -> None:
    """Another agent's request is refused by 403 to see and to revoke; another's id in the path too."""
    agent, other = served.agent(), served.agent("OTHER")
    assert (agent.set_up().status, other.set_up().status) == (200, 200)
    request_id = status_of(agent.exercise("deletion", email=served.email(23)))["request_id"]
    told = {error_of(call, 403)["message"] for call in (other.status(request_id), other.revoke(request_id))}
    told.add(error_of(other.status("rq_01jd80000000000000000000ad"), 403)["message"])
    assert len(told) == 1
    assert replace(other, agent_id="GOOD").check().status == 403
    assert status_of(agent.status(request_id))["status"] == "in_progress"


def test_an_opt_out_binds_before_it_is_answered(served: Served) -> None:
    """The next decision of every channel is that of somebody who opted out."""
    agent, someone = served.agent(), person(served.line, 24)
    agent.set_up()
    assert status_of(agent.exercise("sale:opt-out", email=served.email(24)))["status"] == "fulfilled"
    known = served.services.choices.state(PersonRef(data_subject=someone))
    opted_out = {purpose for purpose, choice in known.facts.choices.items() if choice.opted_out}
    assert opted_out == {"targeted_ads", "data_sale"}


def test_the_link_that_an_agent_makes_leads_to_the_persons_page(served: Served) -> None:
    """With the agent's parameters (3.02.1) it shows the request to its person, who proves it there; a link that names
    two requests shows none; nobody is sent on to an address that stands in a link.
    """
    agent, someone = served.agent(), visitor(served.line, 25)
    agent.set_up()
    shown = status_of(agent.exercise("deletion", email=served.email(25)))
    path = shown["user_verification_url"].removeprefix(served.services.issuer)
    query = {"redirect_to": "https://agent.example.com/back", "lang": "en"}
    answer = someone.http.get(path, query_string={**query, "request_id": shown["request_id"]})
    assert answer.status_code == 200
    assert "agent.example.com" not in answer.get_data(as_text=True)
    assert someone.http.get(path, query_string={**query, "request_id": "rq_other"}).status_code == 404
    proved = someone.send("/preferences/requests/prove", {"request": shown["request_id"]})
    assert proved.status_code == 303
    after = status_of(agent.status(shown["request_id"]))
    assert (after["status"], after["reason"]) == ("in_progress", None)


def test_the_whole_life_of_a_deletion(served: Served) -> None:
    """Asked for by an agent, proved by the person on their page, approved and carried out by an officer: the agent is
    called back at each change, the person is gone from the store, and reads tell nothing on the way.
    """
    someone, email = without_orders(served.line, 26), served.email(26)
    agent = served.agent()
    agent.set_up()
    round_ = served.services.agents
    assert round_ is not None
    with agent.listening():
        request_id = status_of(agent.exercise("deletion", email=email, phone_number=None))["request_id"]
        assert round_.callbacks.round() == 0
        anna = visitor(served.line, 26)
        assert anna.send("/preferences/requests/prove", {"request": request_id}).status_code == 303
        assert round_.callbacks.round() == 1
        read = ReadQuery(PersonRef(data_subject=someone), "customer_support", ("city",))
        assert not served.services.gateway.read(served.line.caller("customer_support"), read).record
        handling = served.services.rights.handling
        handling.approve(request_id, OFFICER)
        done = handling.execute(request_id, OFFICER, waived=True)
        assert done.state == "fulfilled"
        assert round_.callbacks.round() == 1
        assert round_.callbacks.round() == 0
    assert [(one["status"], one["reason"]) for one in agent.heard] == [("in_progress", None), ("fulfilled", None)]
    assert agent.heard[-1] == status_of(agent.status(request_id))
    assert served.line.store("SELECT count(*) FROM customers WHERE customer_id = 26") == 0
    assert email not in str(agent.heard)
    assert error_of(agent.revoke(request_id), 409)


def test_to_revoke_a_repetition_writes_no_letter(served: Served) -> None:
    """Its person is written to about the request that goes on, and not told that it was withdrawn."""
    agents, anna = (served.agent(), served.agent("OTHER")), visitor(served.line, 29)
    numbers = []
    for agent in agents:
        agent.set_up()
        numbers.append(status_of(agent.exercise("deletion", email=served.email(29)))["request_id"])
        assert anna.send("/preferences/requests/prove", {"request": numbers[-1]}).status_code == 303
    assert status_of(agents[1].revoke(numbers[1]))["status"] == "revoked"
    assert status_of(agents[0].status(numbers[0]))["status"] == "in_progress"
    told = "SELECT count(*) FROM rights_letters WHERE kind = 'cancellation' AND request_id = :r"
    assert served.line.scalar(told, r=numbers[1]) == 0
    assert status_of(agents[0].revoke(numbers[0]))["status"] == "revoked"
    assert served.line.scalar(told, r=numbers[0]) == 1


def test_a_callback_that_fails_is_made_again_by_the_real_poster(served: Served) -> None:
    """Nobody listens any more: the failure is noted, and the status stays to be told."""
    agent = served.agent()
    agent.set_up()
    round_ = served.services.agents
    assert round_ is not None
    with agent.listening():
        request_id = status_of(agent.exercise("deletion", email=served.email(27)))["request_id"]
    status_of(agent.revoke(request_id))
    assert round_.callbacks.round() == 0
    assert served.line.scalar("SELECT attempts FROM drp_requests WHERE request_id = :r", r=request_id) == 1


def test_the_programs_of_the_guide_run(served: Served, tmp_path: Path) -> None:
    """The one makes a key whose public half the directory takes; the other sets up, asks, looks and revokes."""
    maker, program = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)

    def run(text: str, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", text, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    b64decode(run(maker).strip(), validate=True)
    assert (tmp_path / "agent.pem").stat().st_mode & 0o077 == 0
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "agent.pem").write_bytes(KEYS["GOOD"].private_bytes(*form))
    told = run(program, served.base, "GOOD", US, served.email(28)).split("\n")
    assert told[0].startswith("in_progress need_user_verification 20")
    assert told[1:3] == ["in_progress", "revoked"]


def test_the_document_describes_the_routes_while_they_are_there(served: Served) -> None:
    """OpenAPI and routing know them here, and nowhere where the setting is left out."""
    with urllib.request.urlopen(f"{served.base}/openapi.json", timeout=20) as answer:
        paths = json.load(answer)["paths"]
    described = {(method.upper(), path) for path, item in paths.items() for method in item}
    assert {(op.method, op.path) for op in FOR_AGENTS} <= described
    assert re.search("contentEncoding", json.dumps(paths["/v1/data-rights-request"]))
