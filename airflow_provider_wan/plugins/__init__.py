"""The gallery in Airflow's UI: what the API server shows of videos.

In come task instances and the XComs that ``links.gallery`` describes; out go a page, its data and the stored files. It
never calls a vendor, never writes, and imports nothing of hooks, durable, worker or batch: it lives in the API server.
``gallery`` is imported by every Airflow process and so imports next to nothing; all else by the API server alone.
"""
