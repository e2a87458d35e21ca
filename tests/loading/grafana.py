"""DevLake's dashboards over a loaded lake: panel queries, and the form of Grafana's provisioning files.

The queries are written from the definitions of DevLake's panels, with Grafana's macros and variables, and without
schemas. They must find their tables by the database's search path, and show what `metrics.devlake` says.
"""

import math
import re

# Deployments of a project: a deployment finished when its last commit did.
DEPLOYMENTS = """
    SELECT c.cicd_deployment_id AS id, max(c.finished_date) AS finished, max(c.finished_date::date) AS day
    FROM cicd_deployment_commits c
    JOIN project_mapping m ON m."table" = 'cicd_scopes' AND m.row_id = c.cicd_scope_id
    WHERE c.result = 'SUCCESS' AND c.environment = 'PRODUCTION'
        AND ('${project:csv}' = '' OR m.project_name = ANY(ARRAY[${project:singlequote}]::text[]))
    GROUP BY c.cicd_deployment_id
"""
IN_WINDOW = "finished BETWEEN $__timeFrom()::timestamptz AND $__timeTo()::timestamptz"
MONTHS = """
    SELECT month, month_timestamp FROM calendar_months
    WHERE month_timestamp BETWEEN date_trunc('month', $__timeFrom()::timestamptz) AND date_trunc('month', $__timeTo()::timestamptz)
"""
FAILURES = f"""
    SELECT d.id, d.finished, bool_or(i.id IS NOT NULL) AS has_incident
    FROM ({DEPLOYMENTS}) d
    LEFT JOIN project_incident_deployment_relationships r ON r.deployment_id = d.id
    LEFT JOIN incidents i ON i.id = r.id
    WHERE d.{IN_WINDOW} GROUP BY d.id, d.finished
"""
CYCLES = """
    SELECT DISTINCT p.id, to_char(c.finished_date, 'YY/MM') AS month, m.pr_cycle_time AS minutes
    FROM pull_requests p
    JOIN project_mapping a ON a."table" = 'repos' AND a.row_id = p.base_repo_id
    JOIN project_pr_metrics m ON m.id = p.id
    JOIN cicd_deployment_commits c ON c.id = m.deployment_commit_id
    WHERE p.merged_date IS NOT NULL AND $__timeFilter(c.finished_date)
        AND ('${project:csv}' = '' OR a.project_name = ANY(ARRAY[${project:singlequote}]::text[]))
"""
RECOVERIES = f"""
    SELECT to_char(d.finished, 'YY/MM') AS month, floor(extract(epoch FROM i.resolution_date - d.finished) / 60) AS minutes
    FROM incidents i
    JOIN project_incident_deployment_relationships r ON r.id = i.id
    JOIN ({DEPLOYMENTS}) d ON d.id = r.deployment_id
    WHERE d.{IN_WINDOW} AND $__timeFilter(i.resolution_date)
"""
RESTORATIONS = """
    SELECT DISTINCT i.id, to_char(i.resolution_date, 'YY/MM') AS month, i.resolution_date, i.lead_time_minutes AS minutes
    FROM incidents i
    JOIN project_mapping m ON m."table" = i."table" AND m.row_id = i.scope_id
    WHERE ('${project:csv}' = '' OR m.project_name = ANY(ARRAY[${project:singlequote}]::text[]))
"""


def median(rows, of="minutes"):
    """The lower median, nulls first."""
    ranked = f"SELECT {of} AS value, percent_rank() OVER (ORDER BY {of} NULLS FIRST) AS rank FROM ({rows}) x"
    return f"SELECT max(value) FROM ({ranked}) y WHERE rank <= 0.5"


def monthly_median(rows):
    ranked = f"SELECT month, minutes, percent_rank() OVER (PARTITION BY month ORDER BY minutes NULLS FIRST) AS rank FROM ({rows}) x"
    medians = f"SELECT month, max(minutes) AS minutes FROM ({ranked}) y WHERE rank <= 0.5 GROUP BY month"
    return f"SELECT c.month, coalesce(m.minutes, 0) FROM ({MONTHS}) c LEFT JOIN ({medians}) m ON m.month = c.month"


# Days with a deployment by week, month and six months, and the class of each report.
FREQUENCY = f"""
WITH days AS (
    SELECT ($__timeTo()::timestamptz - k * interval '1 day')::date AS day
    FROM generate_series(0, 399) AS k
    WHERE $__timeTo()::timestamptz - k * interval '1 day' > $__timeFrom()::timestamptz
),
busy AS (
    SELECT d.day, count(DISTINCT p.day) AS n FROM days d LEFT JOIN ({DEPLOYMENTS}) p ON p.day = d.day GROUP BY d.day
),
months AS (SELECT date_trunc('month', day) AS month, sum(n) AS n FROM busy GROUP BY 1),
rolling AS (
    SELECT
        sum(n) OVER (ORDER BY month ROWS BETWEEN 5 PRECEDING AND CURRENT ROW) AS n,
        row_number() OVER (PARTITION BY floor(extract(year FROM month) / 6) ORDER BY month DESC) AS back
    FROM months
),
ranked AS (SELECT n, percent_rank() OVER (ORDER BY n) AS rank FROM rolling WHERE back % 6 = 1),
medians AS (
    SELECT
        ({median("SELECT sum(n) AS n FROM busy GROUP BY date_trunc('week', day)", "n")}) AS w,
        ({median("SELECT n FROM months", "n")}) AS m,
        (SELECT min(n) FROM ranked WHERE rank >= 0.5) AS h
),
classes AS (
    SELECT *, CASE
        WHEN w >= 5 THEN 'elite'
        WHEN '$dora_report' = '2023' AND w >= 1 THEN 'high'
        WHEN m >= 1 THEN CASE '$dora_report' WHEN '2023' THEN 'medium' ELSE 'high' END
        WHEN '$dora_report' = '2021' AND h >= 1 THEN 'medium'
        WHEN h IS NOT NULL THEN 'low'
        ELSE 'N/A' END AS class
    FROM medians
)
SELECT CASE
    WHEN class = 'N/A' THEN NULL
    WHEN class = 'elite' OR class = 'high' AND '$dora_report' = '2023' THEN w
    WHEN class = 'high' OR '$dora_report' = '2023' THEN m
    ELSE h END, class
FROM classes
"""

# Figure, report, period and query of each panel.
PANELS = [
    ("deployment_frequency", 2021, "all", FREQUENCY),
    ("deployment_frequency", 2023, "all", FREQUENCY),
    ("change_lead_time", 2023, "all", median(CYCLES)),
    ("change_failure_rate", 2023, "all", f"SELECT avg(has_incident::int) FROM ({FAILURES}) f"),
    ("failed_deployment_recovery_time", 2023, "all", median(RECOVERIES)),
    (
        "failed_deployment_recovery_time",
        2021,
        "all",
        median(f"SELECT * FROM ({RESTORATIONS}) r WHERE $__timeFilter(resolution_date)"),
    ),
    (
        "deployment_frequency",
        2023,
        "month",
        f"""SELECT c.month, count(d.id) FROM ({MONTHS}) c
            LEFT JOIN ({DEPLOYMENTS}) d ON to_char(d.finished, 'YY/MM') = c.month AND d.{IN_WINDOW} GROUP BY c.month""",
    ),
    ("change_lead_time", 2023, "month", monthly_median(CYCLES)),
    (
        "change_failure_rate",
        2023,
        "month",
        f"""SELECT c.month, avg(f.has_incident::int) FROM ({MONTHS}) c
            LEFT JOIN ({FAILURES}) f ON to_char(f.finished, 'YY/MM') = c.month GROUP BY c.month""",
    ),
    ("failed_deployment_recovery_time", 2023, "month", monthly_median(RECOVERIES)),
    (
        "failed_deployment_recovery_time",
        2021,
        "month",
        monthly_median(f"SELECT * FROM ({RESTORATIONS}) r WHERE minutes IS NOT NULL"),
    ),
]

# Panels of other dashboards, which must run. No lake has lines of files.
OTHERS = {
    "benchmarks": "SELECT metric, low, medium, high, elite FROM dora_benchmarks WHERE dora_report = '$dora_report'",
    "top contributors": """SELECT author_name, count(DISTINCT id) FROM pull_requests
        WHERE status = 'MERGED' AND $__timeFilter(created_date) GROUP BY 1 ORDER BY 2 DESC LIMIT 20""",
    "success rate of pipelines": """SELECT avg((result = 'SUCCESS')::int) FROM cicd_pipelines
        WHERE id LIKE 'bitbucket%%' AND $__timeFilter(finished_date)""",
    "bugs by label": """SELECT l.label_name, count(DISTINCT i.id) FROM issues i JOIN board_issues b ON b.issue_id = i.id
        LEFT JOIN issue_labels l ON l.issue_id = i.id WHERE i.type = 'BUG' GROUP BY 1""",
    "lines of a component": """SELECT s.file_path, count(*) FROM repo_snapshot s JOIN commits c ON c.sha = s.commit_sha
        WHERE s.repo_id IN (SELECT id FROM repos) GROUP BY 1""",
    "teams": """SELECT t.name, count(*) FROM teams t JOIN team_users u ON u.team_id = t.id
        JOIN user_accounts a ON a.user_id = u.user_id JOIN accounts k ON k.id = a.account_id GROUP BY 1""",
}


def expanded(sql, project, report, start, end):
    """Fill in macros and variables as Grafana does."""
    sql = sql.replace("$__timeFrom()", f"'{start}'").replace("$__timeTo()", f"'{end}'")
    sql = re.sub(r"\$__timeFilter\(([^)]*)\)", rf"\1 BETWEEN '{start}' AND '{end}'", sql)
    sql = sql.replace("${project:csv}", project).replace("${project:singlequote}", f"'{project}'")
    return sql.replace("$dora_report", str(report)).replace("%%", "%")


def same(left, right):
    if left is None or right is None or isinstance(left, str):
        return left == right
    return math.isclose(float(left), float(right), rel_tol=1e-9, abs_tol=1e-9)


def panels(connection):
    """Run the panels for each project and its window, in its time zone, and compare with metrics.devlake."""
    windows = """SELECT b.project_name, p.timezone, b.period_start, b.period_end - interval '1 microsecond'
        FROM config.buckets b JOIN config.projects p ON p.name = b.project_name WHERE b.period = 'all' ORDER BY 1"""
    for project, zone, start, end in connection.execute(windows).fetchall():
        connection.execute("SELECT set_config('TimeZone', %s, false)", [zone])
        given = [project, None, start.isoformat(), end.isoformat()]
        for metric, report, period, sql in PANELS:
            given[1] = report
            shown = connection.execute(expanded(sql, *given)).fetchall()
            wanted = """SELECT to_char(period_start, 'YY/MM'), value, class FROM metrics.devlake
                WHERE project_name = %s AND metric = %s AND report = %s AND period = %s"""
            wanted = connection.execute(wanted, [project, metric, report, period]).fetchall()
            if period == "all":
                # A panel that shows a number has no class.
                wanted = [row[1 : 1 + len(shown[0])] for row in wanted]
            else:
                wanted = [row[:2] for row in wanted]
            shown, wanted = sorted(shown, key=str), sorted(wanted, key=str)
            equal = len(shown) == len(wanted) and all(all(map(same, a, b)) for a, b in zip(shown, wanted))
            found = [] if equal else [f"panel:  {shown}", f"metrics.devlake: {wanted}"]
            yield f"{project}: {metric} {report} {period}", found
        for name, sql in OTHERS.items():
            rows = connection.execute(expanded(sql, *given)).fetchall()
            is_empty = name == "lines of a component"
            yield f"{project}: {name}", [] if is_empty == (not rows) else [f"{len(rows)} rows"]


TEXT, FLAG, COUNT = {"type": "string", "minLength": 1}, {"type": "boolean"}, {"type": "integer", "minimum": 0}


def objects(required, **properties):
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


# The documented form: https://grafana.com/docs/grafana/latest/administration/provisioning/ and the options of
# https://grafana.com/docs/grafana/latest/datasources/postgres/configure/.
DATASOURCES = objects(
    ["apiVersion", "datasources"],
    apiVersion={"const": 1},
    prune=FLAG,
    deleteDatasources={"type": "array", "items": objects(["name"], name=TEXT, orgId=COUNT)},
    datasources={
        "type": "array",
        "minItems": 1,
        "items": objects(
            ["name", "type", "access", "url"],
            name=TEXT,
            type={"const": "grafana-postgresql-datasource"},
            access={"enum": ["proxy", "direct"]},
            orgId=COUNT,
            uid={"type": "string", "pattern": "^[A-Za-z0-9_-]{1,40}$"},
            url=TEXT,
            user=TEXT,
            isDefault=FLAG,
            version=COUNT,
            editable=FLAG,
            secureJsonData=objects(["password"], password=TEXT),
            jsonData=objects(
                ["database", "sslmode"],
                database=TEXT,
                sslmode={"enum": ["disable", "require", "verify-ca", "verify-full"]},
                maxOpenConns=COUNT,
                maxIdleConns=COUNT,
                maxIdleConnsAuto=FLAG,
                connMaxLifetime=COUNT,
                postgresVersion={"enum": [903, 904, 905, 906, 1000, 1100, 1200, 1300, 1400, 1500]},
                timescaledb=FLAG,
            ),
        ),
    },
)
DASHBOARDS = objects(
    ["apiVersion", "providers"],
    apiVersion={"const": 1},
    providers={
        "type": "array",
        "minItems": 1,
        "items": objects(
            ["name", "type", "options"],
            name=TEXT,
            orgId=COUNT,
            folder={"type": "string"},
            folderUid=TEXT,
            type={"const": "file"},
            disableDeletion=FLAG,
            updateIntervalSeconds={"type": "integer", "minimum": 10},
            allowUiUpdates=FLAG,
            options=objects(["path"], path={"type": "string", "pattern": "^/"}, foldersFromFilesStructure=FLAG),
        ),
    },
)


def provisioning(recipes):
    """Compare the files with the documented form; secrets come from the environment."""
    import jsonschema
    import yaml

    for name, schema in (("datasource.yaml", DATASOURCES), ("dashboards.yaml", DASHBOARDS)):
        with open(f"{recipes}/{name}", encoding="utf-8") as file:
            content = yaml.safe_load(file)
        errors = jsonschema.Draft202012Validator(schema).iter_errors(content)
        found = [f"{error.json_path}: {error.message}" for error in errors]
        if name == "datasource.yaml":
            source = content["datasources"][0]
            if not re.fullmatch(r"\$\w+", source["secureJsonData"]["password"]):
                found.append("a password in the file")
            if source["uid"] != "devlake-postgres-api":
                found.append("not the uid that DevLake's dashboards name")
        yield name, found
