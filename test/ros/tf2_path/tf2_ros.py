"""tf2_ros for a node in a process of its own: its buffer is the stand-in, its messages are single TransformStamped.

No package registry has tf2_msgs either. TF_DISTRO names the distribution. "jazzy_with_node" is a buffer of Jazzy that
follows the node's clock although it was made without the node: it clears itself, unasked.
"""

import os

import tf2_buffer
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile

TransformException = tf2_buffer.TransformException
_buffers = []


class Buffer(tf2_buffer.Buffer):
    def __init__(self, cache_time=None, node=None):
        super().__init__(cache_time, node, distro=os.environ["TF_DISTRO"].split("_")[0])
        _buffers.append(self)


class TransformListener:
    def __init__(self, buffer, node):
        self.buffer = buffer
        self.node = node
        if os.environ["TF_DISTRO"] == "jazzy_with_node":
            _buffers[-1].follow_clock(node)
        static = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.tf_sub = node.create_subscription(TransformStamped, "/tf", self.callback, 100)
        self.tf_static_sub = node.create_subscription(TransformStamped, "/tf_static", self.static_callback, static)

    def unregister(self):
        self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)

    def callback(self, transform):
        self.buffer.set_transform(transform, "default_authority")

    def static_callback(self, transform):
        self.buffer.set_transform_static(transform, "default_authority")
