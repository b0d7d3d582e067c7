"""What a task list proves of a submission whose answer was lost.

In: what is sought and the rows of a list; out: a clue, or what is still open. Pure: no clock, no I/O; it never submits.
"""
