"""What the shared poller asks next, and when.

In: the tasks that are waited for and what is answered about them; out: a query, a page or seconds to wait. Pure: no
clock, no I/O; `now` is an argument.
"""
