"""The outside world behind the ports of docflow.services.ports."""
