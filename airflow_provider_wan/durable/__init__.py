"""Never pay twice: the record of a submission, the paid call, and what an attempt does with what it finds.

In: a request, a client and a ledger; out: the task to wait for, or when to come back. Imports no Airflow.
"""
