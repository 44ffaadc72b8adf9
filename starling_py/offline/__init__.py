"""The command ``starling-journal``: checks, shows and imports journals without a server."""
