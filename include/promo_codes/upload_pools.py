"""The pools that codes can be uploaded to, for forms. Source: PC-02, PC-05."""

from __future__ import annotations

from sqlalchemy import Connection, text


def list_upload_pools(connection: Connection, *, limit: int = 500) -> list[str]:
    """Return the system ids of the pools that are not filled by generation, by name."""
    query = """
        SELECT system_id
        FROM loyalty.promo_code_pool
        WHERE fill_method IS DISTINCT FROM 'generate'
        ORDER BY system_id
        LIMIT :limit
    """
    return list(connection.execute(text(query), {"limit": limit}).scalars())
