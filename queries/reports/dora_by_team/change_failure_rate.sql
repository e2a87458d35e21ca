-- What share of the deployments of each team fails in production?
-- Grain: one row per team
-- Dashboard: DORA by Team, Change Failure Rate
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   finished at or after
-- param: to timestamp = null   finished before
-- param: report bigint = 2023   report year, one of: 2021, 2023
-- Note: A deployment belongs to a team if it is the first production deployment of a pull request by a present member
-- of the team, so it may belong to several teams. DevLake looks at the author of the deployed commit only, and by
-- e-mail, which matches no account. A person in two teams counts for both.
-- Note: A deployment of two projects counts once.
-- Note: Failed is a deployment with a linked incident, a rollback, or a change that was soon reverted or hot-fixed,
-- each once. Deployments of projects without any source of incidents are left out, where DevLake shows 0 %. Classes
-- are DORA's (metrics.dora_classes).
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

figures AS (
    SELECT
        c.team_id,
        c.team,
        count(d.deployment_id) AS ended,
        count(d.deployment_id) FILTER (WHERE d.is_known AND (d.is_success OR d.is_failed)) AS deployments,
        count(d.deployment_id) FILTER (WHERE d.is_known AND d.is_failed) AS failed
    FROM chosen AS c
    LEFT JOIN deployments AS d ON d.team_id = c.team_id
    GROUP BY c.team_id, c.team
),

rates AS (
    SELECT
        f.*,
        1.0 * f.failed / nullif(f.deployments, 0) AS rate
    FROM figures AS f
)

SELECT
    f.team,
    f.deployments,
    f.failed,
    round(10 * 100 * f.rate) / 10.0 AS "failure rate %",
    b.class,
    b.text AS benchmark,
    CASE
        WHEN f.ended = 0 THEN 'no deployments'
        WHEN f.deployments = 0 THEN 'no incident source'
        WHEN b.class IS NULL THEN 'too few for a class'
        ELSE ''
    END AS note
FROM rates AS f
LEFT JOIN metrics.dora_classes AS b
    ON b.year = $report AND b.metric = 'change_failure_rate' AND f.deployments >= b.minimum_n
        AND (b.lower IS NULL OR f.rate > b.lower OR b.lower_inclusive AND f.rate = b.lower)
        AND (b.upper IS NULL OR f.rate < b.upper OR b.upper_inclusive AND f.rate = b.upper)
        AND f.rate IS NOT NULL
ORDER BY f.team, f.team_id
