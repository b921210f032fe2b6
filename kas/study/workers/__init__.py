"""What the processes of a study do: the session, the loop over trials, one trial, the front at the end."""
