def devices() -> None:
    "placeholder"
