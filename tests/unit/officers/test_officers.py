"""Officers, their codes, passkeys and sessions, on both databases; every way in but the right one is refused."""

import json
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from consent_gateway.audit.chain import opened
from consent_gateway.audit.tables import AUDIT_QUEUE
from consent_gateway.cli.officers import officers as commands
from consent_gateway.errors import AssertionRefused, Conflict, InputRefused, NotFound, SettingsRefused
from consent_gateway.officers import passkeys
from consent_gateway.officers.challenges import Challenges
from consent_gateway.officers.enrolment import Enrolment
from consent_gateway.officers.passkeys import RelyingParty
from consent_gateway.officers.registry import Officers, Role
from consent_gateway.officers.sessions import Sessions
from consent_gateway.officers.tables import OFFICER_CHALLENGES, OFFICER_SESSIONS
from tests.officers import Passkey, b64

ISSUER = "https://gateway.example:8443/base"
ORIGIN = "https://gateway.example:8443"
KEY = b"k" * 32


class Desk:
    """Everything of officers over one database."""

    def __init__(self, engine: sa.Engine, clock: Any) -> None:
        self.engine, self.clock = engine, clock
        self.party = RelyingParty(engine, ISSUER)
        self.challenges = Challenges(engine, clock, KEY)
        self.officers = Officers(engine, clock, KEY)
        self.enrolment = Enrolment(engine, clock, self.officers, self.party, self.challenges)
        self.sessions = Sessions(engine, clock, self.party, self.challenges, KEY)

    def enrolled(self, name: str = "ada", *roles: Role) -> Passkey:
        """A passkey of a fresh officer."""
        _officer, code = self.officers.add(name, roles or (Role.OFFICER,))
        passkey = Passkey(ORIGIN)
        self.enrolment.complete(code, passkey.create(self.enrolment.options(code)))
        return passkey

    def entries(self) -> list[dict[str, Any]]:
        """What was recorded, in order."""
        with self.engine.connect() as connection:
            return [opened(bytes(one)) for one in connection.scalars(sa.select(AUDIT_QUEUE.c.entry).order_by("n"))]

    def count(self, table: sa.Table) -> int:
        """How many rows a table has."""
        with self.engine.connect() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


@pytest.fixture
def desk(gateway_engine: sa.Engine, clock: Any) -> Desk:
    """A desk over a fresh database."""
    return Desk(gateway_engine, clock)


def refused(act: Callable[[], object]) -> None:
    """Expect that the act is refused and nothing is told of why."""
    with pytest.raises(AssertionRefused):
        act()


def test_a_code_becomes_a_passkey_and_a_passkey_a_session(desk: Desk) -> None:
    """The officer who enrolled signs in, with the roles they were given; the relying party is the issuer's host."""
    passkey = desk.enrolled("ada", Role.REIDENTIFY, Role.AUDITOR)
    options = desk.sessions.options()
    assert (options["rpId"], options["userVerification"]) == ("gateway.example", "required")
    issued = desk.sessions.begin(passkey.get(options))
    signed_in = desk.sessions.resolve(issued.token)
    assert signed_in is not None
    assert (signed_in.roles, signed_in.auth_time) == ({Role.REIDENTIFY, Role.AUDITOR}, desk.clock.moment)
    assert issued.token not in repr(issued)


def test_the_options_ask_for_what_is_needed(desk: Desk) -> None:
    """A passkey that finds itself, verifies its holder and attests nothing, of one of three algorithms."""
    options = desk.enrolment.options(desk.officers.add("ada", [Role.OFFICER])[1])
    chosen = options["authenticatorSelection"]
    assert (chosen["userVerification"], chosen["residentKey"]) == ("required", "required")
    assert options["attestation"] == "none"
    assert [one["alg"] for one in options["pubKeyCredParams"]] == [-8, -7, -257]


def test_a_code_works_once_and_for_half_an_hour(desk: Desk) -> None:
    """Spent, expired, unknown or of a revoked officer, a code gives no options and takes no passkey."""
    _, code = desk.officers.add("ada", [Role.OFFICER])
    made = Passkey(ORIGIN).create(desk.enrolment.options(code))
    desk.enrolment.complete(code, made)
    refused(lambda: desk.enrolment.complete(code, made))
    refused(lambda: desk.enrolment.options(code))
    refused(lambda: desk.enrolment.options("gw_oc_" + "A" * 32))
    _, late = desk.officers.add("grace", [Role.OFFICER])
    desk.clock.moment += timedelta(minutes=30)
    refused(lambda: desk.enrolment.options(late))
    _, ended = desk.officers.add("mary", [Role.OFFICER])
    desk.officers.revoke("mary")
    refused(lambda: desk.enrolment.options(ended))


def test_a_passkey_is_only_taken_for_the_code_its_challenge_was_made_for(desk: Desk) -> None:
    """Options of one officer's code make no passkey for another's, nor does a sign-in challenge."""
    codes = [desk.officers.add(name, [Role.OFFICER])[1] for name in ("ada", "grace")]
    made = Passkey(ORIGIN).create(desk.enrolment.options(codes[0]))
    refused(lambda: desk.enrolment.complete(codes[1], made))
    options = {**desk.enrolment.options(codes[0]), "challenge": desk.sessions.options()["challenge"]}
    refused(lambda: desk.enrolment.complete(codes[0], Passkey(ORIGIN).create(options)))


@pytest.mark.parametrize("weak", [Passkey("https://elsewhere.example"), Passkey(ORIGIN, verifies=False)])
def test_a_passkey_of_another_origin_or_without_verification_is_not_registered(desk: Desk, weak: Passkey) -> None:
    """Nothing is kept of it, and the code stays good."""
    _, code = desk.officers.add("ada", [Role.OFFICER])
    refused(lambda: desk.enrolment.complete(code, weak.create(desk.enrolment.options(code))))
    assert desk.enrolment.options(code)


def test_a_challenge_is_answered_once_and_for_five_minutes(desk: Desk) -> None:
    """A replayed answer, a late one and one to a challenge of our own making but for something else are refused."""
    passkey = desk.enrolled()
    answer = passkey.get(desk.sessions.options())
    desk.sessions.begin(answer)
    refused(lambda: desk.sessions.begin(answer))
    refused(lambda: desk.sessions.begin(passkey.get({**desk.sessions.options(), "challenge": b64(b"x" * 56)})))
    options = desk.sessions.options()
    desk.clock.moment += timedelta(minutes=5)
    refused(lambda: desk.sessions.begin(passkey.get(options)))
    assert desk.challenges.purge() == 1


def test_a_replayed_answer_is_refused_even_where_the_passkey_does_not_count(desk: Desk) -> None:
    """A passkey whose count stays zero, as synced ones do, signs in again and again, with each answer once."""
    passkey = desk.enrolled()
    answers = [passkey.get(desk.sessions.options(), count=0) for _ in range(2)]
    for answer in answers:
        desk.sessions.begin(answer)
    refused(lambda: desk.sessions.begin(answers[0]))


def test_asking_for_challenges_keeps_nothing(desk: Desk) -> None:
    """However many are asked for, only answered ones make a row."""
    passkey = desk.enrolled()
    for _ in range(50):
        desk.sessions.options()
    assert desk.count(OFFICER_CHALLENGES) == 0
    desk.sessions.begin(passkey.get(desk.sessions.options()))
    assert desk.count(OFFICER_CHALLENGES) == 1


@pytest.mark.parametrize("different", [{"origin": "https://gateway.example"}, {"rp_id": "elsewhere.example"}])
def test_a_sign_in_at_another_place_is_refused(desk: Desk, different: dict[str, str]) -> None:
    """Another port of the same host is another origin."""
    passkey = desk.enrolled()
    refused(lambda: desk.sessions.begin(passkey.get(desk.sessions.options(), **different)))


def test_a_copied_passkey_is_refused(desk: Desk) -> None:
    """A count that does not grow past the last one seen says that there are two of it."""
    passkey = desk.enrolled()
    desk.sessions.begin(passkey.get(desk.sessions.options(), count=9))
    refused(lambda: desk.sessions.begin(passkey.get(desk.sessions.options(), count=9)))
    desk.sessions.begin(passkey.get(desk.sessions.options(), count=10))


def test_of_two_answers_of_one_count_at_once_one_stands(desk: Desk) -> None:
    """Both verified against the count before them: the second to be written finds it moved, and is refused."""
    passkey = desk.enrolled()
    challenges = [desk.challenges.make("sign-in") for _ in range(2)]
    answers = [passkey.get(desk.party.request_options(one), count=5) for one in challenges]
    verified = [desk.party.asserted(*both) for both in zip(answers, challenges, strict=True)]
    with desk.engine.begin() as connection:
        passkeys.count(connection, verified[0])
    with pytest.raises(AssertionRefused), desk.engine.begin() as connection:
        passkeys.count(connection, verified[1])


def test_garbage_is_refused_and_never_a_fault(desk: Desk) -> None:
    """What is no credential, or one of nobody, or has its parts cut off, is refused like everything else."""
    desk.enrolled()
    good = desk.enrolled("grace").get(desk.sessions.options())
    for part in ("clientDataJSON", "authenticatorData", "signature"):
        for text in ("", "AAAA", good["response"][part][:-6]):
            broken = {**good, "response": {**good["response"], part: text}}
            refused(lambda broken=broken: desk.sessions.begin(broken))  # type: ignore[misc]
    refused(lambda: desk.sessions.begin({**good, "rawId": b64(b"nobody"), "id": b64(b"nobody")}))
    refused(lambda: desk.sessions.begin({}))
    assert desk.sessions.begin(good)


def test_a_session_ends_by_itself_by_its_officer_and_by_the_operator(desk: Desk) -> None:
    """After 15 minutes, on signing out, and with the officer; tokens of no form are looked up nowhere."""
    passkey = desk.enrolled()
    tokens = [desk.sessions.begin(passkey.get(desk.sessions.options())).token for _ in range(2)]
    desk.sessions.end(tokens[0])
    assert [desk.sessions.resolve(one) is None for one in tokens] == [True, False]
    desk.officers.revoke("ada")
    assert desk.sessions.resolve(tokens[1]) is None
    refused(lambda: desk.sessions.begin(passkey.get(desk.sessions.options())))
    assert desk.count(OFFICER_SESSIONS) == 0
    other = desk.enrolled("grace")
    late = desk.sessions.begin(other.get(desk.sessions.options())).token
    desk.clock.moment += timedelta(minutes=15)
    assert desk.sessions.resolve(late) is None
    assert desk.sessions.resolve("gw_of_short") is None
    assert desk.officers.purge() >= 1


def test_what_happens_to_an_officer_is_in_the_log_without_the_name(desk: Desk) -> None:
    """Registration, passkey with its public key, and revocation are entries under the officer's id."""
    desk.enrolled("ada", Role.REIDENTIFY)
    desk.officers.revoke("ada")
    entries = desk.entries()
    assert [one["action"] for one in entries] == ["add", "enrol", "revoke"]
    assert {one["kind"] for one in entries} == {"officer"}
    assert len({one["detail"]["officer"] for one in entries}) == 1
    assert entries[0]["detail"]["roles"] == "reidentify"
    assert entries[1]["detail"]["public_key_1"]
    assert entries[1]["detail"]["origin"] == ORIGIN
    assert '"ada"' not in json.dumps(entries)


def test_a_name_is_never_given_twice(desk: Desk) -> None:
    """Not even that of a revoked officer; names and roles must stand."""
    desk.officers.add("ada", [Role.OFFICER])
    first = desk.officers.revoke("ada")
    assert desk.officers.revoke("ada") == first
    for wrong, error in ((("ada", [Role.OFFICER]), Conflict), (("Ada L", [Role.OFFICER]), InputRefused)):
        with pytest.raises(error):
            desk.officers.add(*wrong)
    with pytest.raises(InputRefused):
        desk.officers.add("grace", [])
    for act in (desk.officers.revoke, desk.officers.clear_alarm):
        with pytest.raises(NotFound):
            act("nobody")
    with pytest.raises(Conflict):
        desk.officers.clear_alarm("ada")


def test_commands_say_what_the_registry_does(desk: Desk) -> None:
    """`add --json` prints the code that enrols; `list` shows the state; `revoke` ends it; a wrong role is usage."""
    services = SimpleNamespace(desk=desk, close=lambda: None, issuer=ISSUER)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(commands, arguments, obj=lambda: services)

    told = json.loads(run("add", "ada", "--role", "reidentify", "--json").output)
    assert (told["name"], told["roles"]) == ("ada", ["reidentify"])
    assert "invited" in run("list").output
    desk.enrolment.complete(
        told["enrolment_code"], Passkey(ORIGIN).create(desk.enrolment.options(told["enrolment_code"]))
    )
    assert "active" in run("list").output
    assert "shown only now" in run("add", "grace", "--role", "auditor").output
    assert "revoked" in run("revoke", "ada").output
    assert json.loads(run("list", "--json").output)[0]["revoked_at"]
    assert run("add", "mary", "--role", "queen").exit_code == 2
    assert isinstance(run("clear-alarm", "grace").exception, Conflict)
    services.issuer = "http://127.0.0.1:8080"
    refused = run("add", "joan", "--role", "officer").exception
    assert isinstance(refused, SettingsRefused)
    assert "http://localhost:8080" in refused.message


def test_an_answer_spelt_otherwise_than_the_proof_takes_it_is_refused(desk: Desk) -> None:
    """A challenge of the same bytes in another spelling of base64url would pass here and not in the offline proof."""
    passkey = desk.enrolled()
    challenge = desk.challenges.make("sign-in")
    options = desk.party.request_options(challenge)
    refused(lambda: desk.party.asserted(passkey.get(options, challenge=b64(challenge) + "="), challenge))
    assert desk.party.asserted(passkey.get(options), challenge)
