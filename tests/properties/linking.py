"""An adversary who holds what two domains were given, knows some true pairs, and tries to find the others.

For each unknown person they get one token of the first domain and two of the second, the person's own and another's,
and must say which; who learns nothing is right half the time. Five attacks, each trained on the known pairs alone.
Ties are broken by a seeded coin, so that a run can be repeated.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from consent_gateway.errors import ProtectionRefused
from consent_gateway.protection.tokens import parse

Pair = tuple[str, str]


class Held(NamedTuple):
    """What one recipient holds of one person: the text, and the bytes in it that are not the domain's.

    Those of a token are its body, without kind, key id and check; any other text is taken as it is.
    """

    text: str
    body: bytes


Known = Sequence[tuple[Held, Held]]
Score = Callable[[Held, Held], float]
"""How much two tokens, of the first and of the second domain, look like one person's."""


@dataclass(frozen=True)
class Outcome:
    """How often an attack was right, of how many tries, and how likely chance alone does as well."""

    right: int
    tries: int

    @property
    def chance(self) -> float:
        """The exact probability that `tries` throws of a coin give `right` heads or more (binomial upper tail)."""
        if self.right <= 0:
            return 1.0
        logs = [
            math.lgamma(self.tries + 1) - math.lgamma(n + 1) - math.lgamma(self.tries - n + 1)
            for n in range(self.right, self.tries + 1)
        ]
        return min(1.0, math.fsum(math.exp(one - self.tries * math.log(2)) for one in logs))


def attack(name: str, known: Known, sought: Known, seed: int) -> Outcome:
    """Train the attack of this name on the known pairs and try it on those sought."""
    draw = random.Random(seed)
    score = ATTACKS[name](known, sought)
    right = 0
    for at, (first, second) in enumerate(sought):
        other = sought[(at + 1 + draw.randrange(len(sought) - 1)) % len(sought)][1]
        own, theirs = score(first, second), score(first, other)
        right += draw.random() < 0.5 if own == theirs else own > theirs
    return Outcome(right, len(sought))


def equality(_known: Known, _unknown: Known) -> Score:
    """The same text in both domains is the same person."""
    return lambda first, second: float(first.body == second.body)


def prefix(_known: Known, _unknown: Known) -> Score:
    """The longer the beginning of the bodies that two tokens share, the likelier they are one person's."""

    def score(first: Held, second: Held) -> float:
        same = 0
        for one, other in zip(first.body, second.body, strict=False):
            if one != other:
                break
            same += 1
        return same

    return score


def length(known: Known, _unknown: Known) -> Score:
    """The length that tokens of the second domain mostly have where that of the first has this length."""
    seen: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for first, second in known:
        seen[len(first.text)][len(second.text)] += 1

    def score(first: Held, second: Held) -> float:
        lengths = seen[len(first.text)]
        return lengths[len(second.text)] / max(1, lengths.total())

    return score


def frequency(known: Known, unknown: Known) -> Score:
    """A token as frequent in one domain as another is in the other stands for the same."""
    counts = [Counter(pair[side].text for pair in (*known, *unknown)) for side in (0, 1)]
    return lambda first, second: -abs(counts[0][first.text] - counts[1][second.text])


def bits(known: Known, _unknown: Known) -> Score:
    """The sixteen bits whose agreement between the domains is furthest from half, weighed by how far they are.

    Compared are the bits of the bodies, or of the characters of a text that is no token, from the front on.
    """
    width = min(len(one.body) for pair in known for one in pair)
    if width == 0:
        return lambda _first, _second: 0.0
    differing = b"".join(_xor(first, second, width) for first, second in known)
    bias: list[tuple[float, int]] = []
    for at in range(width):
        histogram = Counter(differing[at::width])
        for bit in range(8):
            ones = sum(count for value, count in histogram.items() if value >> bit & 1)
            varies = {pair[side].body[at] >> bit & 1 for pair in known[:500] for side in (0, 1)}
            if len(varies) == 2:  # a bit that is the same in every token tells nothing
                bias.append((0.5 - ones / len(known), at * 8 + bit))
    chosen = sorted(bias, key=lambda one: -abs(one[0]))[:16]

    def score(first: Held, second: Held) -> float:
        mixed = _xor(first, second, width)
        return sum(-weight if mixed[at // 8] >> (at % 8) & 1 else weight for weight, at in chosen)

    return score


def _xor(first: Held, second: Held, width: int) -> bytes:
    return (int.from_bytes(first.body[:width]) ^ int.from_bytes(second.body[:width])).to_bytes(width)


def held(text: str) -> Held:
    """The text as a recipient holds it."""
    try:
        return Held(text, parse(text).body)
    except ProtectionRefused:
        return Held(text, text.encode())


ATTACKS: dict[str, Callable[[Known, Known], Score]] = {
    "equality": equality,
    "prefix": prefix,
    "length": length,
    "frequency": frequency,
    "bits": bits,
}
