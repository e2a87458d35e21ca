-- Which deployment is each incident linked to, by DevLake and by evidence?
-- Grain: one row per project and incident
-- Dashboard: DORA Debug, Change Failure Rate, step 3: incidents and their deployments
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   begun at or after
-- param: to timestamp = null   begun before
-- Note: `recomputed` is the project's last production success that finished before the incident began; it must be
-- DevLake's. Unlinked incidents are shown, where DevLake's table leaves them out; so are those that name their project
-- themselves, without a scope, which DevLake links to nothing.
WITH production AS (
    SELECT
        m.project_name,
        d.cicd_deployment_id,
        max(d.finished_date) AS finished_date,
        max(d.started_date) AS started_date
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    WHERE d.result = 'SUCCESS' AND d.environment = 'PRODUCTION' AND d.finished_date IS NOT NULL
    GROUP BY m.project_name, d.cicd_deployment_id, d.finished_date
),

incidents AS (
    SELECT
        x.project_name,
        i.id,
        i.incident_key,
        i.title,
        i.created_date,
        i.resolution_date,
        x.deployment_id,
        x.evidence,
        x.score,
        x.unlinked_reason,
        bool_or(m.row_id IS NOT NULL) AS is_mapped
    FROM dora.incidents AS x
    INNER JOIN domain.incidents AS i ON i.id = x.incident_id
    LEFT JOIN domain.project_mapping AS m
        ON m.project_name = x.project_name AND m."table" = i."table" AND m.row_id = i.scope_id
    WHERE ($project IS NULL OR list_contains($project, x.project_name))
        AND ($from IS NULL OR i.created_date >= $from)
        AND ($to IS NULL OR i.created_date < $to)
    GROUP BY
        x.project_name, i.id, i.incident_key, i.title, i.created_date, i.resolution_date, x.deployment_id, x.evidence,
        x.score, x.unlinked_reason
),

ranked AS (
    SELECT
        i.project_name,
        i.id,
        d.cicd_deployment_id,
        row_number() OVER (
            PARTITION BY i.project_name, i.id
            ORDER BY d.finished_date DESC NULLS LAST, d.started_date DESC NULLS LAST, d.cicd_deployment_id
        ) AS place
    FROM incidents AS i
    INNER JOIN production AS d ON d.project_name = i.project_name AND d.finished_date < i.created_date
    WHERE i.is_mapped
)

SELECT
    i.project_name AS project,
    i.incident_key AS incident,
    i.title,
    i.created_date AS began,
    i.resolution_date AS resolved,
    coalesce(k.cicd_deployment_id, '') AS recomputed,
    coalesce(r.deployment_id, '') AS devlake,
    coalesce(k.cicd_deployment_id, '') = coalesce(r.deployment_id, '') AS agrees,
    round(r.age_seconds / 360.0) / 10.0 AS "age h",
    i.deployment_id AS "by evidence",
    i.evidence,
    i.score,
    coalesce(i.unlinked_reason, '') AS note
FROM incidents AS i
LEFT JOIN ranked AS k ON k.place = 1 AND k.project_name = i.project_name AND k.id = i.id
LEFT JOIN dora.project_incident_deployment_relationships AS r ON r.project_name = i.project_name AND r.id = i.id
ORDER BY i.project_name, i.created_date, i.id
