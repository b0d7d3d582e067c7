"""Many generations in one Airflow task, round by round.

In: frozen settings and, after a deferral, the trigger's event. Out: a deferral on the tasks in flight and the lost ones
that are looked for, or the summary; beside it the manifest and stored videos. Each item is recorded before and after
its submission, so that a round may end anywhere. It never waits for a task on a worker (but where deferring is off),
never submits what it could not record, and reads no operator.
"""
