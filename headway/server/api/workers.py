"""Workers: users list and drain them; workers register, send heartbeats, claim, and connect to the embedded broker."""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import Depends, WebSocket, WebSocketDisconnect

from headway.core.job import WakeUp
from headway.core.protocol import Claim, Claimed, Heartbeat, HeartbeatAnswer, JobIds, Registered, Registration
from headway.errors import HeadwayError
from headway.server.access import Action
from headway.server.api.common import AttemptNumber, CallerHere, ServerHere
from headway.server.api.problems import answer_of
from headway.server.api.routes import Allow, guarded_router
from headway.server.api.worker_views import WorkerView, worker_view

router = guarded_router(prefix="/workers", tags=["workers"])
ACT = [Depends(Allow(Action.WORKER_ACT))]
BEAT = [Depends(Allow(Action.WORKER_ACT, maximum_body_bytes=8 << 20))]
WRITE = [Depends(Allow(Action.FLEET_WRITE))]


@router.get("", dependencies=[Depends(Allow(Action.FLEET_READ))])
async def list_workers(caller: CallerHere, server: ServerHere) -> list[WorkerView]:
    """The workers that are connected, by name."""
    return [worker_view(worker) for worker in server.workers.list_connected(caller)]


@router.post("/{name}/drain", dependencies=WRITE)
async def drain_worker(name: str, caller: CallerHere, server: ServerHere) -> WorkerView:
    """Let a worker's jobs save and continue elsewhere, and give it no more jobs. It stays drained after a restart."""
    return worker_view(await server.workers.drain(caller, name, draining=True))


@router.post("/{name}/undrain", dependencies=WRITE)
async def undrain_worker(name: str, caller: CallerHere, server: ServerHere) -> WorkerView:
    """Let a drained worker take jobs again."""
    return worker_view(await server.workers.drain(caller, name, draining=False))


@router.post("/{name}/restore", dependencies=WRITE)
async def restore_worker(name: str, caller: CallerHere, server: ServerHere) -> WorkerView:
    """Let a quarantined worker take jobs again. A worker is quarantined after it failed several jobs by faults of its
    own.
    """
    return worker_view(await server.workers.restore(caller, name))


@router.post("", dependencies=[Depends(Allow(Action.WORKER_REGISTER))], status_code=201)
async def register_worker(registration: Registration, caller: CallerHere, server: ServerHere) -> Registered:
    """Register a worker that has started: draw its id and token."""
    return await server.workers.register(caller, registration)


@router.delete("/{worker}", dependencies=ACT, status_code=204)
async def remove_worker(worker: str, caller: CallerHere, server: ServerHere) -> None:
    """The worker shuts down. It sends this when its ranks have ended and everything they left is sent."""
    await server.workers.leave(caller, worker)


@router.post("/{worker}/heartbeat", dependencies=BEAT)
async def send_heartbeat(worker: str, heartbeat: Heartbeat, caller: CallerHere, server: ServerHere) -> HeartbeatAnswer:
    """The worker is alive. The answer names the assignments that it should have."""
    return await server.heartbeats.answer(caller, worker, heartbeat)


@router.post("/{worker}/ended-jobs", dependencies=ACT)
async def list_ended_jobs(worker: str, asked: JobIds, caller: CallerHere, server: ServerHere) -> JobIds:
    """Which of these jobs have ended, so that the worker can remove their files."""
    return JobIds(jobs=await server.assignments.ended_jobs(caller, worker, asked.jobs))


@router.post("/{worker}/assignments/{assigned_job}/{assigned_attempt}/claim", dependencies=ACT)
async def claim_assignment(
    worker: str,
    assigned_job: str,
    assigned_attempt: AttemptNumber,
    claim: Claim,
    caller: CallerHere,
    server: ServerHere,
) -> Claimed:
    """Take an assignment. Repeating a claim gets the same answer."""
    return await server.assignments.claim(caller, worker, assigned_job, assigned_attempt, claim.endpoint)


@router.post("/{worker}/assignments/{assigned_job}/{assigned_attempt}/refuse", dependencies=ACT, status_code=204)
async def refuse_assignment(
    worker: str, assigned_job: str, assigned_attempt: AttemptNumber, caller: CallerHere, server: ServerHere
) -> None:
    """Decline an assignment because the worker has too few free slots."""
    await server.assignments.refuse(caller, worker, assigned_job, assigned_attempt)


@router.websocket("/{worker}/broker")
async def connect_broker(websocket: WebSocket, worker: str, caller: CallerHere, server: ServerHere) -> None:
    """The worker's own connection: the server sends wake-ups as text, the worker sends reports as bytes."""
    try:
        connection = server.worker_connections.open(caller, worker)
    except HeadwayError as error:
        await websocket.send_denial_response(answer_of(error))
        return
    await websocket.accept()
    async with connection as wakeups:
        sender = asyncio.create_task(_send_wakeups(websocket, wakeups))
        try:
            with contextlib.suppress(WebSocketDisconnect):
                while True:
                    await server.worker_connections.receive(worker, await _received(websocket))
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)


async def _send_wakeups(websocket: WebSocket, wakeups: asyncio.Queue[WakeUp]) -> None:
    while True:
        await websocket.send_text((await wakeups.get()).model_dump_json())


async def _received(websocket: WebSocket) -> bytes:
    """The next frame. A text frame is returned as bytes; they are not a valid report, so it is put aside."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    body: bytes = message.get("bytes") or (message.get("text") or "").encode()
    return body
