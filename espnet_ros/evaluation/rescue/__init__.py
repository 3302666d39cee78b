"""Reads what is left of damaged recordings: one module per format, each of which yields ``RecordedMessage``.

These readers believe no length, count or index that they cannot check. ``bag_storage.py`` calls them only where rosbags
gives up, because rosbags stops at the first damage. ``messages.py`` has what they share. May import ``losses.py`` and
errors. Start in ``mcap.py``.
"""
