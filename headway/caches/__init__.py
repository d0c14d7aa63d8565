"""What may vanish at any time: losing it costs speed only."""
