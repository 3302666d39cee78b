"""The ROS 2 node around the core: messages, parameters, lifecycle, diagnostics."""
