"""Every effect on hosts: what `plan` decided is written down, sent and waited for. It decides nothing."""
