"""The callers room: who may call, with which credential, and what was already answered; knows nothing of HTTP.

`registry` holds the clients, `tokens` their access tokens, `assertions` the signed assertions already used, and
`idempotency` the answers given to repeated writes. All of it is stored under a keyed digest, so neither a copy
of the database nor write access to it yields or forges a credential.
"""
