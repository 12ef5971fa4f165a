"""Tells every channel and recipient of changed choices: outbox, feed and deliveries; decides no choice.

What is told is read from the ledger when it goes out, so that outbox and ledger cannot say two things.
"""
