"""What stands in the files: records, and the headers of segments."""
