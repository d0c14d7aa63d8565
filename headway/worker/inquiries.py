"""Answers users' inquiries to the ranks of one attempt."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from headway.core.protocol import Inquiry, InquiryAnswer
from headway.errors import HeadwayError
from headway.rank_protocol.launcher_messages import CommandEnded
from headway.worker.connection import Connection
from headway.worker.launcher import Launcher
from headway.worker.regular_files import read_part, size_of
from headway.worker.stacks import joined, read_stacks

_log = logging.getLogger(__name__)
_MAXIMUM_ANSWER_BYTES = 1 << 20


class Inquiries:
    """Stacks are answered at once, a command when it has ended. The server repeats unanswered inquiries."""

    def __init__(self, folder: Path, connection: Connection) -> None:
        self._folder = folder
        self._connection = connection
        self._begun: set[str] = set()

    async def begin(self, inquiry: Inquiry, launcher: Launcher | None, processes: dict[int, int]) -> None:
        """Start to answer an inquiry; a repeated one is ignored. `processes` maps ranks to pids."""
        if inquiry.id in self._begun:
            return
        self._begun.add(inquiry.id)
        if inquiry.kind == "stacks":
            stacks = await asyncio.to_thread(read_stacks, self._folder, processes)
            text = joined(stacks)
            truncated = len(text) > _MAXIMUM_ANSWER_BYTES
            await self._answer(inquiry.id, InquiryAnswer(output=text[:_MAXIMUM_ANSWER_BYTES], truncated=truncated))
        elif launcher is None:
            await self._answer(inquiry.id, InquiryAnswer(error="Its ranks have not started, or have just ended."))
        else:
            await launcher.execute(inquiry, self._file(inquiry.id))

    async def ended(self, ended: CommandEnded) -> None:
        """Answer with the command that has ended."""
        path = self._file(ended.inquiry)
        size_bytes, content = size_of(path), b""
        with suppress(OSError):
            content = await asyncio.to_thread(read_part, path, 0, _MAXIMUM_ANSWER_BYTES)
            path.unlink(missing_ok=True)
        answer = InquiryAnswer(
            exit_code=ended.exit_code,
            output=content.decode(errors="replace"),
            truncated=size_bytes > _MAXIMUM_ANSWER_BYTES,
            error=ended.error,
        )
        await self._answer(ended.inquiry, answer)

    async def _answer(self, inquiry: str, answer: InquiryAnswer) -> None:
        try:
            await self._connection.answer(inquiry, answer)
        except HeadwayError as error:
            _log.warning("Inquiry %s was not answered: %s", inquiry, error)

    def _file(self, inquiry: str) -> Path:
        return self._folder / f"{inquiry}.output"
