-- How long does it take until a failure is over, and how good is that?
-- Grain: one row per project
-- Dashboard: DORA, Failed deployment recovery time (2023) or Time to restore service (2021)
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   failed deployment finished, or incident resolved, at or after this instant
-- param: to timestamp = null   failed deployment finished, or incident resolved, before this instant
-- param: report bigint = 2023   report year, one of: 2021, 2023
-- Note: report 2023: from the end of the failed deployment (its start, where its outcome is FAILURE) until the incident
-- was resolved or a deployment fixed it, whichever came first; failures still open are counted beside. 2021: from an
-- incident's beginning to its resolution. DevLake takes the lower of two middle values, counts open incidents as
-- unknown times, and recovery before the failure as elite. Classes are DORA's (metrics.dora_classes). DevLake's
-- own figure and class are shown beside it, for the whole window and all repositories only.
WITH deployments AS (
    SELECT
        d.project_name,
        d.is_failed,
        d.recovery_seconds,
        d.incidents,
        d.devlake_has_incident,
        d.outcome
    FROM dora.deployments AS d
    WHERE (d.outcome = 'SUCCESS' OR d.is_failed)
        AND ($project IS NULL OR list_contains($project, d.project_name))
        AND ($repo IS NULL OR d.repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
        AND ($from IS NULL OR d.finished_date >= $from)
        AND ($to IS NULL OR d.finished_date < $to)
),

figures AS (
    SELECT
        d.project_name,
        count(*) AS failed,
        count(d.recovery_seconds) AS n,
        median(cast(d.recovery_seconds AS double)) AS seconds,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(d.recovery_seconds AS double)) AS p90_seconds
    FROM deployments AS d
    WHERE d.is_failed
    GROUP BY d.project_name
),

restored AS (
    SELECT
        i.project_name,
        i.recovery_seconds
    FROM dora.incidents AS i
    LEFT JOIN domain.incidents AS n ON i.incident_id = n.id
    WHERE i.recovery_seconds IS NOT NULL
        AND ($project IS NULL OR list_contains($project, i.project_name))
        AND (
            $repo IS NULL
            OR n.scope_id IN (SELECT b.id FROM domain.boards AS b WHERE list_contains($repo, b.name))
            OR i.deployment_id IN (
                SELECT d.deployment_id
                FROM dora.deployments AS d INNER JOIN domain.repos AS r ON d.repo_id = r.id
                WHERE list_contains($repo, r.name)
            )
        )
        AND ($from IS NULL OR i.resolution_date >= $from)
        AND ($to IS NULL OR i.resolution_date < $to)
),

times AS (
    SELECT
        f.project_name,
        f.n,
        f.failed - f.n AS still_open,
        f.seconds,
        f.p90_seconds
    FROM figures AS f
    WHERE $report = 2023
    UNION ALL
    SELECT
        r.project_name,
        count(*) AS n,
        NULL AS still_open,
        median(cast(r.recovery_seconds AS double)) AS seconds,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(r.recovery_seconds AS double)) AS p90_seconds
    FROM restored AS r
    WHERE $report = 2021
    GROUP BY r.project_name
)

SELECT
    f.project_name AS project,
    coalesce(t.n, 0) AS recovered,
    t.still_open AS "still open",
    round(t.seconds / 360) / 10 AS "median h",
    round(t.p90_seconds / 360) / 10 AS "p90 h",
    b.class,
    b.text AS benchmark,
    round(CASE
        WHEN $from IS NOT NULL OR $to IS NOT NULL OR $repo IS NOT NULL THEN NULL
        WHEN $report = 2021 THEN f.devlake_2021
        ELSE f.devlake_2023
    END / 6) / 10 AS "devlake h",
    CASE
        WHEN $from IS NOT NULL OR $to IS NOT NULL OR $repo IS NOT NULL THEN NULL
        WHEN $report = 2021 THEN f.devlake_class_2021
        ELSE f.devlake_class_2023
    END AS "devlake class",
    CASE
        WHEN f.reason LIKE 'no incident source%' OR f.reason LIKE 'not collected%' THEN f.reason
        WHEN
            t.seconds IS NULL
            THEN CASE WHEN $report = 2021 THEN 'no resolved incidents' ELSE 'no recovered failures' END
        WHEN b.class IS NULL THEN 'too few for a class' || coalesce('; ' || f.note, '')
        ELSE coalesce(f.note, '')
    END AS note
FROM metrics.dora AS f
LEFT JOIN times AS t ON f.project_name = t.project_name
LEFT JOIN metrics.dora_classes AS b
    ON b.year = $report AND b.metric = 'failed_deployment_recovery_time' AND t.n >= b.minimum_n
        AND (b.lower IS NULL OR t.seconds > b.lower OR b.lower_inclusive AND t.seconds = b.lower)
        AND (b.upper IS NULL OR t.seconds < b.upper OR b.upper_inclusive AND t.seconds = b.upper)
        AND t.seconds IS NOT NULL
WHERE f.metric = 'failed_deployment_recovery_time' AND f.period = 'all' AND f.scope = 'project'
    AND ($project IS NULL OR list_contains($project, f.project_name))
ORDER BY f.project_name
