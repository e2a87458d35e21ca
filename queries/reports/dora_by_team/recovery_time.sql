-- How long does each team take to recover from failure?
-- Grain: one row per team
-- Dashboard: DORA by Team, Failed Deployment Recovery Time / Median Time to Restore Service
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   finished or resolved at or after
-- param: to timestamp = null   finished or resolved before
-- param: report bigint = 2023   report year, one of: 2021, 2023
-- Note: Report 2023: from the end of a failed deployment of the team (its start, where its outcome is FAILURE) until
-- the incident was resolved or a deployment fixed it, by the end of the deployment; failures still open are counted
-- beside. 2021: from beginning to resolution of the incidents that a member is assigned to, by resolution.
-- Note: A deployment belongs to a team if it is the first production deployment of a pull request by a present member
-- of the team, so it may belong to several teams. DevLake looks at the author of the deployed commit only, and by
-- e-mail, which matches no account. A person in two teams counts for both. Classes are DORA's (metrics.dora_classes).
WITH chosen AS (
    SELECT
        t.id AS team_id,
        t.name AS team
    FROM domain.teams AS t WHERE $team IS NULL OR list_contains($team, t.name)
),

deployments AS (
    SELECT
        s.team_id,
        d.deployment_id,
        d.environment,
        max(d.finished_date) AS finished_date,
        bool_or(d.outcome = 'SUCCESS') AS is_success,
        bool_or(d.is_failed) AS is_failed,
        bool_or(u.project_name IS NULL) AS is_known,
        min(CASE WHEN d.is_failed THEN d.recovery_seconds END) AS recovery_seconds
    FROM dora.deployments AS d
    INNER JOIN dora.team_deployments AS s ON s.deployment_id = d.deployment_id
    LEFT JOIN metrics.dora AS u
        ON u.project_name = d.project_name AND u.scope = 'project' AND u.period = 'all'
            AND u.metric = 'change_failure_rate' AND u.reason LIKE 'no incident source%'
    WHERE ($project IS NULL OR list_contains($project, d.project_name))
        AND ($from IS NULL OR d.finished_date >= $from)
        AND ($to IS NULL OR d.finished_date < $to)
    GROUP BY s.team_id, d.deployment_id, d.environment
),

assignees AS (
    SELECT
        i.project_name,
        i.incident_id,
        s.assignee_id,
        i.resolution_date,
        i.recovery_seconds
    FROM dora.incidents AS i
    INNER JOIN domain.incident_assignees AS s ON s.incident_id = i.incident_id
    WHERE ($project IS NULL OR list_contains($project, i.project_name))
        AND ($from IS NULL OR i.resolution_date >= $from)
        AND ($to IS NULL OR i.resolution_date < $to)
),

incidents AS (
    SELECT
        t.team_id,
        i.incident_id,
        min(i.resolution_date) AS resolution_date,
        min(i.recovery_seconds) AS seconds
    FROM assignees AS i
    INNER JOIN dora.team_members AS t ON t.account_id = i.assignee_id AND t.account_id <> ''
    WHERE i.recovery_seconds IS NOT NULL
    GROUP BY t.team_id, i.incident_id
),

recoveries AS (
    SELECT
        team_id,
        finished_date AS happened,
        recovery_seconds AS seconds
    FROM deployments
    WHERE $report <> 2021 AND is_failed
    UNION ALL
    SELECT
        team_id,
        resolution_date,
        seconds
    FROM incidents WHERE $report = 2021
),

figures AS (
    SELECT
        c.team_id,
        c.team,
        count(x.seconds) AS recovered,
        count(x.happened) - count(x.seconds) AS still_open,
        median(cast(x.seconds AS double)) AS seconds,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(x.seconds AS double)) AS p90_seconds
    FROM chosen AS c
    LEFT JOIN recoveries AS x ON x.team_id = c.team_id
    GROUP BY c.team_id, c.team
)

SELECT
    f.team,
    f.recovered,
    f.still_open AS "still open",
    round(f.seconds / 360.0) / 10.0 AS "median h",
    round(f.p90_seconds / 360.0) / 10.0 AS "p90 h",
    b.class,
    b.text AS benchmark,
    CASE
        WHEN b.class IS NOT NULL THEN ''
        WHEN f.recovered > 0 THEN 'too few for a class'
        WHEN $report = 2021 THEN 'no resolved incidents'
        ELSE 'no recovered failures'
    END AS note
FROM figures AS f
LEFT JOIN metrics.dora_classes AS b
    ON b.year = $report AND b.metric = 'failed_deployment_recovery_time' AND f.recovered >= b.minimum_n
        AND (b.lower IS NULL OR f.seconds > b.lower OR b.lower_inclusive AND f.seconds = b.lower)
        AND (b.upper IS NULL OR f.seconds < b.upper OR b.upper_inclusive AND f.seconds = b.upper)
        AND f.seconds IS NOT NULL
ORDER BY f.team, f.team_id
