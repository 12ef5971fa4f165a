"""The story's chapter about an erasure that a kept back-up cannot undo: real commands beside the running gateway."""

import re

from consent_gateway.demo.clients import ADS, NEWSLETTER
from consent_gateway.demo.listeners import Listeners
from consent_gateway.demo.listening import Promise, tell_heard
from consent_gateway.demo.narration import Narrator
from consent_gateway.demo.outside import Look, Outside

_FILE = re.compile(r"`([^`]+\.db)`")


def tell_erasure(told: Narrator, outside: Outside, listeners: Listeners, promise: Promise) -> None:
    """Erase the next customer who is nobody's favourite, close the epoch, and try the back-up from before."""
    told.chapter("Erased, and no back-up brings her back")
    who = outside.next_customer()
    told.say("A customer asks to be erased. The company has last night's back-up of the key table, as it should.")
    kept = _show(told, outside.commanded("keys", "backup"))
    promise(kept.good, "the key table is backed up, and read back from disk")
    found = _FILE.search(kept.output)
    since = listeners.so_far()
    told.say("One act: every channel is refused from now on, her identifiers go, and her keys are destroyed.")
    erased = _show(told, outside.commanded("people", "shred", who, "--reference", "demo", "--yes"))
    promise(erased.good, "her keys are destroyed")
    told.say(
        "Whoever was given data of hers is told (GDPR Art. 19), the partner under the one name it ever had for her:"
    )
    tell_heard(told, listeners, promise, "erased", since, (NEWSLETTER, ADS))
    told.say(
        "That back-up could still open what the shop's own back-ups hold of her. Closing the epoch ends it: everybody"
        " living is wrapped anew under a fresh root, that is read back from disk, and the old root is destroyed."
    )
    closed = _show(told, outside.commanded("keys", "close-epoch"))
    promise(closed.good, "the epoch is closed")
    if found is not None:
        told.say("The back-up of last night opens nobody any more. The closing made a new one, without her.")
        old = _show(told, outside.commanded("keys", "restore", found[1], "--verify-only"))
        promise(not old.good, "the older back-up is useless")


def _show(told: Narrator, look: Look) -> Look:
    told.line(look.command)
    told.text(look.output)
    return look
