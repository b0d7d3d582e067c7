"""The shared poller of an account: waits, searches and batches in one event loop on one budget.

In: handles and deadlines; out: how each wait ended. Never submits.
"""
