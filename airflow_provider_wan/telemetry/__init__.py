"""What an operations team sees from outside: metrics through Airflow's own statistics, spans through its tracing.

In come handles, tasks and errors; out go numbers and spans. It never changes what a run does, never raises, and costs a
look at a cached setting where Airflow's statistics are off.
"""
