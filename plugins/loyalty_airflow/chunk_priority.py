"""Who goes first when chunks of several files wait for workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy

if TYPE_CHECKING:
    from loyalty_airflow.airflow_internals import TaskInstance


class LaterChunksWait(PriorityWeightStrategy):
    """Let files take turns: the more chunks of a file go before one, the longer it waits.

    The scheduler hands out free slots by weight, then by the date of the run (3.3.2). With the default weights a file
    of eighty chunks that came first would take all slots until its last chunk. Here the first chunk of any file goes
    before the second of any other, and every other task, whose weight is 1 or more, before all chunks.

    What an executor has in its queue stays in its order there: `core.parallelism` should be no more than the slots of
    all workers.
    """

    def get_weight(self, ti: TaskInstance) -> int:
        """Return 0 for the first chunk of a file, and one less for each further one."""
        return -max(ti.map_index, 0)
