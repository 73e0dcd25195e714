r"""Promo codes: generation and upload beside `\copy` of the same codes, issue beside a plain UPDATE … SKIP LOCKED.

Issues are measured alone, and one by one while a generation adds codes to the same pool (PG-05).

`python -m benchmarks.promo_codes URL QUANTITY` is one generation in a process of its own; it prints one JSON line.
"""

from __future__ import annotations

import contextlib
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2

from benchmarks.bench import Bench, Samples
from include.import_types import IMPORT_TYPES
from include.warehouse.roles import Role

CODE_KEY = b"benchmark" * 4
POOL = "bench"
CLIENTS = (1, 16)
ISSUES = 32_000
"""Codes that are issued in one measurement, by all clients together."""
SLOWEST_ISSUE_MS = 50
"""The 99th percentile beside a generation (PG-05)."""
_ADD_POOL = f"""
INSERT INTO loyalty.promo_code_pool (system_id, name, description, state, format)
VALUES ('{POOL}', 'Bench', 'Of the benchmark', 'active', 'summer')
"""
_GENERATED, _UPLOADED = "code, pool_system_id, generation_id", "code, pool_system_id, import_job_id, import_line"
_ISSUE = f"SELECT result FROM loyalty.issue_promo_code('{POOL}', 'customer');\n"
_PLAIN_UPDATE = f"""
UPDATE loyalty.promo_code SET issued_at = clock_timestamp(), issued_to = 'customer'
WHERE code = (
    SELECT code FROM loyalty.promo_code
    WHERE pool_system_id = '{POOL}' AND issued_at IS NULL AND used_at IS NULL
    ORDER BY coalesce(least(issue_end, available_till), 'infinity'), coalesce(issue_start, '-infinity'),
             coalesce(generation_id, import_job_id)
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING code;
"""


def measure_generation(bench: Bench, quantity: int, rounds: int) -> None:
    r"""Measure generations and the `\copy` of their codes in the same order, in turn."""
    file = bench.folder / f"generated-{quantity}.csv"
    for number in range(rounds):
        with bench.database() as database:
            bench.execute(database, _ADD_POOL)
            measured = generate(bench, database, quantity)
            if number == 0:
                query = "SELECT code, pool_system_id, generation_id FROM loyalty.promo_code ORDER BY ctid"
                bench.run_psql(database, f"\\copy ({query}) TO '{file}' (FORMAT csv)")
        bench.samples.add(f"{quantity:,} generation", measured["wall"])
        bench.samples.add(f"{quantity:,} generation, peak MiB", measured["peak_mib"])
        bench.copy(f"{quantity:,} copy generated", "loyalty.promo_code", _GENERATED, file, _ADD_POOL)


def generate(bench: Bench, database: str, quantity: int) -> dict:
    """Run one generation in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.promo_codes", bench.server.url(database), str(quantity)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(printed)


def measure_upload(bench: Bench, rows: int, rounds: int) -> None:
    r"""Measure the import of a file of codes alone, in random order, and `\copy` of the same codes, in turn."""
    sent, typed = write_upload(bench.folder, rows)
    for _ in range(rounds):
        with bench.database() as database:
            bench.execute(database, _ADD_POOL)
            measured = bench.import_file(database, "promo_codes", sent, {"pool": POOL})
        if measured["rows"]["inserted"] != rows:
            raise SystemExit(f"upload: expected {rows} inserted rows, got {measured['rows']}")
        bench.samples.add(f"{rows:,} upload", measured["wall"])
        bench.samples.add(f"{rows:,} upload, load", measured["stages"]["load_rows"])
        bench.samples.add(f"{rows:,} upload, peak MiB", measured["peak_mib"])
        bench.copy(f"{rows:,} copy uploaded", "loyalty.promo_code", _UPLOADED, typed, _ADD_POOL)


def write_upload(folder: Path, rows: int) -> tuple[Path, Path]:
    r"""Write a sender's file and the same codes as `\copy` wants them: numbered, with their pool and job."""
    from include.promo_codes.formats import CodeFormat, write_codes

    code_format = CodeFormat("upload", "ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 12)
    key = code_format.key(CODE_KEY)
    codes = write_codes(code_format, key, code_format.permutation(key).numbers(0, rows), "\n").decode()
    sent, typed = folder / f"upload-{rows}.csv", folder / f"upload-{rows}-typed.csv"
    sent.write_text(f"Code\n{codes}")
    with typed.open("w") as lines:
        lines.writelines(f"{code},{POOL},1,{line}\n" for line, code in enumerate(codes.split(), start=2))
    return sent, typed


def measure_issue(bench: Bench, rounds: int) -> None:
    """Measure how many codes a second clients get, one by one, from a pool that a generation has filled."""
    for _ in range(rounds):
        for clients in CLIENTS:
            for name, script, role in (
                ("issue_promo_code", _ISSUE, Role.SHOP),
                ("plain UPDATE", _PLAIN_UPDATE, Role.OWNER),
            ):
                with bench.database() as database:
                    bench.execute(database, _ADD_POOL)
                    generate(bench, database, ISSUES * 2)
                    bench.execute(database, f"SELECT loyalty.count_promo_code_pool('{POOL}')")
                    bench.execute(database, "VACUUM ANALYZE loyalty.promo_code")
                    seconds = run_clients(bench, database, script, clients, role)
                    count = f"SELECT count(issued_at) FROM loyalty.promo_code WHERE pool_system_id = '{POOL}'"
                    issued = int(bench.run_psql(database, count))
                if issued != ISSUES:
                    raise SystemExit(f"{name}: {issued} codes were issued, {ISSUES} expected")
                bench.samples.add(f"{clients} clients, {name}, codes a second", ISSUES / seconds)


def run_clients(bench: Bench, database: str, script: str, clients: int, role: Role) -> float:
    """Run a statement over and over in so many sessions side by side, as transactions of their own; return seconds."""
    file = bench.folder / "issue.sql"
    file.write_text(script)
    command = [
        str(bench.server.program("pgbench")), "--no-vacuum", "--client", str(clients), "--jobs", str(min(clients, 2)),
        "--transactions", str(ISSUES // clients), "--protocol", "prepared", "--file", str(file),
        bench.server.url(database, role),
    ]  # fmt: skip
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure_issue_beside_generation(bench: Bench, quantity: int) -> None:
    """Issue codes one by one while others are generated, from a pool that has some and from one that has run dry."""
    for stock in (ISSUES, 0):
        with bench.database() as database:
            bench.execute(database, _ADD_POOL)
            generate(bench, database, ISSUES)
            if not stock:
                bench.execute(database, "UPDATE loyalty.promo_code SET issued_at = now()")
                # So that the new codes take the places of the old versions, before everything else in the index.
                bench.execute(database, "VACUUM loyalty.promo_code")
            bench.execute(database, f"SELECT loyalty.count_promo_code_pool('{POOL}')")
            command = [sys.executable, "-m", "benchmarks.promo_codes", bench.server.url(database), str(quantity)]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as generation:
                for seconds in _issue_while(lambda: generation.poll() is None, bench.server.url(database, Role.SHOP)):
                    bench.samples.add(_beside_generation(quantity, stock), seconds)
            if generation.returncode:
                raise SystemExit(f"the generation ended with {generation.returncode}")


def _issue_while(goes_on: Callable[[], bool], url: str) -> Iterator[float]:
    """Yield how many seconds each issue takes, its commit too."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        while goes_on():
            started_at = time.perf_counter()
            cursor.execute(_ISSUE)
            yield time.perf_counter() - started_at
            time.sleep(0.002)


def _beside_generation(quantity: int, stock: int) -> str:
    return f"issue beside {quantity:,} generated codes, {'codes in stock' if stock else 'a dry pool'}"


def report_issue_beside_generation(samples: Samples, quantity: int) -> None:
    """Print percentiles of the time of one issue, in milliseconds, beside their target."""
    print(f"\npromo codes issued while {quantity:,} are generated")
    for stock in (ISSUES, 0):
        name = _beside_generation(quantity, stock)
        values = [seconds * 1000 for seconds in samples.values[name]]
        percentile = statistics.quantiles(values, n=100)[98]
        missed = "" if percentile <= SLOWEST_ISSUE_MS else "   MISSED"
        print(
            f"  {'codes in stock' if stock else 'a dry pool':14} {len(values):6,} issues, median "
            f"{statistics.median(values):.1f} ms, longest {max(values):.1f} ms, 99 % within {percentile:.1f} ms"
            f"   target <= {SLOWEST_ISSUE_MS}{missed}"
        )


def report_generation(samples: Samples, quantity: int) -> None:
    """Print medians, and the ratios beside their target."""
    prefix = f"{quantity:,}"
    print(f"\n{prefix} promo codes generated, medians of {len(samples.values[f'{prefix} generation'])}")
    _print_samples(samples, f"{prefix} generation", f"{prefix} copy generated")
    ratio = samples.median(f"{prefix} generation") / samples.median(f"{prefix} copy generated")
    _print_ratio("generation / copy of the same codes", ratio)


def report_upload(samples: Samples, rows: int) -> None:
    """Print medians, and the ratio beside its target."""
    prefix = f"{rows:,}"
    print(f"\n{prefix} promo codes uploaded, medians of {len(samples.values[f'{prefix} upload'])}")
    _print_samples(samples, f"{prefix} upload", f"{prefix} copy uploaded")
    ratio = samples.median(f"{prefix} upload") / samples.median(f"{prefix} copy uploaded")
    _print_ratio("upload / copy of the same codes", ratio)


def report_issue(samples: Samples) -> None:
    """Print codes a second, and the ratios."""
    print("\npromo codes issued, codes a second")
    for clients in CLIENTS:
        names = [f"{clients} clients, {name}, codes a second" for name in ("issue_promo_code", "plain UPDATE")]
        issued, plain = (samples.median(name) for name in names)
        print(f"  {clients:2} clients: {issued:10,.0f}   plain UPDATE {plain:10,.0f}   ratio {issued / plain:.2f}")


def _print_samples(samples: Samples, *prefixes: str) -> None:
    for name, values in samples.values.items():
        if name.startswith(prefixes):
            unit = "" if name.endswith("MiB") else " s"
            spread = f"{min(values):.2f} … {max(values):.2f}"
            print(f"  {name:46} {samples.median(name):9.2f}{unit:2}  ({spread})")


def _print_ratio(name: str, ratio: float, target: float = 1.3) -> None:
    print(f"  {name:50} {ratio:8.2f}   target <= {target:g}{'' if ratio <= target else '   MISSED'}")


def main(url: str, quantity: int) -> None:
    """Generate codes and report how long it took, in seconds, and the peak memory in MiB."""
    from upath import UPath

    from include.promo_codes.generation import open_generation, run_generation
    from include.promo_codes.ledger import GenerationRequest
    from include.runtime import Runtime
    from include.warehouse.engine import create_warehouse_engine

    runtime = Runtime(
        create_warehouse_engine(url), *[UPath("/nowhere")] * 4, code_key=CODE_KEY, import_types=IMPORT_TYPES
    )
    start = time.perf_counter()
    request = GenerationRequest(POOL, quantity, "benchmark", "benchmark", "command line")
    result = run_generation(runtime, open_generation(runtime, request))
    wall = time.perf_counter() - start
    if result.added != quantity:
        raise SystemExit(f"generation: {result}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": wall, "peak_mib": peak}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
