"""The story's parts about channels that listen: they give their addresses, and show when they heard."""

from collections.abc import Callable, Mapping, Sequence

from consent_gateway.demo.calls import Answer, Call, send
from consent_gateway.demo.clients import ADS, ANALYTICS, CALL_CENTRE, NEWSLETTER, TILL, WEB_SHOP
from consent_gateway.demo.listeners import Listeners
from consent_gateway.demo.narration import Narrator
from consent_gateway.vocabulary import JsonValue

LISTENING = (TILL, WEB_SHOP, CALL_CENTRE, NEWSLETTER, ANALYTICS, ADS)
"""The clients that give an address."""

_HOOKS = "/v1/webhooks"
_PARTNER: Mapping[str, JsonValue] = {"purposes": ["targeted_ads"], "recipient": "ad_partner"}
_SECONDS = 15.0

Promise = Callable[[bool, str], None]


def tell_listening(
    told: Narrator, base: str, tokens: Mapping[str, str], listeners: Listeners, promise: Promise
) -> None:
    """Have every channel register its address; what an earlier story registered ends."""
    told.say(
        "Each also names an address at which it wants to hear of changed choices. What comes there is signed, and"
        " tells ids and choices and nothing of a person."
    )
    for client_id in LISTENING:
        _end_earlier(base, tokens, client_id)
        body: dict[str, JsonValue] = {"url": listeners.open(client_id), **(_PARTNER if client_id == ADS else {})}
        call = Call("POST", _HOOKS, body, token_of=client_id)
        answer = send(base, call, tokens)
        listeners.trust(client_id, str(answer.at("secret") or ""))
        if client_id == NEWSLETTER:
            told.line(call.curl(base))
            told.answer(_without_secret(answer), ("webhook",))
        promise(answer.status == 201, f"`{client_id}` listens")


def tell_heard(
    told: Narrator, listeners: Listeners, promise: Promise, kind: str, since: int, clients: Sequence[str]
) -> None:
    """Show when these channels heard of a choice that was made since then."""
    for client_id in clients:
        heard = listeners.first(client_id, kind, since, _SECONDS)
        if heard is not None:
            told.text(heard.line)
        promise(heard is not None, f"`{client_id}` hears of it")


def _end_earlier(base: str, tokens: Mapping[str, str], client_id: str) -> None:
    found = send(base, Call("GET", _HOOKS, token_of=client_id), tokens).at("webhooks")
    for each in found if isinstance(found, list) else []:
        if isinstance(each, dict):
            send(base, Call("DELETE", f"{_HOOKS}/{each['webhook_id']}", token_of=client_id), tokens)


def _without_secret(answer: Answer) -> Answer:
    body = answer.body
    kept = {key: item for key, item in body.items() if key != "secret"} if isinstance(body, dict) else body
    return Answer(answer.status, answer.headers, kept)
