-- How often, how fast and how safely does each project, repository and team deliver, in each period?
--
-- Grain:  one row per project, scope, period and figure. Periods before the project's first event (a deployment, a
--         merged change or an incident) have no rows; the whole window always has.
-- Source: dora.deployments, dora.project_pr_metrics, dora.incidents, metrics.devlake; config.buckets has the periods;
--         domain.issues for how long Bitbucket's issue tracker was there
--
-- Rules:
-- * A deployment counts in the period in which it ended, a change in the period in which its deployment ended.
-- * deployment_frequency: successful releases per day of the period: one that reaches several production environments
--   counts once, by the first (release_position). Median, percentiles and mean are over the counts of its days, days
--   without one included; numerator is the days with one. 0 is a figure for a scope that has ever deployed; one that
--   never has is null. A period that has not ended divides by all its days, too: see is_complete.
-- * change_lead_time: median of lead_time_seconds over the changes that nothing excludes.
-- * change_failure_rate: failed ones over those that reached production: successes, and failures that are known to have
--   done harm there. Each deployment to an environment counts once, here and in the two figures that follow.
-- * failed_deployment_recovery_time: median over the failed deployments of the period that have recovered.
-- * deployment_rework_rate: rework over successes.
-- * A repository's rows are those of its deployments and of the changes merged into it. A team's changes are those whose
--   author is a member (not a member of a team below it); a deployment is a team's when it shipped a change of the team
--   to production first, so that one deployment may be several teams'. A team has rows once it has a merged change.
-- * Without a source of incidents, failure rate and recovery would claim a 0 that nobody has measured: they are null,
--   unless some deployment of the project is known to have failed by other evidence. Sources are incidents from
--   wherever they came, and repositories with issues whose rules make some kind an incident and whose tracker is there.
--   An incidents table from outside that has no rows is a source for every project: no incidents were there to bring.
-- * Atlassian removed Bitbucket's issue tracker on the day that the CTE tracker has. From then on it is a source no more,
--   unless it shows later issues all the same (as the sandbox does), and what it lacks limits no period that reaches
--   beyond that day.
-- * note says what a failure rate and a recovery rest on where no source of incidents covers the whole period.
-- * Where what a figure needs was not collected for the whole period, its value is null, n says what is known. Deployments
--   need config.rules' source of them; lead times pull requests too; failures the issues that may be incidents. A
--   repository is judged by its own collection, project and teams by that of all their repositories. The window begins
--   with the local day in which collection begins: there a part of that day may be missing. A stale entity is good for
--   the periods that were over when it was last complete.
-- * Percentiles are interpolated; p90 from the sorted values, since DataFusion's percentile_cont knows only millionths of
--   the way from one value to the next. The devlake columns are metrics.devlake's, for project, month and window only.
WITH tracker AS (
    SELECT CASE WHEN count(i.id) = 0 THEN t.removed END AS ends
    FROM (SELECT timestamp '2026-08-20 00:00:00' AS removed) AS t
    LEFT JOIN domain.issues AS i
        ON starts_with(i.id, 'bitbucket:BitbucketIssue:') AND i.created_date >= t.removed
    GROUP BY t.removed
),

deployments AS (
    SELECT
        project_name,
        deployment_id,
        environment,
        repo_id,
        finished_date,
        outcome = 'SUCCESS' AS is_success,
        outcome = 'SUCCESS' AND coalesce(release_position, 1) = 1 AS is_release,
        outcome = 'SUCCESS' OR is_failed AS reached,
        is_failed,
        outcome = 'SUCCESS' AND is_rework AS is_rework,
        recovery_seconds
    FROM dora.deployments
),

members AS (
    SELECT
        a.account_id,
        t.id AS team_id,
        t.name AS team_name
    FROM domain.user_accounts AS a
    INNER JOIN domain.team_users AS u ON u.user_id = a.user_id
    INNER JOIN domain.teams AS t ON t.id = u.team_id
),

changes_of_teams AS (
    SELECT
        m.project_name,
        m.id,
        m.attributed_deployment_id,
        t.team_id,
        t.team_name
    FROM dora.project_pr_metrics AS m
    INNER JOIN members AS t ON t.account_id = m.author_id
    WHERE coalesce(m.exclusion_reason, '') <> 'promotion'
),

project_repos AS (
    SELECT
        project_name,
        row_id AS repo_id
    FROM domain.project_mapping WHERE "table" = 'repos'
    UNION
    SELECT
        project_name,
        repo_id
    FROM dora.deployments WHERE repo_id <> ''
    UNION
    SELECT
        project_name,
        repo_id
    FROM dora.project_pr_metrics WHERE repo_id <> ''
),

-- limits_of: whose completeness counts, a repository's or ('') all of the project's
scopes AS (
    SELECT DISTINCT
        project_name,
        'project' AS scope,
        project_name AS scope_id,
        project_name AS scope_name,
        '' AS limits_of
    FROM config.buckets
    UNION ALL
    SELECT
        p.project_name,
        'repository' AS scope,
        p.repo_id AS scope_id,
        coalesce(nullif(r.name, ''), p.repo_id) AS scope_name,
        p.repo_id AS limits_of
    FROM project_repos AS p
    LEFT JOIN domain.repos AS r ON r.id = p.repo_id
    UNION ALL
    SELECT DISTINCT
        project_name,
        'team' AS scope,
        team_id AS scope_id,
        team_name AS scope_name,
        '' AS limits_of
    FROM changes_of_teams
),

scoped_deployments AS (
    SELECT
        'project' AS scope,
        project_name AS scope_id,
        d.*
    FROM deployments AS d
    UNION ALL
    SELECT
        'repository' AS scope,
        repo_id AS scope_id,
        d.*
    FROM deployments AS d
    UNION ALL
    SELECT
        'team' AS scope,
        t.team_id AS scope_id,
        d.*
    FROM deployments AS d
    INNER JOIN (
        SELECT DISTINCT
            project_name,
            attributed_deployment_id,
            team_id
        FROM changes_of_teams
    ) AS t
        ON t.project_name = d.project_name AND t.attributed_deployment_id = d.deployment_id
),

deployment_figures AS (
    SELECT
        *,
        cast(recoveries_sorted[cast(floor(9 * (recovered - 1) / 10.0) AS bigint) + 1] AS double) AS recovery_p90_below,
        cast(recoveries_sorted[cast(ceil(9 * (recovered - 1) / 10.0) AS bigint) + 1] AS double) AS recovery_p90_above
    FROM (
        SELECT
            d.project_name,
            d.scope,
            d.scope_id,
            b.period,
            b.period_start,
            count(*) FILTER (WHERE d.is_success) AS successes,
            count(*) FILTER (WHERE d.is_release) AS releases,
            count(*) FILTER (WHERE d.reached) AS reached,
            count(*) FILTER (WHERE d.is_failed) AS failed,
            count(*) FILTER (WHERE d.is_rework) AS rework,
            count(d.recovery_seconds) AS recovered,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY cast(d.recovery_seconds AS double)) AS recovery_median,
            percentile_cont(0.75) WITHIN GROUP (ORDER BY cast(d.recovery_seconds AS double)) AS recovery_p75,
            array_agg(d.recovery_seconds ORDER BY d.recovery_seconds NULLS FIRST)
            FILTER (WHERE d.recovery_seconds IS NOT NULL) AS recoveries_sorted,
            cast(sum(d.recovery_seconds) AS double) / nullif(count(d.recovery_seconds), 0) AS recovery_mean
        FROM scoped_deployments AS d
        INNER JOIN config.buckets AS b
            ON b.project_name = d.project_name AND d.finished_date >= b.period_start AND d.finished_date < b.period_end
        GROUP BY d.project_name, d.scope, d.scope_id, b.period, b.period_start
    ) AS d
),

changes AS (
    SELECT
        project_name,
        id,
        repo_id,
        deployed_date,
        lead_time_seconds
    FROM dora.project_pr_metrics
    WHERE exclusion_reason IS NULL AND deployed_date IS NOT NULL AND lead_time_seconds IS NOT NULL
),

scoped_changes AS (
    SELECT
        'project' AS scope,
        project_name AS scope_id,
        c.*
    FROM changes AS c
    UNION ALL
    SELECT
        'repository' AS scope,
        repo_id AS scope_id,
        c.*
    FROM changes AS c
    UNION ALL
    SELECT
        'team' AS scope,
        t.team_id AS scope_id,
        c.*
    FROM changes AS c
    INNER JOIN changes_of_teams AS t ON t.project_name = c.project_name AND t.id = c.id
),

change_figures AS (
    SELECT
        *,
        cast(leads_sorted[cast(floor(9 * (changes - 1) / 10.0) AS bigint) + 1] AS double) AS lead_p90_below,
        cast(leads_sorted[cast(ceil(9 * (changes - 1) / 10.0) AS bigint) + 1] AS double) AS lead_p90_above
    FROM (
        SELECT
            c.project_name,
            c.scope,
            c.scope_id,
            b.period,
            b.period_start,
            count(*) AS changes,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY cast(c.lead_time_seconds AS double)) AS lead_median,
            percentile_cont(0.75) WITHIN GROUP (ORDER BY cast(c.lead_time_seconds AS double)) AS lead_p75,
            array_agg(c.lead_time_seconds ORDER BY c.lead_time_seconds NULLS FIRST) AS leads_sorted,
            cast(sum(c.lead_time_seconds) AS double) / count(*) AS lead_mean
        FROM scoped_changes AS c
        INNER JOIN config.buckets AS b
            ON b.project_name = c.project_name AND c.deployed_date >= b.period_start AND c.deployed_date < b.period_end
        GROUP BY c.project_name, c.scope, c.scope_id, b.period, b.period_start
    ) AS c
),

day_counts AS (
    SELECT
        d.project_name,
        d.scope,
        d.scope_id,
        b.period_start AS day_start,
        count(*) AS n
    FROM scoped_deployments AS d
    INNER JOIN config.buckets AS b
        ON b.project_name = d.project_name AND b.period = 'day'
            AND d.finished_date >= b.period_start AND d.finished_date < b.period_end
    WHERE d.is_release
    GROUP BY d.project_name, d.scope, d.scope_id, b.period_start
),

days_of_periods AS (
    SELECT
        b.project_name,
        b.period,
        b.period_start,
        d.period_start AS day_start
    FROM config.buckets AS b
    INNER JOIN config.buckets AS d
        ON d.project_name = b.project_name AND d.period_start >= b.period_start AND d.period_start < b.period_end
    WHERE d.period = 'day' AND b.period <> 'day'
),

daily_figures AS (
    SELECT
        *,
        cast(counts_sorted[cast(floor(9 * (days - 1) / 10.0) AS bigint) + 1] AS double) AS daily_p90_below,
        cast(counts_sorted[cast(ceil(9 * (days - 1) / 10.0) AS bigint) + 1] AS double) AS daily_p90_above
    FROM (
        SELECT
            s.project_name,
            s.scope,
            s.scope_id,
            p.period,
            p.period_start,
            count(*) AS days,
            count(c.n) AS busy_days,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY cast(coalesce(c.n, 0) AS double)) AS daily_median,
            percentile_cont(0.75) WITHIN GROUP (ORDER BY cast(coalesce(c.n, 0) AS double)) AS daily_p75,
            array_agg(coalesce(c.n, 0) ORDER BY coalesce(c.n, 0) NULLS FIRST) AS counts_sorted,
            cast(coalesce(sum(c.n), 0) AS double) / count(*) AS daily_mean
        FROM scopes AS s
        INNER JOIN days_of_periods AS p ON p.project_name = s.project_name
        LEFT JOIN day_counts AS c
            ON c.project_name = s.project_name AND c.scope = s.scope AND c.scope_id = s.scope_id
                AND c.day_start = p.day_start
        GROUP BY s.project_name, s.scope, s.scope_id, p.period, p.period_start
    ) AS d
),

first_events AS (
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

collected_repositories AS (
    SELECT
        p.project_name,
        p.connection_id,
        p.full_name,
        'bitbucket:BitbucketRepo:' || cast(p.connection_id AS varchar) || ':' || p.full_name AS repo_id,
        coalesce(u.deployments, 'both') AS deployments_from,
        r.cicd,
        r.review,
        r.issues AND t.rules IS NOT NULL AS incidents
    FROM config.project_repositories AS p
    INNER JOIN config.repositories AS r ON r.connection_id = p.connection_id AND r.full_name = p.full_name
    LEFT JOIN config.rules AS u ON u.rules = r.rules
    LEFT JOIN (SELECT DISTINCT rules FROM config.issue_types WHERE type = 'INCIDENT') AS t
        ON t.rules = r.rules
),

-- what a repository's figures need, and how far that was collected
needed AS (
    SELECT
        r.project_name,
        r.repo_id,
        c.entity,
        c.complete_from,
        c.complete_through,
        -- A list that is still loading is whole from complete_from on; one that a run did not reach ends earlier.
        CASE
            WHEN c.status IN ('complete', 'loading') AND c.complete_through IS NOT NULL THEN 'behind'
            WHEN c.status = 'loading' AND c.complete_from IS NOT NULL THEN 'complete'
            ELSE c.status
        END AS status,
        r.cicd AND (
            c.entity = 'deployments' AND r.deployments_from IN ('bitbucket', 'both')
            OR c.entity IN ('pipelines', 'pipeline_steps') AND r.deployments_from IN ('steps', 'both')
        ) AS for_deployments,
        r.review AND c.entity = 'pull_requests' AS for_changes,
        r.incidents AND c.entity = 'issues' AS for_failures
    FROM collected_repositories AS r
    INNER JOIN config.completeness AS c ON c.connection_id = r.connection_id AND c.full_name = r.full_name
    WHERE c.status <> 'absent'
),

needed_by AS (
    SELECT
        *,
        unnest(['', repo_id]) AS limits_of
    FROM (
        SELECT
            *,
            'deployments' AS needed_for
        FROM needed WHERE for_deployments
        UNION ALL
        SELECT
            *,
            'changes' AS needed_for
        FROM needed WHERE for_deployments OR for_changes
        UNION ALL
        SELECT
            *,
            'failures' AS needed_for
        FROM needed WHERE for_deployments OR for_failures
        UNION ALL
        SELECT
            *,
            'failures without the tracker' AS needed_for
        FROM needed WHERE for_deployments
    ) AS n
),

limits AS (
    SELECT
        project_name,
        limits_of,
        needed_for,
        max(complete_from) AS complete_from,
        min(CASE WHEN status <> 'complete' THEN
                CASE WHEN status = 'failed' THEN entity || ' failed' ELSE entity || ' are ' || status END
        END) AS trouble,
        bool_or(status <> 'complete' AND complete_through IS NULL) AS never_whole,
        min(CASE WHEN status <> 'complete' THEN complete_through END) AS complete_through
    FROM needed_by
    GROUP BY project_name, limits_of, needed_for
),

-- where a project's incidents come from, and until when; null: it goes on
incident_sources AS (
    SELECT
        r.project_name,
        t.ends
    FROM collected_repositories AS r
    CROSS JOIN tracker AS t
    WHERE r.incidents
        AND NOT EXISTS (
            SELECT 1
            FROM config.completeness AS c
            WHERE c.connection_id = r.connection_id AND c.full_name = r.full_name
                AND c.entity = 'issues' AND c.status = 'absent'
        )
    UNION ALL
    SELECT
        i.project_name,
        CASE WHEN starts_with(i.incident_id, 'bitbucket:BitbucketIssue:') THEN t.ends END AS ends
    FROM dora.incidents AS i
    CROSS JOIN tracker AS t
    UNION ALL
    SELECT
        b.project_name,
        NULL AS ends
    FROM config.buckets AS b
    WHERE EXISTS (
            SELECT 1
            FROM config.outside_tables AS o
            WHERE o.name IN ('domain.incidents', 'dora.incidents') AND o.row_count = 0
        )
),

incidents_known AS (
    SELECT
        project_name,
        CASE WHEN bool_and(ends IS NOT NULL) THEN max(ends) END AS ends
    FROM incident_sources
    GROUP BY project_name
),

failures_without_incident AS (
    SELECT DISTINCT project_name
    FROM dora.deployments
    WHERE is_failed AND coalesce(failure_evidence, '') <> 'incident'
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
        d.recovery_p90_below + (d.recovery_p90_above - d.recovery_p90_below) * (9 * (d.recovered - 1) % 10) / 10.0
            AS recovery_p90,
        coalesce(c.changes, 0) AS changes,
        c.lead_median,
        c.lead_p75,
        c.lead_mean,
        c.lead_p90_below + (c.lead_p90_above - c.lead_p90_below) * (9 * (c.changes - 1) % 10) / 10.0 AS lead_p90,
        f.busy_days,
        f.daily_median,
        f.daily_p75,
        f.daily_mean,
        f.daily_p90_below + (f.daily_p90_above - f.daily_p90_below) * (9 * (f.days - 1) % 10) / 10.0 AS daily_p90,
        o.project_name IS NOT NULL
        OR i.project_name IS NOT NULL AND (i.ends IS NULL OR b.period_start < i.ends) AS failures_known,
        CASE WHEN i.project_name IS NULL THEN 'no incident source'
            WHEN b.period_end > i.ends THEN 'no incident source since ' || substr(cast(i.ends AS varchar), 1, 10)
        END AS sources_lack,
        i.project_name IS NULL OR coalesce(b.period_start >= i.ends, FALSE) AS without_incidents,
        coalesce(b.period_end > t.ends, FALSE) AS is_past_tracker,
        sum(coalesce(d.successes, 0)) OVER (PARTITION BY s.project_name, s.scope, s.scope_id) > 0 AS ever_deployed
    FROM scopes AS s
    INNER JOIN config.buckets AS b ON b.project_name = s.project_name
    LEFT JOIN first_events AS e ON e.project_name = s.project_name
    LEFT JOIN deployment_figures AS d
        ON d.project_name = s.project_name AND d.scope = s.scope AND d.scope_id = s.scope_id
            AND d.period = b.period AND d.period_start = b.period_start
    LEFT JOIN change_figures AS c
        ON c.project_name = s.project_name AND c.scope = s.scope AND c.scope_id = s.scope_id
            AND c.period = b.period AND c.period_start = b.period_start
    LEFT JOIN daily_figures AS f
        ON f.project_name = s.project_name AND f.scope = s.scope AND f.scope_id = s.scope_id
            AND f.period = b.period AND f.period_start = b.period_start
    CROSS JOIN tracker AS t
    LEFT JOIN incidents_known AS i ON i.project_name = s.project_name
    LEFT JOIN failures_without_incident AS o ON o.project_name = s.project_name
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
            WHEN l.trouble IS NOT NULL AND (l.never_whole OR w.period_end > l.complete_through) THEN l.trouble
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
    LEFT JOIN limits AS l
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
