"""Keyed digests under which the callers' room stores secrets; holds no key.

The secrets themselves are 256 random bits, so a slow hash would add cost and no safety. The key makes a row
written by somebody who has only the database worthless, and each use of it has its own label.
"""

import hmac


def keyed_digest(key: bytes, label: str, *parts: bytes) -> str:
    """HMAC-SHA256 in hex over the label and the parts, each with its length, so that no two lists collide."""
    message = bytearray()
    for part in (label.encode(), *parts):
        message += len(part).to_bytes(8)
        message += part
    return hmac.digest(key, bytes(message), "sha256").hex()
