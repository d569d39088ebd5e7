"""What runs inside the compared servers; each file stands alone in that server's environment."""
