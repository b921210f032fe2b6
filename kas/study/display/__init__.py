"""What people see of a study: its events, the terminal, notes and drawings in the dashboard."""
