import json

from espnet_ros import __version__
from espnet_ros.reporting.machine import describe_environment, describe_machine


def test_the_description_has_the_machine_and_the_versions_of_what_is_installed():
    environment = describe_environment()
    assert environment["machine"] == describe_machine()
    assert " cores, " in environment["machine"]
    assert environment["versions"]["espnet_ros"] == __version__
    assert "numpy" in environment["versions"]
    assert json.loads(json.dumps(environment)) == environment
