"""What is there: every host is asked in one exec. Nothing on a host is changed from here."""
