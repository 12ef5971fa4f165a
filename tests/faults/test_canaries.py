"""Planted values are nowhere but where they must be, after a gateway was used well, used badly and broken."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consent_gateway.demo.clients import ANALYTICS, CALL_CENTRE, NEWSLETTER, TILL
from consent_gateway.people.directory import PersonRef
from consent_gateway.protection.tables import SHARD_KEYS
from consent_gateway.vocabulary import Identifier
from consent_gateway.wiring import Services
from tests.canaries import Search, files, forms, tables
from tests.collector import collecting
from tests.deployment import Deployment, Running, deploy, running

CUSTOMERS = 12
SUPPORT = "customer_support"
KANARIE = {
    "external_ref": "KX-Kanarienvogel-77",
    "first_name": "Kanariella-Zoë",
    "last_name": "von Kanarienfeld",
    "email": "kanarien.vogel@kanarienpost.example",
    "phone": "+4930901827364",
    "birth_date": "1957-03-29",
    "street": "Kanariengässchen 4711",
    "postcode": "KN4711RIE",
    "city": "Kanarienstadt",
    "allergies": "Kanarienkörner und Sepiaschulp",
}
CHILDREN = {
    ("loyalty_accounts", "tier"): "kanarienstufe",
    ("orders", "store_city"): "Kanarienmarkt",
    ("orders", "payment_method"): "kanarien-zahlung",
    ("order_lines", "product"): "Kanarienmischung 500g",
    ("visits", "place"): "Kanarienwiese Süd",
    ("visits", "cookie_id"): "ck-kanarien-besuch-1",
    ("devices", "cookie_id"): "ck-kanarien-geraet-2",
    ("devices", "last_ip"): "203.0.113.177",
    ("support_notes", "agent"): "agent-kanarius",
    ("support_notes", "note"): "Der Kanarienvogel ist krank; Kundin weinte.",
}
NEW_VALUES = {
    "email": "neuer.kanarienvogel@kanarienpost.example",
    "phone": "+4930901827365",
    "street": "Neues Kanariengässchen 4712",
    "first_name": "Neukanariella",
}
STRANGER = "fremder.kanarienvogel@kanarienpost.example"
MALFORMED = "kein-kanarien-at-zeichen.example"
BAD_SECRET = "kanarien-secret-0123456789abcdef"
BAD_TOKEN = "gw_at_kanarien-token-0123456789abcdef"
BAD_STATE = "kanar-1957"  # put into our own database to make a call fail with an error that quotes it


@dataclass
class Told:
    """What callers were told and must not hold a value: headers of every answer, bodies of those without a record."""

    places: list[tuple[str, bytes]] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    def add(self, what: str, status: int, headers: Mapping[str, str], body: Any, *, record: bool) -> None:
        """Keep an answer; `record` says that the call may answer with values."""
        self.statuses.add(status)
        self.places.append((f"headers of {what}", json.dumps(dict(headers), ensure_ascii=False).encode()))
        if not (record and status == 200):
            raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
            self.places.append((f"body of {what} ({status})", raw))


def store_engine(deployment: Deployment) -> sa.Engine:
    """The retailer's database."""
    url = sa.make_url(deployment.retailer)
    return sa.create_engine(url if url.drivername == "sqlite" else url.set(drivername="postgresql+psycopg"))


def in_store(deployment: Deployment, *statements: str, **values: object) -> None:
    """Change the retailer's database."""
    engine = store_engine(deployment)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement), values)
    engine.dispose()


def plant(deployment: Deployment) -> None:
    """Give customer 1 a recognisable value in every column of text, and rows of every kind."""
    sets = ", ".join(f"{name} = :{name}" for name in KANARIE)
    in_store(deployment, f"UPDATE customers SET {sets} WHERE customer_id = 1", **KANARIE)
    in_store(
        deployment,
        "DELETE FROM devices WHERE customer_id = 1",
        "DELETE FROM support_notes WHERE customer_id = 1",
        "DELETE FROM visits WHERE customer_id = 1",
        "DELETE FROM loyalty_accounts WHERE customer_id = 1",
        "INSERT INTO devices VALUES ('dev-kanarien-4711', 1, 'ios', 'x', 'x', '2026-01-01T00:00:00Z')",
        "INSERT INTO support_notes VALUES (990001, 1, '2026-01-01T00:00:00Z', 'x', 'x')",
        "INSERT INTO visits VALUES (990001, 1, '2026-01-01T00:00:00Z', 'x', 12.3456789, 98.7654321, 'x')",
        "INSERT INTO loyalty_accounts VALUES ('LKANARIEN4711', 1, 'x', 4711, '2020-01-01')",
    )
    for (table, column), value in CHILDREN.items():
        within = "order_id IN (SELECT order_id FROM orders WHERE customer_id = 1)"
        where = within if table == "order_lines" else "customer_id = 1"
        in_store(deployment, f"UPDATE {table} SET {column} = :value WHERE {where}", value=value)


def key_material(deployment: Deployment, services: Services, person: str) -> dict[str, bytes]:
    """Keys of every layer, unwrapped."""
    ring = services.keyring
    ring.create(person)
    ring.forget()
    keys = ring.person_keys(person)
    roots = json.loads(deployment.settings.key_file.read_bytes())
    found = {f"root key {at}": raw for at, raw in enumerate(_base64_of(roots))}
    assert found
    (epoch_key,) = ring._epochs.values()
    with ring._database.reading() as connection:
        shards = connection.execute(sa.select(SHARD_KEYS.c.shard, SHARD_KEYS.c.under, SHARD_KEYS.c.wrapped)).all()
    found["epoch key"] = epoch_key
    found |= {f"shard key {one.shard}": ring._keys.open_shard(epoch_key, *one) for one in shards}
    assert len(shards) >= 1
    found |= {"data key": keys.data_key, "seed": keys.seed}
    found |= {"domain key": ring.domain_key("first_party_analytics", None).secret}
    found |= {"index key": ring.index_versions("email", "exact", 1)[0].secret}
    for name in ("suppression", "client-secrets", "access-tokens", "idempotency", "record-version"):
        found[f"service key {name}"] = ring.service_key(name)
    return found


def _base64_of(document: Any) -> Iterator[bytes]:
    """Every 32 bytes that stand in base64 somewhere in the key file."""
    inner = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    for each in inner:
        yield from _base64_of(each)
    if isinstance(document, str):
        try:
            raw = b64decode(document, validate=True)
        except ValueError:
            return
        if len(raw) == 32:
            yield raw


class Calls:
    """Uses the gateway over HTTP and keeps what was told."""

    def __init__(self, served: Running, told: Told) -> None:
        self._served = served
        self._told = told
        self.tokens = {client: served.token(client) for client in (TILL, CALL_CENTRE, NEWSLETTER, ANALYTICS)}

    def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        client: str | None = CALL_CENTRE,
        headers: Mapping[str, str] | None = None,
        *,
        record: bool = False,
    ) -> Any:
        """One call; its headers are kept, and its body unless it may hold a record."""
        token = self.tokens.get(client) if client else None
        reply = self._served.call(method, path, body, token, headers, timeout=20)
        self._told.add(f"{method} {path.partition('?')[0]}", reply.status, reply.headers, reply.body, record=record)
        return reply

    def raw(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        """One call with bytes that no JSON library would write."""
        port = int(self._served.deployment.variables["CONSENT_GATEWAY_PORT"])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        self._told.add(f"raw {method} {path}", answer.status, dict(answer.getheaders()), answer.read(), record=False)
        connection.close()

    def broken(self, sent: bytes) -> None:
        """What is no HTTP at all."""
        port = int(self._served.deployment.variables["CONSENT_GATEWAY_PORT"])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            line.sendall(sent)
            line.shutdown(socket.SHUT_WR)
            self._told.places.append(("answer to a broken request", line.recv(65536)))


def mail(value: str) -> dict[str, str]:
    """An e-mail address as an identifier."""
    return {"kind": "email", "value": value}


def use_well(call: Calls) -> str:
    """Reads, writes, decisions and choices that succeed; returns the person's id."""
    looked = call(
        "POST", "/v1/customers/lookup", {"identifier": mail(KANARIE["email"]), "purpose": SUPPORT}, record=True
    )
    assert KANARIE["street"] in json.dumps(looked.body, ensure_ascii=False)  # the values do flow
    person = str(looked.body["data_subject"])
    call("GET", f"/v1/customers/{person}?purpose={SUPPORT}", record=True)
    call("GET", f"/v1/customers/{person}?purpose=order_fulfilment", client=TILL, record=True)
    call("POST", "/v1/customers/lookup", {"identifier": mail(KANARIE["email"]), "purpose": "first_party_analytics"},
         ANALYTICS, record=True)  # fmt: skip
    change = {"purpose": SUPPORT, "record": {"street": NEW_VALUES["street"]}, "source": "counter"}
    key = {"Idempotency-Key": "one-change"}
    assert call("PATCH", f"/v1/customers/{person}", change, headers=key).status == 200
    call("PATCH", f"/v1/customers/{person}", change, headers=key)
    new = {"purpose": SUPPORT, "source": "counter", "record": NEW_VALUES | {"country": "DE", "last_name": "Neu"}}
    call("POST", "/v1/customers", new, headers={"Idempotency-Key": "one-create"})
    for kind, value in (("email", KANARIE["email"]), ("email", STRANGER), ("phone", KANARIE["phone"])):
        choice = {"identifier": {"kind": kind, "value": value}, "purpose": "email_marketing", "kind": "object"}
        call("POST", "/v1/consents", choice, headers={"Idempotency-Key": f"choice-{kind}-{len(value)}"})
        call("POST", "/v1/consents/lookup", {"identifier": {"kind": kind, "value": value}})
    call("POST", "/v1/decisions", {"identifier": mail(KANARIE["email"]), "purpose": "email_marketing"}, NEWSLETTER)
    persons = [{"identifier": mail(value)} for value in (KANARIE["email"], STRANGER)]
    call("POST", "/v1/decisions/batch", {"purpose": "email_marketing", "persons": persons}, NEWSLETTER)
    ask = {"identifier": mail(KANARIE["email"]), "jurisdiction": "DE", "text": CHILDREN["support_notes", "note"]}
    asked = call("POST", "/v1/rights-requests", ask | {"right": "correct"}, headers={"Idempotency-Key": "one-right"})
    points = {"method": "points", "points": {name: KANARIE[name] for name in ("last_name", "postcode")}}
    proved = call("POST", f"/v1/rights-requests/{asked.body['id']}/verify", points)
    assert (proved.status, proved.body["request"]["state"]) == (200, "in_progress")
    call("GET", f"/v1/rights-requests/{asked.body['id']}")
    call("POST", "/v1/rights-requests", ask | {"right": "object"})
    for path in ("/readyz", "/healthz", "/openapi.json"):
        call("GET", path, client=None)
    return person


def use_badly(call: Calls, person: str) -> None:
    """Values where they do not belong, and calls that are refused."""
    email = KANARIE["email"]
    lookup = "/v1/customers/lookup"
    for identifier in (mail(STRANGER), mail(MALFORMED), {"kind": STRANGER, "value": STRANGER}):
        call("POST", lookup, {"identifier": identifier, "purpose": SUPPORT}, record=True)
    call("POST", lookup, {"identifier": mail(email), "purpose": STRANGER})
    call("POST", lookup, {"identifier": mail(email), "purpose": SUPPORT, "recipient": STRANGER})
    call("POST", lookup, {"identifier": mail(email), "purpose": "email_marketing"}, TILL)
    call("POST", lookup, {"identifier": mail(email), "purpose": SUPPORT}, client=None)
    call("POST", lookup, {"identifier": mail(email), "purpose": SUPPORT}, headers={"If-Match": email}, record=True)
    call("POST", lookup, [email])
    call("GET", f"/v1/customers/{email}?purpose={SUPPORT}")
    call("GET", f"/v1/customers/{person}?purpose={email}")
    call("GET", f"/{email}")
    call("GET", f"/docs?{email}", client=None)
    call("DELETE", lookup, {"identifier": mail(email)})
    refused = {"purpose": SUPPORT, "source": "counter"}
    call("PATCH", f"/v1/customers/{person}", refused | {"record": {"allergies": KANARIE["allergies"]}})
    call("PATCH", f"/v1/customers/{person}", refused | {"record": {"email": MALFORMED}})
    call("PATCH", f"/v1/customers/{person}", refused | {"record": {"birth_date": {"day": email}}})
    call("PATCH", f"/v1/customers/{person}", refused | {"record": {"first_name": email * 300}})
    call("PATCH", f"/v1/customers/{person}", refused | {"record": {"city": email}, "source": email + "\n"})
    call("PATCH", f"/v1/customers/{person}", refused | {"record": {"city": email}}, headers={"If-Match": f'"{email}"'})
    call("POST", "/v1/customers", refused | {"record": {"email": email, "first_name": 1}})
    call("POST", "/v1/consents", {"identifier": mail(email), "purpose": "email_marketing", "kind": "grant",
                                  "evidence": {"how": "spoken", "reference": email, "agent": email,
                                               "script_version": email, "image_sha256": email}})  # fmt: skip
    call("POST", "/v1/confirmations", {"email": email, "purpose": "email_marketing",
                                       "evidence": {"how": email, "notice": email}})  # fmt: skip
    shown = {"how": "web_form", "notice": "messages", "notice_version": "5", "language": "de"}
    asked = {"data_subject": person, "parent_email": email, "purpose": "order_fulfilment", "evidence": shown}
    call("POST", "/v1/confirmations/parent", asked)
    call("POST", "/v1/consents", {"identifier": mail(email), "purpose": "email_marketing", "kind": email})
    call("POST", "/v1/consents", {"identifier": mail(email), "purpose": "email_marketing", "kind": "opt_out"})
    call("PATCH", f"/v1/customers/{person}", refused | {"record": {"marketing_opt_in": email}})
    for header in ("Idempotency-Key", "X-Request-ID", "Sec-GPC"):
        call(
            "POST",
            "/v1/consents",
            {"identifier": mail(email), "kind": "object", "purpose": "x"},
            headers={header: email},
        )
    call("GET", f"/v1/decisions/{email}")
    asked = call("POST", "/v1/rights-requests", {"identifier": mail(STRANGER), "right": "access", "jurisdiction": "DE"})
    path = f"/v1/rights-requests/{asked.body['id']}/verify"
    shown = {name: KANARIE[name] for name in ("last_name", "postcode", "birth_date")}
    assert call("POST", path, {"method": "points", "points": shown, "declaration": "d-1"}).status == 403
    call("POST", path, {"method": "points", "points": {"last_name": email * 9}, "declaration": email})
    call("POST", path, {"method": "code", "code": email})
    call("POST", "/v1/rights-requests", {"identifier": mail(email), "right": email, "jurisdiction": email})
    call("POST", "/v1/rights-requests", {"identifier": mail(email), "right": "access", "calendar": email})
    bearer = {"Authorization": f"Bearer {BAD_TOKEN}", "Content-Type": "application/json"}
    call.raw("POST", lookup, json.dumps({"identifier": mail(email)}).encode(), bearer)
    good = {"Authorization": f"Bearer {call.tokens[CALL_CENTRE]}"}
    for body in (f'{{"identifier": "{email}'.encode(), email.encode("utf-16"), b"\xff" + email.encode(), b"[" * 5000):
        call.raw("POST", lookup, body, good | {"Content-Type": "application/json"})
    call.raw("POST", lookup, email.encode(), good | {"Content-Type": email})
    basic = b64encode(f"{email}:{BAD_SECRET}".encode()).decode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    call.raw("POST", "/oauth/token", b"grant_type=client_credentials", form | {"Authorization": f"Basic {basic}"})
    asserted = f"grant_type=client_credentials&client_assertion={BAD_TOKEN}&client_assertion_type={email}&scope={email}"
    call.raw("POST", "/oauth/token", asserted.encode(), form)
    call.broken(f"POST {email} HTTQ/9\r\n{email}\r\n\r\n".encode())
    call.broken(f"GET /{email} HTTP/1.1\r\nHost: x\r\nContent-Length: {email}\r\n\r\n".encode())


@contextmanager
def moved(path: Path) -> Iterator[None]:
    """The file is away for a while."""
    away = path.with_name(path.name + ".away")
    path.rename(away)
    yield
    away.rename(path)


def break_parts(deployment: Deployment, served: Running, call: Calls, person: str) -> None:
    """Store away, store that refuses, keys away, a broken row of our own, a worker that crashes: each under use."""
    look = {"identifier": mail(KANARIE["email"]), "purpose": SUPPORT}
    change = {"purpose": SUPPORT, "record": {"street": NEW_VALUES["street"]}, "source": "counter"}
    in_store(deployment, "ALTER TABLE customers RENAME TO customers_away")
    assert call("POST", "/v1/customers/lookup", look).status == 503
    call("PATCH", f"/v1/customers/{person}", change)
    call("POST", "/v1/customers", change | {"record": NEW_VALUES | {"country": "DE"}})
    call("GET", "/readyz", client=None)
    in_store(deployment, "ALTER TABLE customers_away RENAME TO customers")
    command(deployment, "people", "enrol")  # what a mended store brings is read without being told either
    with moved(deployment.settings.key_file):
        assert call("PATCH", f"/v1/customers/{person}", change | {"record": {"allergies": "x"}}).status >= 400
        call("POST", "/v1/customers/lookup", look | {"purpose": "service_improvement"}, ANALYTICS, record=True)
        command(deployment, "people", "enrol", code=3)
    set_state(deployment, person, BAD_STATE)
    assert call("POST", "/v1/customers/lookup", look).status == 500
    set_state(deployment, person, None)
    crash(served, call, look)


def set_state(deployment: Deployment, person: str, born: str | None) -> None:
    """Make a row of our own unreadable, or mend it."""
    services = deployment.open()
    with services.engine.begin() as connection:
        statement = sa.text("UPDATE people SET minor_born = :born WHERE data_subject = :person")
        connection.execute(statement, {"born": born, "person": person})
    services.close()


def crash(served: Running, call: Calls, look: object) -> None:
    """A web worker dies of a segmentation fault in the middle of calls, and says where it was."""
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                call("POST", "/v1/customers/lookup", look, record=True)
            except (OSError, http.client.HTTPException):
                continue

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    log = served.deployment.folder / "serve.log"
    deadline = time.monotonic() + 30
    while b"Fatal Python error" not in log.read_bytes() and time.monotonic() < deadline:
        for worker in served.workers()[:1]:
            os.kill(worker, signal.SIGSEGV)
        time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert b"Fatal Python error" in log.read_bytes()
    served.wait_ready()


def command(deployment: Deployment, *words: str, code: int = 0, typed: str | None = None) -> None:
    """Run a command as an operator does; what it says is kept in a file of the deployment."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONSENT_GATEWAY_")}
    done = subprocess.run(
        [sys.executable, "-m", "consent_gateway", *words],
        env={**inherited, **deployment.variables},
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )
    said = deployment.folder / "commands.log"
    with said.open("a") as file:
        file.write(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}")
    assert done.returncode == code, done.stderr


def operate(deployment: Deployment, person: str) -> None:
    """What operators run: sealing of old values, choices, proofs, exports, an erasure, a lifted suppression."""
    command(deployment, "people", "seal")
    command(deployment, "consent", "show", "--by", "email", "--json", typed=KANARIE["email"] + "\n")
    command(deployment, "consent", "show", "--by", "email", code=3, typed=MALFORMED + "\n")
    command(deployment, "keys", "status", "--json")
    command(deployment, "people", "shred", person, "--reference", "dsr-1", "--yes")
    command(deployment, "people", "enrol", "--json")
    lift = ("people", "suppression", "lift", "--kind", "email", "--reference", "form-1")
    command(deployment, *lift, typed=KANARIE["email"] + "\n")
    command(deployment, *lift, code=3, typed=STRANGER + "\n")
    command(deployment, "audit", "export", str(deployment.folder / "export"))


def searched(deployment: Deployment) -> Iterator[tuple[str, bytes]]:
    """Everything the gateway left behind, but the retailer's own files and the key files."""
    settings = deployment.settings
    apart = [settings.key_file, settings.log_key_file, deployment.folder / "retailer.db"]
    apart += [deployment.folder / "old-choices.jsonl"]
    apart += [deployment.folder / f"store.db{tail}" for tail in ("", "-wal", "-shm", "-journal")]
    yield from files(deployment.folder, apart)
    yield from tables(settings.database_url)
    yield from tables(settings.key_database_url)


@pytest.fixture
def lived(
    databases: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Deployment, Told, Search]:
    """A deployment with planted values that has been through everything, what it told, and what to look for."""
    deployment = deploy(tmp_path, databases, CUSTOMERS)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    plant(deployment)
    command(deployment, "people", "enrol")
    services = deployment.open()
    person = services.choices.state(PersonRef(identifier=Identifier("email", KANARIE["email"]))).data_subject
    secrets: dict[str, str | bytes] = {**key_material(deployment, services, person)}
    services.close()
    told = Told()
    with collecting() as collector:
        deployment.variables["CONSENT_GATEWAY_OTLP_ENDPOINT"] = collector.endpoint
        with running(deployment) as served:
            call = Calls(served, told)
            assert use_well(call) == person
            use_badly(call, person)
            break_parts(deployment, served, call, person)
        told.places += [("telemetry", body) for body in collector.bodies()]
        assert {"POST /v1/customers/lookup", "store.read", "audit.commit"} <= {span.name for span in collector.spans}
        assert collector.metrics
        secrets |= {f"token of {client}": token for client, token in call.tokens.items()}
    operate(deployment, person)
    secrets |= {f"secret of {client}": secret for client, secret in deployment.secrets.items()}
    values = {f"value {name}": value for name, value in KANARIE.items()}
    values |= {f"value {'.'.join(name)}": value for name, value in CHILDREN.items()}
    values |= {f"new {name}": value for name, value in NEW_VALUES.items()}
    values |= {"loyalty number": "LKANARIEN4711", "device": "dev-kanarien-4711", "latitude": "12.3456789"}
    values |= {"stranger": STRANGER, "malformed": MALFORMED, "bad secret": BAD_SECRET, "bad token": BAD_TOKEN}
    return deployment, told, Search({**values, **secrets})


def test_no_planted_value_is_left_anywhere(lived: tuple[Deployment, Told, Search]) -> None:
    """Customer values, identifiers, keys, secrets and tokens: 0 hits in logs, errors, headers, databases and files.

    Then the control: planted leaks, one in a log and one in our own database, are found, each in its place.
    """
    deployment, told, search = lived
    assert told.statuses >= {200, 201, 400, 401, 403, 404, 405, 415, 422, 500, 503}
    assert "\n".join(search.everywhere(told.places)) == ""
    assert "\n".join(search.everywhere(searched(deployment))) == ""
    log = (deployment.folder / "serve.log").read_bytes()
    assert not Search({"broken row": BAD_STATE}).hits("serve.log", log)
    assert b"ValueError" in log  # it was met, and is told by its type alone

    with (deployment.folder / "serve.log").open("ab") as file:
        file.write(b"x" + b64encode(b"ab" + KANARIE["allergies"].encode()))
    services = deployment.open()
    with services.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE clients SET channel = :leak WHERE client_id = 'till'"), {"leak": KANARIE["email"]}
        )
    services.close()
    found = search.everywhere(searched(deployment))
    assert {hit.split(" as ")[0] for hit in found} == {"value allergies", "value email"}
    assert {hit.split(" in ")[1] for hit in found} >= {"serve.log"}
    assert len({hit.split(" in ")[1] for hit in found}) >= 2


@pytest.mark.parametrize("value", ["Kanariengässchen 4711", bytes(range(100, 132))], ids=["text", "bytes"])
def test_a_value_is_found_in_every_form(value: str | bytes) -> None:
    """The search finds a value inside something longer in each form it knows, base64 at any offset among them."""
    search = Search({"it": value})
    for name, form in forms(value).items():
        assert any(f" {name} " in f" {hit.removeprefix('it as ')} " for hit in search.hits("x", b"<" + form + b">")), (
            name
        )
    raw = value.encode() if isinstance(value, str) else value
    for before in range(7):
        assert search.hits("x", b64encode(b"a" * before + raw + b"z" * 5))
    assert search.hits("x", b"nothing of the kind, however long it may be") == []
