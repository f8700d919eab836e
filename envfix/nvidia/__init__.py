"""NVIDIA's libraries: which GPU they know, and which wheels of them a release gets on a machine.

The matrix stage judges a release by these and the resolve stage asks for them. Stages do not import each
other, so the choice is made here, from values alone.
"""
