"""The audit log by HTTP: tiles that another implementation reads, proofs, entries for auditors alone, exports."""

import io
import json
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tiles import leaf_hash
from tlog_scales.tlog import ConsistencyProof, InclusionProof
from werkzeug.test import TestResponse

from consent_gateway.audit import export_jobs
from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import Signer, open_signer
from consent_gateway.audit.verify import LogKey, verify_folder
from consent_gateway.errors import DatabaseUnavailable
from consent_gateway.officers.registry import Role
from tests.officers import Officer, Passkey
from tests.web.standins import ADA, StandIns

Ask = Callable[..., TestResponse]


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """The log's key."""
    return open_signer(tmp_path / "audit" / "log.key", "gateway.example/log")


@pytest.fixture
def seal(services: StandIns, signer: Signer, tmp_path: Path) -> Callable[[], None]:
    """Seals what waits."""
    sealer = Sealer(services.engine, tmp_path, signer, services.clock)
    return lambda: [None for _ in iter(lambda: sealer.seal_once().more, False)] and None


@pytest.fixture
def log(services: StandIns, seal: Callable[[], None]) -> StandIns:
    """Three hundred entries, sealed; the first tells of the client that the services know."""
    entries = []
    for n in range(1, 300):
        services.clock.pass_by(seconds=1)
        entries.append(
            Entry(
                f"dec_{n:026}",
                EntryKind.DECISION,
                services.clock.now(),
                caller="web-shop",
                channel=("web", "till")[n % 2],
                purpose="email_marketing" if n % 50 == 0 else "order_fulfilment",
                data_subject=ADA if n % 3 == 0 else None,
                outcome="open",
            )
        )
    services.evidence.recorder.record_all(entries)
    seal()
    return services


@pytest.fixture
def auditor(services: StandIns, http: FlaskClient) -> Ask:
    """Asks as a signed-in auditor."""
    return signed_in(services, http, Role.AUDITOR)


def signed_in(services: StandIns, http: FlaskClient, *roles: Role) -> Ask:
    """Asks as an officer of these roles."""

    def send(method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = http.open(path, method=method, json=body, headers=headers)
        return SimpleNamespace(status=answer.status_code, body=answer.json)

    officer = Officer(send, Passkey(services.issuer))
    officer.enrol(services.desk.officers.add(f"officer-{len(roles)}", roles)[1])
    officer.sign_in()
    token = officer.token

    def ask(method: str, path: str, **options: Any) -> TestResponse:
        return http.open(path, method=method, headers={"Authorization": f"Bearer {token}"}, **options)

    return ask


class HttpBackend:
    """Tiles as another implementation fetches them; None for what is not there."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def get(self, *path: str) -> bytes | None:
        """As `tlog_scales.backend`."""
        answer = self._ask("GET", "/log/" + "/".join(path))
        return answer.data if answer.status_code == 200 else None


def test_another_implementation_reads_the_log_over_http(log: StandIns, signer: Signer, auditor: Ask) -> None:
    """Checkpoint, tiles and entries as tlog-tiles serves them, with the headers it asks for."""
    reader = TilesReader(HttpBackend(auditor))
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(Vkey.from_string(str(signer.vkey)))
    assert checkpoint.size == 300
    assert reader.calculate_root_hash() == checkpoint.root_hash
    assert json.loads(reader.get_entry(299))["entry"]["id"] == f"dec_{299:026}"
    note, tile = auditor("GET", "/log/checkpoint"), auditor("GET", "/log/tile/0/000")
    assert (note.content_type, note.headers["Cache-Control"]) == ("text/plain; charset=utf-8", "no-cache")
    assert (tile.content_type, len(tile.data)) == ("application/octet-stream", 8192)
    assert "immutable" in tile.headers["Cache-Control"]


def test_hashes_are_public_and_entries_are_not(log: StandIns, http: FlaskClient, services: StandIns) -> None:
    """Without a token: checkpoint, hash tiles and proofs. Entries, bundles and exports need the role of auditor."""
    for path in (
        "/log/checkpoint",
        "/log/tile/0/001.p/44",
        "/v1/audit/checkpoint",
        f"/v1/audit/proofs/inclusion?entry_id=dec_{1:026}",
        "/v1/audit/proofs/consistency?old=100",
    ):
        assert http.get(path).status_code == 200, path
    officer = signed_in(services, http, Role.OFFICER, Role.OPERATOR)
    for method, path in (
        ("GET", "/v1/audit/entries"),
        ("GET", "/log/tile/entries/000"),
        ("POST", "/v1/audit/exports"),
        ("GET", "/v1/audit/exports/exp_00000000000000000000000000"),
        ("GET", "/v1/audit/exports/exp_00000000000000000000000000/package"),
    ):
        assert http.open(path, method=method).status_code == 401, path
        assert officer(method, path, json={}).status_code == 403, path


@pytest.mark.parametrize(
    "path", ["/log/tile/0/002", "/log/tile/0/001", "/log/tile/0/1", "/log/tile/x/000", "/log/tile/0/x000/000"]
)
def test_tiles_that_are_not_there(log: StandIns, http: FlaskClient, path: str) -> None:
    """A tile past the newest checkpoint, and any other name, is a 404 and nothing else."""
    answer = http.get(path)
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_proofs_hold_in_another_implementation(log: StandIns, http: FlaskClient) -> None:
    """The proofs of the API hold for the very checkpoint that comes with them."""
    head = http.get("/v1/audit/checkpoint").json
    root = bytes.fromhex(head["root_hash"])
    assert (head["origin"], head["size"]) == ("gateway.example/log", 300)
    given = http.get(f"/v1/audit/proofs/inclusion?entry_id=dec_{77:026}").json
    assert (given["index"], given["size"], given["checkpoint"]) == (77, 300, head["note"])
    assert given["proof"].startswith("c2sp.org/tlog-proof@v1\nindex 77\n")
    hashes = [bytes.fromhex(one) for one in given["hashes"]]
    InclusionProof(77, 300, hashes).check(bytes.fromhex(given["leaf_hash"]), root)
    between = http.get("/v1/audit/proofs/consistency?old=128&size=257").json
    path = [bytes.fromhex(one) for one in between["hashes"]]
    roots = [bytes.fromhex(between[name]) for name in ("old_root_hash", "root_hash")]
    ConsistencyProof(128, 257, path).check(*roots)
    assert http.get("/v1/audit/proofs/consistency?old=128").json["root_hash"] == head["root_hash"]
    for wrong in ("consistency?old=301", "consistency?old=9&size=8", "inclusion?entry_id=dec_unknown"):
        assert http.get(f"/v1/audit/proofs/{wrong}").status_code == 404
    for wrong in ("consistency?old=-1", "consistency?old=01", "consistency", "inclusion", "inclusion?entry_id=%20"):
        assert http.get(f"/v1/audit/proofs/{wrong}").status_code == 400


def test_entries_are_listed_filtered_and_each_look_is_an_entry(
    log: StandIns, auditor: Ask, seal: Callable[[], None]
) -> None:
    """Filters meet, pages follow each other, the leaf hashes to its tile; who looked at what stands in the log."""
    found = auditor("GET", f"/v1/audit/entries?data_subject={ADA}&purpose=email_marketing&channel=web").json
    assert [one["index"] for one in found["entries"]] == [150]
    assert found["next"] is None
    one = found["entries"][0]
    assert leaf_hash(one["leaf"].encode()).hex() == one["leaf_hash"]
    assert one["entry"]["id"] == f"dec_{150:026}"
    paged, before = [], ""
    while True:
        page = auditor("GET", f"/v1/audit/entries?kind=decision&limit=80{before}").json
        paged += [one["index"] for one in page["entries"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert paged == list(range(299, 0, -1))
    seal()
    looks = auditor("GET", "/v1/audit/entries?kind=log_read").json["entries"]
    assert looks[-1]["entry"]["detail"] == {"data_subject": ADA, "purpose": "email_marketing", "channel": "web"}
    assert auditor("GET", "/v1/audit/entries?caller=nobody").json == {"entries": [], "next": None}
    for wrong in ("limit=0", "limit=501", "before=x", "since=noon", "who=me", "data_subject=ada%40example.com"):
        assert auditor("GET", f"/v1/audit/entries?{wrong}").status_code == 400


def test_an_export_is_asked_for_written_and_fetched(
    log: StandIns, auditor: Ask, signer: Signer, seal: Callable[[], None], tmp_path: Path
) -> None:
    """The worker writes the package; it verifies, holds what was asked for, and each act is an entry of the log."""
    services = log
    asked = auditor("POST", "/v1/audit/exports", json={"data_subject": ADA, "channel": "till"})
    assert (asked.status_code, asked.json["state"], asked.json["read"]) == (202, "queued", 0)
    place = f"/v1/audit/exports/{asked.json['export_id']}"
    assert auditor("GET", f"{place}/package").json["code"] == "conflict"
    assert [services.evidence.exports.work(signer) for _ in range(2)] == [1, 0]
    done = auditor("GET", place).json
    assert (done["state"], done["read"], done["total"], done["summary"]["entries"]) == ("done", 99, 99, 50)
    package = auditor("GET", f"{place}/package")
    assert (package.content_type, int(package.headers["Content-Length"])) == ("application/zip", len(package.data))
    zipfile.ZipFile(io.BytesIO(package.data)).extractall(tmp_path / "got")
    folder = tmp_path / "got" / asked.json["export_id"]
    report = verify_folder(folder, LogKey(signer.published))
    assert (report.findings, report.entries, report.first) == ([], 50, 3)
    entries = [json.loads(line)["entry"] for line in (folder / "entries.ndjson").read_bytes().splitlines()]
    assert {(one["data_subject"], one["channel"]) for one in entries} == {(ADA, "till")}
    seal()
    acts = auditor("GET", "/v1/audit/entries?kind=export").json["entries"]
    assert [(one["entry"]["action"], one["entry"].get("outcome")) for one in acts] == [
        ("fetch", None),
        ("export", "written"),
        ("export", "asked"),
    ]
    assert acts[1]["entry"]["detail"]["manifest_sha256"] == done["summary"]["manifest_sha256"]


def _broken(*_given: object) -> None:
    raise sa.exc.OperationalError("SELECT", {}, Exception("away"))


def test_exports_that_cannot_be(
    log: StandIns, auditor: Ask, signer: Signer, services: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that fits, a reversed period, an unknown id; a worker that died is replaced, an old package deleted."""
    exports = services.evidence.exports
    reversed_ = {"since": "2026-11-02T00:00:00Z", "until": "2026-11-01T00:00:00Z"}
    assert auditor("POST", "/v1/audit/exports", json=reversed_).status_code == 400
    empty = auditor("POST", "/v1/audit/exports", json={"caller": "nobody"}).json["export_id"]
    exports.work(signer)
    failed = auditor("GET", f"/v1/audit/exports/{empty}").json
    assert (failed["state"], failed["summary"]["code"]) == ("failed", "not_found")
    wanted = auditor("POST", "/v1/audit/exports", json={"until": "2027-01-01T00:00:00Z"}).json["export_id"]
    with monkeypatch.context() as patched:
        patched.setattr(export_jobs, "export", _broken)
        with pytest.raises(DatabaseUnavailable):
            exports.work(signer)
    assert exports.work(signer) == 0  # for all that is known somebody is at it still
    services.clock.pass_by(minutes=6)
    assert exports.work(signer) == 1  # no more
    path = exports.package(wanted, "off_1")
    services.clock.moment += timedelta(days=8)
    assert exports.purge() == 2
    assert not path.exists()


def test_no_route_waits_for_a_checkpoint(services: StandIns, http: FlaskClient) -> None:
    """Before the first checkpoint there is none to read."""
    for path in ("/log/checkpoint", "/v1/audit/checkpoint", "/log/tile/0/000", "/v1/audit/proofs/consistency?old=0"):
        assert http.get(path).status_code == 404
