-- How often, how fast and how safely does each project, repository and team deliver, in each period?
--
-- Grain:  one row per project, scope, period and figure. Periods before the project's first event (a deployment, a
--         merged change or an incident) have no rows; the whole window always has.
-- Source: metrics.dora_scopes, metrics.dora_deployment_figures, metrics.dora_change_figures, metrics.dora_daily_figures,
--         metrics.dora_limits, metrics.incident_sources, metrics.devlake; config.buckets has the periods; dora.deployments,
--         dora.project_pr_metrics and dora.incidents have the first event
--
-- Rules:
-- * A deployment counts in the period in which it finished, a change in the period in which its deployment finished.
-- * deployment_frequency: successful releases per day of the period. A release that reaches several production
--   environments counts once, by the first (release_position). Median, percentiles and mean are over the counts of its
--   days, days without one included; numerator is the days with one. 0 is a figure for a scope that has ever deployed;
--   the figure of a scope that never has is null. A period that has not finished divides by all its days, too: see
--   is_complete.
-- * change_lead_time: median of lead_time_seconds over the changes that nothing excludes.
-- * change_failure_rate: failed deployments over those that reached production: successes, and failures that are known
--   to have done harm there. Each deployment to an environment counts once, here and in the two figures that follow.
-- * failed_deployment_recovery_time: median over the failed deployments of the period that have recovered.
-- * deployment_rework_rate: rework over successes.
-- * A repository has the deployments of the repository and the changes merged into it. A team has the changes whose
--   author is a member, and the deployments that are the first in production with one of them. A team has rows once it
--   has a merged change.
-- * Without a source of incidents (metrics.incident_sources), failure rate and recovery are null, because a 0 would
--   claim what was not measured, unless some deployment of the project is known to have failed by other evidence.
-- * note says what a failure rate and a recovery are based on where no source of incidents covers the whole period.
-- * Where the data that a figure needs was not collected for the whole period (metrics.dora_limits), its value is null
--   and n is the number of known records. A repository is judged by its own collection, project and teams by that of
--   all their repositories. The window begins with the local day in which collection begins: a part of that day may be
--   missing. A stale list is good for the periods that were over when it was last complete.
-- * The devlake columns are those of metrics.devlake, for project, month and window only.
WITH first_events AS (
    SELECT
        project_name,
        min(happened) AS first_event
    FROM (
        SELECT
            project_name,
            finished_date AS happened
        FROM dora.deployments
        UNION ALL
        SELECT
            project_name,
            pr_merged_date
        FROM dora.project_pr_metrics
        UNION ALL
        SELECT
            project_name,
            created_date
        FROM dora.incidents
    ) AS events
    GROUP BY project_name
),

devlake AS (
    SELECT
        project_name,
        period,
        period_start,
        metric,
        max(CASE WHEN report = 2021 THEN value END) AS devlake_2021,
        max(CASE WHEN report = 2023 THEN value END) AS devlake_2023,
        max(CASE WHEN report = 2021 THEN class END) AS devlake_class_2021,
        max(CASE WHEN report = 2023 THEN class END) AS devlake_class_2023
    FROM metrics.devlake
    GROUP BY project_name, period, period_start, metric
),

wide AS (
    SELECT
        s.project_name,
        s.scope,
        s.scope_id,
        s.scope_name,
        s.limits_of,
        b.period,
        b.period_start,
        b.period_end,
        b.label,
        b.is_complete,
        b.days,
        coalesce(d.successes, 0) AS successes,
        coalesce(d.releases, 0) AS releases,
        coalesce(d.reached, 0) AS reached,
        coalesce(d.failed, 0) AS failed,
        coalesce(d.rework, 0) AS rework,
        coalesce(d.recovered, 0) AS recovered,
        d.recovery_median,
        d.recovery_p75,
        d.recovery_mean,
        d.recovery_p90,
        coalesce(c.changes, 0) AS changes,
        c.lead_median,
        c.lead_p75,
        c.lead_mean,
        c.lead_p90,
        f.busy_days,
        f.daily_median,
        f.daily_p75,
        f.daily_mean,
        f.daily_p90,
        i.has_other_evidence
        OR i.has_source AND (i.ends IS NULL OR b.period_start < i.ends) AS failures_known,
        CASE WHEN NOT i.has_source THEN 'no incident source'
            WHEN b.period_end > i.ends THEN 'no incident source since ' || substr(cast(i.ends AS varchar), 1, 10)
        END AS sources_lack,
        NOT i.has_source OR coalesce(b.period_start >= i.ends, FALSE) AS without_incidents,
        coalesce(b.period_end > i.tracker_ends, FALSE) AS is_past_tracker,
        sum(coalesce(d.successes, 0)) OVER (PARTITION BY s.project_name, s.scope, s.scope_id) > 0 AS ever_deployed
    FROM metrics.dora_scopes AS s
    INNER JOIN config.buckets AS b ON b.project_name = s.project_name
    LEFT JOIN first_events AS e ON e.project_name = s.project_name
    LEFT JOIN metrics.dora_deployment_figures AS d
        ON d.project_name = s.project_name AND d.scope = s.scope AND d.scope_id = s.scope_id
            AND d.period = b.period AND d.period_start = b.period_start
    LEFT JOIN metrics.dora_change_figures AS c
        ON c.project_name = s.project_name AND c.scope = s.scope AND c.scope_id = s.scope_id
            AND c.period = b.period AND c.period_start = b.period_start
    LEFT JOIN metrics.dora_daily_figures AS f
        ON f.project_name = s.project_name AND f.scope = s.scope AND f.scope_id = s.scope_id
            AND f.period = b.period AND f.period_start = b.period_start
    INNER JOIN metrics.incident_sources AS i ON i.project_name = s.project_name
    WHERE b.period = 'all' OR b.period_end > e.first_event
),

figures AS (
    SELECT
        w.*,
        m.metric,
        m.unit,
        CASE m.metric
            WHEN 'deployment_frequency' THEN w.releases
            WHEN 'change_lead_time' THEN w.changes
            WHEN 'change_failure_rate' THEN w.reached
            WHEN 'failed_deployment_recovery_time' THEN w.recovered
            ELSE w.successes
        END AS n,
        CASE
            WHEN w.period_start < l.complete_from
                AND (w.period <> 'all' OR w.period_start < l.complete_from - interval '25 hours')
                THEN 'not collected before ' || substr(cast(l.complete_from AS varchar), 1, 10)
            WHEN l.trouble IS NOT NULL AND (l.is_never_whole OR w.period_end > l.complete_through) THEN l.trouble
            WHEN m.metric = 'deployment_frequency' THEN CASE WHEN NOT w.ever_deployed THEN 'no deployments' END
            WHEN m.metric = 'change_lead_time' THEN CASE WHEN w.changes = 0 THEN 'no changes' END
            WHEN m.metric = 'deployment_rework_rate' THEN CASE WHEN w.successes = 0 THEN 'no deployments' END
            WHEN NOT w.failures_known THEN w.sources_lack
            WHEN w.reached = 0 THEN 'no deployments'
            WHEN m.metric = 'change_failure_rate' THEN NULL
            WHEN w.failed = 0 THEN 'no failures'
            WHEN w.recovered = 0 THEN 'no recovered failures'
        END AS reason
    FROM wide AS w
    CROSS JOIN (
        VALUES
        ('deployment_frequency', 'deployments/day', 'deployments'),
        ('change_lead_time', 'seconds', 'changes'),
        ('change_failure_rate', 'ratio', 'failures'),
        ('failed_deployment_recovery_time', 'seconds', 'failures'),
        ('deployment_rework_rate', 'ratio', 'deployments')
    ) AS m (metric, unit, needs)
    LEFT JOIN metrics.dora_limits AS l
        ON l.project_name = w.project_name AND l.limits_of = w.limits_of
            AND l.needed_for
            = m.needs || CASE WHEN m.needs = 'failures' AND w.is_past_tracker THEN ' without the tracker' ELSE '' END
)

SELECT
    f.project_name,
    f.scope,
    f.scope_id,
    f.scope_name,
    f.period,
    f.period_start,
    f.period_end,
    f.label,
    f.is_complete,
    f.metric,
    f.unit,
    CASE WHEN f.reason IS NULL THEN
            CASE f.metric
                WHEN 'deployment_frequency' THEN cast(f.releases AS double) / nullif(f.days, 0)
                WHEN 'change_lead_time' THEN f.lead_median
                WHEN 'change_failure_rate' THEN cast(f.failed AS double) / nullif(f.reached, 0)
                WHEN 'failed_deployment_recovery_time' THEN f.recovery_median
                ELSE cast(f.rework AS double) / nullif(f.successes, 0)
            END
    END AS value,
    f.n,
    CASE f.metric
        WHEN 'deployment_frequency'
            THEN
                CASE WHEN f.period <> 'day' THEN f.busy_days WHEN f.releases > 0 THEN 1 ELSE 0 END
        WHEN 'change_failure_rate' THEN CASE WHEN f.failures_known THEN f.failed END
        WHEN 'deployment_rework_rate' THEN f.rework
    END AS numerator,
    CASE WHEN f.reason IS NULL THEN
            CASE f.metric
                WHEN 'deployment_frequency'
                    THEN
                        CASE WHEN f.period = 'day' THEN cast(f.releases AS double) ELSE f.daily_median END
                WHEN 'change_lead_time' THEN f.lead_median
                WHEN 'failed_deployment_recovery_time' THEN f.recovery_median
            END
    END AS median,
    CASE WHEN f.reason IS NULL THEN
            CASE f.metric
                WHEN 'deployment_frequency'
                    THEN
                        CASE WHEN f.period = 'day' THEN cast(f.releases AS double) ELSE f.daily_p75 END
                WHEN 'change_lead_time' THEN f.lead_p75
                WHEN 'failed_deployment_recovery_time' THEN f.recovery_p75
            END
    END AS p75,
    CASE WHEN f.reason IS NULL THEN
            CASE f.metric
                WHEN 'deployment_frequency'
                    THEN
                        CASE WHEN f.period = 'day' THEN cast(f.releases AS double) ELSE f.daily_p90 END
                WHEN 'change_lead_time' THEN f.lead_p90
                WHEN 'failed_deployment_recovery_time' THEN f.recovery_p90
            END
    END AS p90,
    CASE WHEN f.reason IS NULL THEN
            CASE f.metric
                WHEN 'deployment_frequency'
                    THEN
                        CASE WHEN f.period = 'day' THEN cast(f.releases AS double) ELSE f.daily_mean END
                WHEN 'change_lead_time' THEN f.lead_mean
                WHEN 'failed_deployment_recovery_time' THEN f.recovery_mean
            END
    END AS mean,
    f.reason,
    v.devlake_2021,
    v.devlake_2023,
    v.devlake_class_2021,
    v.devlake_class_2023,
    CASE WHEN f.metric IN ('change_failure_rate', 'failed_deployment_recovery_time')
            AND coalesce(f.reason, 'no failures') IN ('no failures', 'no recovered failures')
            THEN f.sources_lack || CASE WHEN f.without_incidents THEN ': rollbacks and reverts only' ELSE '' END
    END AS note
FROM figures AS f
LEFT JOIN devlake AS v
    ON f.scope = 'project' AND v.project_name = f.project_name
        AND v.period = f.period AND v.period_start = f.period_start AND v.metric = f.metric
