"""Faces of other clients on this one's engine."""
