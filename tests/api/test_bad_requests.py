"""Bad requests over HTTP get a clear 4xx that names the error. Nothing is stored, and nothing else is affected."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from headway.core.facts import OutputsStored, RankStarted, Released, ResultStored
from headway.errors import RangeInvalid, SettingInvalid
from headway.formats.metrics import Series, encode_metrics
from headway.server.access import Caller, CallerKind
from headway.server.api.files import parse_range
from headway.settings import Settings, load_settings
from tests.api.conftest import SCRIPT, Api, finished_rank

pytestmark = pytest.mark.anyio
JSON = {"Content-Type": "application/json"}

BODIES = [
    (b'{"script":"a.py","source":"1","parameters":{"lr":1e999}}', "parameters.lr is inf"),
    (b'{"script":"a.py","source":"1","parameters":{"lr":NaN}}', "parameters.lr is nan"),
    (b'{"script":"a.py","source":"1","retry_window_seconds":1e999}', "retry_window_seconds is inf"),
    (b'{"script":"a.py","source":"1","checkpoints":{"every_seconds":-Infinity}}', "checkpoints.every_seconds is -inf"),
    (
        b'{"script":"a.py","source":"1","stall_seconds":"inf"}',
        "stall_seconds: 'inf' is not finite; give a finite",
    ),
    (b'{"script":"a.py","source":"1","world_size":{"min":1,"max":1e999}}', "world_size.max is inf"),
    (b'{"script":"a.py","source":"1","memory_bytes":99999999999999999999}', "memory_bytes is a number of more than"),
    (b'{"command":["\\ud800"]}', "command.0 is '\\ud800', which is not valid Unicode"),
    (b'{"command":["a"],"variables":{"A":"\\ud800"}}', "variables.A is '\\ud800'"),
    (b'{"command":["a"],"variables":{"\\ud800":"A"}}', "variables: the name '\\ud800' is not text"),
    (b'{"command":["a\\u0000"]}', "command.0: text must not have a NUL"),
    (b'{"script":"a.py","source":"1","parameters":{"a":null}}', "parameters.a: a parameter is text, a number"),
    (b'{"script":"a.py","source":"1","source":"2"}', "The body has the name 'source' twice"),
    (b'{"script":"a.py"', "The body is not valid JSON"),
    (b'{"script":"\xff"}', "it is not encoded as UTF-8"),
    (b"[" * 200_000, "nested too deeply"),
    (b'{"labels":' + b'{"a":' * 40 + b"1" + b"}" * 41, "nested more than 32 deep"),
    (b'{"memory_bytes":' + b"9" * 5000 + b"}", "a number is too long"),
    (b'{"script":"a.py","source":"1","name":"My Run 2"}', "for example my-run-2"),
    (b'{"script":"a.py","source":"1","labels":{"a":"b\\n"}}', "for example a=b"),
    (
        b'{"script":"a.py","source":"1","from_checkpoint":"A B"}',
        "from_checkpoint: 'A B' does not have the required form",
    ),
    (b"null", ""),
    (b"[]", ""),
    (b"", ""),
]


async def test_a_bad_body_names_its_field(api: Api) -> None:
    for body, words in BODIES:
        for path in ("/api/v1/jobs", "/api/v1/jobs/plan"):
            answer = await api.http.post(path, content=body, headers=JSON)
            assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), body[:99]
            assert words in answer.json()["detail"]
    assert (await api.http.get("/api/v1/jobs")).json()["jobs"] == []


async def test_a_repeated_parameter_is_named_without_a_place_in_a_list(api: Api) -> None:
    answer = await api.http.get("/api/v1/jobs?status=runing")
    assert [one["at"] for one in answer.json()["errors"]] == ["status"]
    assert answer.json()["detail"].startswith("status: ")


async def test_changes_for_a_rerun_are_read_as_strictly(api: Api) -> None:
    await api.submit(name="first")
    bodies = [
        (b'{"parameters":{"lr":NaN}}', "parameters.lr is nan"),
        (b'{"parameters":{"seed":99999999999999999999}}', "parameters.seed is a number of more than"),
        (b'{"name":"a","name":"b"}', "The body has the name 'name' twice"),
        (b'{"notes":"\\ud800"}', "notes is '\\ud800'"),
        (b'{"name"', "The body is not valid JSON"),
    ]
    for body, words in bodies:
        for path in ("/api/v1/jobs/first/rerun", "/api/v1/jobs/first/rerun/plan"):
            answer = await api.http.post(path, content=body, headers=JSON)
            assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), body
            assert words in answer.json()["detail"]
    assert len((await api.http.get("/api/v1/jobs")).json()["jobs"]) == 1


async def test_a_body_of_another_type_is_refused(api: Api) -> None:
    body = json.dumps(SCRIPT).encode()
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x", ""):
        answer = await api.http.post("/api/v1/jobs", content=body, headers={"Content-Type": content_type})
        assert answer.status_code == 422, content_type


async def test_a_worker_that_sends_infinite_numbers_is_refused(api: Api) -> None:
    worker = await api.worker()
    path = f"/api/v1/workers/{worker.id}/heartbeat"
    for fields in (
        b'"load":{"cpu_fraction":1e999,"memory_used_bytes":1,"memory_bytes":1}',
        b'"load":{"cpu_fraction":NaN,"memory_used_bytes":1,"memory_bytes":1}',
        b'"steps":{"j":1180591620717411303424}',
        b'"steps":{"j":1e999}',
    ):
        body = b'{"counter":1,"last_answer":0,' + fields + b"}"
        answer = await api.http.post(path, content=body, headers={**worker.headers, **JSON})
        assert answer.status_code == 422, fields
    assert (await worker.heartbeat(1)).status_code == 200
    assert [one["name"] for one in (await api.http.get("/api/v1/workers")).json()] == ["one"]


async def test_a_dataset_whose_figures_are_not_finite_is_refused(api: Api) -> None:
    index = b'{"name":"d","classes":1,"splits":{},"mean":1e999,"deviation":1,"full_scale":1}'
    answer = await api.http.post("/api/v1/datasets", content=index, headers=JSON)
    assert (answer.status_code, answer.json()["detail"][:11]) == (422, "mean is inf")
    named = index.replace(b"1e999", b"1").replace(b'"d"', b'"My Data"')
    assert "for example my-data" in (await api.http.post("/api/v1/datasets", content=named, headers=JSON)).text


def cursor_of(event: Any = 0, settled: Any = 0, reports: Any = None) -> str:
    fields = {"event": event, "settled": settled, "reports": {} if reports is None else reports}
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


CURSORS = [
    cursor_of(event=float("inf")), cursor_of(event=2**31), cursor_of(event=-1), cursor_of(event=10**400),
    cursor_of(settled=2**70), cursor_of(reports={"1": {"w": 2**31}}), cursor_of(reports={"²": {}}),
    cursor_of(reports=[1]), cursor_of(event="x"), base64.urlsafe_b64encode(b"[" * 10_000).decode(), "²", "%", "a" * 9,
    base64.urlsafe_b64encode(b"\xff{").decode(), base64.urlsafe_b64encode(b"null").decode(),
]  # fmt: skip


OF_THE_LIST = [
    "[1,1e999]", "[1e999,1]", "[NaN,1]", f"[1,{2**63}]", f"[1,{'9' * 5000}]", "[1,-1]", "[1]", "null", "x", "[" * 9999,
]  # fmt: skip


async def test_an_invalid_cursor_is_refused(api: Api) -> None:
    await api.submit(name="it")
    for cursor in CURSORS:
        for noun in ("events", "logs", "follow"):
            path = f"/api/v1/jobs/it/{noun}"
            assert (await api.http.get(path, params={"cursor": cursor})).status_code == 422, cursor
            if cursor.isascii():
                assert (await api.http.get(path, headers={"Last-Event-ID": cursor})).status_code == 422, cursor
    for cursor in OF_THE_LIST:
        answer = await api.http.get("/api/v1/jobs", params={"cursor": cursor})
        assert (answer.status_code, "ursor" in answer.json()["detail"]) == (422, True), cursor


async def test_a_cursor_of_an_earlier_version_is_valid(api: Api) -> None:
    """Followers keep their cursors while the server is replaced."""
    await api.submit(name="it")
    cursor = base64.urlsafe_b64encode(b'{"event":1,"drained":0,"reports":{}}').decode()
    answer = await api.http.get("/api/v1/jobs/it/events", params={"cursor": cursor, "follow": "false"})
    assert (answer.status_code, "job.submitted" in answer.text) == (200, False)


ADDRESSES = [
    ("GET", "jobs/it/attempts/%C2%B2", 404),
    ("PUT", "jobs/it/attempts/%C2%B2/artifacts/a", 403),
    ("PUT", f"jobs/it/attempts/{2**64}/artifacts/a", 403),
    ("PUT", f"jobs/it/attempts/{'9' * 5000}/checkpoints/1/0", 403),
    ("PUT", "jobs/it/attempts/%D9%A1/checkpoints/1/0", 403),
    ("GET", f"jobs/it/checkpoints/{2**64}", 422),
    ("GET", "jobs/it/checkpoints/%C2%B2/1", 422),
    ("GET", f"jobs/it/metrics?attempt={2**64}", 422),
    ("GET", f"jobs/it/metrics?first_step={2**64}", 422),
    ("GET", "jobs/it/metrics?last_step=1e999", 422),
    ("GET", "jobs?created_after=inf", 422),
    ("GET", "jobs?created_before=nan", 422),
    ("GET", "jobs?limit=99999999999999999999", 422),
    ("GET", "jobs?name=%00", 422),
    ("GET", "jobs?label=a=b%0Ac=d", 200),
    ("GET", "jobs?label=%FF", 422),
    ("GET", "jobs/%00", 422),
    ("GET", "jobs/%ED%A0%80", 404),
    ("GET", "jobs/j-%FF", 404),
    ("GET", f"jobs/{'x' * 5000}", 404),
    ("GET", "jobs/it/artifacts/%00", 422),
    ("GET", "datasets/%00", 422),
    ("DELETE", "datasets/%00", 422),
    ("POST", "workers/%00/drain", 422),
    ("GET", "goodput?days=nan", 422),
    ("GET", "goodput?days=1e999", 422),
]


async def test_a_bad_address_is_refused(api: Api) -> None:
    await api.submit(name="it")
    for method, address, status in ADDRESSES:
        answer = await api.http.request(method, f"/api/v1/{address}")
        assert answer.status_code == status, address
        assert (await api.http.get("/api/v1/jobs")).status_code == 200


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, (0, 10)), ("bytes=2-4", (2, 5)), ("bytes=-3", (7, 10)), ("bytes=-99", (0, 10)), ("bytes=5-", (5, 10)),
        ("bytes=0-99999999999999999999", (0, 10)), (f"bytes=-{'9' * 5000}", (0, 10)), ("bytes=²-3", (0, 10)),
        ("bytes=٣-4", (0, 10)), ("bytes=", (0, 10)), ("bytes=0-1,3-4", (0, 10)), ("items=0-1", (0, 10)),
        (f"bytes={'9' * 5000}-", None), ("bytes=10-", None), ("bytes=5-2", None), ("bytes=-0", None),
    ],
)  # fmt: skip
def test_ranges(header: str | None, found: tuple[int, int] | None) -> None:
    if found is None:
        with pytest.raises(RangeInvalid):
            parse_range(header, 10)
    else:
        assert parse_range(header, 10) == found


async def test_infinite_metrics_and_results_reach_users(api: Api) -> None:
    worker = await api.worker()
    job = (await api.submit(name="it"))["id"]
    await api.server.scheduler.schedule()
    assert (await worker.claim(job)).status_code == 200
    series = Series("loss", 0)
    for step, value in enumerate((1.5, float("inf"), float("-inf"), float("nan"))):
        series.steps.append(step)
        series.times.append(1.0)
        series.values.append(value)
    result = ResultStored(result={"test": {"loss": float("nan"), "f1": float("-inf")}})
    facts = (RankStarted(rank=0, pid=1), result, *finished_rank(), OutputsStored(), Released())
    report = worker.a_report(job, *facts, last=True)
    await api.server.recorder.record([replace(report, metrics=encode_metrics(report.number, [series]))])
    shown = ["1.5", "Infinity", "-Infinity", "NaN"]
    (found,) = (await api.http.get("/api/v1/jobs/it/metrics")).json()["series"]
    assert [str(one) for one in found["values"]] == shown
    followed = (await api.http.get("/api/v1/jobs/it/follow")).text
    assert '"values":[1.5,"Infinity","-Infinity","NaN"]' in followed
    assert '"result":{"test":{"loss":"NaN","f1":"-Infinity"}}' in (await api.http.get("/api/v1/jobs/it")).text
    assert '"metric":{"name":"loss","step":3,"value":"NaN"}' in (await api.http.get("/api/v1/jobs")).text
    assert (await api.http.get("/api/v1/jobs", params={"sort": "loss"})).json()["jobs"][0]["name"] == "it"
    assert (await api.server.backends.database.job(job)).result == {"test": {"loss": "NaN", "f1": "-Infinity"}}


async def test_a_claim_names_a_host_and_a_port(api: Api) -> None:
    worker = await api.worker()
    job = await api.submit(name="mine")
    path = f"/api/v1/workers/{worker.id}/assignments/{job['id']}/1/claim"
    for endpoint in (
        "\x1b[31m evil\n:1",
        "host",
        "host:",
        ":1",
        "host:0",
        "host:x",
        "host:1\n",
        "a b:1",
        "host:123456",
    ):
        answer = await api.http.post(path, json={"endpoint": endpoint}, headers=worker.headers)
        assert answer.status_code == 422, endpoint
        assert "endpoint" in answer.json()["detail"]


async def test_a_worker_is_at_a_host(api: Api) -> None:
    join = api.headers(Caller(CallerKind.JOIN))
    for host in ("\x1b[31m evil", "a b", "", "host\n", "a/b"):
        description = {"name": "one", "slots": 1, "threads_per_slot": 1, "host": host, "port": 9}
        answer = await api.http.post("/api/v1/workers", json={"worker": description}, headers=join)
        assert (answer.status_code, "worker.host" in answer.json()["detail"]) == (422, True), host


async def test_true_is_not_a_number_in_a_dataset(api: Api) -> None:
    array = {"dtype": "uint8", "sample_shape": [1]}
    split = {"sample_count": 0, "arrays": {"input": array, "label": {**array, "sample_shape": []}}, "blocks": []}
    good = {"name": "x", "classes": 2, "mean": 0, "deviation": 1.0, "full_scale": 1, "splits": {}}
    splits = {"train": split, "test": split}
    wrong = [{name: True} for name in ("classes", "mean", "deviation", "full_scale")]
    wrong += [{"splits": {**splits, "train": {**split, "sample_count": False}}}]
    wrong += [{"splits": {**splits, "train": {**split, "arrays": {"input": {**array, "sample_shape": [True]}}}}}]
    for change in wrong:
        answer = await api.http.post("/api/v1/datasets", json={**good, "splits": splits, **change})
        assert answer.status_code == 422, change
        assert "is a truth value; give a" in answer.json()["detail"], change
    assert (await api.http.post("/api/v1/datasets", json={**good, "splits": splits})).status_code == 201


async def test_no_answer_redirects_to_the_host_that_a_request_names(api: Api) -> None:
    for path in ("/api/v1/jobs/", "/api/v1/workers/", "/health/"):
        answer = await api.http.get(path, headers={"Host": "evil.example"})
        assert answer.status_code == 404
        assert "location" not in answer.headers


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name.endswith("_seconds")])
def test_a_time_that_no_loop_can_wait_for_is_refused(name: str) -> None:
    with pytest.raises(SettingInvalid, match=f"HEADWAY_{name.upper()} is '1e308': '1e308' is too large; give"):
        load_settings({f"HEADWAY_{name.upper()}": "1e308"})
