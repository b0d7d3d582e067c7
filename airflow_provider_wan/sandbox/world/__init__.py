"""The state: accounts, tasks, queues, what is billed, and the clock that moves them.

In come orders and changes; out come tasks as they stand at a moment. It knows nothing of HTTP, nor any vendor's words.
"""
