"""The officers room: people who act for the company, and how each proves to be here; knows nothing of HTTP.

`registry` holds them and their roles, `passkeys` what an authenticator signs, `challenges` what it must sign,
`enrolment` and `sessions` the two ceremonies. Nothing kept here yields a credential: codes and tokens are stored as
keyed digests, of a passkey only the public half is known.
"""
