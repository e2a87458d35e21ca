-- How does the failure rate of each team develop?
-- Grain: one row per team and period
-- Dashboard: DORA by Team, Change Failure Rate by Month
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   finished at or after
-- param: to timestamp = null   finished before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: A deployment belongs to a team if it is the first production deployment of a pull request by a present member
-- of the team, so it may belong to several teams. DevLake looks at the author of the deployed commit only, and by
-- e-mail, which matches no account. A person in two teams counts for both.
-- Note: A deployment of two projects counts once.
-- Note: Failed is a deployment with a linked incident, a rollback, or a change that was soon reverted or hot-fixed,
-- each once. Deployments of projects without any source of incidents are left out, where DevLake shows 0 %.
-- Note: A period without deployments has no row. `partial` marks a period that `from` or `to` cuts, or that is not
-- collected as a whole; none is dropped, as DevLake drops the first.
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
        team_id,
        date_trunc($interval, finished_date) AS bucket,
        count(*) AS deployments,
        count(*) FILTER (WHERE is_failed) AS failed
    FROM deployments
    WHERE is_known AND (is_success OR is_failed)
    GROUP BY team_id, date_trunc($interval, finished_date)
),

known AS (
    SELECT
        greatest(min(collected_from), $from) AS since,
        least(max(collected_until), $to) AS until
    FROM metrics.collected_windows
    WHERE $project IS NULL OR list_contains($project, project_name)
)

SELECT
    c.team,
    cast(f.bucket AS date) AS period,
    f.deployments,
    f.failed,
    round(1000.0 * f.failed / nullif(f.deployments, 0)) / 10.0 AS "failure rate %",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
INNER JOIN chosen AS c ON c.team_id = f.team_id
CROSS JOIN known AS k
ORDER BY c.team, c.team_id, f.bucket
