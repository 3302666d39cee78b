"""TensorRT on an NVIDIA GPU: built once with torch and torch2trt in a child process, run with ``tensorrt`` alone."""
