# One image for every Airflow component: exactly the locked packages on a plain Python, nothing of another Airflow
# image's own set beside them.
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

ENV AIRFLOW_HOME=/opt/airflow \
    PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/importer:/opt/importer/config \
    PYTHONUNBUFFERED=1

WORKDIR /opt/importer
COPY requirements-bootstrap.txt requirements.txt ./
RUN python -m venv /opt/venv \
    && pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-bootstrap.txt \
    && uv pip sync --no-cache --python /opt/venv/bin/python --require-hashes --compile-bytecode requirements.txt

RUN useradd --uid 50000 --gid 0 --no-create-home --home-dir /opt/airflow airflow \
    && install --directory --owner airflow --mode 0700 /opt/airflow /opt/airflow/logs /opt/airflow/login

COPY config config
COPY expectations expectations
COPY include include
COPY plugins plugins
COPY dags dags
RUN python -m compileall -q /opt/importer

USER airflow
ENTRYPOINT ["python", "-m"]
CMD ["airflow", "version"]
