"""Developer tools: a real Airflow without Docker, the demo, and what the tests and benchmarks share."""
