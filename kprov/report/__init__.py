"""Events of a run → terminal, plain lines, JSON lines, log file. Decides nothing, and lets no secret through."""
