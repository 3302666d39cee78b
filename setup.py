"""Installs the Python side alone with pip: engines, evaluation and the command line, without ROS messages."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="espnet_ros",
    version="0.1.0",
    description="Real-time semantic segmentation with ESPNet for ROS 2",
    license="Apache-2.0",
    python_requires=">=3.8",
    packages=find_packages(include=["espnet_ros", "espnet_ros.*"]),
    package_data={"espnet_ros": ["model/*.yaml", "reporting/*.html", "py.typed"]},
    data_files=[
        ("share/espnet_ros", ["package.xml"]),
        ("share/espnet_ros/config", [str(path) for path in Path("config").glob("*")]),
        ("share/espnet_ros/weights", [str(path) for path in Path("weights").glob("*")]),
        ("share/espnet_ros/launch", [str(path) for path in Path("launch").glob("*.py")]),
    ],
    install_requires=[
        "filelock",
        "Jinja2",
        "matplotlib",
        "numpy",
        "opencv-python",
        "Pillow",
        "PyYAML",
        "rosbags",
        "safetensors",
        "tqdm",
        "typing-extensions",
    ],
    extras_require={
        "native": ["llvmlite>=0.45"],  # older ones have an LLVM without opaque pointers; needs Python 3.10
        "openvino": ["openvino"],
        "onnxruntime": ["onnxruntime", "onnx"],
        "torch": ["torch"],
        "nvml": ["nvidia-ml-py"],
        "jetson": ["jetson-stats"],
        "test": ["pytest>=7", "pytest-timeout", "pytest-xdist"],
    },
    entry_points={
        "console_scripts": [
            "espnet_ros = espnet_ros.programs:espnet_ros",
            "espnet_node = espnet_ros.programs:espnet_node",
            "espnet_costmap_guard = espnet_ros.programs:espnet_costmap_guard",
        ]
    },
)
