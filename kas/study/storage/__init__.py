"""What is stored of a study, and who may work on it: its files, its storage, locks, claims, the queue of trials, records."""
