"""What `python -m local` does: two days of the schedule with their report, the servers alone, and a soak test."""
