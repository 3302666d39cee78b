"""Names of what a syntax tree calls; ``ast.unparse`` came with Python 3.9."""

import ast


def dotted_name(node):
    """``a.b.c`` of an expression of names and attributes, "" of any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = dotted_name(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""
