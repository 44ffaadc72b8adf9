"""Work on a spool without a server: starling-journal."""
