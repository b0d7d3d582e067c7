"""Many generations in one Airflow task: the items, their ledger, the manifest and the waiting."""
