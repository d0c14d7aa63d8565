"""The SDK: everything the command line does goes through here."""

from headway.client.client import Client
from headway.client.connection import DEFAULT_URL
from headway.client.job_handle import JobHandle
from headway.client.message import Message

__all__ = ["DEFAULT_URL", "Client", "JobHandle", "Message"]
