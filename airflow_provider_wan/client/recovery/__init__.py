"""What a task list proves of a submission whose answer was lost: pure, no I/O.

In: what to look for, and the pages and tasks asked for; out: what to ask next, then a clue or why there is none.
It never decides whether to pay again: that is the attempt's (``durable``).
"""
