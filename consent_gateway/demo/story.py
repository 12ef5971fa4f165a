"""The demo's narrated walk: real calls against a running gateway, and a check that each answer is the promised one.

A promise that is not kept is printed where it breaks and counted; the story goes on, so that one sees the rest.
Every chapter can be told again and again: what it changes it first puts back.
"""

import json
import time
from collections.abc import Mapping

from consent_gateway.demo.calls import Answer, Call, send, variable
from consent_gateway.demo.cast import CAST
from consent_gateway.demo.clients import ADS, ANALYTICS, CALL_CENTRE, CLIENTS, NEWSLETTER, TILL, WEB_SHOP
from consent_gateway.demo.erasure import tell_erasure
from consent_gateway.demo.listeners import Listeners
from consent_gateway.demo.listening import tell_heard, tell_listening
from consent_gateway.demo.narration import Narrator
from consent_gateway.demo.outside import Outside
from consent_gateway.demo.rights import tell_rights
from consent_gateway.demo.trade import loyalty_number
from consent_gateway.ports import Clock
from consent_gateway.vocabulary import JsonValue

ANNA, MAYA, MIA, CLAIRE, EMILIE, OLIVER, JONAS, LUKAS, ETHAN = (person.email for person in CAST[:9])
FAMILY, NOAH = CAST[9].email, CAST[12].email
SOFIE = 10  # her customer number
NOBODY = "nobody.at.all@example.com"
STREETS = (CAST[0].street, "Torstraße 44")

_READ = ("data_subject", "record", "fields", "decision_id")
_CHOSEN = ("event_ids", "state.purposes.email_marketing.status", "state.purposes.email_marketing.given_at")
_WHY = ("outcome", "jurisdiction", "pack", "fields", "consent_event", "replayed_alike", "log")
_SEAL_SECONDS = 15
_SAME_FIELDS = ["first_name", "email", "phone", "street", "birth_date"]
_NOTICE = {"notice": "messages", "notice_version": "5", "language": "de"}


class Story:
    """Tells the story once, to the gateway at `base`. `secrets` are those of the demo's clients, by client id."""

    def __init__(
        self,
        base: str,
        secrets: Mapping[str, str],
        narrator: Narrator,
        clock: Clock,
        outside: Outside,
        listeners: Listeners,
    ) -> None:
        self._base = base
        self._secrets = secrets
        self._narrator = narrator
        self._clock = clock
        self._outside = outside
        self._listeners = listeners
        self.tokens: dict[str, str] = {}
        self.broken: list[str] = []
        self._anna = ""
        self._last4 = ""
        self._refusal = ""

    def tell(self) -> bool:
        """Tell all chapters; True where every promise was kept."""
        self._get_tokens()
        self._one_customer_four_channels()
        self._withdrawal()
        self._writes()
        self._sealed()
        self._signal()
        self._minors()
        self._send_list()
        self._nothing_leaks()
        tell_rights(self._narrator, self._base, self.tokens, self._outside, self._promise)
        tell_erasure(self._narrator, self._outside, self._listeners, self._promise)
        self._the_log()
        return not self.broken

    def _get_tokens(self) -> None:
        told = self._narrator
        told.chapter("Every channel proves who it is")
        told.say(
            "Each channel service has its own credential, bound to its channel, to the purposes it may claim and to"
            " the recipients it may ask for. A token lives ten minutes. (Answers are shortened here; the curl"
            " lines give them whole.)"
        )
        for client in CLIENTS:
            secret = self._secrets[client.client_id]
            form = {"grant_type": "client_credentials"}
            call = Call("POST", "/oauth/token", form=form, basic=(client.client_id, secret))
            answer = send(self._base, call, {})
            token = answer.at("access_token")
            self.tokens[client.client_id] = token if isinstance(token, str) else ""
            if client.client_id == TILL:
                told.line(call.curl(self._base))
                told.answer(_without_token(answer))
            self._promise(answer.status == 200, f"`{client.client_id}` gets a token")
        told.say(
            f"The other {len(CLIENTS) - 1} channels do the same; ${variable(TILL)} and so on stand for the tokens."
        )
        tell_listening(told, self._base, self.tokens, self._listeners, self._promise)

    def _one_customer_four_channels(self) -> None:
        told = self._narrator
        told.chapter("One customer, four channels, four answers")
        told.say(
            "Anna Berger in Berlin is signed in to the shop's app and turns the newsletter on: a consent event, with"
            " its evidence. On a web form, where anyone can type any address, she would be asked to confirm it by mail."
        )
        evidence = {"how": "app_form", "reference": "settings-12", **_NOTICE}
        answer = self._do(self._consent(WEB_SHOP, "grant", evidence, identifier=_email(ANNA)), _CHOSEN)
        self._promise(answer.status == 201, "the choice is recorded")
        told.say("The till asks for five fields to hand over her order. An order needs no consent, it is a contract.")
        answer = self._do(look_up(TILL, ANNA, "order_fulfilment", fields=_SAME_FIELDS))
        self._anna = str(answer.at("data_subject") or "")
        self._last4 = "".join(filter(str.isdigit, str(answer.at("record", "phone"))))[-4:]
        self._promise(_effect(answer, "street") == "allow", "the till gets the street")
        self._promise(_effect(answer, "birth_date") == "withhold", "a till needs no birthday for an order")
        told.say(
            "The newsletter asks for the same five fields. Her consent opens what a newsletter needs, which is her"
            " name and address to write to, and neither her telephone number nor her street."
        )
        answer = self._do(look_up(NEWSLETTER, ANNA, "email_marketing", fields=_SAME_FIELDS))
        self._promise(_effect(answer, "email") == "allow", "the newsletter gets the e-mail address")
        self._promise(_effect(answer, "phone") == "withhold", "and not the telephone number")
        told.say("Analytics may count her, but not know her: what points at her comes out as a pseudonym of its own.")
        fields = ["external_ref", "email", "orders.total_cents"]
        answer = self._do(look_up(ANALYTICS, ANNA, "first_party_analytics", fields=fields))
        self._promise(_effect(answer, "external_ref") == "pseudonymise", "analytics gets a pseudonym")
        told.say(
            "The advertising partner asks. She never agreed to that, so it learns nothing, not even that there is"
            " such a customer."
        )
        answer = self._do(look_up(ADS, ANNA, "targeted_ads", fields=_SAME_FIELDS, recipient="ad_partner"))
        self._promise(answer.at("record") == {}, "the partner gets no value")
        self._promise(answer.at("data_subject") is None, "nor the id")

    def _withdrawal(self) -> None:
        told = self._narrator
        told.chapter("A choice made in one channel binds in all, on the next request")
        told.say(
            "Anna calls, and says the last four digits of her number. Who has them is found, at"
            " most twenty people, each by a decision of their own; the gateway keeps no number, only keyed digests."
        )
        part: dict[str, JsonValue] = {"kind": "phone", "mode": "last4", "value": self._last4}
        body: dict[str, JsonValue] = {
            "identifier": part,
            "purpose": "customer_support",
            "fields": ["first_name", "city"],
        }
        found = self._do(Call("POST", "/v1/customers/search", token_of=CALL_CENTRE, body=body), ("candidates", "more"))
        among = self._anna in str(found.at("candidates")) or found.at("more") is True
        self._promise(among, "she is among those found, or the answer says that there are more")
        told.say("No more newsletters, she says. The call centre records it; a withdrawal needs no form.")
        since = self._listeners.so_far()
        evidence: dict[str, JsonValue] = {"how": "spoken", "reference": "call-77120"}
        answer = self._do(self._consent(CALL_CENTRE, "withdraw", evidence, data_subject=self._anna), _CHOSEN)
        self._promise(answer.status == 201, "the withdrawal is recorded")
        told.say("The very next read by the newsletter is refused. There is no cache that could outlive her word.")
        answer = self._do(look_up(NEWSLETTER, ANNA, "email_marketing", fields=["first_name", "email"]))
        self._promise(_reason(answer, "email") == "withdrawn", "the newsletter is refused because she withdrew")
        told.say("That binds without being told. For what a channel keeps itself, each that listens heard of it:")
        tell_heard(told, self._listeners, self._promise, "withdraw", since, (NEWSLETTER, WEB_SHOP))
        told.say("Why? Every decision can be explained: the rule, its text and source, the event it rested on.")
        self._refusal = str(answer.at("decision_id"))
        answer = self._do(Call("GET", f"/v1/decisions/{self._refusal}", token_of=NEWSLETTER), _WHY)
        self._promise(answer.status == 200, "the decision is explained")
        self._promise(answer.at("replayed_alike") is True, "asked again with the facts of then, it falls alike")

    def _writes(self) -> None:
        told = self._narrator
        told.chapter("Writes are gated as reads are")
        told.say("Anna has moved. The call centre reads her record; the answer carries its version.")
        path = f"/v1/customers/{self._anna}?purpose=customer_support&fields=street,city"
        answer = self._do(Call("GET", path, token_of=CALL_CENTRE), ("record", "version"))
        version = str(answer.at("version"))
        street = STREETS[answer.at("record", "street") == STREETS[0]]
        told.say("It changes the street, on condition that nobody changed the record in between.")
        change = self._change({"street": street}, version)
        self._promise(self._do(change, ("written", "version", "decision_id")).status == 200, "the street is written")
        told.say("A second agent still has the old version on the screen. Nothing is overwritten.")
        stale = self._change({"street": "Irgendwo 1"}, version)
        self._promise(self._do(stale).status in (409, 412), "a stale write is a conflict")
        told.say("Health data has no place in a support write: the field is refused by name and nothing is written.")
        answer = self._do(self._change({"allergies": "Nüsse"}, None))
        self._promise(answer.status in (403, 422), "the field is refused")
        told.say("Nor can a data write raise a consent. The old column `marketing_opt_in` is closed to it.")
        answer = self._do(self._change({"marketing_opt_in": 1}, None))
        self._promise(answer.status >= 400, "no write raises a consent")

    def _sealed(self) -> None:
        told = self._narrator
        told.chapter("Health data is sealed in the shop's own database")
        told.say(
            "Sofie agreed, explicitly, to be warned of nuts. She shares her e-mail address with Bram, so the till asks"
            " by her loyalty card, and gets what it needs for this one purpose."
        )
        body: JsonValue = {
            "identifier": {"kind": "loyalty_number", "value": loyalty_number(SOFIE)},
            "purpose": "allergen_safety",
            "fields": ["first_name", "allergies"],
        }
        answer = self._do(Call("POST", "/v1/customers/lookup", body, token_of=TILL))
        self._promise(_reason(answer, "allergies") == "explicit_consent", "explicit consent opens the field")
        self._promise(answer.at("record", "allergies") == CAST[SOFIE - 1].allergies, "the value comes out in the clear")
        told.say("Whoever copies the shop's database gets this instead, and nothing at all once her key is destroyed:")
        self._stored("allergies", SOFIE)
        told.say(
            "What the call centre must know of an account is sealed too, under keys of another class: `support`, not"
            " `care`. The call centre's credential opens the one, the till's the other, and neither both."
        )
        path = f"/v1/customers/{self._anna}?purpose=customer_support&fields=first_name,service_note"
        answer = self._do(Call("GET", path, token_of=CALL_CENTRE))
        self._promise(answer.at("record", "service_note") == CAST[0].service_note, "the call centre reads its note")
        self._stored("service_note", 1)

    def _stored(self, column: str, customer_id: int) -> None:
        look = self._outside.stored(column, customer_id)
        self._narrator.line(look.command)
        self._narrator.text(look.output)
        self._promise(look.good, f"the shop's database holds no readable {column}")

    def _signal(self) -> None:
        told = self._narrator
        told.chapter("Global Privacy Control")
        told.say(
            "Maya lives in California, where advertising is allowed until one says no. Her browser says it for her:"
        )
        told.say("it sends `Sec-GPC: 1`, and the web shop passes the header on.")
        question = look_up(WEB_SHOP, MAYA, "targeted_ads", fields=["email"], recipient="ad_partner")
        answer = self._do(
            Call(question.method, question.path, question.body, token_of=WEB_SHOP, headers={"Sec-GPC": "1"})
        )
        self._promise(_reason(answer, "email") == "gpc", "the signal closes it")
        told.say("It was remembered with the first such call: the next one, without the header, is closed too.")
        answer = self._do(question)
        self._promise(_reason(answer, "email") == "gpc", "the signal holds where the browser is not there")
        told.say("Ethan's signal has been on file since last year. It holds where his browser is not even there.")
        answer = self._do(look_up(WEB_SHOP, ETHAN, "targeted_ads", fields=["email"], recipient="ad_partner"))
        self._promise(_reason(answer, "email") == "gpc", "a stored signal closes it too")

    def _minors(self) -> None:
        told = self._narrator
        told.chapter("Young people, place by place")
        for address, reason, text in (
            (
                MIA,
                "below_digital_age",
                "Mia in Hamburg is fourteen and said yes, but in Germany her yes counts from sixteen on.",
            ),
            (JONAS, "parental_consent", "Jonas in Cologne is fourteen too; he said yes, and so did his mother."),
            (LUKAS, "consent", "Lukas in Vienna is fourteen and said yes, and in Austria fourteen is old enough."),
        ):
            told.say(text)
            answer = self._do(look_up(NEWSLETTER, address, "email_marketing", fields=["first_name", "email"]))
            self._promise(_reason(answer, "email") == reason, f"the reason is `{reason}`")
        told.say(
            "Noah in Baltimore is seventeen and agreed to advertising. Maryland bans it for minors, and a consent"
            " cannot cure a ban."
        )
        answer = self._do(look_up(WEB_SHOP, NOAH, "targeted_ads", fields=["email"], recipient="ad_partner"))
        self._promise(_reason(answer, "email") == "minor_prohibited", "no consent opens what is banned")

    def _send_list(self) -> None:
        told = self._narrator
        told.chapter("Before a campaign goes out: filter the send list")
        told.say(
            "Eight addresses. Withdrawn, a child, a restricted record, Quebec without a yes, a British soft opt-in, two"
            " young people who may, and an address that two people share, which therefore names nobody."
        )
        listed = (ANNA, MIA, CLAIRE, EMILIE, OLIVER, JONAS, LUKAS, FAMILY)
        body: JsonValue = {
            "purpose": "email_marketing",
            "fields": ["email"],
            "persons": [{"identifier": _email(address)} for address in listed],
        }
        answer = self._do(Call("POST", "/v1/decisions/batch", body, token_of=NEWSLETTER), ("results",))
        results = answer.at("results")
        rows = results if isinstance(results, list) else []
        told.say("One line each:")
        reached = 0
        for address, row in zip(listed, rows, strict=False):
            one = Answer(answer.status, {}, row)
            reached += _effect(one, "email") != "withhold"
            told.text(f"{address:32} {_effect(one, 'email'):10} {_reason(one, 'email')}")
        self._promise(reached == 3, "three of the eight may be written to")

    def _nothing_leaks(self) -> None:
        told = self._narrator
        told.chapter("What a refusal tells: nothing")
        told.say("The advertising partner tries an address that nobody has, and Anna's once more.")
        answers = [
            self._do(look_up(ADS, address, "targeted_ads", fields=["email"], recipient="ad_partner"))
            for address in (NOBODY, ANNA)
        ]
        unknown, refused = (_without_id(answer) for answer in answers)
        self._promise(unknown == refused, "both answers are alike but for the id of the decision")
        told.say("A channel cannot claim a purpose it is not registered for; the attempt itself is in the log.")
        answer = self._do(look_up(TILL, ANNA, "email_marketing"))
        self._promise(answer.status == 403, "the till may not claim marketing")
        told.say("And a made-up token opens nothing.")
        answer = self._do(look_up("made-up", ANNA, "order_fulfilment"))
        self._promise(answer.status == 401, "a bad token is refused")

    def _the_log(self) -> None:
        told = self._narrator
        told.chapter("The log, checked from outside")
        told.say(
            "All of the above is in an append-only log, each entry a leaf of a signed Merkle tree. An auditor needs the"
            " exported log and the public key, and neither the gateway nor its database."
        )
        self._promise(self._sealed_in_time(), "Anna's refusal is sealed within seconds")
        promises = ("the log is exported", "it verifies", "the refusal of Anna's newsletter stands in it")
        for look, promise in zip(self._outside.log_checked(self._refusal), promises, strict=True):
            told.line(look.command)
            told.text(look.output)
            self._promise(look.good, promise)

    def _sealed_in_time(self) -> bool:
        """Wait until the background worker has taken the refusal into the signed tree."""
        call = Call("GET", f"/v1/decisions/{self._refusal}", token_of=NEWSLETTER)
        deadline = time.monotonic() + _SEAL_SECONDS
        while True:
            answer = send(self._base, call, self.tokens)
            if answer.at("log", "sealed") is True:
                return True
            if answer.status != 200 or time.monotonic() > deadline:
                return False
            time.sleep(0.2)

    def _change(self, record: dict[str, JsonValue], version: str | None) -> Call:
        body: JsonValue = {"purpose": "customer_support", "record": record, "source": "the customer, by telephone"}
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        return Call("PATCH", f"/v1/customers/{self._anna}", body, token_of=CALL_CENTRE, headers=headers)

    def _consent(self, client: str, kind: str, evidence: Mapping[str, JsonValue], **whom: JsonValue) -> Call:
        body: JsonValue = {
            **whom,
            "purpose": "email_marketing",
            "kind": kind,
            "occurred_at": self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "evidence": dict(evidence),
        }
        return Call("POST", "/v1/consents", body, token_of=client)

    def _do(self, call: Call, show: tuple[str, ...] = _READ) -> Answer:
        self._narrator.line(call.curl(self._base))
        answer = send(self._base, call, self.tokens)
        self._narrator.answer(answer, show)
        return answer

    def _promise(self, kept: bool, promise: str) -> None:  # noqa: FBT001 - reads as the sentence it is
        if not kept:
            self.broken.append(promise)
            self._narrator.broken(promise)


def _email(address: str) -> dict[str, JsonValue]:
    return {"kind": "email", "value": address}


def look_up(
    client: str, address: str, purpose: str, *, fields: list[str] | None = None, recipient: str | None = None
) -> Call:
    """A read by e-mail address, with the token of `client`."""
    body: dict[str, JsonValue] = {"identifier": _email(address), "purpose": purpose}
    if fields is not None:
        body["fields"] = list(fields)
    if recipient is not None:
        body["recipient"] = recipient
    return Call("POST", "/v1/customers/lookup", body, token_of=client)


def _effect(answer: Answer, field: str) -> str:
    return str(answer.at("fields", field, "effect"))


def _reason(answer: Answer, field: str) -> str:
    return str(answer.at("fields", field, "reason"))


def _without_token(answer: Answer) -> Answer:
    body = answer.body
    if isinstance(body, dict) and "access_token" in body:
        body = {**body, "access_token": str(body["access_token"])[:10] + "…"}
    return Answer(answer.status, answer.headers, body)


def _without_id(answer: Answer) -> tuple[int, str]:
    body = answer.body
    kept = {key: item for key, item in body.items() if key != "decision_id"} if isinstance(body, dict) else body
    return answer.status, json.dumps(kept, sort_keys=True)
