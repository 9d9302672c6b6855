"""One module a command, over a shared workspace. It prints nothing."""
