"""What travels between rooms: errors, settings, the model card, the registry."""
