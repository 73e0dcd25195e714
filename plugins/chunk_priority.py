"""The weight of chunks under the name that DAG versions of before have stored in Airflow's database.

A class of its own: Airflow looks strategies up by the module that defines them (3.3.2).
"""

from loyalty_airflow import chunk_priority


class LaterChunksWait(chunk_priority.LaterChunksWait):
    """As `loyalty_airflow.chunk_priority.LaterChunksWait`."""
