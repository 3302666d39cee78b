"""Side-by-side timings of pipelines from image to labels."""
