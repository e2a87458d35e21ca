"""Checks events against the classes that OpenLineage generates from its published JSON schema.

Called by `tests/it/lineage.rs` as `run.py check PLAN`. An event and its facets must be what the classes accept: every
required field, no other field than the schema's, ids that are UUIDs, and URIs. Each facet names the schema of its class.
Prints one line per failure; the exit code is 1 when there is one.
"""

import json
import sys

from openlineage.client import event_v2 as events
from openlineage.client.generated import (
    column_lineage_dataset,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    parent_run,
    processing_engine_run,
    schema_dataset,
)

FACETS = {
    "columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "jobType": job_type_job.JobTypeJobFacet,
    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
    "parent": parent_run.ParentRunFacet,
    "processing_engine": processing_engine_run.ProcessingEngineRunFacet,
    "schema": schema_dataset.SchemaDatasetFacet,
}
# The classes of nested objects, by facet.
NESTED = {
    "columnLineage": lambda it: {
        "fields": {name: column(field) for name, field in it["fields"].items()},
    },
    "parent": lambda it: {"run": parent_run.Run(**it["run"]), "job": parent_run.Job(**it["job"])},
    "schema": lambda it: {"fields": [schema_dataset.SchemaDatasetFacetFields(**field) for field in it["fields"]]},
}


def column(field):
    sources = [column_lineage_dataset.InputField(**source) for source in field["inputFields"]]
    return column_lineage_dataset.Fields(inputFields=sources)


def facets(given):
    made = {}
    for name, content in given.items():
        content = dict(content)
        producer, schema = content.pop("_producer"), content.pop("_schemaURL")
        nested = NESTED.get(name, lambda _: {})(content)
        facet = FACETS[name](**{**content, **nested})
        if "://" not in producer:
            raise ValueError(f"{name}: its producer is no URI: {producer}")
        if schema != facet._get_schema():
            raise ValueError(f"{name}: {schema} is not {facet._get_schema()}")
        made[name] = facet
    return made


def dataset(kind, given):
    known = {"namespace", "name", "facets", "inputFacets", "outputFacets"}
    if not given["namespace"] or not given["name"] or set(given) - known:
        raise ValueError(f"dataset: {given}")
    more = {key: facets(given[key]) for key in ("facets", "inputFacets", "outputFacets") if key in given}
    return kind(namespace=given["namespace"], name=given["name"], **more)


def check(given):
    known = {"eventType", "eventTime", "run", "job", "inputs", "outputs", "producer", "schemaURL"}
    if set(given) != known:
        raise ValueError(f"keys: {sorted(set(given) ^ known)}")
    event = events.RunEvent(
        eventType=events.RunState[given["eventType"]],
        eventTime=given["eventTime"],
        run=events.Run(runId=given["run"]["runId"], facets=facets(given["run"]["facets"])),
        job=events.Job(namespace=given["job"]["namespace"], name=given["job"]["name"], facets=facets(given["job"]["facets"])),
        inputs=[dataset(events.InputDataset, it) for it in given["inputs"]],
        outputs=[dataset(events.OutputDataset, it) for it in given["outputs"]],
        producer=given["producer"],
    )
    if given["schemaURL"] != event._get_schema():
        raise ValueError(f"{given['schemaURL']} is not {event._get_schema()}")


def main():
    _, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    failures = []
    for n, event in enumerate(plan["events"]):
        try:
            check(event)
        except Exception as error:  # noqa: BLE001: whatever it is, the event is not what the schema says
            failures.append(f"event {n}: {type(error).__name__}: {error}")
    print("\n".join(failures))
    print(f"{len(plan['events'])} checked, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
