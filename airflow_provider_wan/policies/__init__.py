"""Policies that a DAG hands to Airflow: when a failed task is tried again. They ask no vendor and keep nothing."""
