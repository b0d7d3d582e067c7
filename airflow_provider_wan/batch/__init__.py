"""Many generations in one Airflow task: the items, their book, the manifest and the waiting."""
