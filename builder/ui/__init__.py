"""From events to something a person or a machine reads."""
