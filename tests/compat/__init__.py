"""Tests of the faces of other clients."""
