"""The governor chooses alpha, input size, frame rate and power mode. Decisions are pure: no threads, clock or I/O.

``governor.py`` decides once per observation; ``governor_binding.py`` connects it to the node's parameters. The
``*_cost_model.py`` files predict frame time and watts; ``cost_estimator.py`` corrects them with what is observed.
May import telemetry, board, config and what lies below. Start with ``types.py``, then ``governor.py``; the rules are in
``docs/governor.md``.
"""
