"""The service: the registry's current version behind a REST API."""
