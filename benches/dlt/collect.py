"""Collects a workspace with dlt's REST source into Parquet files: `collect.py ENDPOINT FOLDER`.

The lists, their filters and the sizes of pages are those that bitlake requests. Nested values stay in one column, as in
bitlake's source layer. Prints a JSON object with the records by table.
"""

import json
import os
import sys

endpoint, folder = sys.argv[1:]
os.environ["DLT_DATA_DIR"] = folder
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"

import dlt  # noqa: E402: it reads the environment when it is imported
from dlt.sources.rest_api import rest_api_source  # noqa: E402

STATES = ["OPEN", "MERGED", "DECLINED", "SUPERSEDED"]
# Bitbucket refuses larger pages of pull requests and of their activity.
LISTS = {
    "branches": ("refs/branches", {"pagelen": 100}),
    "tags": ("refs/tags", {"pagelen": 100}),
    "commits": ("commits", {"pagelen": 100}),
    "pull_requests": ("pullrequests", {"pagelen": 50, "state": STATES, "fields": "+values.participants"}),
    "pull_request_activity": ("pullrequests/activity", {"pagelen": 50}),
    "pipelines": ("pipelines/", {"pagelen": 100}),
    "deployments": ("deployments/", {"pagelen": 100}),
    "environments": ("environments/", {"pagelen": 100}),
}


def resource(name, path, params):
    return {
        "name": name,
        "max_table_nesting": 0,
        "endpoint": {"path": path, "params": params, "data_selector": "values"},
    }


def main():
    below = "repositories/acme/{resources.repositories.slug}/"
    resources = [
        resource("repositories", "repositories/acme", {"pagelen": 100}),
        resource("workspace_members", "workspaces/acme/members", {"pagelen": 100}),
    ]
    resources += [resource(name, below + path, params) for name, (path, params) in LISTS.items()]
    client = {
        "base_url": endpoint,
        "auth": {"type": "bearer", "token": "s3cr3t"},
        "paginator": {"type": "json_link", "next_url_path": "next"},
    }
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=folder,
        destination=dlt.destinations.filesystem(bucket_url=os.path.join(folder, "lake")),
        dataset_name="bitbucket",
    )
    pipeline.run(rest_api_source({"client": client, "resources": resources}), loader_file_format="parquet")
    rows = pipeline.last_trace.last_normalize_info.row_counts
    print(json.dumps({name: count for name, count in rows.items() if not name.startswith("_dlt")}))


if __name__ == "__main__":
    main()
