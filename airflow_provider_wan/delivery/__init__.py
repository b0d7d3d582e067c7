"""Landing videos in object storage: the only room that writes to storage.

In: a finished task and a target; out: where the file lies. Never sends a key to a result host.
"""
