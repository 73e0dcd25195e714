"""The trigger under the name that runs of an earlier version have stored in Airflow's database."""

from loyalty_airflow.triggers.stock import StockTrigger as StockTrigger
