"""Which parts of the server hear of changed jobs and workers, and in which order."""

from __future__ import annotations

from headway.server.server import Server


def connect_listeners(server: Server) -> None:
    """Connect the listeners. Each hears of a change after those whose notes it reads.

    A listener notes the change and wakes its loop. It does not wait, write or raise. So all listeners have noted a
    change before any loop acts on it, and a later listener may read the notes of an earlier one.
    """
    server.jobs.on_change = (
        server.queue.job_changed,  # is the job to be placed? The scheduler reads the queue
        server.recorder.job_changed,  # which reports are accepted? Readers of streams ask the recorder
        server.quarantine.job_changed,  # which attempts are to be judged? The scheduler judges before it places
        server.scheduler.job_changed,  # wakes the scheduler, which finds the queue and the quarantine up to date
        *(one.job_changed for one in server.allocators.values()),  # ask engines for what the queue lacks
        server.relay.job_changed,  # wakes the relay, which delivers wake-ups and events
        server.curves.job_changed,  # stored with the job by now
        server.job_feed.job_changed,  # numbers the change for those who watch all jobs
        lambda job: server.watchers.changed(job.id),  # wakes followers, who read from all of the above
        server.housekeeping.job_changed,  # tidies up later: no request waits for it
    )
    server.jobs.on_delete = (
        *(one.job_deleted for one in server.allocators.values()),  # no machine is kept for it
        server.relay.job_deleted,  # stops delivering for the job
        server.curves.job_deleted,  # nothing more is recorded for it
        server.job_feed.job_deleted,  # the last change of the job
        lambda job: server.watchers.changed(job.id),  # followers find that the job is gone
    )
    server.telemetry.on_progress = server.job_feed.progressed
    server.workers.on_change = (server.scheduler.wake,)  # slots came or went
