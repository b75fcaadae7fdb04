"""Results that move between machines: validated, packed, merged."""
