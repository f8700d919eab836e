"""A change of an environment that either completes or is put back, also by the next envfix after a crash.

`change` is the way through it; `journal` and `kept` are what it leaves on disk, `recover`, `putback` and
`surroundings` what a later envfix needs of it, and `history` undoes what was complete. These five import
nothing but the standard library and what does so too: they run where the packages that envfix itself needs
are half replaced.
"""
