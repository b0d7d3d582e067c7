"""What a worker does in one run of a task: obtain, wait or defer, land, hand on.

Never imported while a DAG is parsed.
"""
