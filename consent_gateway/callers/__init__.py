"""The callers room: who may call, with which credential, and what was already answered; knows nothing of HTTP.

`registry` holds the clients, `tokens` our access tokens and `outside` those of other issuers (`issuers`, `issuer_keys`,
`fetching`), `jose` and `dpop` verify what is signed, `replay` remembers what works once, and `idempotency` the answers
given to repeated writes. Our own credentials are stored under a keyed digest, so neither a copy of the database nor
write access to it yields or forges one.
"""
