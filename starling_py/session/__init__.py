"""What one client asks, is told and holds. No input or output happens here."""
