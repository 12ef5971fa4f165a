"""Reads the bits of a base64url text from left to right, as the IAB strings are written; writes none.

A string that ends too soon, or holds a character that is none of the alphabet's, is `Malformed`. Its message names
what was being read and quotes nothing.
"""

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LONGEST_CODE = 20  # bits of a Fibonacci code word; the ids of sections and vendors need far fewer


class Malformed(ValueError):
    """The text is not what it claims to be; says where, and quotes nothing of it."""


class Bits:
    """The bits of one text, six for each character, and a place in them."""

    def __init__(self, text: str) -> None:
        try:
            self._bits = "".join(f"{_ALPHABET.index(character):06b}" for character in text)
        except ValueError:
            raise Malformed("a character is not of the base64url alphabet") from None  # the cause quotes nothing
        self._at = 0

    @property
    def rest(self) -> str:
        """The bits not read yet, as `0` and `1`."""
        return self._bits[self._at :]

    def integer(self, width: int) -> int:
        """The next `width` bits as a number, the highest first."""
        end = self._at + width
        if end > len(self._bits):
            raise Malformed("it ends too soon")
        number = int(self._bits[self._at : end] or "0", 2)
        self._at = end
        return number

    def boolean(self) -> bool:
        """The next bit: 1 is true."""
        return self.integer(1) == 1

    def fibonacci(self) -> int:
        """The next number in Fibonacci coding: it ends with the first two ones in a row."""
        total, last, weight, following = 0, False, 1, 2
        for _ in range(_LONGEST_CODE):
            bit = self.boolean()
            if bit and last:
                return total
            total += weight if bit else 0
            last, weight, following = bit, following, weight + following
        raise Malformed("a number in Fibonacci coding does not end")
