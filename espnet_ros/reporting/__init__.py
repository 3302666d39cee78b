"""Building blocks of reports: charts, the page template of the demo, tables, and the description of the machine.

May import config and the modules below it. Functions take plain numbers and text, never objects of the rooms above.
Matplotlib and Jinja2 are imported inside the functions that use them, so that the node never loads them.
Start with ``charts.py``; ``svg.py`` has the common style.
"""
