"""What each action does to a plan, one file per part of the way."""
