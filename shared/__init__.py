"""What more than one service means by the same word."""
