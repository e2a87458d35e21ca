-- How many rows is each figure of the window based on, how many were left out, and why?
--
-- Grain:  one row per project, figure, kind of row, and reason; project_name is '' for rows that no project has
-- Source: dora.deployments, dora.project_pr_metrics, dora.incidents, domain.cicd_deployment_commits,
--         domain.pull_requests, domain.incidents, metrics.dora; the window is config.buckets'
--
-- Rules:
-- * reason is counted, or why a row was left out. A figure's counted rows are its n in metrics.dora.
-- * A further environment of a release that is counted already is the same release for the frequency.
-- * Deployments to production, or to an unknown environment, are counted; those to other environments are not, nor
--   releases that are not deployed yet. Left out: no environment (unknown), not finished, no outcome, no end, same
--   release (another row is the deployment). Failures count in the failure rate alone, where they are known to have
--   done harm in production.
-- * Changes: merged pull requests, by the time they were deployed, or merged where they were not.
-- * Incidents: a rate is too low by those that no deployment was found for.
-- * Failures: recovered ones count in recovery time.
-- * Rows without a project are counted within the windows of all projects: 'repository in no project' where it was
--   collected, so that this is meant; otherwise 'scope in no project' or 'unknown project', which may be any project's.
-- * share: of the project's rows and of those that may belong to any project, so that it is 1 only where no row is left
--   out; of a row without project, of all rows of the lake.
-- * no incident source: n = 0; the failure rate is based on rollbacks and reverts, or is null (see metrics.dora).
WITH windows AS (
    SELECT
        project_name,
        period_start AS window_start,
        period_end AS window_end
    FROM config.buckets
    WHERE period = 'all'
),

all_windows AS (
    SELECT
        min(window_start) AS window_start,
        max(window_end) AS window_end
    FROM windows
),

projects AS (
    SELECT name FROM domain.projects
    UNION
    SELECT project_name AS name FROM domain.project_mapping
),

collected_scopes AS (
    SELECT
        'repos' AS scope_table,
        id
    FROM domain.repos
    UNION
    SELECT
        'cicd_scopes' AS scope_table,
        id
    FROM domain.cicd_scopes
    UNION
    SELECT
        'boards' AS scope_table,
        id
    FROM domain.boards
),

ended AS (
    SELECT
        d.project_name,
        d.outcome = 'SUCCESS' AS is_success,
        coalesce(d.release_position, 1) > 1 AS is_further,
        d.is_failed,
        d.recovery_seconds IS NOT NULL AS has_recovered
    FROM dora.deployments AS d
    INNER JOIN windows AS w
        ON w.project_name = d.project_name AND d.finished_date >= w.window_start AND d.finished_date < w.window_end
),

candidates AS (
    SELECT
        cicd_scope_id,
        cicd_deployment_id,
        original_environment,
        max(environment) AS environment,
        bool_or(status = 'IN_PROGRESS') AS is_running,
        max(result) AS result,
        max(finished_date) AS finished_date,
        max(coalesce(finished_date, started_date, created_date)) AS happened
    FROM domain.cicd_deployment_commits
    WHERE environment IN ('PRODUCTION', '')
        AND (result <> '' OR started_date IS NOT NULL OR finished_date IS NOT NULL)
    GROUP BY cicd_scope_id, cicd_deployment_id, original_environment
),

left_out AS (
    SELECT
        m.project_name,
        CASE WHEN c.environment = '' THEN 'no environment'
            WHEN c.is_running THEN 'not finished'
            WHEN c.result = '' THEN 'no outcome'
            WHEN c.finished_date IS NULL THEN 'no end'
            ELSE 'same release'
        END AS reason
    FROM candidates AS c
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = c.cicd_scope_id
    INNER JOIN windows AS w ON w.project_name = m.project_name
    WHERE (c.happened IS NULL OR c.happened >= w.window_start AND c.happened < w.window_end)
        AND NOT EXISTS (
            SELECT 1
            FROM dora.deployments AS d
            WHERE d.project_name = m.project_name AND d.deployment_id = c.cicd_deployment_id
                AND d.environment = c.original_environment
        )
),

-- what the window has, and no project
outside AS (
    SELECT
        'deployments' AS kind,
        'cicd_scopes' AS scope_table,
        c.cicd_scope_id AS scope_id,
        '' AS named_project,
        c.happened
    FROM candidates AS c
    WHERE NOT EXISTS (
            SELECT 1 FROM domain.project_mapping AS m WHERE m."table" = 'cicd_scopes' AND m.row_id = c.cicd_scope_id
        )
    UNION ALL
    SELECT
        'changes',
        'repos',
        p.base_repo_id,
        '',
        p.merged_date
    FROM domain.pull_requests AS p
    WHERE p.merged_date IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM domain.project_mapping AS m WHERE m."table" = 'repos' AND m.row_id = p.base_repo_id
        )
    UNION ALL
    SELECT
        'incidents',
        i."table",
        i.scope_id,
        i.project_name,
        i.created_date
    FROM domain.incidents AS i
    WHERE NOT EXISTS (
            SELECT 1
            FROM dora.incidents AS d
            INNER JOIN projects AS p ON p.name = d.project_name
            WHERE d.incident_id = i.id
        )
),

in_no_project AS (
    SELECT
        o.kind,
        CASE WHEN o.named_project <> '' THEN 'unknown project'
            WHEN s.id IS NOT NULL THEN 'repository in no project'
            ELSE 'scope in no project'
        END AS reason
    FROM outside AS o
    INNER JOIN all_windows AS w
        ON w.window_end IS NOT NULL
            AND (o.happened IS NULL OR o.happened >= w.window_start AND o.happened < w.window_end)
    LEFT JOIN collected_scopes AS s ON s.scope_table = o.scope_table AND s.id = o.scope_id
),

looked_at AS (
    SELECT
        project_name,
        m.metric,
        'deployments' AS kind,
        CASE WHEN NOT is_success THEN 'failed'
            WHEN is_further AND m.metric = 'deployment_frequency' THEN 'same release'
            ELSE 'counted'
        END AS reason
    FROM ended
    CROSS JOIN (VALUES ('deployment_frequency'), ('deployment_rework_rate')) AS m (metric)
    UNION ALL
    SELECT
        project_name,
        'change_failure_rate',
        'deployments',
        CASE WHEN is_success OR is_failed THEN 'counted' ELSE 'failed before production' END
    FROM ended
    UNION ALL
    SELECT
        l.project_name,
        m.metric,
        'deployments',
        l.reason
    FROM left_out AS l
    CROSS JOIN (
        VALUES ('deployment_frequency'), ('deployment_rework_rate'), ('change_failure_rate')
    ) AS m (metric)
    UNION ALL
    SELECT
        project_name,
        'failed_deployment_recovery_time',
        'failures',
        CASE WHEN has_recovered THEN 'counted' ELSE 'not recovered' END
    FROM ended
    WHERE is_failed
    UNION ALL
    SELECT
        p.project_name,
        'change_lead_time',
        'changes',
        coalesce(
            p.exclusion_reason,
            CASE WHEN p.deployed_date IS NOT NULL AND p.lead_time_seconds IS NOT NULL THEN 'counted'
                ELSE 'no lead time'
            END
        )
    FROM dora.project_pr_metrics AS p
    INNER JOIN windows AS w
        ON w.project_name = p.project_name
            AND coalesce(p.deployed_date, p.pr_merged_date) >= w.window_start
            AND coalesce(p.deployed_date, p.pr_merged_date) < w.window_end
    UNION ALL
    SELECT
        i.project_name,
        'change_failure_rate',
        'incidents',
        CASE WHEN i.deployment_id <> '' THEN 'counted' ELSE coalesce(i.unlinked_reason, 'unlinked') END
    FROM dora.incidents AS i
    INNER JOIN windows AS w ON w.project_name = i.project_name
    WHERE i.created_date IS NULL OR i.created_date >= w.window_start AND i.created_date < w.window_end
    UNION ALL
    SELECT
        '' AS project_name,
        m.metric,
        o.kind,
        o.reason
    FROM in_no_project AS o
    INNER JOIN (
        VALUES
        ('deployments', 'deployment_frequency'), ('deployments', 'deployment_rework_rate'),
        ('deployments', 'change_failure_rate'), ('changes', 'change_lead_time'),
        ('incidents', 'change_failure_rate')
    ) AS m (kind, metric) ON m.kind = o.kind
),

counted AS (
    SELECT
        project_name,
        metric,
        kind,
        reason,
        count(*) AS n
    FROM looked_at
    GROUP BY project_name, metric, kind, reason
    UNION ALL
    SELECT
        project_name,
        metric,
        'incidents' AS kind,
        split_part(coalesce(note, reason), ':', 1) AS reason,
        0 AS n
    FROM metrics.dora
    WHERE scope = 'project' AND period = 'all'
        AND metric IN ('change_failure_rate', 'failed_deployment_recovery_time')
        AND coalesce(note, reason) LIKE 'no incident source%'
),

totals AS (
    SELECT
        *,
        sum(n) OVER (PARTITION BY project_name, metric, kind) AS own,
        sum(CASE WHEN project_name = '' AND reason <> 'repository in no project' THEN n ELSE 0 END)
            OVER (PARTITION BY metric, kind) AS anybodys,
        sum(n) OVER (PARTITION BY metric, kind) AS everything
    FROM counted
)

SELECT
    project_name,
    metric,
    kind,
    reason,
    n,
    coalesce(
        cast(n AS double) / nullif(CASE WHEN project_name = '' THEN everything ELSE own + anybodys END, 0), 0
    ) AS share
FROM totals
