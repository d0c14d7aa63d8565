"""Who hears that a job or the workers changed, and in which order."""

from __future__ import annotations

from headway.server.server import Server


def connect_listeners(server: Server) -> None:
    """Let the parts of the server hear of changes, each after those whose notes it reads.

    A listener notes the change and wakes its loop; it does not wait, write or raise. So all listeners have noted a
    change before any loop acts on it, and a later listener may read what an earlier one noted.
    """
    server.jobs.on_change = (
        server.queue.job_changed,  # whether the job is to be placed: the scheduler reads the queue
        server.recorder.job_changed,  # which reports are accepted: whoever reads streams asks the recorder
        server.quarantine.job_changed,  # what is to be judged: the scheduler judges before it places
        server.scheduler.job_changed,  # wakes the scheduler, which finds the queue and the quarantine up to date
        server.relay.job_changed,  # wakes the relay, which tells others what this server already goes by
        lambda job: server.watchers.changed(job.id),  # wakes followers, who read what all of the above know
        server.housekeeping.job_changed,  # tidies up when there is time: no request waits for it
    )
    server.jobs.on_delete = (
        server.relay.job_deleted,  # nothing of it is delivered any more
        server.watchers.deleted,  # followers find that the job is gone
    )
    server.workers.on_change = (server.scheduler.wake,)  # slots came or went
