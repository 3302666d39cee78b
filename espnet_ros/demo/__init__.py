"""A drive through the node: what was sent, what came back, and the page that shows it. Knows nothing of ROS."""
