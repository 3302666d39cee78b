"""What reports are made of: charts, the page of a drive, tables, and the description of the machine.

May import: config and the modules below it. It takes plain numbers and text, never objects of the rooms above.
Matplotlib and Jinja2 are imported inside the functions that use them.
Start with ``charts.py``.
"""
