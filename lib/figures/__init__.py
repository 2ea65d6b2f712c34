"""Everything that is drawn, in one style. Each function returns a matplotlib Figure and writes nothing.

Figures are built without pyplot, so drawing in threads or on a machine without a display is safe.
"""
