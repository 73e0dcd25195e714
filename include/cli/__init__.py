"""The command line: the very stages that the DAGs run, without Airflow, for local checks and backfills.

`python -m include.cli import TYPE FILE...` and, beside it, `preview`, `template`, `jobs`, `job`, `migrate`,
`sync-project`; for promo codes `generate POOL --quantity N`, `formats`, `pools`, `pool`, `rotate-code-key`.
`WAREHOUSE_URL` names the database, else the embedded one of `make demo`; where each database role has a password of its
own, `WAREHOUSE_OWNER_URL` serves `migrate` and `sync-project`, and `WAREHOUSE_PAGES_URL` what only reads. `CVV_KEY` is
the key of the CVV hashes and `CODE_KEY` that of the promo codes; `WORK_URL`, `REPORTS_URL`, `ARCHIVE_URL`,
`LANDING_URL` name the folders, else those under `.local/`.
"""
