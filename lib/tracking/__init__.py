"""Everything that talks to MLflow; nothing else in the project imports it.

A study is computed first and lies on disk as a record; this package shows records in MLflow. Every run is found by
its key before it is made, so logging a record twice, or again after a crash, changes nothing.
"""
