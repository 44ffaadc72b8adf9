"""The bytes of a journal's files: records, and the headers of segments."""
