"""gRPC connections to the replicas."""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, List, Optional, Tuple

import grpc

from align_client.addresses import Address
from align_client.images import MAX_BYTES
from align_client.replicas import Replica

__all__ = ["Channels"]

# This list replaces the defaults of tritonclient, so it names message sizes as well.
_CHANNEL = [
    # The payload, with room for names and shapes.
    ("grpc.max_send_message_length", MAX_BYTES + 1_000_000),
    ("grpc.max_receive_message_length", MAX_BYTES + 1_000_000),
    # By default gRPC waits up to two minutes before it connects again to a server that was away,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # waits 20 seconds for a machine that does not even refuse the connection,
    ("grpc.min_reconnect_backoff_ms", 5000),
    # and resolves a name again only after half a minute.
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # The kernel drops a connection whose data is not acknowledged for this long
    # (TCP_USER_TIMEOUT): the machine has no power, or the line is cut. Otherwise calls would be
    # sent there until their deadlines for a quarter of an hour.
    ("grpc.keepalive_timeout_ms", 10_000),
    # gRPC sets that timeout only if pings are on. Triton ends connections that ping more often than
    # once an hour.
    ("grpc.keepalive_time_ms", 3_600_000),
]
_IN_TURNS = ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}')


class Channels:
    """Connections, each made on first use. Threads may share the object.

    Args:
        make: ``InferenceServerClient`` of ``tritonclient.grpc`` or of ``tritonclient.grpc.aio``.
        credentials: the credentials for TLS; None for connections without TLS.
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
        """Return the connection to a replica.

        Args:
            replica: the replica.
            same: use the same server each time, if the replica's name stands for several.
        """
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
        """Return all connections made so far."""
        with self._lock:
            return list(self._open.values())


def _arguments(address: Address, in_turns: bool) -> List[Tuple[str, Any]]:
    # A proxy from the environment cannot reach addresses of this machine.
    arguments: List[Tuple[str, Any]] = [*_CHANNEL, ("grpc.enable_http_proxy", int(not address.own))]
    return [*arguments, _IN_TURNS] if in_turns else arguments
