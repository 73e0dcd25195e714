"""From bytes to cells: dialect, records, chunks, stray rows, and cells parsed to values."""
