"""The history on disk: its days, how they are kept, brought in and looked after."""
