"""Binaries and images: which versions fit, how each file is had, verified and cached. Nothing here runs on hosts."""
