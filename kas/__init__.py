"""kas: Kernel Architecture Search."""
