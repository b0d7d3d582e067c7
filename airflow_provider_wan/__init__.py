"""Apache Airflow provider for Wan video generation."""

__version__ = "0.2.0"
