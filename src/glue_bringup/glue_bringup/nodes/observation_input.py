"""Camera, key-patches and robot states of the graph, joined to observations by exact stamp."""

from __future__ import annotations

import threading
from collections.abc import Callable

from glue_msgs.msg import KeyPatchArray, RobotState

from glue_bringup.loop.observation_join import ObservationJoin
from glue_bringup.nodes import qos
from glue_bringup.nodes.camera_input import CameraInput
from glue_bringup.nodes.entities import EntityNode
from glue_perception.bags import topics
from glue_perception.bags.messages import key_patches_of
from glue_perception.bags.robot_messages import robot_state_of
from glue_perception.types import CameraFrame, Observation


class ObservationInput:
    """Subscribes for a node.

    Args:
        node: Gets the subscriptions.
        offer: Gets every observation, in the node's receiving thread.
        join: Joins by other rules than the usual ones; None: by those.
    """

    def __init__(
        self, node: EntityNode, offer: Callable[[Observation], None], join: ObservationJoin | None = None
    ) -> None:
        self._offer = offer
        self._join, self._lock = join or ObservationJoin(), threading.Lock()
        CameraInput(node, self._frame)
        node.receive(KeyPatchArray, topics.KEY_PATCHES, self._key_patches, qos.ANSWER)
        node.receive(RobotState, topics.ROBOT_STATE, self._robot_state, qos.SENSOR)

    @property
    def unmatched(self) -> int:
        """Key-patches whose frame never came."""
        return self._join.unmatched

    def _frame(self, frame: CameraFrame) -> None:
        with self._lock:
            self._give(self._join.frame(frame))

    def _key_patches(self, message: KeyPatchArray) -> None:
        patches = key_patches_of(message)
        with self._lock:
            self._give(self._join.key_patches(patches))

    def _robot_state(self, message: RobotState) -> None:
        state = robot_state_of(message)
        with self._lock:
            self._join.state(state)

    def _give(self, observation: Observation | None) -> None:
        if observation is not None:
            self._offer(observation)
