"""What upstream's programs can be told, version by version: their flags and the fields of their configuration.

Data, made from the programs themselves by `python -m kprov.artifacts.options`, and questions on it. Nothing here knows
what kprov sets itself.
"""
