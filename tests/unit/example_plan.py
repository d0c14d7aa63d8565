"""A plan for tests. Each test replaces the fields that it is about."""

from __future__ import annotations

from pathlib import Path

from headway.rank_protocol.plan import Plan
from headway.rank_protocol.save_policy import SavePolicy

PLAN = Plan(
    job="j-1",
    job_name="mnist",
    attempt=2,
    retries=3,
    trainer=None,
    script="train.py",
    module=None,
    command=[],
    arguments=["--epochs", "2"],
    parameters={"batch_size": 32},
    variables={"BATCH_SIZE": "32"},
    cold=None,
    python=Path("/venv/bin/python"),
    packages=None,
    memory_bytes=None,
    memory_look_seconds=0.5,
    dataset={"name": "digits"},
    data=Path("/cache/digits"),
    first_rank=2,
    rank_count=2,
    world_size=4,
    group_rank=1,
    group_count=2,
    endpoint="10.0.0.1:4001",
    store="10.0.0.1:4000",
    folder=Path("/home/attempts/j-1.2"),
    work=Path("/home/jobs/j-1/work"),
    output=Path("/home/attempts/j-1.2/output"),
    checkpoint_files=Path("/home/attempts/j-1.2/checkpoint-files"),
    save_policy=SavePolicy(every_steps=10),
    threads=1,
    device_variables={"CUDA_VISIBLE_DEVICES": "1"},
    interface="eth0",
    server_url="http://10.0.0.1:8000",
)
