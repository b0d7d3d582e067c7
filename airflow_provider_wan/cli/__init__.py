"""The command line: ``airflow wan …`` on Airflow 3.2 and newer, ``python -m airflow_provider_wan …`` everywhere.

``options`` says which commands there are, as data; ``definition`` hands them to Airflow's parser, which imports it
whenever any ``airflow`` command starts; ``commands`` does the work and is imported only when one of ours runs. Nothing
here sends a request to a vendor.
"""
