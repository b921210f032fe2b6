"""A study from Python: `kas.Study` and `kas.search`."""
