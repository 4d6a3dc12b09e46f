"""Throughput of hardware that nobody measured yet, with an interval that holds.

    from dlbench.analysis.predict import documents, shipped
    table = catalog_specs.device_table(catalog.shipped())
    ready = shipped.estimator(documents.observations(runs, table), table)
    ready.estimate(table.find("H100-SXM5-80GB"), documents.workload_of_case(case, info))

The answer is an ``Estimated`` in samples a second of all devices together, or an ``Absent`` with the
reason. docs/prediction.md has the method and how well it does.
"""
