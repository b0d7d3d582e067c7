"""Real Airflow processes against the sandbox: what only a scheduler, workers and a triggerer can show."""
