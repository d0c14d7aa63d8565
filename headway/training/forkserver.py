"""The process that imports torch once and forks a launcher per attempt.

It stays single-threaded and uses no accelerator, so that its forks are clean; see docs/decisions/0001-fork.md.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from importlib.util import find_spec


def preload() -> None:
    """Import the modules that nearly every rank needs, if this environment has them.

    DDP and Adam import torch._dynamo at their first use, so it is included.
    """
    import json
    import runpy

    import headway.training.launcher

    del json, runpy
    if find_spec("numpy") is not None:
        import numpy

        del numpy
    if find_spec("torch") is None:
        return
    import torch
    import torch._dynamo
    import torch.distributed
    import torch.nn.parallel
    import torch.utils.data

    del torch
    if find_spec("pydantic") is not None and find_spec("safetensors") is not None:
        import headway.training.trainer

        headway.training.trainer.load_all()


def main(descriptor: int, worker_pid: int) -> None:
    """Serve launches on the socket until the worker closes it or dies."""
    from headway.rank_protocol.launcher_messages import ForkserverReady, encode_message
    from headway.rank_protocol.lifeline import die_with_parent
    from headway.rank_protocol.version import own_version

    for number in (
        signal.SIGTERM,
        signal.SIGINT,
    ):  # they may be sent to all of a worker's processes; the worker ends this one
        signal.signal(number, signal.SIG_IGN)
    die_with_parent(worker_pid)
    # Event loops leave copies of the descriptors that become stdin, stdout and stderr. Ranks must not get them.
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))
    gc.disable()  # imports create a million objects and no garbage; collecting would take a tenth of the start
    variables = dict(os.environ)
    preload()
    os.environ.clear()
    os.environ.update(variables)  # torch adds the folder of its caches, but ranks may have another TMPDIR
    gc.collect()
    gc.freeze()  # loaded objects stay shared with forks: no collection writes into their pages
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as worker:
        worker.sendall(encode_message(ForkserverReady(*own_version())))
        while True:
            message, descriptors, _, _ = socket.recv_fds(worker, 1, 2)
            if not message:
                return
            if os.fork() == 0:
                worker.close()
                _become_launcher(descriptors)
            for one in descriptors:
                os.close(one)


def _become_launcher(descriptors: list[int]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status = 1
    try:
        from headway.training.launcher import launch

        launch(*descriptors)
        status = 0
    except BaseException:
        traceback.print_exc()  # the worker reads our stderr into its log
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
