r"""`make bench`: imports and generations beside psql's `\copy` of the clean rows alone, interleaved in one run.

Every measurement starts from a database of its own and a checkpoint. `\copy` loads rows that are already clean, typed,
hashed and numbered; the import starts from the sender's file and ends with committed rows and written reports. Issuing
promo codes is measured beside a plain UPDATE, and while a million codes are generated; alone are measured the pages,
with a ledger of 100,000 jobs, the listing of the landing area, with up to 20,000 files, and what Airflow adds to the
time of a small file.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

from benchmarks import customers, landing, latency, pages, promo_codes
from benchmarks.bench import Bench, Samples, open_bench
from benchmarks.gift_cards import COPY_COLUMNS, POOLS, write_files

TYPED_COLUMNS = (
    "balance numeric(18,2) NOT NULL, cvv_hash bytea, point_of_contact text, purchased_at timestamptz, "
    "expires_at timestamptz, status text NOT NULL"
)
BARE = f"CREATE UNLOGGED TABLE bare (card_number text, pool_system_name text, {TYPED_COLUMNS}, job bigint, line bigint)"
TEXTBOOK = f"""
CREATE TABLE pool (id integer PRIMARY KEY, name text NOT NULL UNIQUE);
INSERT INTO pool SELECT number, 'pool_' || number FROM generate_series(0, {POOLS - 1}) AS number;
CREATE TABLE textbook (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    card_number text NOT NULL UNIQUE,
    pool_id integer NOT NULL REFERENCES pool,
    {TYPED_COLUMNS}
);
CREATE INDEX ON textbook (pool_id);
"""


def measure_cards(bench: Bench, rows: int, rounds: int, shares: tuple[float, ...]) -> None:
    r"""Measure `\copy` into three tables and the import at several shares of broken rows, in turn."""
    files = {share: write_files(bench.folder / "files", rows=rows, broken_share=share) for share in shares}
    main = files[0.02]
    own = ", ".join(COPY_COLUMNS)
    typed = "balance, cvv_hash, point_of_contact, purchased_at, expires_at, status"
    bare = f"card_number, pool_system_name, {typed}, job, line"
    steps: list[Callable[[], None]] = [
        lambda: bench.copy(f"{rows:,} copy bare", "bare", bare, main.clean, BARE),
        lambda: bench.copy(f"{rows:,} copy own", "loyalty.gift_card", own, main.clean),
        lambda: bench.copy(
            f"{rows:,} copy textbook", "textbook", f"card_number, pool_id, {typed}", main.textbook, TEXTBOOK
        ),
    ]
    for share, sample in files.items():
        steps.append(lambda share=share, sample=sample: bench.import_cards(f"{rows:,} import {share:.0%}", sample))
    for _ in range(rounds):
        for step in steps:
            step()


def report_cards(samples: Samples, rows: int, shares: tuple[float, ...]) -> None:
    """Print medians and ratios, each ratio beside its target."""
    prefix = f"{rows:,}"
    print(f"\n{prefix} gift cards, medians of {len(samples.values[f'{prefix} copy bare'])}")
    for name, values in samples.values.items():
        if name.startswith(f"{prefix} "):
            unit = "" if name.endswith("MiB") else " s"
            spread = f"{min(values):.2f} … {max(values):.2f}"
            print(f"  {name.removeprefix(prefix + ' '):46} {statistics.median(values):9.2f}{unit:2}  ({spread})")
    whole = samples.median(f"{prefix} import 2%")
    validation = samples.median(f"{prefix} import 2%, validation and staging")
    textbook = samples.median(f"{prefix} copy textbook")
    ratios = [
        ("whole import / copy into the textbook table", whole / textbook, 0.9),
        ("whole import / copy into the product's own table", whole / samples.median(f"{prefix} copy own"), 2.2),
        ("validation and staging / copy into a bare table", validation / samples.median(f"{prefix} copy bare"), 4.5),
        ("peak memory, MiB", samples.median(f"{prefix} import 2%, peak MiB"), 600),
    ]
    if 0.0 in shares:
        clean = samples.median(f"{prefix} import 0%")
        ratios += [
            (f"{share:.0%} broken / 0% broken", samples.median(f"{prefix} import {share:.0%}") / clean, 1.3)
            for share in shares
            if share
        ]
    else:
        command = samples.median(f"{prefix} import 2%, whole command")
        ratios[:3] = [("whole command / copy into the textbook table", command / textbook, 1.0)]
    for name, ratio, target in ratios:
        print(f"  {name:50} {ratio:8.2f}   target <= {target:g}{'' if ratio <= target else '   MISSED'}")


def bench_cards(bench: Bench, parsed: argparse.Namespace) -> None:
    """Measure and report gift cards."""
    shares = (0.0, 0.02, 0.3)
    measure_cards(bench, parsed.rows, parsed.rounds, shares)
    report_cards(bench.samples, parsed.rows, shares)
    if parsed.big_rows:
        measure_cards(bench, parsed.big_rows, 1, (0.02,))
        report_cards(bench.samples, parsed.big_rows, (0.02,))


def bench_codes(bench: Bench, parsed: argparse.Namespace) -> None:
    """Measure and report promo codes."""
    promo_codes.measure_generation(bench, parsed.codes, parsed.rounds)
    promo_codes.report_generation(bench.samples, parsed.codes)
    promo_codes.measure_upload(bench, parsed.codes, parsed.rounds)
    promo_codes.report_upload(bench.samples, parsed.codes)
    promo_codes.measure_issue(bench, parsed.rounds)
    promo_codes.report_issue(bench.samples)
    promo_codes.measure_issue_beside_generation(bench, parsed.codes)
    promo_codes.report_issue_beside_generation(bench.samples, parsed.codes)
    if parsed.big_codes:
        promo_codes.measure_generation(bench, parsed.big_codes, 1)
        promo_codes.report_generation(bench.samples, parsed.big_codes)


def bench_customers(bench: Bench, parsed: argparse.Namespace) -> None:
    """Measure and report customers, and the normalising of their e-mail addresses and phones alone."""
    customers.measure_contacts(bench, parsed.customers, parsed.rounds)
    customers.report_contacts(bench.samples, parsed.customers)
    customers.measure_customers(bench, parsed.customers, parsed.rounds)
    customers.report_customers(bench.samples, parsed.customers)


def bench_pages(bench: Bench, _: argparse.Namespace) -> None:
    """Measure and report the pages in Airflow."""
    pages.measure_pages(bench)
    pages.report_pages(bench.samples)


def bench_landing(bench: Bench, _: argparse.Namespace) -> None:
    """Measure and report listings of the landing area."""
    landing.measure_landing(bench)
    landing.report_landing(bench.samples)


def bench_latency(bench: Bench, _: argparse.Namespace) -> None:
    """Measure and report what a person waits for, through a running Airflow."""
    latency.measure_latency(bench)
    latency.report_latency(bench.samples)


BENCHES = {
    "cards": bench_cards,
    "codes": bench_codes,
    "customers": bench_customers,
    "landing": bench_landing,
    "latency": bench_latency,
    "pages": bench_pages,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--big-rows", type=int, default=5_000_000, help="0 leaves the big file out")
    parser.add_argument("--codes", type=int, default=1_000_000, help="promo codes that are generated and uploaded")
    parser.add_argument("--big-codes", type=int, default=10_000_000, help="0 leaves the big generation out")
    parser.add_argument("--customers", type=int, default=1_000_000, help="rows of the file of customers")
    parser.add_argument("--only", choices=list(BENCHES), help="leave the others out")
    parsed = parser.parse_args()
    with open_bench() as bench:
        for name, measure in BENCHES.items():
            if parsed.only in (None, name):
                measure(bench, parsed)


if __name__ == "__main__":
    main()
