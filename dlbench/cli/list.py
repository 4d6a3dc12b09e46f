def list_workloads() -> None:
    "placeholder"
