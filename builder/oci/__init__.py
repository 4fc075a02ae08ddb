"""The nouns of the OCI image specification. Pure: raw bytes stay beside the parsed form."""
