"""HTTP: what may be sent twice (`flows`), and the client that carries it out, blocking or async.

In: a call; out: an answer or an error of the client. What an answer means for a task is not decided here.
"""
