"""The story's chapter about requests: one of each kind through to its end, by real calls and commands."""

from collections.abc import Mapping

from consent_gateway.demo.calls import Answer, Call, send
from consent_gateway.demo.clients import CALL_CENTRE, WEB_SHOP
from consent_gateway.demo.listening import Promise
from consent_gateway.demo.narration import Narrator
from consent_gateway.demo.outside import Outside
from consent_gateway.vocabulary import JsonValue

_SHOWN = ("id", "right", "regime", "state", "due")
_PARCEL = "?purpose=order_fulfilment&recipient=courier&fields=street,city"
_AT_ONCE = {"restrict", "object", "opt_out_sale_share", "limit_sensitive"}
_PLACES: Mapping[str, tuple[str, ...]] = {
    "US-CA": ("know", "opt_out_sale_share", "limit_sensitive", "opt_out_admt"),
    "GB": ("complaint_ack",),
    "DE": ("access", "portability", "correct", "object", "restrict", "delete"),
}
_STEPS: Mapping[str, tuple[str, ...]] = {
    "access": ("seen", "approve", "execute", "release"),
    "portability": ("seen", "approve", "execute", "release"),
    "know": ("seen", "approve", "execute", "release"),
    "correct": ("seen", "correct", "approve", "execute"),
    "delete": ("seen", "approve", "execute:waived"),
    "opt_out_admt": ("approve", "done"),
    "complaint_ack": ("approve", "done"),
}


def tell_rights(told: Narrator, base: str, tokens: Mapping[str, str], outside: Outside, promise: Promise) -> None:
    """Ask for every right there is, for people of three places, and carry each request to its end."""
    told.chapter("Every right a person has, from the asking to the end")
    told.say(
        "People call and ask. Each request falls under the law of the place where the caller lives, with its own last"
        " day. Opt-outs, limits, objections and restrictions bind at once; the others wait for proof of who asks."
    )
    asked: dict[str, str] = {}
    for place, rights in _PLACES.items():
        who = outside.next_customer(place)
        if "delete" in rights:  # by what the log says of this read the courier will be told to erase, too
            parcel = send(base, Call("GET", f"/v1/customers/{who}{_PARCEL}", token_of=WEB_SHOP), tokens)
            promise(parcel.status == 200, "the courier gets an address for a parcel")
        for right in rights:
            body: dict[str, JsonValue] = {"data_subject": who, "right": right, "via": "agent", "jurisdiction": place}
            call = Call("POST", "/v1/rights-requests", body, token_of=CALL_CENTRE)
            answer = send(base, call, tokens)
            if not asked:
                told.line(call.curl(base))
                told.answer(answer, _SHOWN)
                told.say("The others alike, one line each:")
            told.text(_line(answer))
            asked[right] = str(answer.at("id"))
            ends = ("fulfilled",) if right in _AT_ONCE else ("received", "identity_pending", "in_progress")
            promise(answer.status == 201 and answer.at("state") in ends, f"`{right}` is taken")
    told.say(
        "At the privacy desk somebody saw a passport, looks at each request and carries it out: packages are made and"
        " released, the record is corrected, and one customer is erased, who waived the days to think it over."
    )
    words = [word for right, steps in _STEPS.items() for word in (asked[right], *steps)]
    values = outside.correction()
    look = outside.commanded("rights", "work", *words, "--reference", "desk-1", "--values", str(values))
    told.line(look.command)
    told.text(look.output)
    promise(look.good, "every request is carried out")
    ended = {right for right in _STEPS if f"{right}, {_STEPS[right][-1]}: fulfilled" in look.output}
    promise(set(_STEPS) - {"delete", "correct"} <= ended, "packages are released and answers given")
    promise("correct, execute: " in look.output, "the record is corrected")
    promise("delete, execute:waived: " in look.output, "one customer is erased")
    _tell_recipients(told, outside, promise)
    told.say("What is left in the queue, and by when something is owed:")
    queue = outside.commanded("rights", "queue", "--limit", "5")
    told.line(queue.command)
    told.text(queue.output)
    promise(queue.good and not any(each in queue.output for each in asked.values()), "nothing of these is open")


def _tell_recipients(told: Narrator, outside: Outside, promise: Promise) -> None:
    told.say(
        "The courier had this customer's street for a parcel, as the log says. So it is told to erase it too, by mail"
        " and under its own name for the person, and waited for until it confirms:"
    )
    waited = outside.commanded("rights", "recipients")
    told.line(waited.command)
    told.text(waited.output)
    promise(waited.good and " courier: erasure for " in waited.output, "the courier is told")


def _line(answer: Answer) -> str:
    """What was asked, under which law, where it stands and by when it is due."""
    state = str(answer.at("state")).replace("_", " ")
    by = answer.at("due", "respond_by") or answer.at("due", "effective_by") or answer.at("due", "ack_by")
    return f"{answer.at('right')!s:20}{answer.at('regime')!s:14}{state:18}by {by}"
