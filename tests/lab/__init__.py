"""The lab: containers that are the hosts of two organisations, and the letters that travel between them.

Run as ``python3 -m lab`` from tests/ (``./do`` does so) or through pytest. Needs the standard library only,
so that the demo runs on a Debian that has nothing but python3 and a container engine.
"""
