"""Connections to the replicas."""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, List, Optional, Tuple

import grpc

from align_client.addresses import Address
from align_client.images import MAX_BYTES
from align_client.replicas import Replica

__all__ = ["Channels"]

# tritonclient replaces its own defaults by this list, so message sizes are named as well.
_CHANNEL = [
    # The payload, and room for names and shapes around it.
    ("grpc.max_send_message_length", MAX_BYTES + 1_000_000),
    ("grpc.max_receive_message_length", MAX_BYTES + 1_000_000),
    # Else gRPC waits up to two minutes before it looks again for a server that was away,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # 20 seconds for a machine that does not even refuse,
    ("grpc.min_reconnect_backoff_ms", 5000),
    # and half a minute before it asks again which addresses a name has.
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # What a server does not even acknowledge for so long, the kernel gives up (TCP_USER_TIMEOUT):
    # a machine without power, a cut line. Else calls go there until their deadlines, for a quarter
    # of an hour.
    ("grpc.keepalive_timeout_ms", 10_000),
    # gRPC sets it only if pings are on. An hour: Triton ends connections that ping more often.
    ("grpc.keepalive_time_ms", 3_600_000),
]
_IN_TURNS = ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}')


class Channels:
    """Each made when it is first used. Safe to share between threads.

    Args:
        make: ``InferenceServerClient`` of tritonclient, or its twin for asyncio.
        credentials: for TLS; None without.
    """

    def __init__(
        self, make: Callable[..., Any], credentials: Optional[grpc.ChannelCredentials]
    ) -> None:
        self.tls = credentials is not None
        self._make = make
        self._credentials = credentials
        self._open: Dict[Tuple[Replica, bool], Any] = {}
        self._lock = threading.Lock()

    def to(self, replica: Replica, *, same: bool) -> Any:
        """The connection; ``same``: to the same server each time, where the name has several."""
        in_turns = replica.address.several and not same
        with self._lock:
            if (replica, in_turns) not in self._open:
                self._open[replica, in_turns] = self._make(
                    replica.url,
                    creds=self._credentials,
                    channel_args=_arguments(replica.address, in_turns),
                )
            return self._open[replica, in_turns]

    def all(self) -> List[Any]:
        """Those that were made."""
        with self._lock:
            return list(self._open.values())


def _arguments(address: Address, in_turns: bool) -> List[Tuple[str, Any]]:
    # A proxy named in the environment cannot reach this machine's own addresses.
    arguments: List[Tuple[str, Any]] = [*_CHANNEL, ("grpc.enable_http_proxy", int(not address.own))]
    return [*arguments, _IN_TURNS] if in_turns else arguments
