"""The wire of each vendor: a folder each, with its paths (``api.py``) and how its bodies are read (``bodies.py``).

In come bodies as the vendor's pages describe them; out come orders for ``world`` and answers in the vendor's words.
Nothing here is shared with ``airflow_provider_wan.client``, so that a mistake shows in one of the two.
"""
