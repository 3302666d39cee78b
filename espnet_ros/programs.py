"""The installed programs. They import little, so that Ctrl-C ends them quietly from their first moment on."""

from espnet_ros.stopping import exit_on_interrupt


def espnet_ros() -> int:
    """Run the command ``espnet_ros``, and return its exit code."""
    exit_on_interrupt()
    from espnet_ros.cli import main

    return main()


def espnet_node() -> int:
    """Run the node, and return its exit code."""
    exit_on_interrupt()
    from espnet_ros.ros.node import main

    return main()


def espnet_costmap_guard() -> int:
    """Run the guard of the costmaps, and return its exit code."""
    exit_on_interrupt()
    from espnet_ros.ros.costmap_guard import main

    return main()
