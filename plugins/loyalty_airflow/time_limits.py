"""How long a task may take: generous, so that only what hangs meets its limit and gives its slot back. Source: X-12.

Airflow interrupts the task's main thread by a signal, as soon as Python runs again in it (3.3.2): reads of files,
pipes and buckets end at once; a statement of the database is over first, and keepalives end one whose server is gone; a
disk that doesn't answer at all holds its process until the kernel gives up. The attempt has failed then, is repeated
like one that met an outage, and after the last one `close_job` closes the job as failed.

`default_args` gives `ORDINARY` to every task; a test finds one that has no limit.
"""

from __future__ import annotations

from datetime import timedelta

ORDINARY = timedelta(hours=1)
"""Of tasks that ask the database little: the review of pools, the row of a generation."""
START_IMPORTS = timedelta(minutes=15)
"""Of a listing, and the start of thousands of runs. Nothing else is picked up meanwhile; the next run goes on."""
TAKE_FILE = timedelta(minutes=20)
"""Of a copy of 2 GiB from a slow bucket (2.4 MB/s: the database ends a transaction that is idle for 15 minutes). Short,
for the source may be any system's, and it is tried six times."""
INSPECT_FILE = timedelta(hours=2)
"""Of one pass over the file, and one that writes its UTF-8 copy. 2 GiB take a minute."""
VALIDATE_CHUNK = timedelta(hours=1)
"""Of a chunk whose disk or bucket hangs: it is tried again, by another worker. One of 64 MiB takes seconds."""
LOAD_ROWS = timedelta(hours=12)
"""Of the load, or its rehearsal for a review. Twenty million customers take 20 minutes on 2 cores, as long again when a
review has changed their mapping, and other loads of customers go first."""
WRITE_REPORT = timedelta(hours=4)
"""Of the sender's records of millions of rejects, read back from a bucket."""
CLOSE_JOB = timedelta(hours=2)
"""Of a copy of the file to another storage. Tasks of a run that was marked failed are waited for: some seconds."""
GENERATE = timedelta(hours=12)
"""Of a generation or a top-up: a million codes take 5 s, a hundred million a quarter of an hour."""
DELETE_FILES = timedelta(hours=6)
"""Of the first retention of a large archive in a bucket, object by object; a repetition goes on with what is left."""
