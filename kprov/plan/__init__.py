"""What has to be done, as values of values. Pure: it imports neither `apply` nor `transport`."""
