"""Python stages of servables."""
