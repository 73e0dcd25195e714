import sys, time; sys.path.insert(0,'/work/main')
import pytest
pytestmark = pytest.mark.faults
from tests.faults import children

from tests.faults.test_killed_imports import NAMED_CARDS, DROPPED_POOLS
def test_times(make_scene):
    for i in range(3):
        for kind in (NAMED_CARDS, DROPPED_POOLS):
            a=time.time(); s=make_scene(kind); b=time.time()
            c=children.Child(s.work("before the job is opened")); c.wait_until_reached(); d=time.time(); c.let_go(); x=c.end(); e=time.time(); s.left_behind(); f=time.time()
            print(f"{kind}: clone {b-a:.2f} start {d-b:.2f} run {e-d:.2f} compare {f-e:.2f} {x}")
