"""The trainer: one config file in, weights out that the node loads.

May import calibration, synthetic, evaluation and the layers below them. It is the only room besides model, engines and
benchmark that imports torch. Start with ``trainer.py``, which runs the stages of a ``config.py``; ``stage_run.py`` has
the training step. docs/training.md describes the config file.
"""
