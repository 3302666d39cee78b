"""A stand-in for tf2_ros.Buffer, which no package registry has, with the arithmetic of its sources.

Read from ros2/geometry2: tf2/src/cache.cpp, static_cache.cpp and buffer_core.cpp, and tf2_ros_py/tf2_ros/buffer.py.
Humble is 0.25.8, Jazzy 0.36.4. What differs between them: Jazzy has three subclasses of ExtrapolationException, and its
buffer clears itself when its clock goes back by a second: the node's, if it was made with one, else the system's.
``static_survives=False`` is no release: it is a buffer whose clear() forgets static transforms as well.
"""

import threading
import time as wall

import numpy as np
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration

CACHE_TIME = 10_000_000_000  # ns; tf2's default


class TransformException(Exception):  # noqa: N818 - tf2's own names
    pass


class LookupException(TransformException):
    pass


class ConnectivityException(TransformException):
    pass


class InvalidArgumentException(TransformException):
    pass


class ExtrapolationException(TransformException):
    pass


class BackwardExtrapolationException(ExtrapolationException):
    pass


class ForwardExtrapolationException(ExtrapolationException):
    pass


class NoDataForExtrapolationException(ExtrapolationException):
    pass


class TimeCache:
    """Transforms of one frame to its parents, newest first."""

    def __init__(self):
        self.entries = []

    def insert(self, stamp, parent, matrix):
        newest = self.entries[0][0] if self.entries else 0
        while self.entries and self.entries[-1][0] + CACHE_TIME < newest:
            self.entries.pop()
        if self.entries and stamp < newest - CACHE_TIME:
            return False  # TF_OLD_DATA
        place = next((i for i, entry in enumerate(self.entries) if entry[0] <= stamp), len(self.entries))
        same = [e for e in self.entries[place:] if e[0] == stamp and e[1] == parent and np.array_equal(e[2], matrix)]
        if not same:
            self.entries.insert(place, (stamp, parent, matrix))
        return True

    def find(self, stamp):
        """(parent, matrix), or the class and the text of an error."""
        if not self.entries:
            return NoDataForExtrapolationException, ""
        newest, oldest = self.entries[0][0], self.entries[-1][0]
        if stamp == 0:
            return self.entries[0][1:]
        if len(self.entries) == 1 and stamp != newest:
            return (
                NoDataForExtrapolationException,
                f"Lookup would require extrapolation at time {stamp}, but only {newest}",
            )
        if stamp > newest:
            return ForwardExtrapolationException, "Lookup would require extrapolation into the future."
        if stamp < oldest:
            return BackwardExtrapolationException, "Lookup would require extrapolation into the past."
        index = next(i for i, entry in enumerate(self.entries) if entry[0] <= stamp)
        before = self.entries[index]
        after = self.entries[max(index - 1, 0)]
        if before[0] == stamp or before[1] != after[1]:
            return before[1:]
        share = (stamp - before[0]) / (after[0] - before[0])
        between = before[2].copy()  # rotations of the tests change too little for the difference to slerp to matter
        between[:3, 3] += share * (after[2][:3, 3] - before[2][:3, 3])
        return before[1], between

    def clear(self):
        self.entries.clear()


class StaticCache:
    def __init__(self, survives):
        self._survives = survives
        self._entry = None

    def insert(self, stamp, parent, matrix):
        self._entry = parent, matrix
        return True

    def find(self, stamp):
        return self._entry or (NoDataForExtrapolationException, "")

    def clear(self):
        """tf2's StaticCache::clearList() is empty."""
        if not self._survives:
            self._entry = None


class Buffer:
    """tf2_ros.Buffer of one distribution."""

    def __init__(self, cache_time=None, node=None, *, distro="humble", static_survives=True):
        assert cache_time is None, "the stand-in has tf2's default"
        self.distro = distro
        self.ignored = 0
        self.clearings = 0
        self._frames = {}
        self._static_survives = static_survives
        self._mutex = threading.Lock()
        if node is not None and distro == "jazzy":
            self.follow_clock(node)

    def follow_clock(self, node):
        """Clear whenever the node's clock goes back."""
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
        self._jump = node.get_clock().create_jump_callback(threshold, post_callback=lambda jump: self.clear())

    def set_transform(self, transform, authority):
        self._insert(transform, False)

    def set_transform_static(self, transform, authority):
        self._insert(transform, True)

    def _insert(self, transform, is_static):
        child, parent = (_strip(name) for name in (transform.child_frame_id, transform.header.frame_id))
        q, t = transform.transform.rotation, transform.transform.translation
        values = np.array([t.x, t.y, t.z, q.x, q.y, q.z, q.w])
        if (
            child == parent
            or not child
            or not parent
            or np.isnan(values).any()
            or abs(values[3:] @ values[3:] - 1) >= 0.01
        ):
            return
        stamp = transform.header.stamp.sec * 10**9 + transform.header.stamp.nanosec
        with self._mutex:
            cache = self._frames.get(child)
            if not isinstance(cache, StaticCache if is_static else TimeCache):
                cache = self._frames[child] = StaticCache(self._static_survives) if is_static else TimeCache()
            self.ignored += not cache.insert(stamp, parent, _matrix(values))

    def clear(self):
        with self._mutex:
            self.clearings += 1
            for cache in self._frames.values():
                cache.clear()

    def lookup_transform(self, target_frame, source_frame, time, timeout):
        deadline = wall.monotonic() + timeout.nanoseconds / 1e9
        while True:
            try:
                return self._lookup(target_frame, source_frame, time.nanoseconds)
            except TransformException:
                if wall.monotonic() >= deadline:
                    raise
            wall.sleep(0.02)

    def _lookup(self, target, source, stamp):
        with self._mutex:
            parents = {found[0] for cache in self._frames.values() if isinstance((found := cache.find(0))[0], str)}
            for frame in (target, source):
                if not frame or frame.startswith("/"):
                    raise InvalidArgumentException(f'Invalid argument "{frame}" passed to lookupTransform')
                if frame not in self._frames and frame not in parents:
                    raise LookupException(f'"{frame}" passed to lookupTransform argument does not exist. ')
            (source_path, source_error), (target_path, target_error) = (self._walk(f, stamp) for f in (source, target))
            for frame, matrix in source_path.items():
                if frame in target_path:
                    return _message(np.linalg.inv(target_path[frame]) @ matrix)
            kind, text = source_error or target_error or (ConnectivityException, "not part of the same tree")
            if self.distro == "humble" and issubclass(kind, ExtrapolationException):
                kind = ExtrapolationException
            raise kind(f"{text}, when looking up transform from frame [{source}] to frame [{target}]")

    def _walk(self, frame, stamp):
        """Poses of a frame in itself and in those above it, and why the walk ended before the root."""
        pose = np.eye(4)
        path = {frame: pose}
        while frame in self._frames:
            found = self._frames[frame].find(stamp)
            if not isinstance(found[0], str):
                return path, found
            frame, pose = found[0], found[1] @ pose
            path[frame] = pose
        return path, None


def _strip(frame):
    return frame[1:] if frame.startswith("/") else frame


def _matrix(values):
    x, y, z, w = values[3:] / np.linalg.norm(values[3:])
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += 2 * w * cross + 2 * cross @ cross
    matrix[:3, 3] = values[:3]
    return matrix


def _message(matrix):
    from geometry_msgs.msg import TransformStamped

    message = TransformStamped()
    translation, rotation = message.transform.translation, message.transform.rotation
    translation.x, translation.y, translation.z = matrix[:3, 3].tolist()
    rotation.w = float(np.sqrt(max(0.0, 1 + np.trace(matrix[:3, :3]))) / 2)
    assert rotation.w > 0.1, "the tests do not turn that far"
    r = matrix[:3, :3]
    rotation.x, rotation.y, rotation.z = (
        float(d / 4 / rotation.w) for d in (r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1])
    )
    return message
